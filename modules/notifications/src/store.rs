//! The tables and queries of notifications.

mod entities;
mod facts;
mod outbox;

use kernel::{Time, Uuid, chrono};
use notifications_contract::{MailId, MailStatus, OrderId};
use sea_orm::ActiveValue::Set;
use strangler_store::{Aggregate, StoreError};

use crate::domain::{Address, MailState};
use entities::mails;
pub(crate) use facts::{FactsOf, HearAct, HearShow, HearVenue};
pub(crate) use outbox::{DueMails, MailsLike, OldMails, TheseMails};

/// The time of a unit of work, as the domain has it. A clock before 1970 or after 9999 is none to date mails by.
pub(crate) fn time(time: chrono::DateTime<chrono::Utc>) -> Result<Time, StoreError> {
    Time::try_from(time).map_err(|e| StoreError::corrupt_row(format!("the clock: {e}")))
}

fn micros(micros: i64) -> Result<Time, StoreError> {
    Time::from_micros(micros).map_err(StoreError::corrupt_row)
}

/// A status is kept under the name that it has outside.
fn status(text: &str) -> Result<MailStatus, StoreError> {
    serde_json::from_value(text.into()).map_err(|e| StoreError::corrupt_row(format!("phase: {e}")))
}

fn count(column: &str, n: i32) -> Result<u32, StoreError> {
    u32::try_from(n).map_err(|e| StoreError::corrupt_row(format!("{column}: {e}")))
}

impl Aggregate for MailState {
    const KIND: &'static str = "mail";
    type Entity = mails::Entity;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn from_model(row: mails::Model) -> Result<Self, StoreError> {
        let letter = serde_json::from_str(&row.letter);
        Ok(Self {
            id: MailId(row.id),
            version: row.version,
            order: OrderId(row.order_id),
            order_version: row.order_version,
            to: Address(row.address),
            letter: letter.map_err(|e| StoreError::corrupt_row(format!("letter: {e}")))?,
            status: status(&row.phase)?,
            attempts: count("attempts", row.attempts)?,
            tries: count("tries", row.tries)?,
            at: micros(row.queued_at)?,
            due: row.due_at.map(micros).transpose()?,
            subject: row.subject,
            reason: row.reason,
        })
    }

    fn to_model(&self) -> mails::ActiveModel {
        mails::ActiveModel {
            id: Set(self.id.0),
            version: Set(self.version),
            order_id: Set(self.order.0),
            order_version: Set(self.order_version),
            address: Set(self.to.0.clone()),
            // A plain enum of strings and numbers: there is nothing in it that JSON could refuse.
            letter: Set(serde_json::to_string(&self.letter).unwrap_or_default()),
            phase: Set(self.status.to_string()),
            attempts: Set(i32::try_from(self.attempts).unwrap_or(i32::MAX)),
            tries: Set(i32::try_from(self.tries).unwrap_or(i32::MAX)),
            queued_at: Set(self.at.micros()),
            due_at: Set(self.due.map(Time::micros)),
            subject: Set(self.subject.clone()),
            reason: Set(self.reason.clone()),
        }
    }

    fn id_column() -> mails::Column {
        mails::Column::Id
    }

    fn version_column() -> mails::Column {
        mails::Column::Version
    }
}
