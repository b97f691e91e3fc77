//! What became of orders, for whoever listens.

use kernel::Money;
use seating_contract::{SeatId, ShowId};
use serde::{Deserialize, Serialize};
use strangler::{Event, Problem};
use utoipa::ToSchema;

use crate::{Email, OrderId, Ticket};

/// Somebody placed an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderPlaced {
    /// The order.
    pub order: OrderId,
    /// The show.
    pub show: ShowId,
    /// The seats, in the order they were given.
    pub seats: Vec<SeatId>,
    /// Who placed it.
    pub email: Email,
}

/// The money is taken and the seats are the buyer's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderConfirmed {
    /// The order.
    pub order: OrderId,
    /// The show.
    pub show: ShowId,
    /// The seats, in the order they were given.
    pub seats: Vec<SeatId>,
    /// Who placed it.
    pub email: Email,
    /// What was paid.
    pub total: Money,
    /// One for each seat, in the same order.
    pub tickets: Vec<Ticket>,
}

/// The order could not be done, and what was done of it is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderRefused {
    /// The order.
    pub order: OrderId,
    /// The show.
    pub show: ShowId,
    /// The seats, in the order they were given.
    pub seats: Vec<SeatId>,
    /// Who placed it.
    pub email: Email,
    /// Why.
    pub reason: Problem,
}

/// The order was cancelled, and what was done of it is undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderCancelled {
    /// The order.
    pub order: OrderId,
    /// The show.
    pub show: ShowId,
    /// The seats, in the order they were given.
    pub seats: Vec<SeatId>,
    /// Who placed it.
    pub email: Email,
    /// What was given back; `null` when nothing had been taken.
    pub refunded: Option<Money>,
}

/// The order got stuck: it goes neither way by itself, and somebody has to look at it. It has not ended: it goes on once it was
/// helped, and may get stuck again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderStuck {
    /// The order.
    pub order: OrderId,
    /// The show.
    pub show: ShowId,
    /// The seats, in the order they were given.
    pub seats: Vec<SeatId>,
    /// Who placed it.
    pub email: Email,
    /// Why.
    pub reason: Problem,
}

/// A fact about orders. Each carries all that a listener needs; the envelope's type says which one it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum OrderingEvent {
    /// `ordering.order.placed`
    Placed(OrderPlaced),
    /// `ordering.order.confirmed`
    Confirmed(OrderConfirmed),
    /// `ordering.order.refused`
    Refused(OrderRefused),
    /// `ordering.order.cancelled`
    Cancelled(OrderCancelled),
    /// `ordering.order.stuck`
    Stuck(OrderStuck),
}

strangler::events! {
    OrderingEvent {
        /// Somebody placed an order.
        Placed(OrderPlaced) = "ordering.order.placed",
        /// The money is taken and the seats are the buyer's.
        Confirmed(OrderConfirmed) = "ordering.order.confirmed",
        /// The order could not be done, and what was done of it is undone.
        Refused(OrderRefused) = "ordering.order.refused",
        /// The order was cancelled, and what was done of it is undone.
        Cancelled(OrderCancelled) = "ordering.order.cancelled",
        /// The order got stuck: it goes neither way by itself, and somebody has to look at it.
        Stuck(OrderStuck) = "ordering.order.stuck",
    }
}

impl OrderingEvent {
    /// The type of [`OrderPlaced`].
    pub const PLACED: &'static str = Self::EVENTS[0].event_type;
    /// The type of [`OrderConfirmed`].
    pub const CONFIRMED: &'static str = Self::EVENTS[1].event_type;
    /// The type of [`OrderRefused`].
    pub const REFUSED: &'static str = Self::EVENTS[2].event_type;
    /// The type of [`OrderCancelled`].
    pub const CANCELLED: &'static str = Self::EVENTS[3].event_type;
    /// The type of [`OrderStuck`].
    pub const STUCK: &'static str = Self::EVENTS[4].event_type;
}
