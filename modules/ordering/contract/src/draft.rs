//! What callers put. Validation lives here, in the types: a local call cannot pass what the wire would refuse.

use std::collections::BTreeSet;

use payments_contract::PaymentToken;
use seating_contract::{SeatId, ShowId};
use serde::{Deserialize, Serialize};
use strangler::Compared;
use utoipa::ToSchema;

use crate::Email;

/// The most seats in one order: as many as one hold may have.
pub const MOST_SEATS: usize = seating_contract::MOST_SEATS;

/// An order as it is put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Compared)]
#[serde(try_from = "RawOrder")]
pub struct OrderDraft {
    /// The show.
    show: ShowId,
    /// The seats: 1 to 20, each once.
    #[schema(value_type = BTreeSet<SeatId>, min_items = 1, max_items = 20)]
    seats: Vec<SeatId>,
    /// Where the tickets are sent. Never shown.
    #[compare(private)]
    email: Email,
    /// What the payment provider gave the buyer to pay with. Never shown.
    #[compare(private)]
    payment_token: PaymentToken,
}

#[derive(Deserialize)]
struct RawOrder {
    show: ShowId,
    seats: Vec<SeatId>,
    email: Email,
    payment_token: PaymentToken,
}

impl TryFrom<RawOrder> for OrderDraft {
    type Error = String;

    fn try_from(raw: RawOrder) -> Result<Self, String> {
        Self::new(raw.show, raw.seats, raw.email, raw.payment_token)
    }
}

impl OrderDraft {
    /// An order; an error without seats, with more than [`MOST_SEATS`], or when a seat is there twice.
    pub fn new(show: ShowId, seats: Vec<SeatId>, email: Email, payment_token: PaymentToken) -> Result<Self, String> {
        if !(1..=MOST_SEATS).contains(&seats.len()) {
            return Err(format!("seats: an order has 1 to {MOST_SEATS}, not {}", seats.len()));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = seats.iter().find(|seat| !seen.insert(*seat)) {
            return Err(format!("seats: `{twice}` is there twice"));
        }
        Ok(Self {
            show,
            seats,
            email,
            payment_token,
        })
    }

    /// The show.
    pub fn show(&self) -> ShowId {
        self.show
    }

    /// The seats, in the order they were given.
    pub fn seats(&self) -> &[SeatId] {
        &self.seats
    }

    /// Where the tickets are sent.
    pub fn email(&self) -> &Email {
        &self.email
    }

    /// What is paid with.
    pub fn payment_token(&self) -> &PaymentToken {
        &self.payment_token
    }
}
