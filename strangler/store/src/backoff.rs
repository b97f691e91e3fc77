//! Waiting longer after each failure, and saying so once.

use std::{fmt::Display, time::Duration};

const FIRST: Duration = Duration::from_millis(100);

/// The longest pause while a database is away: short, because everything waits for its return.
pub(crate) const AWAY: Duration = Duration::from_secs(2);

/// How something that failed (a saga's step, an event) is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The pause after the first failure; it doubles with each further one, and up to half of it is taken off at random.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// How many attempts there are.
    pub attempts: u32,
}

impl Default for Retry {
    /// 200 ms, at most a minute, eight attempts.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(60),
            attempts: 8,
        }
    }
}

impl Retry {
    /// The pause after so many attempts, one at least.
    pub fn pause(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(20);
        let whole = self.first.saturating_mul(1 << doublings).min(self.longest);
        whole.mul_f64(rand::random_range(0.5..=1.0))
    }
}

/// Counts failures in a row. The pause doubles, from 100 ms; half of it is random, so that workers which failed together
/// do not come back together.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    said: String,
}

impl Backoff {
    /// Records a failure. Answers how long to wait, and whether it is worth a line in the log: it is when it is not the
    /// same failure as the last one.
    pub(crate) fn failed(&mut self, error: &impl Display, longest: Duration) -> (Duration, bool) {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(longest);
        self.failures = self.failures.saturating_add(1);
        let text = error.to_string();
        let news = self.said != text;
        self.said = text;
        (pause.mul_f64(rand::random_range(0.5..1.0)), news)
    }

    /// Records a success. Answers how many failures it ends.
    pub(crate) fn succeeded(&mut self) -> u32 {
        self.said.clear();
        std::mem::take(&mut self.failures)
    }

    /// Failures since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_the_same_cause_is_said_once() {
        let mut backoff = Backoff::default();
        let (first, news) = backoff.failed(&"away", AWAY);
        assert!(news && first <= FIRST);
        let (_, news) = backoff.failed(&"away", AWAY);
        assert!(!news);
        let (_, news) = backoff.failed(&"still away", AWAY);
        assert!(news);
        for _ in 0..100 {
            assert!(backoff.failed(&"x", AWAY).0 <= AWAY);
        }
        assert_eq!(backoff.succeeded(), 103);
        assert_eq!(backoff.succeeded(), 0);
    }
}
