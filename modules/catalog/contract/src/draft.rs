//! What callers put. Validation lives here, in the types: a local call cannot pass what the wire would refuse.

use std::collections::BTreeSet;

use kernel::{Money, Name, Time, Word};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ActId, VenueId};

/// An act as it is put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActDraft {
    /// Its name.
    pub name: Name,
    /// What it plays.
    pub genre: Word,
}

/// A block of seats in rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "RawSection")]
pub struct Section {
    /// Its name, unique in its venue.
    name: Word,
    /// How many rows it has.
    #[schema(minimum = 1, maximum = 500)]
    rows: u32,
    /// How many seats a row has.
    #[schema(minimum = 1, maximum = 500)]
    seats_per_row: u32,
}

#[derive(Deserialize)]
struct RawSection {
    name: Word,
    rows: u32,
    seats_per_row: u32,
}

impl TryFrom<RawSection> for Section {
    type Error = String;

    fn try_from(raw: RawSection) -> Result<Self, String> {
        Self::new(raw.name, raw.rows, raw.seats_per_row)
    }
}

impl Section {
    /// A section; rows and seats per row are 1 to 500.
    pub fn new(name: Word, rows: u32, seats_per_row: u32) -> Result<Self, String> {
        for (what, n) in [("rows", rows), ("seats_per_row", seats_per_row)] {
            if !(1..=500).contains(&n) {
                return Err(format!("{what} is between 1 and 500, not {n}"));
            }
        }
        Ok(Self {
            name,
            rows,
            seats_per_row,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Word {
        &self.name
    }

    /// How many rows it has.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// How many seats a row has.
    pub fn seats_per_row(&self) -> u32 {
        self.seats_per_row
    }
}

/// A venue as it is put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "RawVenue")]
pub struct VenueDraft {
    /// Its name.
    name: Name,
    /// Where it is.
    city: Name,
    /// Its time zone, as IANA calls it, such as `Europe/Vienna`.
    #[schema(value_type = String, min_length = 1, max_length = 60, example = "Europe/Vienna")]
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z][A-Za-z0-9_+-]*)*$")]
    time_zone: Word,
    /// Its sections, front to back: 1 to 50, 100,000 seats together at most.
    #[schema(min_items = 1, max_items = 50)]
    sections: Vec<Section>,
}

#[derive(Deserialize)]
struct RawVenue {
    name: Name,
    city: Name,
    time_zone: Word,
    sections: Vec<Section>,
}

impl TryFrom<RawVenue> for VenueDraft {
    type Error = String;

    fn try_from(raw: RawVenue) -> Result<Self, String> {
        Self::new(raw.name, raw.city, raw.time_zone, raw.sections)
    }
}

impl VenueDraft {
    /// A venue; an error when the time zone is not of the form `Area/City` or `UTC`, when there are no sections or too
    /// many, or when two have one name.
    pub fn new(name: Name, city: Name, time_zone: Word, sections: Vec<Section>) -> Result<Self, String> {
        let part = |s: &str| {
            s.starts_with(|c: char| c.is_ascii_alphabetic())
                && s.chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-'))
        };
        if !time_zone.as_str().split('/').all(part) {
            return Err("time_zone: not a name of the IANA time zone database, such as Europe/Vienna".to_owned());
        }
        if !(1..=50).contains(&sections.len()) {
            return Err(format!("sections: a venue has 1 to 50, not {}", sections.len()));
        }
        unique("sections", sections.iter().map(|s| &s.name))?;
        let seats: u64 = sections
            .iter()
            .map(|s| u64::from(s.rows) * u64::from(s.seats_per_row))
            .sum();
        if seats > 100_000 {
            return Err(format!("sections: a venue has 100000 seats at most, not {seats}"));
        }
        Ok(Self {
            name,
            city,
            time_zone,
            sections,
        })
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where it is.
    pub fn city(&self) -> &Name {
        &self.city
    }

    /// Its time zone.
    pub fn time_zone(&self) -> &Word {
        &self.time_zone
    }

    /// Its sections, front to back.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }
}

/// What a seat in a section costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SectionPrice {
    /// The section's name.
    pub section: Word,
    /// What a seat costs there.
    pub price: Money,
}

/// A show as it is put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "RawShow")]
pub struct ShowDraft {
    /// Who performs.
    act: ActId,
    /// Where.
    venue: VenueId,
    /// When it starts.
    starts_at: Time,
    /// What a seat costs, by section: 1 to 50, each section once, all in one currency.
    #[schema(min_items = 1, max_items = 50)]
    prices: Vec<SectionPrice>,
}

#[derive(Deserialize)]
struct RawShow {
    act: ActId,
    venue: VenueId,
    starts_at: Time,
    prices: Vec<SectionPrice>,
}

impl TryFrom<RawShow> for ShowDraft {
    type Error = String;

    fn try_from(raw: RawShow) -> Result<Self, String> {
        Self::new(raw.act, raw.venue, raw.starts_at, raw.prices)
    }
}

impl ShowDraft {
    /// A show; an error when there are no prices or too many, when a section is priced twice, or in two currencies.
    pub fn new(act: ActId, venue: VenueId, starts_at: Time, prices: Vec<SectionPrice>) -> Result<Self, String> {
        if !(1..=50).contains(&prices.len()) {
            return Err(format!("prices: a show has 1 to 50, not {}", prices.len()));
        }
        unique("prices", prices.iter().map(|p| &p.section))?;
        if prices.iter().any(|p| p.price.currency() != prices[0].price.currency()) {
            return Err("prices: a show is sold in one currency".to_owned());
        }
        Ok(Self {
            act,
            venue,
            starts_at,
            prices,
        })
    }

    /// Who performs.
    pub fn act(&self) -> ActId {
        self.act
    }

    /// Where.
    pub fn venue(&self) -> VenueId {
        self.venue
    }

    /// When it starts.
    pub fn starts_at(&self) -> Time {
        self.starts_at
    }

    /// What a seat costs, by section.
    pub fn prices(&self) -> &[SectionPrice] {
        &self.prices
    }
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a Word>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("{what}: the section `{name}` is there twice"));
        }
    }
    Ok(())
}
