//! Seats: what they are called, where they are, and how they stand.

use std::fmt;

use kernel::{Money, Text, Word};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ShowId;

/// What a seat is called, unique in its show: `<section>-<row>-<number>`, such as `Stalls-A-1`. Rows are `A` to `Z`, then
/// `AA`, `AB` and so on; numbers start at 1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, min_length = 1, max_length = 80, examples("Stalls-A-1", "Stalls-A-2", "Stalls-A-3"))]
pub struct SeatId(String);

/// As the text it is: errors name seats to people.
impl fmt::Debug for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl SeatId {
    /// The seat with this number in this row of this section.
    pub fn new(section: &Word, row: &str, number: u32) -> Self {
        Self(format!("{section}-{row}-{number}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its section, row and number as they are written; `None` when it is not of the form `<section>-<row>-<number>`.
    pub fn parts(&self) -> Option<(&str, &str, &str)> {
        let (rest, number) = self.0.rsplit_once('-')?;
        let (section, row) = rest.rsplit_once('-')?;
        Some((section, row, number))
    }
}

impl TryFrom<String> for SeatId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Text::<80>::try_from(text).map(|text| Self(text.into()))
    }
}

impl From<SeatId> for String {
    fn from(seat: SeatId) -> Self {
        seat.0
    }
}

impl fmt::Display for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a seat stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeatState {
    /// It can be held.
    Free,
    /// Somebody is about to buy it.
    Held,
    /// Somebody has bought it.
    Sold,
}

/// One seat of a show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seat {
    /// What it is called.
    pub id: SeatId,
    /// Its section.
    pub section: Word,
    /// Its row: `A` to `Z`, then `AA`, `AB` and so on.
    pub row: String,
    /// Its place in the row, from 1.
    pub number: u32,
    /// How it stands.
    pub state: SeatState,
    /// What it costs.
    pub price: Money,
}

/// The seats of a show that are for sale: by section front to back, then by row and number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeatMap {
    /// The show.
    pub show: ShowId,
    /// Its seats.
    pub seats: Vec<Seat>,
}
