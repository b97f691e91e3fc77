//! A show's seats by section and row, as a page shows them.

use std::collections::BTreeSet;

use kernel::Money;
use seating_contract::{Seat, SeatId, SeatState};

use super::{digits, money};

/// The seats of a show.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) sections: Vec<SectionView>,
    /// How many there are to choose from.
    pub(crate) free: usize,
    /// How many of them are chosen, or held by the visitor.
    pub(crate) chosen: usize,
    /// The digits after the point, and the currency.
    pub(crate) digits: usize,
    pub(crate) currency: String,
}

/// A section: what its seats cost, and its rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SectionView {
    pub(crate) name: String,
    pub(crate) price: Money,
    pub(crate) free: usize,
    pub(crate) rows: Vec<Row>,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) seats: Vec<Cell>,
}

/// A seat.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cell {
    pub(crate) id: SeatId,
    pub(crate) number: u32,
    pub(crate) state: CellState,
}

/// How a seat stands for whoever looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellState {
    Free,
    /// Free, and chosen in the form.
    Chosen,
    /// Held by the visitor's own order.
    Mine,
    Held,
    Sold,
}

impl Cell {
    pub(crate) fn can_be_chosen(&self) -> bool {
        matches!(self.state, CellState::Free | CellState::Chosen | CellState::Mine)
    }

    pub(crate) fn is_checked(&self) -> bool {
        matches!(self.state, CellState::Chosen | CellState::Mine)
    }

    /// What is said of it besides its number.
    pub(crate) fn word(&self) -> &'static str {
        match self.state {
            CellState::Free | CellState::Chosen => "",
            CellState::Mine => "yours",
            CellState::Held => "held",
            CellState::Sold => "sold",
        }
    }

    /// Its style: `h` for held, `x` for sold.
    pub(crate) fn class(&self) -> &'static str {
        match self.state {
            CellState::Held => "s h",
            CellState::Sold => "s x",
            CellState::Mine => "s m",
            CellState::Free | CellState::Chosen => "s",
        }
    }
}

impl SectionView {
    /// What a seat costs, in words.
    pub(crate) fn price_in_words(&self) -> String {
        money(self.price)
    }
}

impl Plan {
    /// The seats, of which those in `mine` are held by the visitor and those in `chosen` are chosen if they are free.
    pub(crate) fn new(seats: Vec<Seat>, mine: &BTreeSet<SeatId>, chosen: &BTreeSet<SeatId>) -> Self {
        let currency = seats.first().map(|seat| seat.price.currency());
        let mut plan = Self {
            sections: Vec::new(),
            free: 0,
            chosen: 0,
            digits: currency.map_or(2, digits),
            currency: currency.map_or_else(String::new, |c| c.to_string()),
        };
        for seat in seats {
            let state = match seat.state {
                SeatState::Held if mine.contains(&seat.id) => CellState::Mine,
                SeatState::Free if chosen.contains(&seat.id) => CellState::Chosen,
                SeatState::Free => CellState::Free,
                SeatState::Held => CellState::Held,
                SeatState::Sold => CellState::Sold,
            };
            let cell = Cell {
                id: seat.id,
                number: seat.number,
                state,
            };
            plan.free += usize::from(cell.can_be_chosen());
            plan.chosen += usize::from(cell.is_checked());
            // They come by section and row.
            if plan.sections.last().is_none_or(|s| s.name != seat.section.as_str()) {
                plan.sections.push(SectionView {
                    name: seat.section.as_str().to_owned(),
                    price: seat.price,
                    free: 0,
                    rows: Vec::new(),
                });
            }
            let Some(section) = plan.sections.last_mut() else {
                continue;
            };
            section.free += usize::from(cell.can_be_chosen());
            match section.rows.last_mut() {
                Some(row) if row.name == seat.row => row.seats.push(cell),
                _ => section.rows.push(Row {
                    name: seat.row,
                    seats: vec![cell],
                }),
            }
        }
        plan
    }
}

/// `Stalls, row A, seat 1`.
pub(crate) fn seat_in_words(seat: &SeatId) -> String {
    match seat.parts() {
        Some((section, row, number)) => format!("{section}, row {row}, seat {number}"),
        None => seat.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(section: &str, row: &str, number: u32, state: SeatState) -> Seat {
        let section: kernel::Word = section.try_into().unwrap();
        Seat {
            id: SeatId::new(&section, row, number),
            section,
            row: row.to_owned(),
            number,
            state,
            price: Money::new(4500, "EUR".to_owned().try_into().unwrap()).unwrap(),
        }
    }

    fn ids(all: &[&str]) -> BTreeSet<SeatId> {
        all.iter()
            .map(|id| SeatId::try_from((*id).to_owned()).unwrap())
            .collect()
    }

    #[test]
    fn seats_are_grouped_and_told_apart() {
        let seats = vec![
            seat("Stalls", "A", 1, SeatState::Free),
            seat("Stalls", "A", 2, SeatState::Held),
            seat("Stalls", "B", 1, SeatState::Held),
            seat("Circle", "A", 1, SeatState::Sold),
            seat("Circle", "A", 2, SeatState::Free),
        ];
        let plan = Plan::new(
            seats,
            &ids(&["Stalls-A-2", "Circle-A-1"]),
            &ids(&["Circle-A-2", "Circle-A-1"]),
        );
        let states = |s: &SectionView| {
            s.rows
                .iter()
                .flat_map(|r| r.seats.iter().map(|c| c.state))
                .collect::<Vec<_>>()
        };
        assert_eq!(plan.sections.iter().map(|s| s.rows.len()).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(
            states(&plan.sections[0]),
            [CellState::Free, CellState::Mine, CellState::Held]
        );
        // Sold is sold, whoever thinks that they hold it.
        assert_eq!(states(&plan.sections[1]), [CellState::Sold, CellState::Chosen]);
        assert_eq!((plan.free, plan.chosen, plan.sections[0].free), (3, 2, 2));
    }

    #[test]
    fn a_seat_in_words() {
        let id = |text: &str| SeatId::try_from(text.to_owned()).unwrap();
        assert_eq!(seat_in_words(&id("Front-Left-AB-12")), "Front-Left, row AB, seat 12");
        assert_eq!(seat_in_words(&id("loose")), "loose");
    }
}
