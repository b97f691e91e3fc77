//! What notifications answers when it cannot do what it was asked.

use strangler::problems;

use crate::{MailId, MailStatus};

/// The errors of notifications.
#[problems("notifications")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotificationsError {
    /// No mail has this id.
    #[problem(404, "No such mail", detail = "no mail has the id {id}")]
    NoSuchMail {
        /// The id that was asked for.
        id: MailId,
    },
    /// Only what failed, or may not have arrived, is sent again.
    #[problem(
        409,
        "It is not to be sent again",
        detail = "the mail {id} is {standing}; one that is failed or unknown can be sent again"
    )]
    NotToBeSentAgain {
        /// The mail's id.
        id: MailId,
        /// How it stands.
        standing: MailStatus,
    },
    /// The attempt that was asked for is not the next one.
    #[problem(
        409,
        "It is not the next attempt",
        detail = "the next attempt of the mail {id} is number {next}; ask for that one"
    )]
    NotNext {
        /// The mail's id.
        id: MailId,
        /// The number of its next attempt.
        next: u32,
    },
    /// The data of notifications cannot be reached at the moment.
    #[problem(503, "The data of notifications cannot be reached", detail = "{cause}")]
    Unavailable {
        /// What happened and what to do next.
        cause: String,
    },
}
