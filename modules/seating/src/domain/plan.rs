//! The seats of a show: the venue's sections, and what each costs.

use std::collections::HashMap;

use kernel::{Money, Time, Word};
use seating_contract::{HoldId, Seat, SeatId, SeatState};
use serde::{Deserialize, Serialize};

/// A block of seats in rows, as the venue has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Section {
    pub(crate) name: Word,
    pub(crate) rows: u32,
    pub(crate) seats_per_row: u32,
}

/// What a seat in a section costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Price {
    pub(crate) section: Word,
    pub(crate) price: Money,
}

/// A seat that is somebody's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) seat: SeatId,
    pub(crate) hold: HoldId,
    pub(crate) sold: bool,
    /// From when on it is nobody's any more; `None` when it stays.
    pub(crate) expires_at: Option<Time>,
}

impl Taken {
    /// How the seat stands at this time.
    pub(crate) fn state(&self, now: Time) -> SeatState {
        match self.expires_at {
            _ if self.sold => SeatState::Sold,
            Some(end) if end <= now => SeatState::Free,
            _ => SeatState::Held,
        }
    }
}

/// The seats of a show that are for sale: those of sections that have a price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan(Vec<(Section, Money)>);

impl Plan {
    pub(crate) fn new(sections: Vec<Section>, prices: &[Price]) -> Self {
        let priced = sections.into_iter().filter_map(|section| {
            let price = prices.iter().find(|p| p.section == section.name)?.price;
            Some((section, price))
        });
        Self(priced.collect())
    }

    /// What this seat costs; `None` when there is no such seat.
    pub(crate) fn price(&self, seat: &SeatId) -> Option<Money> {
        let (name, row, number) = seat.parts()?;
        let (section, price) = self.0.iter().find(|(s, _)| s.name.as_str() == name)?;
        let there = read_row(row)? < section.rows && (1..=section.seats_per_row).contains(&read_number(number)?);
        there.then_some(*price)
    }

    /// Every seat and how it stands.
    pub(crate) fn seats(&self, taken: &[Taken], now: Time) -> Vec<Seat> {
        let taken: HashMap<&SeatId, SeatState> = taken.iter().map(|t| (&t.seat, t.state(now))).collect();
        let size = self.0.iter().map(|(s, _)| s.rows as usize * s.seats_per_row as usize);
        let mut seats = Vec::with_capacity(size.sum());
        for (section, price) in &self.0 {
            for row in (0..section.rows).map(row_label) {
                for number in 1..=section.seats_per_row {
                    let id = SeatId::new(&section.name, &row, number);
                    let state = taken.get(&id).copied().unwrap_or(SeatState::Free);
                    seats.push(Seat {
                        id,
                        section: section.name.clone(),
                        row: row.clone(),
                        number,
                        state,
                        price: *price,
                    });
                }
            }
        }
        seats
    }
}

/// The name of the row with this index from 0: `A` to `Z`, then `AA`, `AB` and so on.
pub(super) fn row_label(index: u32) -> String {
    let (mut rest, mut label) = (index, Vec::new());
    loop {
        // The remainder of 26 is less than 26.
        label.push(b'A' + (rest % 26) as u8);
        match (rest / 26).checked_sub(1) {
            Some(next) => rest = next,
            None => break,
        }
    }
    label.iter().rev().map(|&b| char::from(b)).collect()
}

/// The index of the row with this name; `None` for what is no row's name.
pub(super) fn read_row(label: &str) -> Option<u32> {
    let mut place = 0_u32;
    for letter in label.bytes() {
        let digit = letter.is_ascii_uppercase().then(|| u32::from(letter - b'A') + 1)?;
        place = place.checked_mul(26)?.checked_add(digit)?;
    }
    place.checked_sub(1)
}

/// A seat's number as it is written: `007` is none.
fn read_number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| digits)
}
