//! Mails, and how they stand. Nothing here shows an address.

use std::fmt;

use kernel::{Cursor, Limit, Time};
use serde::{Deserialize, Serialize};
use strangler::Compared;
use utoipa::ToSchema;

use crate::{MailId, OrderId};

/// How a mail stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailStatus {
    /// It will be sent, for the first time or again.
    Queued,
    /// It is being handed over.
    Sending,
    /// The mail server (or the folder) has it.
    Sent,
    /// It was refused for good, or too often. It was not sent.
    Failed,
    /// It was handed over and nobody answered. It is not sent again by itself, because it may have arrived.
    Unknown,
}

impl fmt::Display for MailStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}

/// A mail to a buyer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Compared)]
pub struct Mail {
    /// Its id.
    pub id: MailId,
    /// The order it is about.
    pub order: OrderId,
    /// To whom: the first character and the domain.
    #[schema(example = "a***@example.org")]
    #[compare(private)]
    pub to: String,
    /// Its subject; before it is first sent, as it would be now.
    pub subject: String,
    /// How it stands.
    pub state: MailStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was queued.
    pub at: Time,
    /// What came of the last attempt, unless it was sent.
    pub reason: Option<String>,
}

/// Which mails are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MailFilter {
    /// Those about this order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<OrderId>,
    /// Those that stand so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<MailStatus>,
    /// How many a page has at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page begins: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}
