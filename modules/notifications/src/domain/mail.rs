//! How a mail goes from one state to the next.

use std::fmt;

use kernel::Time;
use notifications_contract::{Mail, MailId, MailStatus, NotificationsError, OrderId};
use serde::{Deserialize, Serialize};

use super::{Facts, Letter};

/// Where a mail goes. Never shown whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Address(pub(crate) String);

impl Address {
    /// The first character and the domain, such as `a***@example.org`.
    pub(crate) fn masked(&self) -> String {
        let (name, domain) = self.0.rsplit_once('@').unwrap_or(("", ""));
        let first: String = name.chars().take(1).collect();
        format!("{first}***@{domain}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.masked())
    }
}

/// A mail that is ready to go.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id: the first part of its Message-ID, the same at every attempt.
    pub id: MailId,
    /// The address it goes to. Not for logs.
    pub to: String,
    /// Its subject, in any script. It may contain anything: whoever writes it into a header encodes it.
    pub subject: String,
    /// What it says: lines that end with `\n`.
    pub text: String,
    /// Its date: when it was queued.
    pub at: Time,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a mail was not sent, or may not have been. Each with what was said, without addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It certainly was not sent; later it may be.
    NotYet(String),
    /// It certainly was not sent, and the same again would not be either.
    Refused(String),
    /// It was handed over, and nobody knows what became of it.
    Unknown(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotYet(said) | Self::Refused(said) | Self::Unknown(said)) = self;
        f.write_str(said)
    }
}

/// A mail as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MailState {
    pub(crate) id: MailId,
    pub(crate) version: i64,
    pub(crate) order: OrderId,
    /// The order's version that it tells of: mails about one order go out in this order.
    pub(crate) order_version: i64,
    pub(crate) to: Address,
    pub(crate) letter: Letter,
    pub(crate) status: MailStatus,
    /// All attempts that were made or begun.
    pub(crate) attempts: u32,
    /// Those of them since it was last queued by somebody.
    pub(crate) tries: u32,
    pub(crate) at: Time,
    /// When it is looked at next: queued, to be sent; sending, to be given up. `None` when it is over.
    pub(crate) due: Option<Time>,
    /// As it was sent.
    pub(crate) subject: Option<String>,
    pub(crate) reason: Option<String>,
}

impl MailState {
    /// A new mail, due at once.
    pub(crate) fn queue(
        id: MailId,
        (order, order_version): (OrderId, i64),
        to: Address,
        letter: Letter,
        at: Time,
    ) -> Self {
        Self {
            id,
            version: 1,
            order,
            order_version,
            to,
            letter,
            status: MailStatus::Queued,
            attempts: 0,
            tries: 0,
            at,
            due: Some(at),
            subject: None,
            reason: None,
        }
    }

    /// The mail, to be looked at again at this time.
    pub(crate) fn wait_until(&self, due: Time) -> Self {
        Self {
            due: Some(due),
            ..self.next(MailStatus::Queued)
        }
    }

    /// The mail while it is handed over. When that has not ended by `give_up`, nobody is at it any more.
    pub(crate) fn begin(&self, subject: &str, give_up: Time) -> Self {
        Self {
            attempts: self.attempts + 1,
            tries: self.tries + 1,
            due: Some(give_up),
            subject: Some(subject.to_owned()),
            ..self.next(MailStatus::Sending)
        }
    }

    /// The mail after an attempt that did not come to be one: it was turned away before it was handed over.
    pub(crate) fn turned_away(&self, failure: &Failure, again: Time, most: u32) -> Self {
        let mut next = self.next(MailStatus::Queued);
        next.attempts += 1;
        next.tries += 1;
        next.fail(failure, again, most);
        next
    }

    /// The mail while it is handed over without a mark: stored, it stays as it is.
    pub(crate) fn unmarked(&self, subject: &str) -> Self {
        Self {
            version: self.version,
            status: self.status,
            ..self.begin(subject, self.at)
        }
    }

    /// The mail after its handing over, as `sent`, has come to this; `None` when that is no news. Who handed it over may
    /// be the last to say so: others may have given it up meanwhile, or somebody may have queued it again.
    pub(crate) fn record(&self, sent: &Self, outcome: &Result<(), Failure>, again: Time, most: u32) -> Option<Self> {
        let unmarked = sent.status == MailStatus::Queued;
        if unmarked && self.version == sent.version {
            let mut next = sent.next(MailStatus::Sending);
            next.end(outcome, again, most);
            return Some(next);
        }
        let given_up = matches!(self.status, MailStatus::Unknown | MailStatus::Queued);
        if unmarked || sent.attempts != self.attempts || !(self.status == MailStatus::Sending || given_up) {
            return None;
        }
        let mut next = self.next(MailStatus::Sending);
        next.end(outcome, again, most);
        (outcome.is_ok() || self.status == MailStatus::Sending).then_some(next)
    }

    /// The mail after whoever handed it over was not heard of again: repeated when that does no harm, else left open.
    pub(crate) fn give_up(&self, repeatable: bool, now: Time) -> Self {
        if repeatable {
            return self.wait_until(now);
        }
        let mut next = self.next(MailStatus::Unknown);
        let said = "it was being handed over when the sender ended, and may have arrived";
        (next.due, next.reason) = (None, Some(said.to_owned()));
        next
    }

    /// The mail, queued for its `attempt`th attempt because somebody asked for it; `None` when that attempt has been made
    /// or is coming anyway.
    pub(crate) fn again(&self, attempt: u32, now: Time) -> Result<Option<Self>, NotificationsError> {
        let (id, next) = (self.id, self.attempts.saturating_add(1));
        match self.status {
            _ if attempt <= self.attempts && attempt > 0 => Ok(None),
            _ if attempt != next => Err(NotificationsError::NotNext { id, next }),
            MailStatus::Queued => Ok(None),
            MailStatus::Failed | MailStatus::Unknown => Ok(Some(Self {
                tries: 0,
                ..self.wait_until(now)
            })),
            standing => Err(NotificationsError::NotToBeSentAgain { id, standing }),
        }
    }

    /// How it looks outside.
    pub(crate) fn look(&self, facts: &Facts) -> Mail {
        let subject = self.subject.clone();
        Mail {
            id: self.id,
            order: self.order,
            to: self.to.masked(),
            subject: subject.unwrap_or_else(|| self.letter.subject(facts)),
            state: self.status,
            attempts: self.attempts,
            at: self.at,
            reason: self.reason.clone(),
        }
    }

    /// The mail as it goes out.
    pub(crate) fn write(&self, facts: &Facts) -> Outgoing {
        Outgoing {
            id: self.id,
            to: self.to.0.clone(),
            subject: self.letter.subject(facts),
            text: self.letter.text(self.order, facts),
            at: self.at,
        }
    }

    fn end(&mut self, outcome: &Result<(), Failure>, again: Time, most: u32) {
        match outcome {
            Ok(()) => (self.status, self.due, self.reason) = (MailStatus::Sent, None, None),
            Err(failure) => self.fail(failure, again, most),
        }
    }

    fn fail(&mut self, failure: &Failure, again: Time, most: u32) {
        let (status, due) = match failure {
            Failure::NotYet(_) if self.tries < most => (MailStatus::Queued, Some(again)),
            Failure::NotYet(_) | Failure::Refused(_) => (MailStatus::Failed, None),
            Failure::Unknown(_) => (MailStatus::Unknown, None),
        };
        (self.status, self.due, self.reason) = (status, due, Some(failure.to_string()));
    }

    fn next(&self, status: MailStatus) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.status = status;
        next
    }
}
