//! What a unit of work did on one side and would have done on the other, compared.
//!
//! Ids that either side drew stand for each other, the nth of one for the nth of the other; times count from each side's own
//! clock. Lists are aligned first: the alignment is the cheapest edit script in which only things of one name may stand
//! opposite each other (Needleman and Wunsch, 1970; with costs of which the longest common subsequence is the case where
//! nothing may be changed). So one event too many is one difference, and not one at every event after it.

mod align;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    compare::{Difference, DifferenceKind, differences},
    tape::{EventLeft, Given, Made, Recording, Replayed, RowLeft, Then, When, Written},
};
use align::{Cost, align};

/// At most this many differences of one comparison are looked at.
const MOST: usize = 256;

/// Everything in which the other side's run differs from the recorded one: in the answer, then in the effects. `answers`
/// compares the bodies of two answers, by the rules of the contract. At most one difference is told for each place and kind.
pub fn compared(
    recording: &Recording,
    mut replayed: Replayed,
    answers: impl Fn(&Value, &Value) -> Vec<Difference>,
) -> Vec<Difference> {
    let eyes = Eyes::new(&recording.given, &replayed);
    eyes.ids.map(&mut replayed.answer);
    eyes.ids.map_then(&mut replayed.then);
    let stopped = replayed.answer.is_null() && !matches!(recording.when, When::Event(_));
    let (mut found, goes_on) = match stopped {
        // It called somebody who is not there to answer; what it would have done then, nobody knows.
        true => (Vec::new(), false),
        false => eyes.answers(&recording.when, (&recording.answer, &replayed.answer), answers),
    };
    let (local, remote) = (&recording.then, &replayed.then);
    if goes_on {
        eyes.rows(&local.rows, &remote.rows, &mut found);
        eyes.list("writes", &local.writes, &remote.writes, &mut found);
        eyes.list("events", &local.events, &remote.events, &mut found);
    }
    if goes_on || stopped {
        eyes.calls(&local.calls, &remote.calls, &mut found);
    }
    if stopped && found.is_empty() {
        found.push(difference(
            "/answer",
            DifferenceKind::Missing,
            recording.answer.clone(),
            Value::Null,
        ));
    }
    let mut seen = BTreeSet::new();
    found.retain(|one| seen.insert((one.path.clone(), one.kind)));
    found
}

fn difference(path: impl Into<String>, kind: DifferenceKind, local: Value, remote: Value) -> Difference {
    Difference {
        path: path.into(),
        kind,
        local,
        remote,
    }
}

/// What makes two values the same although they are written differently.
struct Eyes {
    ids: Ids,
    /// Each side's clock, where the other side goes by one of its own.
    clocks: Option<(Vec<DateTime<Utc>>, DateTime<Utc>)>,
}

impl Eyes {
    fn new(given: &Given, replayed: &Replayed) -> Self {
        let own = given.units.iter().map(|unit| unit.now).chain(given.views.now);
        Self {
            ids: Ids::new(&given.ids, replayed.ids.as_deref().unwrap_or_default()),
            clocks: replayed.now.map(|now| (own.collect(), now)),
        }
    }

    /// Whether these are times that are as far from each side's clock.
    fn same_time(&self, one: &Difference) -> bool {
        let (Some((own, other)), Value::String(local), Value::String(remote)) = (&self.clocks, &one.local, &one.remote)
        else {
            return false;
        };
        let time = |text: &str| DateTime::parse_from_rfc3339(text).map(|t| t.to_utc());
        let (Ok(local), Ok(remote)) = (time(local), time(remote)) else {
            return false;
        };
        own.iter().any(|now| local - now == remote - other)
    }

    /// What two values differ in, in the eyes of a contract's rules.
    fn looked(&self, found: Vec<Difference>) -> impl Iterator<Item = Difference> {
        found.into_iter().filter(|one| !self.same_time(one))
    }

    /// The differences of two answers, and whether it makes sense to look at the effects.
    fn answers(
        &self,
        when: &When,
        (local, remote): (&Value, &Value),
        answers: impl Fn(&Value, &Value) -> Vec<Difference>,
    ) -> (Vec<Difference>, bool) {
        match when {
            When::Command(_) | When::Query(_) => {
                let status = |answer: &Value| answer.get("status").and_then(Value::as_u64);
                let (left, right) = (status(local), status(remote));
                if left != right {
                    let told = |status: Option<u64>| status.map_or(Value::Null, Value::from);
                    let found = difference("", DifferenceKind::Status, told(left), told(right));
                    // Who refuses what the other does leaves nothing; that is one difference, and not one for each effect.
                    let done = |status: Option<u64>| status.is_some_and(|s| s < 400);
                    return (vec![found], done(left) == done(right));
                }
                let body = |answer: &Value| answer.get("body").cloned().unwrap_or_default();
                (self.looked(answers(&body(local), &body(remote))).collect(), true)
            }
            When::Step(_) | When::Event(_) => {
                // Why something is to be tried again, or has failed, is told in words, and each side has its own.
                let word = |answer: &Value| {
                    let words = ["retry", "failed"];
                    words.into_iter().find(|word| answer.get(word).is_some())
                };
                match (word(local), word(remote)) {
                    (None, None) => {}
                    (left, right) if left == right => return (Vec::new(), true),
                    _ => {
                        let found = difference("/answer", DifferenceKind::Value, local.clone(), remote.clone());
                        return (vec![found], false);
                    }
                }
                let found = self.looked(differences(local, remote)).map(|mut one| {
                    one.path.insert_str(0, "/answer");
                    one
                });
                (found.collect(), true)
            }
        }
    }

    /// What two things of one name differ in, below `path`.
    fn within(&self, path: &str, local: &Value, remote: &Value) -> Vec<Difference> {
        let found = self.looked(differences(local, remote));
        found
            .map(|mut one| {
                one.path.insert_str(0, path);
                one.kind = DifferenceKind::Effect;
                one
            })
            .collect()
    }

    fn rows(&self, local: &[RowLeft], remote: &[RowLeft], found: &mut Vec<Difference>) {
        self.grouped("rows", local, remote, found);
    }

    fn calls(&self, local: &[Made], remote: &[Made], found: &mut Vec<Difference>) {
        self.grouped("calls", local, remote, found);
    }

    /// Each name by itself: the order between them is none that anybody sees.
    fn grouped<T: Named>(&self, what: &str, local: &[T], remote: &[T], found: &mut Vec<Difference>) {
        let names: BTreeSet<_> = local.iter().chain(remote).map(Named::name).collect();
        for name in names {
            let of = |all: &[T]| all.iter().filter(|one| one.name() == name).cloned().collect::<Vec<_>>();
            self.list(what, &of(local), &of(remote), found);
        }
    }

    fn list<T: Named>(&self, what: &str, local: &[T], remote: &[T], found: &mut Vec<Difference>) {
        let values = |all: &[T]| -> Vec<Value> {
            all.iter()
                .map(|one| serde_json::to_value(one).unwrap_or_default())
                .collect()
        };
        let (lefts, rights) = (values(local), values(remote));
        let same = |left: usize, right: usize| {
            lefts[left] == rights[right]
                || (self.clocks.is_some() && self.within("", &lefts[left], &rights[right]).is_empty())
        };
        let cost = |i: usize, j: usize| {
            let (left, right) = (&local[i], &remote[j]);
            match (left.name() == right.name(), left.about() == right.about()) {
                (false, _) => Cost::Never,
                (true, _) if same(i, j) => Cost::Same,
                (true, true) => Cost::Changed,
                (true, false) => Cost::Other,
            }
        };
        for (left, right) in align(local.len(), remote.len(), cost) {
            let one = left.map(|i| &local[i]).or(right.map(|j| &remote[j]));
            let Some(name) = one.map(Named::name) else { continue };
            let path = format!("/then/{what}/{}", name.replace('~', "~0").replace('/', "~1"));
            match (left.map(|i| &lefts[i]), right.map(|j| &rights[j])) {
                (Some(left), Some(right)) => found.extend(self.within(&path, left, right)),
                (left, right) => {
                    let value = |one: Option<&Value>| one.cloned().unwrap_or_default();
                    found.push(difference(path, DifferenceKind::Effect, value(left), value(right)));
                }
            }
            if found.len() >= MOST {
                return;
            }
        }
    }
}

/// An effect.
trait Named: Serialize + Clone {
    /// What it is called; things of two names are never compared.
    fn name(&self) -> &str;

    /// Whom it is about, if that is told.
    fn about(&self) -> Option<Uuid> {
        None
    }
}

impl Named for RowLeft {
    fn name(&self) -> &str {
        &self.kind
    }

    fn about(&self) -> Option<Uuid> {
        Some(self.id)
    }
}

impl Named for Written {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for EventLeft {
    fn name(&self) -> &str {
        &self.event_type
    }

    fn about(&self) -> Option<Uuid> {
        Some(self.subject)
    }
}

impl Named for Made {
    fn name(&self) -> &str {
        &self.port
    }
}

/// Which id of the other side stands for which of ours.
struct Ids(Vec<(Uuid, Uuid)>);

/// The length of an id as it is written.
const WRITTEN: usize = 36;

impl Ids {
    fn new(local: &[Uuid], remote: &[Uuid]) -> Self {
        let mut pairs: Vec<_> = remote.iter().copied().zip(local.iter().copied()).collect();
        pairs.sort_by_key(|(remote, _)| *remote);
        pairs.dedup_by_key(|(remote, _)| *remote);
        Self(pairs)
    }

    fn of(&self, id: Uuid) -> Uuid {
        let at = self.0.binary_search_by_key(&id, |(remote, _)| *remote);
        at.map_or(id, |at| self.0[at].1)
    }

    fn map_then(&self, then: &mut Then) {
        if self.0.is_empty() {
            return;
        }
        for row in &mut then.rows {
            row.id = self.of(row.id);
            self.map(&mut row.state);
        }
        then.writes.iter_mut().for_each(|write| self.map(&mut write.value));
        for event in &mut then.events {
            event.subject = self.of(event.subject);
            self.map(&mut event.data);
        }
        then.calls.iter_mut().for_each(|call| self.map(&mut call.request));
    }

    /// Writes our ids in the place of the other side's, wherever they stand.
    fn map(&self, value: &mut Value) {
        if self.0.is_empty() {
            return;
        }
        match value {
            Value::String(text) => {
                if let Some(mapped) = self.text(text) {
                    *text = mapped;
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|one| self.map(one)),
            Value::Object(fields) => {
                fields.values_mut().for_each(|one| self.map(one));
                if fields.keys().any(|key| self.text(key).is_some()) {
                    let named = std::mem::take(fields).into_iter();
                    *fields = named
                        .map(|(key, one)| (self.text(&key).unwrap_or(key), one))
                        .collect::<Map<_, _>>();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text with our ids; `None` when there was none of the other side's in it.
    fn text(&self, text: &str) -> Option<String> {
        let mut mapped = None::<String>;
        let mut at = 0;
        while at + WRITTEN <= text.len() {
            let id = text.get(at..at + WRITTEN).filter(|id| id.as_bytes()[8] == b'-');
            match id.and_then(|id| id.parse::<Uuid>().ok()) {
                Some(id) => {
                    let ours = self.of(id);
                    if ours != id {
                        // As long as the one it takes the place of.
                        let whole = mapped.get_or_insert_with(|| text.to_owned());
                        whole.replace_range(at..at + WRITTEN, &ours.to_string());
                    }
                    at += WRITTEN;
                }
                None => at += 1,
            }
        }
        mapped
    }
}

#[cfg(test)]
mod tests;
