//! Lists, a page at a time.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use strangler::{Compared, Marks};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};
use uuid::Uuid;

use crate::Time;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it, in the list's order.
    pub items: Vec<T>,
    /// The cursor of the next page; `null` on the last.
    pub next: Option<String>,
}

impl<T: Compared> Compared for Page<T> {
    fn marks(depth: u8) -> Marks {
        Marks::default().field("items", Vec::<T>::marks(depth))
    }
}

/// How many items a page has at most: 1 to 100, 20 unless asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schema(value_type = u64, minimum = 1, maximum = 100, default = 20)]
pub struct Limit(u64);

impl Limit {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

impl TryFrom<u64> for Limit {
    type Error = String;

    fn try_from(n: u64) -> Result<Self, String> {
        if (1..=100).contains(&n) {
            Ok(Self(n))
        } else {
            Err(format!("a limit is between 1 and 100, not {n}"))
        }
    }
}

impl From<Limit> for u64 {
    fn from(limit: Limit) -> Self {
        limit.0
    }
}

/// Where a page begins: after this time and id. Opaque outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    /// The time of the last item of the page before.
    pub time: Time,
    /// Its id.
    pub id: Uuid,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{}", self.time.micros(), self.id.simple())
    }
}

impl TryFrom<String> for Cursor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let read = || {
            let (time, id) = text.split_at_checked(16)?;
            let digits = text.bytes().all(|b| b.is_ascii_hexdigit()) && id.len() == 32;
            let micros = i64::from_str_radix(time, 16).ok().filter(|_| digits)?;
            Some(Self {
                time: Time::from_micros(micros).ok()?,
                id: id.parse().ok()?,
            })
        };
        read().ok_or_else(|| "not a cursor that a page gave; start without one".to_owned())
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

impl PartialSchema for Cursor {
    fn schema() -> RefOr<Schema> {
        RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(Type::String).build()))
    }
}

impl ToSchema for Cursor {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Cursor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_round_and_nothing_else_is_one() {
        let cursor = Cursor {
            time: Time::from_micros(1_900_000_000_000_001).expect("time"),
            id: Uuid::from_u128(7),
        };
        assert_eq!(Cursor::try_from(cursor.to_string()), Ok(cursor));
        for bad in [
            "",
            "x",
            "ffffffffffffffff00000000000000000000000000000007",
            &"é".repeat(24),
            "+00000000000000100000000000000000000000000000007",
        ] {
            assert!(Cursor::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
