//! How comparisons end, and how many ended how. Every call that could have been compared ends in exactly one verdict.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde::{Deserialize, Serialize};

/// How a comparison ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides said the same.
    Match,
    /// They did not.
    Mismatch,
    /// The side that was compared gave no usable answer.
    CandidateError,
    /// It did not answer in time.
    TimedOut,
    /// They differed, and that says nothing.
    Inconclusive(Open),
    /// It was never compared; why is counted by name.
    Dropped(Skip),
}

/// Why a difference says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// Asked again they did not differ, or the side that answered differed from itself: the state moved between the two.
    StateMoved,
    /// The side that answered could not be asked again.
    NotAskedAgain,
    /// The other side asked for this, and the recording does not have it.
    NotRecorded(String),
}

impl Open {
    /// Its name, as it is counted: `state_moved`, or what was asked for.
    pub fn name(&self) -> &str {
        match self {
            Self::StateMoved => "state_moved",
            Self::NotAskedAgain => "not_asked_again",
            Self::NotRecorded(name) => name,
        }
    }
}

/// Why a call was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The queue was full.
    QueueFull,
    /// It waited so long that the two answers would not belong together.
    TooOld,
    /// An answer, or a recording, was larger than the limit.
    TooLarge,
    /// The caller went away before there was an answer.
    CallerGone,
    /// The answer to compare with is no JSON.
    NotJson,
    /// The side that was to answer gave no answer.
    NotAnswered,
    /// It has an effect that cannot be captured.
    EffectNotCaptured,
    /// The side that answered failed, its database or its time: the other one would not have failed in the same way.
    LiveFailed,
}

impl Skip {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::QueueFull,
        Self::TooOld,
        Self::TooLarge,
        Self::CallerGone,
        Self::NotJson,
        Self::NotAnswered,
        Self::EffectNotCaptured,
        Self::LiveFailed,
    ];

    /// Its name, as it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooOld => "too_old",
            Self::TooLarge => "too_large",
            Self::CallerGone => "caller_gone",
            Self::NotJson => "not_json",
            Self::NotAnswered => "not_answered",
            Self::EffectNotCaptured => "effect_not_captured",
            Self::LiveFailed => "live_failed",
        }
    }
}

/// How many names of what was not recorded are counted apart; further ones are `others`.
const NAMES: usize = 64;

/// Counts of verdicts: constant in size, whatever is counted.
#[derive(Default)]
pub(super) struct Counts {
    matched: AtomicU64,
    mismatched: AtomicU64,
    candidate_error: AtomicU64,
    timed_out: AtomicU64,
    inconclusive: AtomicU64,
    open: Mutex<BTreeMap<String, u64>>,
    dropped: [AtomicU64; Skip::ALL.len()],
}

impl Counts {
    pub(super) fn count(&self, verdict: &Verdict) {
        let counter = match verdict {
            Verdict::Match => &self.matched,
            Verdict::Mismatch => &self.mismatched,
            Verdict::CandidateError => &self.candidate_error,
            Verdict::TimedOut => &self.timed_out,
            Verdict::Inconclusive(open) => {
                let mut names = self.open();
                let name = match open.name() {
                    name if names.contains_key(name) || names.len() < NAMES => name,
                    _ => "others",
                };
                *names.entry(name.to_owned()).or_default() += 1;
                &self.inconclusive
            }
            Verdict::Dropped(skip) => return self.dropped(*skip, 1),
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts what somebody else had to drop.
    pub(super) fn dropped(&self, skip: Skip, times: u64) {
        // Told by another process: no number of its makes a sum overflow.
        let times = times.min(u32::MAX.into());
        let _ = self.dropped[skip as usize].fetch_update(Relaxed, Relaxed, |so_far| {
            Some(so_far.saturating_add(times).min(1 << 56))
        });
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.open.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub(super) fn summary(&self) -> ParallelSummary {
        let [matched, mismatched, candidate_error, timed_out, inconclusive] = [
            &self.matched,
            &self.mismatched,
            &self.candidate_error,
            &self.timed_out,
            &self.inconclusive,
        ]
        .map(|c| c.load(Relaxed));
        let skips: BTreeMap<_, _> = Skip::ALL
            .iter()
            .zip(&self.dropped)
            .map(|(s, c)| (s.name().to_owned(), c.load(Relaxed)))
            .collect();
        let dropped: u64 = skips.values().sum();
        let compared = matched + mismatched;
        let eligible = compared + candidate_error + timed_out + inconclusive + dropped;
        // Down, never up: what is not whole must not read as whole.
        let rate = |part: u64, of: u64| (of > 0).then(|| (part as f64 / of as f64 * 1e4).floor() / 1e4);
        ParallelSummary {
            eligible,
            compared,
            matched,
            mismatched,
            candidate_error,
            timed_out,
            inconclusive,
            dropped,
            coverage: rate(compared, eligible),
            match_rate: rate(matched, compared),
            skips,
            open: self.open().clone(),
        }
    }
}

/// The counts of a module's parallel run. `eligible` is always the sum of the verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParallelSummary {
    /// Calls that could have been compared, and were judged in one way or another.
    pub eligible: u64,
    /// Matched and mismatched.
    pub compared: u64,
    /// Both sides said the same.
    pub matched: u64,
    /// They did not.
    pub mismatched: u64,
    /// The side that was compared gave no usable answer.
    pub candidate_error: u64,
    /// It did not answer in time.
    pub timed_out: u64,
    /// They differed, and that says nothing.
    pub inconclusive: u64,
    /// Never compared.
    pub dropped: u64,
    /// Compared of eligible; `None` before the first.
    pub coverage: Option<f64>,
    /// Matched of compared; `None` before the first.
    pub match_rate: Option<f64>,
    /// Why calls were dropped, by name.
    pub skips: BTreeMap<String, u64>,
    /// Why comparisons were inconclusive, by name.
    #[serde(default)]
    pub open: BTreeMap<String, u64>,
}
