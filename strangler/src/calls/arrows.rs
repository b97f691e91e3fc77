//! Who calls whom, how often, how long that takes and how often it fails.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::OUTSIDE;
use crate::stats::{Histogram, quantile_ms};

/// The last minute is counted in so many pieces.
const PIECES: u64 = 12;
/// The length of one, in seconds.
const PIECE_S: u64 = 5;
/// A piece that begins must not be one that still counts.
const SLOTS: usize = 16;

/// What was counted of the calls from one to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArrowFigures {
    /// The module that calls, or [`OUTSIDE`].
    pub from: String,
    /// The module that is called.
    pub to: String,
    /// Calls since this process started.
    pub requests: u64,
    /// Those of them that were answered with 5xx, or not at all.
    pub errors: u64,
    /// Calls in the last minute.
    pub per_minute: u64,
    /// Errors in the last minute.
    pub errors_per_minute: u64,
    /// Half of the calls were at least as fast, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Ninety-nine of a hundred were.
    pub p99_ms: Option<f64>,
}

/// A count of the last minute. Each slot holds the number of its piece of time and what was counted in it.
#[derive(Default)]
struct Minute([AtomicU64; SLOTS]);

impl Minute {
    fn count(&self, at: Duration) {
        let piece = at.as_secs() / PIECE_S;
        let slot = &self.0[(piece % SLOTS as u64) as usize];
        let next = |held: u64| match held >> 32 == piece {
            true => Some(held + 1),
            false => Some(piece << 32 | 1),
        };
        // Never refused, so this is done in the end.
        _ = slot.fetch_update(Relaxed, Relaxed, next);
    }

    fn sum(&self, at: Duration) -> u64 {
        let now = at.as_secs() / PIECE_S;
        let counts = self.0.iter().map(|slot| slot.load(Relaxed));
        let recent = counts.filter(|held| (held >> 32) <= now && now - (held >> 32) < PIECES);
        recent.map(|held| held & u64::from(u32::MAX)).sum()
    }
}

#[derive(Default)]
struct Arrow {
    requests: AtomicU64,
    errors: AtomicU64,
    minute: Minute,
    errors_minute: Minute,
    time: Histogram,
}

/// One counter for each pair of modules, and for the world outside and each module.
pub(super) struct Arrows {
    names: Box<[&'static str]>,
    /// Those who call in rows, those who are called in columns; the last row is the world outside.
    table: Box<[Arrow]>,
}

impl Arrows {
    pub(super) fn new(names: &[&'static str]) -> Self {
        let pairs = (names.len() + 1) * names.len();
        Self {
            names: names.into(),
            table: (0..pairs).map(|_| Arrow::default()).collect(),
        }
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|n| *n == name)
    }

    /// Counts one call that ended `at`, since the counting began.
    pub(super) fn count(&self, from: &str, to: &str, took: Duration, failed: bool, at: Duration) {
        let Some(column) = self.place(to) else { return };
        let row = match from {
            OUTSIDE => self.names.len(),
            name => match self.place(name) {
                Some(row) => row,
                None => return,
            },
        };
        let arrow = &self.table[row * self.names.len() + column];
        arrow.requests.fetch_add(1, Relaxed);
        arrow.minute.count(at);
        arrow.time.record(took);
        if failed {
            arrow.errors.fetch_add(1, Relaxed);
            arrow.errors_minute.count(at);
        }
    }

    /// Every pair that was counted at least once.
    pub(super) fn figures(&self, at: Duration) -> Vec<ArrowFigures> {
        let columns = self.names.len();
        let counted = self.table.iter().enumerate();
        let counted = counted.filter(|(_, arrow)| arrow.requests.load(Relaxed) > 0);
        let figures = |(index, arrow): (usize, &Arrow)| {
            let quantile = |q| quantile_ms(std::iter::once(&arrow.time), q);
            ArrowFigures {
                from: self.names.get(index / columns).unwrap_or(&OUTSIDE).to_string(),
                to: self.names[index % columns].to_owned(),
                requests: arrow.requests.load(Relaxed),
                errors: arrow.errors.load(Relaxed),
                per_minute: arrow.minute.sum(at),
                errors_per_minute: arrow.errors_minute.sum(at),
                p50_ms: quantile(0.5),
                p99_ms: quantile(0.99),
            }
        };
        counted.map(figures).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_forgotten_piece_by_piece() {
        let arrows = Arrows::new(&["catalog", "seating"]);
        let second = Duration::from_secs;
        for at in [1, 2, 30, 58] {
            arrows.count(OUTSIDE, "catalog", Duration::from_millis(2), at == 30, second(at));
        }
        arrows.count("seating", "catalog", Duration::from_millis(9), false, second(58));
        arrows.count("nobody", "catalog", Duration::ZERO, false, second(58));
        let of = |at| arrows.figures(second(at));
        let from_outside = |at| of(at).into_iter().find(|a| a.from == OUTSIDE).unwrap();
        assert_eq!(of(59).len(), 2, "nobody is no module");
        assert_eq!(
            (from_outside(59).per_minute, from_outside(59).errors_per_minute),
            (4, 1)
        );
        assert_eq!(from_outside(62).per_minute, 2, "the first two seconds are a minute ago");
        assert_eq!(
            (from_outside(100).per_minute, from_outside(100).errors_per_minute),
            (1, 0)
        );
        assert_eq!(from_outside(100_000).per_minute, 0);
        let last = from_outside(100_000);
        assert_eq!((last.requests, last.errors), (4, 1));
        assert!(last.p99_ms.is_some_and(|ms| (1.8..2.2).contains(&ms)), "{last:?}");
    }
}
