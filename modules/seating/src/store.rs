//! Seating's tables and queries.

mod entities;
mod facts;
mod seats;

use kernel::{Currency, Money, Time, Uuid, chrono};
use sea_orm::ActiveValue::Set;
use seating_contract::{HoldId, ShowId};
use serde::{Serialize, de::DeserializeOwned};
use strangler_store::{Aggregate, StoreError};

use crate::domain::{HoldState, Phase, Takings};
use entities::holds;
pub(crate) use facts::{FactsOf, HearShow, HearVenue};
pub(crate) use seats::{Claim, Expired, Forget, Keep, TakenBy, TakenIn, TakenSeats};

fn json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::corrupt_row(format!("{column}: {e}")))
}

fn json_text<T: Serialize>(value: &T) -> String {
    // Plain structs of strings and numbers: there is nothing in them that JSON could refuse.
    serde_json::to_string(value).unwrap_or_default()
}

fn micros(micros: i64) -> Result<Time, StoreError> {
    Time::from_micros(micros).map_err(StoreError::corrupt_row)
}

/// The time of a unit of work, as the domain has it. A clock before 1970 or after 9999 is none to sell seats by.
pub(crate) fn time(time: chrono::DateTime<chrono::Utc>) -> Result<Time, StoreError> {
    Time::try_from(time).map_err(|e| StoreError::corrupt_row(format!("the clock: {e}")))
}

impl Aggregate for HoldState {
    const KIND: &'static str = "hold";
    type Entity = holds::Entity;

    fn id(&self) -> Uuid {
        self.id.0
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn from_model(row: holds::Model) -> Result<Self, StoreError> {
        let takings = match (row.show, row.amount, row.currency) {
            (Some(show), Some(amount), Some(currency)) => {
                let currency = Currency::try_from(currency).map_err(StoreError::corrupt_row)?;
                Some(Takings {
                    show: ShowId(show),
                    seats: json("seats", &row.seats)?,
                    total: Money::new(amount, currency).map_err(StoreError::corrupt_row)?,
                })
            }
            _ => None,
        };
        let phase = match (row.phase.as_str(), row.expires_at) {
            ("held", Some(end)) => Phase::Held(micros(end)?),
            ("committed", None) => Phase::Committed,
            ("sold", None) => Phase::Sold,
            ("over", None) => Phase::Over,
            (phase, end) => return Err(StoreError::corrupt_row(format!("no hold is `{phase}` until {end:?}"))),
        };
        Ok(Self {
            id: HoldId(row.id),
            version: row.version,
            takings,
            phase,
        })
    }

    fn to_model(&self) -> holds::ActiveModel {
        let (phase, expires_at) = match self.phase {
            Phase::Held(end) => ("held", Some(end.micros())),
            Phase::Committed => ("committed", None),
            Phase::Sold => ("sold", None),
            Phase::Over => ("over", None),
        };
        let takings = self.takings.as_ref();
        holds::ActiveModel {
            id: Set(self.id.0),
            version: Set(self.version),
            show: Set(takings.map(|t| t.show.0)),
            seats: Set(takings.map_or_else(|| "[]".to_owned(), |t| json_text(&t.seats))),
            amount: Set(takings.map(|t| t.total.amount())),
            currency: Set(takings.map(|t| t.total.currency().to_string())),
            phase: Set(phase.to_owned()),
            expires_at: Set(expires_at),
        }
    }

    fn id_column() -> holds::Column {
        holds::Column::Id
    }

    fn version_column() -> holds::Column {
        holds::Column::Version
    }
}
