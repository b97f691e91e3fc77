//! The shared kernel of the domain: what every module means by an id, a text, money, a page. Small, and kept small; it
//! must never know a module, a database or HTTP.

mod id;
mod money;
mod page;
mod text;
mod time;

pub use chrono;
pub use money::{Currency, Money};
pub use page::{Cursor, Limit, Page};
pub use strangler::Clock;
pub use text::{Name, Text, Word};
pub use time::Time;
pub use uuid::Uuid;

#[doc(hidden)]
pub mod __rt {
    pub use serde;
    pub use utoipa;
}
