//! Counts and latencies of every operation, on both sides. Written on every call, so: atomics, no lock, no allocation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::calls::Recorder;

/// Eight steps to each doubling: the error of a quantile is at most 1/16.
const STEPS: u64 = 8;
const STEP_BITS: u32 = 3;
/// 128 ns to about 18 minutes.
const LOWEST_BIT: u32 = 7;
const DOUBLINGS: usize = 33;
const BUCKETS: usize = DOUBLINGS * STEPS as usize;

/// A histogram of durations with logarithmic buckets, after HdrHistogram's idea of a fixed relative error.
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

impl Histogram {
    fn bucket(nanos: u64) -> usize {
        let nanos = nanos.max(1 << LOWEST_BIT);
        let bit = 63 - nanos.leading_zeros();
        let step = (nanos >> (bit - STEP_BITS)) & (STEPS - 1);
        ((u64::from(bit - LOWEST_BIT) * STEPS + step) as usize).min(BUCKETS - 1)
    }

    /// The middle of a bucket, in nanoseconds.
    fn middle(bucket: usize) -> f64 {
        let (doubling, step) = (bucket as u64 / STEPS, bucket as u64 % STEPS);
        let low = (1u64 << (doubling as u32 + LOWEST_BIT)) as f64;
        low * (1.0 + (step as f64 + 0.5) / STEPS as f64)
    }

    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[Self::bucket(nanos)].fetch_add(1, Relaxed);
    }

    /// What was counted, by doublings: pairs of a bound in seconds and how many durations were shorter, the last bound being
    /// infinite and its count that of all; and the sum of all in seconds, within a sixteenth.
    pub fn doublings(&self) -> ([(f64, u64); DOUBLINGS], f64) {
        let (mut shorter, mut sum) = (0, 0.0);
        let doublings = std::array::from_fn(|doubling| {
            for step in 0..STEPS as usize {
                let bucket = doubling * STEPS as usize + step;
                let count = self.buckets[bucket].load(Relaxed);
                shorter += count;
                sum += Self::middle(bucket) * count as f64 / 1e9;
            }
            let bound = match doubling + 1 == DOUBLINGS {
                true => f64::INFINITY,
                false => (1u64 << (doubling as u32 + LOWEST_BIT + 1)) as f64 / 1e9,
            };
            (bound, shorter)
        });
        (doublings, sum)
    }

    fn add_to(&self, sum: &mut [u64; BUCKETS]) {
        for (s, b) in sum.iter_mut().zip(&self.buckets) {
            *s += b.load(Relaxed);
        }
    }
}

/// The q-quantile (0 to 1) of several histograms taken together, in milliseconds; `None` when nothing was counted.
pub fn quantile_ms<'a>(histograms: impl Iterator<Item = &'a Histogram>, q: f64) -> Option<f64> {
    let mut sum = [0; BUCKETS];
    histograms.for_each(|h| h.add_to(&mut sum));
    let total: u64 = sum.iter().sum();
    let rank = ((total as f64 * q).ceil() as u64).max(1);
    let mut seen = 0;
    for (bucket, count) in sum.iter().enumerate() {
        seen += count;
        if seen >= rank && total > 0 {
            return Some((Histogram::middle(bucket) / 1e3).round() / 1e3);
        }
    }
    None
}

/// What was counted of one operation.
#[derive(Default)]
pub struct OperationStats {
    /// Answered by the monolith, as its stage says.
    pub local: AtomicU64,
    /// Answered by the service.
    pub remote: AtomicU64,
    /// Answered by the monolith in place of a service that could not.
    pub fallback: AtomicU64,
    /// Asked of the local side only to be compared.
    pub compared: AtomicU64,
    /// Answered by the old path in a canary, as the caller cannot be told from others.
    pub keyless: AtomicU64,
    /// Refused before the module was asked: authorisation, deadline.
    pub refused: AtomicU64,
    /// Given up by a caller that went away.
    pub dropped: AtomicU64,
    /// Asked over HTTP and answered with 5xx, by whichever side.
    pub failed: AtomicU64,
    /// The time of the monolith's answers.
    pub local_time: Histogram,
    /// The time of the service's answers.
    pub remote_time: Histogram,
}

/// What was counted of a module's operations, by their index.
pub struct ModuleStats {
    operations: Box<[OperationStats]>,
    recorder: Option<Arc<Recorder>>,
}

impl ModuleStats {
    /// Zeros for this many operations.
    pub fn new(operations: usize) -> Self {
        Self {
            operations: (0..operations).map(|_| OperationStats::default()).collect(),
            recorder: None,
        }
    }

    /// The same, and every call is recorded there, too.
    pub fn recorded(mut self, recorder: Option<Arc<Recorder>>) -> Self {
        self.recorder = recorder;
        self
    }

    /// Where calls are recorded, if they are.
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.recorder.as_ref()
    }

    /// The counts of one operation.
    pub fn operation(&self, index: usize) -> &OperationStats {
        &self.operations[index]
    }

    /// The counts of all operations, by their index.
    pub fn operations(&self) -> &[OperationStats] {
        &self.operations
    }

    /// The sum of one counter over all operations.
    pub fn total(&self, counter: impl Fn(&OperationStats) -> &AtomicU64) -> u64 {
        self.operations.iter().map(|o| counter(o).load(Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_sixteenth() {
        let h = Histogram::default();
        assert_eq!(quantile_ms([&h].into_iter(), 0.5), None);
        for micros in 1..=10_000 {
            h.record(Duration::from_micros(micros));
        }
        for (q, want) in [(0.5, 5.0), (0.99, 9.9)] {
            let got = quantile_ms([&h].into_iter(), q).unwrap_or_default();
            assert!((got - want).abs() / want < 1.0 / 16.0, "{q}: {got}");
        }
    }

    #[test]
    fn doublings_add_up() {
        let h = Histogram::default();
        let millis = [1, 2, 3, 5, 9, 70];
        millis.iter().for_each(|&ms| h.record(Duration::from_millis(ms)));
        h.record(Duration::MAX);
        let (doublings, _) = h.doublings();
        assert_eq!(doublings.last(), Some(&(f64::INFINITY, 7)));
        for (bound, shorter) in &doublings[..DOUBLINGS - 1] {
            let want = millis.iter().filter(|&&ms| (ms as f64) < bound * 1e3).count() as u64;
            assert_eq!(*shorter, want, "below {bound} s");
        }
        let h = Histogram::default();
        millis.iter().for_each(|&ms| h.record(Duration::from_millis(ms)));
        assert!((h.doublings().1 - 0.090).abs() < 0.090 / 16.0);
    }

    #[test]
    fn the_ends_have_buckets() {
        let h = Histogram::default();
        h.record(Duration::ZERO);
        h.record(Duration::MAX);
        assert!(quantile_ms([&h].into_iter(), 1.0).is_some_and(|ms| ms > 1e6));
    }
}
