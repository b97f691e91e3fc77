//! The front door of notifications: which mails went to buyers, how each stands, and sending one again that may not have
//! arrived. Mails are written because of events, never because somebody calls; it must never know how they travel.

mod error;
mod mail;

pub use error::NotificationsError;
use kernel::Page;
pub use mail::{Mail, MailFilter, MailStatus};
use strangler::{Cx, contract};

/// The scope that looking at mails asks for.
pub const READ: &str = "notifications:read";
/// The scope that sending a mail again asks for.
pub const SEND: &str = "notifications:send";

kernel::id! {
    /// A mail's id: the id of the event that it tells of, and the first part of its Message-ID.
    pub struct MailId;
}
kernel::id! {
    /// The id of the order that a mail is about.
    pub struct OrderId;
}

/// What the rest of the system may know about notifications.
#[contract(name = "notifications", version = 1)]
pub trait Notifications {
    /// Mails, oldest first.
    #[query(get = "/mails", auth = scope("notifications:read"), next = next)]
    async fn mails(&self, cx: &Cx, #[query] filter: MailFilter) -> Result<Page<Mail>, NotificationsError>;

    /// The mail with this id.
    #[query(get = "/mails/{id}", auth = scope("notifications:read"))]
    async fn mail(&self, cx: &Cx, id: MailId) -> Result<Mail, NotificationsError>;

    /// Has the mail sent once more, for the `attempt`th time, after it failed or when nobody knows whether it arrived.
    /// `attempt` is one more than the mail's `attempts`; the same attempt asked for twice is made once.
    #[command(put = "/mails/{id}/attempts/{attempt}", auth = scope("notifications:send"))]
    async fn send_again(&self, cx: &Cx, id: MailId, attempt: u32) -> Result<Mail, NotificationsError>;
}
