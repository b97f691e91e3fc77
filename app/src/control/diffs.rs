//! The mismatches of a module's parallel run: in groups, or one group with both answers; and what is said of them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strangler::{
    Principal,
    compare::place,
    parallel::{Answers, Group, GroupKey, LearnedNoise},
    routes::{Refusal, check_reason},
};

use super::Control;

/// How often what was found is written down. A crash loses as much.
const KEPT_EVERY: Duration = Duration::from_secs(1);

/// Which groups are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DiffQuery {
    /// Those of this operation, by id.
    pub operation: Option<String>,
    /// Those at this place: a JSON pointer.
    pub path: Option<String>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// Those whose values look like this.
    pub shape: Option<String>,
}

impl DiffQuery {
    /// Whether a group is meant.
    fn means(&self, group: &Group) -> bool {
        let is = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|asked| asked == is);
        is(&self.operation, &group.operation)
            && self.path.as_ref().is_none_or(|path| place(path) == group.place)
            && is(&self.kind, group.kind.name())
            && is(&self.shape, &group.shape)
    }

    /// Whether one group is named.
    fn names_one(&self) -> bool {
        self.operation.is_some() && self.path.is_some() && self.kind.is_some()
    }
}

/// What somebody says of groups of mismatches.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaidOfDiffs {
    /// Of which.
    #[serde(default)]
    pub of: DiffQuery,
    /// Until when they are known and need not be looked at; a time that is over ends that.
    #[serde(default)]
    pub acknowledged_until: Option<DateTime<Utc>>,
    /// Or that they are to be forgotten: mended, and counted anew should they be seen again.
    #[serde(default)]
    pub forget: bool,
    /// Why.
    #[serde(default)]
    pub why: Option<String>,
}

/// Groups of mismatches: those to be looked at first, and of them the most frequent.
#[derive(Clone, Debug, Serialize)]
pub struct Diffs {
    /// The groups.
    pub groups: Vec<Group>,
    /// Mismatches that are in no group, because there are too many groups.
    pub unlisted: u64,
    /// Fields that differ from themselves, and are not held against the service.
    pub noise: Vec<LearnedNoise>,
    /// Both answers of the example, when operation, path and kind name one group; `null` when they were too large to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// What the monolith was given and what it did, then, too: from which the mismatch can be had again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<Value>,
}

impl Control {
    /// The mismatches of a module that are meant.
    ///
    /// # Errors
    /// A sentence, when there is no such module.
    pub fn diffs(&self, module: &str, query: &DiffQuery) -> Result<Diffs, String> {
        let parallel = self.module(module)?.switch.parallel();
        let mut groups = parallel.groups();
        groups.retain(|group| query.means(group));
        let one = groups.first().filter(|_| query.names_one());
        let (answers, case) = (
            one.and_then(|group| group.example.answers.as_deref().cloned()),
            one.and_then(|group| group.example.case.as_deref().cloned()),
        );
        Ok(Diffs {
            unlisted: parallel.unlisted(),
            noise: parallel.noise(),
            groups,
            answers,
            case,
        })
    }

    /// Acknowledges groups of mismatches until a date, or forgets them; the trail says who did and why. Answers how many.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn say_of_diffs(&self, module: &str, said: &SaidOfDiffs, by: &Principal) -> Result<u64, Refusal> {
        check_reason(said.why.as_deref())?;
        let running = self.module(module).map_err(Refusal::Wrong)?;
        let to = match (said.forget, said.acknowledged_until) {
            (true, None) => "forgotten".to_owned(),
            (false, Some(until)) => format!("acknowledged until {}", until.format("%Y-%m-%d %H:%M:%SZ")),
            _ => {
                let why = "say either until when the mismatches are acknowledged or that they are to be forgotten";
                return Err(Refusal::Wrong(why.to_owned()));
            }
        };
        let _deciding = self.deciding.lock().await;
        let parallel = running.switch.parallel();
        let mut groups = parallel.groups();
        groups.retain(|group| said.of.means(group));
        if groups.is_empty() {
            return Err(Refusal::Refused(format!(
                "no mismatch of {module} is meant; `banyan diffs {module}` lists those there are"
            )));
        }
        let keys: Vec<GroupKey> = groups.iter().map(Group::key).collect();
        let target = said.of.operation.clone().unwrap_or_else(|| module.to_owned());
        let what = match &keys[..] {
            [one] => format!(
                "mismatch {} at {}",
                one.kind.name(),
                if one.place.is_empty() { "/" } else { &one.place }
            ),
            many => format!("{} mismatches", many.len()),
        };
        self.audit(by, target, (what, &to), said.why.clone()).await?;
        let done = keys.iter().filter(|key| match said.forget {
            true => parallel.forget(key),
            false => parallel.acknowledge(key, said.acknowledged_until),
        });
        let done = done.count() as u64;
        parallel.keep(&self.store).await.map_err(Refusal::Failed)?;
        Ok(done)
    }

    /// Takes up what was found before a restart.
    pub async fn restore_diffs(&self) {
        for running in &self.modules {
            if let Err(why) = running.switch.parallel().restore(&self.store).await {
                tracing::warn!(
                    module = running.contract.name,
                    why,
                    "the mismatches of before cannot be read"
                );
            }
        }
    }

    /// Writes down what is found, until this process is asked to stop, and once more then.
    pub async fn keep_diffs(&self) {
        let mut failing = false;
        loop {
            let last = tokio::select! {
                () = tokio::time::sleep(KEPT_EVERY) => false,
                () = self.stop.cancelled() => true,
            };
            let mut failed = None;
            for running in &self.modules {
                if let Err(why) = running.switch.parallel().keep(&self.store).await {
                    failed = Some((running.contract.name, why));
                }
            }
            if let Some((module, why)) = failed.as_ref().filter(|_| !failing) {
                tracing::warn!(module, why, "mismatches cannot be written down; trying again");
            }
            failing = failed.is_some();
            if last {
                return;
            }
        }
    }
}
