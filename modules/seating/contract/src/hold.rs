//! Holds: seats that somebody is about to buy.

use std::collections::BTreeSet;

use kernel::{Money, Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{HoldId, SeatId, ShowId};

/// The most seats in one hold.
pub const MOST_SEATS: usize = 20;

/// A hold as it is put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "RawHold")]
pub struct HoldDraft {
    /// The show.
    show: ShowId,
    /// The seats: 1 to 20, each once.
    #[schema(value_type = BTreeSet<SeatId>, min_items = 1, max_items = 20)]
    seats: Vec<SeatId>,
}

#[derive(Deserialize)]
struct RawHold {
    show: ShowId,
    seats: Vec<SeatId>,
}

impl TryFrom<RawHold> for HoldDraft {
    type Error = String;

    fn try_from(raw: RawHold) -> Result<Self, String> {
        Self::new(raw.show, raw.seats)
    }
}

impl HoldDraft {
    /// A hold; an error without seats, with more than [`MOST_SEATS`], or when a seat is there twice.
    pub fn new(show: ShowId, seats: Vec<SeatId>) -> Result<Self, String> {
        if !(1..=MOST_SEATS).contains(&seats.len()) {
            return Err(format!("seats: a hold has 1 to {MOST_SEATS}, not {}", seats.len()));
        }
        let mut seen = BTreeSet::new();
        match seats.iter().find(|seat| !seen.insert(*seat)) {
            Some(twice) => Err(format!("seats: `{twice}` is there twice")),
            None => Ok(Self { show, seats }),
        }
    }

    /// The show.
    pub fn show(&self) -> ShowId {
        self.show
    }

    /// The seats, in the order they were given.
    pub fn seats(&self) -> &[SeatId] {
        &self.seats
    }
}

/// How a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HoldStatus {
    /// Until it expires.
    Held,
    /// Until it is released or sold: it does not expire any more.
    Committed,
    /// Its seats are sold.
    Sold,
}

/// Seats that nobody else can have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    /// Its id.
    pub id: HoldId,
    /// The show.
    pub show: ShowId,
    /// The seats, in the order they were asked for.
    pub seats: Vec<SeatId>,
    /// How it stands.
    pub status: HoldStatus,
    /// What the seats cost together. Decided when they were held: a price that changes later does not change it.
    pub total: Money,
    /// When it is over unless it is committed before; `null` once it does not expire any more.
    pub expires_at: Option<Time>,
}
