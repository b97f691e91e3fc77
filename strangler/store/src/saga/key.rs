//! The keys by which a step's repeats are recognised.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The two directions of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// Forward.
    Do,
    /// Back.
    Undo,
}

impl Deed {
    /// As it stands in keys and tables: `do` or `undo`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Do => "do",
            Self::Undo => "undo",
        }
    }
}

impl FromStr for Deed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "do" => Ok(Self::Do),
            "undo" => Ok(Self::Undo),
            other => Err(format!("`{other}` is neither `do` nor `undo`")),
        }
    }
}

/// Names one deed of one step of one saga: `saga:step:do`, `saga:step:undo`. It is the same at every attempt, and a
/// step's undo differs from its do in the last part only; so the called side can recognise a repeat, find what an undo is
/// about, and refuse a do whose undo it has seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StepKey {
    /// The saga.
    pub saga: Uuid,
    /// The step's name.
    pub step: String,
    /// Do or undo.
    pub deed: Deed,
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.saga, self.step, self.deed.as_str())
    }
}

impl FromStr for StepKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("`{text}` is no key of a saga's step; one reads saga:step:do or saga:step:undo");
        let (rest, deed) = text.rsplit_once(':').ok_or_else(malformed)?;
        let (saga, step) = rest.split_once(':').ok_or_else(malformed)?;
        let deed = deed.parse().map_err(|_| malformed())?;
        let saga = saga.parse().map_err(|_| malformed())?;
        if step.is_empty() || step.contains(':') {
            return Err(malformed());
        }
        let step = step.to_owned();
        Ok(Self { saga, step, deed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_round() {
        let text = "018f0000-0000-7000-8000-000000000001:hold-seats:undo";
        let key: StepKey = text.parse().expect("a key");
        assert_eq!((key.step.as_str(), key.deed), ("hold-seats", Deed::Undo));
        assert_eq!(key.to_string(), text);
        for bad in ["", "x:y:do", "018f0000-0000-7000-8000-000000000001:a:b:do", "a:do"] {
            assert!(bad.parse::<StepKey>().is_err(), "{bad}");
        }
    }
}
