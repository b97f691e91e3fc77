//! Waiting longer after each failure, and saying so once.

use std::{fmt::Display, time::Duration};

const FIRST: Duration = Duration::from_millis(100);

/// The longest pause while a database is away: short, because everything waits for its return.
pub(crate) const AWAY: Duration = Duration::from_secs(2);

/// The longest pause before a failing event is handled again.
pub(crate) const FAILING: Duration = Duration::from_secs(30);

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
            assert!(backoff.failed(&"x", FAILING).0 <= FAILING);
        }
        assert_eq!(backoff.succeeded(), 103);
        assert_eq!(backoff.succeeded(), 0);
    }
}
