//! Noise: fields that differ from themselves.
//!
//! Twitter's Diffy asks the old version twice and calls noise what differs between the two as often as between old and new
//! (<https://github.com/twitter-archive/diffy>). Here, too: of a sample of comparisons the monolith is asked a second time, and a
//! place counts as noise when
//!
//! * the sample has at least 30 comparisons ([`LEAST`]), and
//! * the lower end of the 95 % confidence interval (Wilson, 1927, as in Brown, Cai and DasGupta, "Interval Estimation for a Binomial
//!   Proportion", 2001) of how often the monolith differs from itself there, times 1.25, is no less than how often the
//!   two sides differ there.
//!
//! A *place* is an operation, a path, a kind of difference, and what both values look like: a field that is always another uuid is
//! noise, and the same field as an error's text is not. Whether a comparison is in the sample is decided before its outcome is
//! known, or the sample would be of differences only.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
};

use serde::Serialize;

use crate::compare::{Difference, DifferenceKind, Shapes};

/// The smallest sample that says anything.
const LEAST: u64 = 30;
/// From here on one of this many comparisons is sampled.
const THEN: u64 = 16;
/// A sample this large is halved: what was long ago counts less.
const MOST: u64 = 4_096;
/// How often the sides may differ for each time that the monolith, at least, differs from itself.
const SLACK: f64 = 1.25;
/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_964;
/// How many places of an operation are told apart. Of further ones nothing is learned.
const PLACES: usize = 256;

/// A place in an operation's answers, a kind, and the shapes of both values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub(super) place: String,
    pub(super) kind: DifferenceKind,
    pub(super) shapes: Shapes,
}

impl Spot {
    pub(super) fn of(difference: &Difference) -> Self {
        Self {
            place: difference.place(),
            kind: difference.kind,
            shapes: difference.shapes(),
        }
    }
}

/// How often a place differed.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Between the sides.
    sides: u64,
    /// Of the monolith from itself.
    itself: u64,
}

#[derive(Default)]
struct OfOperation {
    compared: u64,
    sampled: u64,
    spots: HashMap<Spot, Seen>,
}

impl OfOperation {
    fn is_noise(&self, spot: &Spot) -> bool {
        let Some(seen) = self.spots.get(spot) else {
            return false;
        };
        if self.sampled < LEAST || self.compared == 0 {
            return false;
        }
        let between = seen.sides as f64 / self.compared as f64;
        let (least, _) = wilson(seen.itself, self.sampled);
        seen.itself > 0 && least * SLACK >= between.min(1.0)
    }

    fn halve(&mut self) {
        self.compared /= 2;
        self.sampled /= 2;
        for seen in self.spots.values_mut() {
            seen.sides /= 2;
            seen.itself /= 2;
        }
        self.spots.retain(|_, seen| seen.sides + seen.itself > 0);
    }

    fn count(&mut self, found: &[Difference], add: impl Fn(&mut Seen)) {
        let mut spots: Vec<_> = found.iter().map(Spot::of).collect();
        // Elements of one list are one place.
        spots.sort_by(|a, b| (&a.place, a.kind, a.shapes).cmp(&(&b.place, b.kind, b.shapes)));
        spots.dedup();
        for spot in spots {
            if self.spots.len() < PLACES || self.spots.contains_key(&spot) {
                add(self.spots.entry(spot).or_default());
            }
        }
    }
}

/// The Wilson score interval of `hits` in `of`, at 95 %.
pub fn wilson(hits: u64, of: u64) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let middle = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (
        ((middle - spread) / scale).max(0.0),
        ((middle + spread) / scale).min(1.0),
    )
}

/// What was learned of a module's operations.
pub(super) struct Noise {
    operations: Box<[Mutex<OfOperation>]>,
}

/// A field that differs from itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearnedNoise {
    /// The operation: `catalog.show`.
    pub operation: &'static str,
    /// The place, with every index as `*`.
    pub place: String,
    /// In what way it differs.
    pub kind: DifferenceKind,
    /// What both values look like.
    pub shape: String,
    /// How often the monolith was asked twice.
    pub sampled: u64,
    /// How often it differed from itself there.
    pub differed: u64,
}

impl Noise {
    pub(super) fn new(operations: usize) -> Self {
        Self {
            operations: (0..operations).map(|_| Mutex::default()).collect(),
        }
    }

    fn of(&self, index: usize) -> MutexGuard<'_, OfOperation> {
        self.operations[index].lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Counts a comparison that begins. Answers whether it is one of the sample.
    pub(super) fn begin(&self, index: usize) -> bool {
        let mut of = self.of(index);
        of.compared += 1;
        of.sampled < LEAST || of.compared.is_multiple_of(THEN)
    }

    /// What differs between the sides.
    pub(super) fn differed(&self, index: usize, found: &[Difference]) {
        self.of(index).count(found, |seen| seen.sides += 1);
    }

    /// In a comparison of the sample: in what the monolith differs from itself.
    pub(super) fn sampled(&self, index: usize, itself: &[Difference]) {
        let mut of = self.of(index);
        of.sampled += 1;
        of.count(itself, |seen| seen.itself += 1);
        if of.sampled >= MOST {
            of.halve();
        }
    }

    /// Whether a difference there says nothing.
    pub(super) fn is_noise(&self, index: usize, difference: &Difference) -> bool {
        self.of(index).is_noise(&Spot::of(difference))
    }

    /// Everything that was learned.
    pub(super) fn learned(&self, name: impl Fn(usize) -> &'static str) -> Vec<LearnedNoise> {
        let mut learned = Vec::new();
        for index in 0..self.operations.len() {
            let of = self.of(index);
            let noise = of.spots.iter().filter(|(spot, _)| of.is_noise(spot));
            learned.extend(noise.map(|(spot, seen)| LearnedNoise {
                operation: name(index),
                place: spot.place.clone(),
                kind: spot.kind,
                shape: spot.shapes.to_string(),
                sampled: of.sampled,
                differed: seen.itself,
            }));
        }
        learned.sort_by(|a, b| (a.operation, &a.place, a.kind).cmp(&(b.operation, &b.place, b.kind)));
        learned
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use serde_json::json;

    use super::*;
    use crate::compare::differences;

    fn found(local: serde_json::Value, remote: serde_json::Value) -> Vec<Difference> {
        differences(&json!({ "x": local }), &json!({ "x": remote }))
    }

    /// What is learned of a field that differs from itself as often as `itself`, and between the sides as often as `sides`.
    fn learn(seed: u64, comparisons: u64, itself: f64, sides: f64) -> bool {
        let mut random = StdRng::seed_from_u64(seed);
        let noise = Noise::new(1);
        let difference = found(json!(1), json!(2));
        for _ in 0..comparisons {
            let sample = noise.begin(0);
            if random.random_bool(sides) {
                noise.differed(0, &difference);
            }
            if sample {
                let itself = if random.random_bool(itself) {
                    &difference[..]
                } else {
                    &[]
                };
                noise.sampled(0, itself);
            }
        }
        noise.is_noise(0, &difference[0])
    }

    #[test]
    fn a_field_that_is_always_another_is_noise_once_the_sample_is_large_enough() {
        assert!(!learn(1, LEAST - 1, 1.0, 1.0));
        assert!(learn(1, LEAST + 1, 1.0, 1.0));
    }

    #[test]
    fn a_field_that_is_sometimes_another_is_noise_when_the_sides_differ_no_more_often() {
        for seed in 0..20 {
            assert!(learn(seed, 20_000, 0.5, 0.5), "seed {seed}");
            assert!(
                !learn(seed, 20_000, 0.5, 1.0),
                "seed {seed}: the service is wrong each time"
            );
            assert!(!learn(seed, 20_000, 0.05, 0.5), "seed {seed}");
        }
    }

    #[test]
    fn what_never_differs_from_itself_is_no_noise_however_seldom_it_differs() {
        for seed in 0..20 {
            assert!(!learn(seed, 20_000, 0.0, 0.001), "seed {seed}");
        }
    }

    #[test]
    fn another_shape_is_another_place() {
        let noise = Noise::new(1);
        let a = found(
            json!("0198f2d4-0000-7000-8000-000000000001"),
            json!("0198f2d4-0000-7000-8000-000000000002"),
        );
        for _ in 0..100 {
            noise.begin(0);
            noise.differed(0, &a);
            noise.sampled(0, &a);
        }
        assert!(noise.is_noise(0, &a[0]));
        let error = found(json!("0198f2d4-0000-7000-8000-000000000001"), json!("no such thing"));
        assert!(!noise.is_noise(0, &error[0]));
    }

    #[test]
    fn what_is_learned_is_bounded_and_old_samples_fade() {
        let noise = Noise::new(1);
        for i in 0..10_000 {
            noise.begin(0);
            let differs = differences(&json!({ format!("x{i}"): 1 }), &json!({ format!("x{i}"): 2 }));
            noise.differed(0, &differs);
            noise.sampled(0, &differs);
        }
        let of = noise.of(0);
        assert!(
            of.spots.len() <= PLACES && of.sampled < MOST,
            "{} {}",
            of.spots.len(),
            of.sampled
        );
    }

    #[test]
    fn wilson_is_as_published() {
        // Brown, Cai, DasGupta: n = 10, x = 0 and n = 40, x = 20.
        let (low, high) = wilson(0, 10);
        assert!(low == 0.0 && (high - 0.2775).abs() < 1e-3, "{high}");
        let (low, high) = wilson(20, 40);
        assert!(
            (low - 0.352).abs() < 1e-3 && (high - 0.648).abs() < 1e-3,
            "{low} {high}"
        );
    }
}
