//! Which dead letters, or which sagas, somebody decides about.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which sagas are meant; exactly one of the first three is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// These. A saga is called `<id>` or `<module>/<id>`.
    #[serde(default)]
    pub ids: Vec<String>,
    /// Those of a module.
    #[serde(default)]
    pub of: Option<String>,
    /// All there are.
    #[serde(default)]
    pub all: bool,
    /// Why, for the audit trail.
    #[serde(default)]
    pub why: Option<String>,
}

/// Which dead letters are meant; exactly one of the first three is given, and the last two of them may be narrowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenLetters {
    /// These. A letter is called `<module>/<subscription>/<position>`.
    #[serde(default)]
    pub ids: Vec<String>,
    /// Those of a module, or of one subscription: `<module>/<subscription>`.
    #[serde(default)]
    pub of: Option<String>,
    /// All there are.
    #[serde(default)]
    pub all: bool,
    /// Only those of this subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Uuid>,
    /// Only those of this type of event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// Only those that were parked then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Only those that were parked then or earlier: what comes while somebody decides is not meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Why, for the audit trail.
    #[serde(default)]
    pub why: Option<String>,
}

fn is_one(given: [bool; 3]) -> bool {
    given.into_iter().filter(|g| *g).count() == 1
}

impl Chosen {
    /// Whether exactly one way of choosing is given.
    pub(super) fn is_one_choice(&self) -> bool {
        is_one([!self.ids.is_empty(), self.of.is_some(), self.all])
    }
}

impl ChosenLetters {
    /// Whether exactly one way of choosing is given, and only what can be narrowed is.
    pub(super) fn is_one_choice(&self) -> bool {
        let narrowed = self.subject.is_some() || self.event.is_some() || self.since.is_some() || self.until.is_some();
        is_one([!self.ids.is_empty(), self.of.is_some(), self.all]) && (self.ids.is_empty() || !narrowed)
    }
}
