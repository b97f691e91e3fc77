//! Orders, and how they stand. Nothing here says who ordered or with what they pay.

use std::fmt;

use kernel::{Money, Time};
use seating_contract::{SeatId, ShowId};
use serde::{Deserialize, Serialize};
use strangler::Problem;
use utoipa::ToSchema;

use crate::{OrderId, TicketId};

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// It goes on: forward, or back when something was refused or it is being cancelled.
    Placed,
    /// The money is taken and the seats are sold. It stays so while it is being cancelled.
    Confirmed,
    /// It could not be done; nothing is held and nothing is owed.
    Refused,
    /// It was cancelled; nothing is held and nothing is owed.
    Cancelled,
    /// It goes neither way by itself: somebody has to look.
    Stuck,
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Placed => "placed",
            Self::Confirmed => "confirmed",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Stuck => "stuck",
        })
    }
}

/// A seat that is the buyer's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// Its id.
    pub id: TicketId,
    /// The seat.
    pub seat: SeatId,
}

/// Where a step of an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// It has begun and may have happened.
    Started,
    /// It has happened.
    Done,
    /// It was refused.
    Refused,
    /// It is being undone.
    Undoing,
    /// It has been undone.
    Undone,
}

/// A step of an order that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderStep {
    /// Its name: `hold`, `authorise`, `commit`, `capture`, `assign`; of an order that is taken back after its money was
    /// taken, `unassign` and `refund` too.
    #[schema(example = "hold")]
    pub step: String,
    /// Where it stands.
    pub state: StepState,
    /// Since when.
    pub at: Time,
}

/// A purchase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Grows with every change, by one or more; also the entity tag.
    pub version: i64,
    /// The show.
    pub show: ShowId,
    /// The seats, in the order they were given.
    pub seats: Vec<SeatId>,
    /// How it stands.
    pub status: OrderStatus,
    /// Why it was refused, or is stuck: a problem document, mostly what seating or payments said.
    pub reason: Option<Problem>,
    /// What the seats cost together; `null` until they are held.
    pub total: Option<Money>,
    /// One for each seat, once it is confirmed and until it is cancelled.
    pub tickets: Vec<Ticket>,
    /// The steps that have begun, in the order of their beginning.
    pub steps: Vec<OrderStep>,
}
