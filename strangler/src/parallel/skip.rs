//! Why calls are not compared, by name.

use serde::Serialize;

/// Why a call was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The queue was full.
    QueueFull,
    /// It waited so long that the two answers would not belong together.
    TooOld,
    /// An answer was larger than the limit.
    TooLarge,
    /// The caller went away before there was an answer.
    CallerGone,
    /// The monolith's own answer is no JSON.
    NotJson,
    /// What was answered speaks of a failure that the other side need not have: of a database, or of time that was used up.
    LiveFailed,
    /// It has an effect that cannot be captured; the contract says which.
    EffectNotCaptured,
}

impl Skip {
    pub(super) const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::TooOld,
        Self::TooLarge,
        Self::CallerGone,
        Self::NotJson,
        Self::LiveFailed,
        Self::EffectNotCaptured,
    ];

    /// Its name, as it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooOld => "too_old",
            Self::TooLarge => "too_large",
            Self::CallerGone => "caller_gone",
            Self::NotJson => "not_json",
            Self::LiveFailed => "live_failed",
            Self::EffectNotCaptured => "effect_not_captured",
        }
    }
}
