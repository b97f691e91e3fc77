//! Notifications: stands between the system and whoever carries mail, and sees to it that each buyer hears once of what
//! became of an order. It learns of orders, and of the names of acts and venues, from events, and calls no other module.
//!
//! A mail is a row, written in the transaction that moves the subscription's cursor; so none is lost, and an event that is
//! delivered again finds its mail there. A [`Sender`] hands mails over through a port ([`Post`](post::Post)): [`post::Files`] writes files
//! that can be opened, [`post::Smtp`] speaks to a mail server. Once a mail server was told that a mail is whole and did not
//! answer, nobody knows whether it has it: such a mail is shown as `unknown` and is not sent again unless somebody says so.

mod domain;
pub mod post;
mod retention;
mod sender;
mod service;
mod store;
pub mod subscriptions;

pub use retention::forget;
pub use sender::{Sender, sender};
pub use service::NotificationsModule;
