//! The mismatches of a module's parallel run: in groups, or one group with both answers.

use serde::{Deserialize, Serialize};
use strangler::parallel::{Answers, Group};

use super::Control;

/// Which groups are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DiffQuery {
    /// Those of this operation, by id.
    pub operation: Option<String>,
    /// Those at this place: a JSON pointer.
    pub path: Option<String>,
    /// Those of this kind.
    pub kind: Option<String>,
}

impl DiffQuery {
    /// Whether a group is meant.
    fn means(&self, group: &Group) -> bool {
        let is = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|asked| asked == is);
        is(&self.operation, &group.operation) && is(&self.path, &group.path) && is(&self.kind, group.kind.name())
    }

    /// Whether one group is named.
    fn names_one(&self) -> bool {
        self.operation.is_some() && self.path.is_some() && self.kind.is_some()
    }
}

/// Groups of mismatches, the most frequent first.
#[derive(Clone, Debug, Serialize)]
pub struct Diffs {
    /// The groups.
    pub groups: Vec<Group>,
    /// Both answers of the example, when operation, path and kind name one group; `null` when they were too large to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
}

impl Control {
    /// The mismatches of a module that are meant.
    ///
    /// # Errors
    /// A sentence, when there is no such module.
    pub fn diffs(&self, module: &str, query: &DiffQuery) -> Result<Diffs, String> {
        let mut groups = self.module(module)?.switch.parallel().groups();
        groups.retain(|group| query.means(group));
        let answers = groups.first().filter(|_| query.names_one());
        let answers = answers.and_then(|group| group.example.answers.as_deref().cloned());
        Ok(Diffs { groups, answers })
    }
}
