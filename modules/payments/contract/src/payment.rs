//! Payments: what is put, and how they stand.

use std::fmt;

use kernel::{Money, Text};
use serde::{Deserialize, Serialize};
use strangler::Compared;
use utoipa::ToSchema;

use crate::PaymentId;

/// What the provider gave the buyer to pay with. Never shown in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 200, examples("tok_ok", "tok_declined"))]
pub struct PaymentToken(String);

impl PaymentToken {
    /// The text, for the provider's eyes only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PaymentToken {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Text::<200>::try_from(text).map(|text| Self(text.into()))
    }
}

impl From<PaymentToken> for String {
    fn from(token: PaymentToken) -> Self {
        token.0
    }
}

impl fmt::Debug for PaymentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentToken(…)")
    }
}

/// A payment as it is put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, Compared)]
pub struct PaymentDraft {
    /// How much.
    pub amount: Money,
    /// By what means.
    #[compare(private)]
    pub token: PaymentToken,
}

/// How a payment stands. What ends in `ing` has been begun and its outcome is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PaymentStatus {
    /// The provider has been asked for the money, and may have reserved it.
    Authorising,
    /// The money is reserved.
    Authorised,
    /// The provider does not give the money.
    Declined,
    /// The provider has been told to take the money, and may have taken it.
    Capturing,
    /// The money is taken.
    Captured,
    /// The provider has been told to let the money go.
    Voiding,
    /// Nothing is reserved, and nothing will be.
    Voided,
    /// The provider has been told to give the money back, and may have given it.
    Refunding,
    /// The money was given back.
    Refunded,
}

impl fmt::Display for PaymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authorising => "authorising",
            Self::Authorised => "authorised",
            Self::Declined => "declined",
            Self::Capturing => "capturing",
            Self::Captured => "captured",
            Self::Voiding => "voiding",
            Self::Voided => "voided",
            Self::Refunding => "refunding",
            Self::Refunded => "refunded",
        })
    }
}

/// Money on its way from a buyer, or back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// How much; `null` when it was voided before it began.
    pub amount: Option<Money>,
    /// How it stands.
    pub status: PaymentStatus,
    /// What the provider calls it, once that is known.
    pub reference: Option<String>,
}
