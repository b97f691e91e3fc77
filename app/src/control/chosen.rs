//! Which dead letters, or which sagas, somebody decides about.

use serde::{Deserialize, Serialize};

/// What is meant; exactly one of the first three is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// These. A letter is called `<module>/<subscription>/<position>`, a saga `<id>` or `<module>/<id>`.
    #[serde(default)]
    pub ids: Vec<String>,
    /// Those of a module; letters also of one subscription: `<module>/<subscription>`.
    #[serde(default)]
    pub of: Option<String>,
    /// All there are.
    #[serde(default)]
    pub all: bool,
    /// Why, for the audit trail.
    #[serde(default)]
    pub why: Option<String>,
}

impl Chosen {
    /// Whether exactly one way of choosing is given.
    pub(super) fn is_one_choice(&self) -> bool {
        let given = [!self.ids.is_empty(), self.of.is_some(), self.all];
        given.into_iter().filter(|g| *g).count() == 1
    }
}
