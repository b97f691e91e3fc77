//! Money: an integer in minor units with its currency.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An ISO 4217 currency code, such as `EUR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "EUR")]
pub struct Currency([u8; 3]);

impl TryFrom<String> for Currency {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err("a currency is three capital letters, such as EUR".to_owned()),
        }
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.to_string()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&b| fmt::Write::write_char(f, b.into()))
    }
}

/// An amount of money, never negative: a refund is money that goes the other way, not less than none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Raw")]
pub struct Money {
    /// In minor units: 4500 is 45.00 EUR.
    #[schema(minimum = 0, maximum = 1_000_000_000_000_i64)]
    amount: i64,
    /// The currency.
    currency: Currency,
}

#[derive(Deserialize)]
struct Raw {
    amount: i64,
    currency: Currency,
}

impl TryFrom<Raw> for Money {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        Self::new(raw.amount, raw.currency)
    }
}

impl Money {
    /// The largest amount, in minor units: 10¹². The sum of a million of them still fits.
    pub const MOST: i64 = 1_000_000_000_000;

    /// `amount` minor units of `currency`; an error when negative or more than [`Money::MOST`].
    pub fn new(amount: i64, currency: Currency) -> Result<Self, String> {
        if (0..=Self::MOST).contains(&amount) {
            Ok(Self { amount, currency })
        } else {
            Err(format!(
                "an amount of money is between 0 and {} minor units, not {amount}",
                Self::MOST
            ))
        }
    }

    /// Minor units.
    pub fn amount(self) -> i64 {
        self.amount
    }

    /// The currency.
    pub fn currency(self) -> Currency {
        self.currency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_read_only_when_it_can_be() {
        let read = |text: &str| serde_json::from_str::<Money>(text);
        let money = read(r#"{"amount": 4500, "currency": "EUR"}"#).expect("good");
        assert_eq!(
            serde_json::to_string(&money).expect("text"),
            r#"{"amount":4500,"currency":"EUR"}"#
        );
        for bad in [
            r#"{"amount": -1, "currency": "EUR"}"#,
            r#"{"amount": 1000000000001, "currency": "EUR"}"#,
            r#"{"amount": 1.5, "currency": "EUR"}"#,
            r#"{"amount": 1e300, "currency": "EUR"}"#,
            r#"{"amount": 1, "currency": "eur"}"#,
            r#"{"amount": 1, "currency": "EÜR"}"#,
            r#"{"amount": 1}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
