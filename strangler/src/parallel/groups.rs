//! Mismatches in groups: one bug shows as one row, not as ten thousand.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::redact::Redactor;
use crate::{
    BoxFuture, Clock, TraceId,
    compare::{Difference, DifferenceKind},
};

/// One kind of mismatch: everything that differs in one operation, at one place, in one way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// The operation: `catalog.show`.
    pub operation: String,
    /// JSON pointer of the place, where it was seen first.
    pub path: String,
    /// The same with every index as `*`: what the group is about.
    pub place: String,
    /// In what way.
    pub kind: DifferenceKind,
    /// What both values look like: `time`, or `time to number`.
    pub shape: String,
    /// How often.
    pub count: u64,
    /// When first.
    pub first_seen: DateTime<Utc>,
    /// When last.
    pub last_seen: DateTime<Utc>,
    /// Until when it is known and need not be looked at.
    pub acknowledged_until: Option<DateTime<Utc>>,
    /// The last one.
    pub example: Example,
}

impl Group {
    /// What tells it from the others of its module.
    pub fn key(&self) -> GroupKey {
        GroupKey {
            operation: self.operation.clone(),
            place: self.place.clone(),
            kind: self.kind,
            shape: self.shape.clone(),
        }
    }

    /// Until when it need not be looked at; `None` when it has to be.
    pub fn known_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.acknowledged_until.filter(|until| now < *until)
    }
}

/// What tells a group from the others of its module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey {
    /// The operation.
    pub operation: String,
    /// The place, with every index as `*`.
    pub place: String,
    /// In what way.
    pub kind: DifferenceKind,
    /// What both values look like.
    pub shape: String,
}

/// One mismatch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Example {
    /// What the monolith had at the place, cut to a bound.
    pub local: Value,
    /// What the service had there, cut to a bound.
    pub remote: Value,
    /// The trace of the call that was compared.
    pub trace_id: String,
    /// How long both took, in milliseconds.
    #[serde(default)]
    pub latency_ms: Latencies,
    /// Both answers as a whole; `None` when they are too large to be kept. They are asked for one by one.
    #[serde(skip)]
    pub answers: Option<Arc<Answers>>,
    /// What the monolith was given and what it did, from which the mismatch can be had again.
    #[serde(skip)]
    pub case: Option<Arc<Value>>,
}

/// How long both sides took, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// The monolith.
    pub local: Option<f64>,
    /// The service.
    pub remote: Option<f64>,
}

/// A time in milliseconds, to the microsecond.
pub(super) fn milliseconds(took: Duration) -> Option<f64> {
    Some((took.as_secs_f64() * 1e6).round() / 1e3)
}

/// Both sides' answers to one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// The monolith's.
    pub local: Answer,
    /// The service's.
    pub remote: Answer,
}

/// One side's answer, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; `null` when it is empty.
    pub body: Value,
}

/// Where groups are kept over a restart.
pub trait GroupStore: Send + Sync + 'static {
    /// Writes these groups of a module, with the answers and the case of each example, and removes those.
    fn save<'a>(
        &'a self,
        module: &'a str,
        groups: Vec<Group>,
        removed: Vec<GroupKey>,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// All groups of a module.
    fn load<'a>(&'a self, module: &'a str) -> BoxFuture<'a, Result<Vec<Group>, String>>;
}

/// How many groups a module may have. A new one takes the place of one that was not seen for a day; where there is none, it is
/// counted and not shown.
const GROUPS: usize = 200;
/// After this time a group may make room.
const OLD: TimeDelta = TimeDelta::days(1);
/// The longest text of an example's value.
const EXAMPLE: usize = 4096;
/// The longest text of both answers, or of a case, that is kept whole.
const WHOLE: usize = 16 << 10;

/// What is known of a mismatch besides its differences.
pub(super) struct Sighting {
    pub(super) operation: String,
    pub(super) trace: TraceId,
    pub(super) latency_ms: Latencies,
    pub(super) answers: Option<Answers>,
    pub(super) case: Option<Value>,
}

#[derive(Default)]
struct Inner {
    groups: HashMap<GroupKey, Group>,
    changed: HashSet<GroupKey>,
    removed: HashSet<GroupKey>,
    /// Mismatches of groups for which there is no room.
    unlisted: u64,
}

/// The groups of a module.
pub(super) struct Groups {
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
    inner: Mutex<Inner>,
}

impl Groups {
    pub(super) fn new(clock: Arc<dyn Clock>, redactor: Arc<Redactor>) -> Self {
        Self {
            clock,
            redactor,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Notes one mismatch: each group once, however many elements of a list differ alike.
    pub(super) fn note(&self, found: Vec<Difference>, sighting: Sighting) {
        let now = self.clock.now();
        let answers = sighting.answers.and_then(|answers| self.whole(answers));
        let case = sighting.case.and_then(|mut case| {
            self.redactor.apply(&mut case);
            fits(&[&case]).then(|| Arc::new(case))
        });
        let mut seen = HashSet::new();
        let mut inner = self.inner();
        for difference in found {
            let key = GroupKey {
                operation: sighting.operation.clone(),
                place: difference.place(),
                kind: difference.kind,
                shape: difference.shapes().to_string(),
            };
            if !seen.insert(key.clone()) || !inner.makes_room(&key, now) {
                continue;
            }
            let Difference {
                path, local, remote, ..
            } = difference;
            let example = Example {
                local: cut(self.redactor.at(&path, local)),
                remote: cut(self.redactor.at(&path, remote)),
                trace_id: sighting.trace.to_string(),
                latency_ms: sighting.latency_ms,
                answers: answers.clone(),
                case: case.clone(),
            };
            inner.removed.remove(&key);
            inner.changed.insert(key.clone());
            match inner.groups.get_mut(&key) {
                Some(group) => {
                    group.count += 1;
                    group.last_seen = now;
                    group.example = example;
                }
                None => {
                    let GroupKey {
                        operation,
                        place,
                        kind,
                        shape,
                    } = key.clone();
                    let group = Group {
                        operation,
                        path,
                        place,
                        kind,
                        shape,
                        count: 1,
                        first_seen: now,
                        last_seen: now,
                        acknowledged_until: None,
                        example,
                    };
                    inner.groups.insert(key, group);
                }
            }
        }
    }

    /// Both answers without what is private, unless they are too large to be kept.
    fn whole(&self, mut answers: Answers) -> Option<Arc<Answers>> {
        self.redactor.apply(&mut answers.local.body);
        self.redactor.apply(&mut answers.remote.body);
        fits(&[&answers.local.body, &answers.remote.body]).then(|| Arc::new(answers))
    }

    /// The groups; those that need to be looked at first, and of them the most frequent.
    pub(super) fn all(&self) -> Vec<Group> {
        let now = self.clock.now();
        let mut groups: Vec<_> = self.inner().groups.values().cloned().collect();
        groups.sort_by(|a, b| {
            let key = |g: &Group| (g.known_until(now).is_some(), std::cmp::Reverse(g.count));
            key(a).cmp(&key(b)).then_with(|| {
                (&a.operation, &a.place, a.kind, &a.shape).cmp(&(&b.operation, &b.place, b.kind, &b.shape))
            })
        });
        groups
    }

    pub(super) fn unlisted(&self) -> u64 {
        self.inner().unlisted
    }

    /// What changed since this was last asked, and what is gone.
    pub(super) fn take_changed(&self) -> (Vec<Group>, Vec<GroupKey>) {
        let mut inner = self.inner();
        let changed = std::mem::take(&mut inner.changed);
        let groups = changed.iter().filter_map(|key| inner.groups.get(key)).cloned();
        (
            groups.collect(),
            std::mem::take(&mut inner.removed).into_iter().collect(),
        )
    }

    /// These could not be written down: they are taken again.
    pub(super) fn put_back(&self, changed: Vec<GroupKey>, removed: Vec<GroupKey>) {
        let mut inner = self.inner();
        inner.changed.extend(changed);
        let gone: Vec<_> = removed
            .into_iter()
            .filter(|key| !inner.groups.contains_key(key))
            .collect();
        inner.removed.extend(gone);
    }

    /// Takes up what an earlier process had found.
    pub(super) fn restore(&self, kept: Vec<Group>) {
        let mut inner = self.inner();
        for group in kept.into_iter().take(GROUPS) {
            inner.groups.entry(group.key()).or_insert(group);
        }
    }

    /// Says until when a group is known. Answers whether there is such a group.
    pub(super) fn acknowledge(&self, key: &GroupKey, until: Option<DateTime<Utc>>) -> bool {
        let mut inner = self.inner();
        let Some(group) = inner.groups.get_mut(key) else {
            return false;
        };
        group.acknowledged_until = until;
        inner.changed.insert(key.clone());
        true
    }

    /// Forgets a group; should it be seen again, it is a new one. Answers whether there was such a group.
    pub(super) fn forget(&self, key: &GroupKey) -> bool {
        self.inner().forget(key)
    }
}

impl Inner {
    fn forget(&mut self, key: &GroupKey) -> bool {
        let there = self.groups.remove(key).is_some();
        if there {
            self.changed.remove(key);
            self.removed.insert(key.clone());
        }
        there
    }

    /// Whether there is a place for this group.
    fn makes_room(&mut self, key: &GroupKey, now: DateTime<Utc>) -> bool {
        if self.groups.len() < GROUPS || self.groups.contains_key(key) {
            return true;
        }
        let oldest = self.groups.values().min_by_key(|group| group.last_seen);
        match oldest.filter(|group| now - group.last_seen > OLD).map(Group::key) {
            Some(old) => self.forget(&old),
            None => {
                self.unlisted += 1;
                false
            }
        }
    }
}

/// How deep a value may be that is kept: JSON of more than 128 levels is read by few, and it is kept within more JSON.
const DEEP: u8 = 64;

/// Whether a value has more than so many levels.
fn is_deeper(value: &Value, levels: u8) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return value.is_array() || value.is_object();
    };
    match value {
        Value::Array(list) => list.iter().any(|one| is_deeper(one, below)),
        Value::Object(fields) => fields.values().any(|one| is_deeper(one, below)),
        _ => false,
    }
}

fn fits(values: &[&Value]) -> bool {
    if values.iter().any(|value| is_deeper(value, DEEP)) {
        return false;
    }
    values.iter().map(|value| value.to_string().len()).sum::<usize>() <= WHOLE
}

/// A value whose text is within the bound of an example.
fn cut(value: Value) -> Value {
    let text = match &value {
        Value::String(s) if s.len() > EXAMPLE => s.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        _ => return value,
    };
    if text.len() <= EXAMPLE && !is_deeper(&value, DEEP) {
        return value;
    }
    let end = (0..=EXAMPLE).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    Value::String(format!("{}… ({} bytes)", &text[..end], text.len()))
}
