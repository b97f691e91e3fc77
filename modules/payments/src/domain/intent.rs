//! A payment as the provider knows it.

use kernel::Money;
use payments_contract::PaymentId;
use serde::{Deserialize, Serialize};

/// How a payment stands with the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntentState {
    /// The money is reserved.
    Authorized,
    /// The money is taken.
    Captured,
    /// The money was let go, or will never be reserved.
    Voided,
    /// The money is not given.
    Declined,
    /// The money was given back.
    Refunded,
}

/// A payment as the provider has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// How it stands.
    pub state: IntentState,
    /// What the provider calls it; `None` when it was voided before it began.
    pub reference: Option<String>,
}

/// Which payment, and how much it is for, so that an answer about something else is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The key by which the provider knows a repeat.
    pub key: PaymentId,
    /// How much.
    pub amount: Money,
}
