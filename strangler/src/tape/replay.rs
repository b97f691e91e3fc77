//! Replaying: everything is answered from a recording, and what is done is only noted.

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard},
};

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    UnitId,
    case::{Asked, Called, EventLeft, Given, Made, Replayed, RowGiven, RowLeft, Then, Written},
};

/// The most that a replay may leave and call, all in all: whoever does more goes round in circles.
const MOST: usize = 10_000;

/// A unit of work that is done again from a recording.
pub struct Replay {
    state: Mutex<State>,
    halted: Notify,
}

struct State {
    units: Vec<Unit>,
    begun: usize,
    views: Reads,
    view_now: Option<DateTime<Utc>>,
    calls: Vec<(Called, bool)>,
    ids: Vec<Uuid>,
    drawn: usize,
    /// More ids were drawn than are given.
    own_ids: bool,
    then: Then,
    missing: Option<String>,
    left: usize,
}

struct Unit {
    now: DateTime<Utc>,
    reads: Reads,
    then: Then,
}

/// Rows and queries, each with whether it was read.
struct Reads {
    rows: Vec<(RowGiven, bool)>,
    queries: Vec<(Asked, bool)>,
}

impl Reads {
    fn new(rows: Vec<RowGiven>, queries: Vec<Asked>) -> Self {
        Self {
            rows: rows.into_iter().map(|row| (row, false)).collect(),
            queries: queries.into_iter().map(|query| (query, false)).collect(),
        }
    }
}

/// The first that was not taken yet; when all were, the last once more.
fn take<T>(all: &mut [(T, bool)], is_it: impl Fn(&T) -> bool) -> Option<&T> {
    let matching = |taken: bool| all.iter().position(|(one, t)| (!taken || !t) && is_it(one));
    let at = match matching(true) {
        Some(at) => at,
        None => all.iter().rposition(|(one, _)| is_it(one))?,
    };
    all[at].1 = true;
    Some(&all[at].0)
}

impl Replay {
    /// A replay of what was `given`.
    pub fn new(given: Given) -> Self {
        let units = given.units.into_iter().map(|unit| Unit {
            now: unit.now,
            reads: Reads::new(unit.rows, unit.queries),
            then: Then::default(),
        });
        let state = State {
            units: units.collect(),
            begun: 0,
            views: Reads::new(given.views.rows, given.views.queries),
            view_now: given.views.now,
            calls: given.calls.into_iter().map(|call| (call, false)).collect(),
            ids: given.ids,
            drawn: 0,
            own_ids: false,
            then: Then::default(),
            missing: None,
            left: 0,
        };
        Self {
            state: Mutex::new(state),
            halted: Notify::new(),
        }
    }

    /// The next transaction and its time.
    pub async fn begin(&self) -> (UnitId, DateTime<Utc>) {
        let next = {
            let mut state = self.state();
            let at = state.begun;
            state.begun += 1;
            state.units.get(at).map(|unit| (unit.now, at))
        };
        match next {
            Some((now, at)) => (UnitId(u32::try_from(at).unwrap_or(u32::MAX)), now),
            None => match self.halt("unit".to_owned()).await {},
        }
    }

    /// The row that was loaded; `None` when there was none.
    pub async fn row<S: DeserializeOwned>(&self, unit: Option<UnitId>, kind: &str, id: Uuid) -> Option<S> {
        let found = {
            let mut state = self.state();
            let row = state
                .reads(unit)
                .and_then(|reads| take(&mut reads.rows, |row| row.kind == kind && row.id == id));
            row.map(|row| row.state.clone())
        };
        match found.map(serde_json::from_value::<Option<S>>) {
            Some(Ok(state)) => state,
            _ => match self.halt(format!("row {kind} {id}")).await {},
        }
    }

    /// What the query was answered.
    pub async fn query<A: DeserializeOwned>(&self, unit: Option<UnitId>, name: &str, question: &impl Serialize) -> A {
        let found = serde_json::to_value(question).ok().and_then(|question| {
            let mut state = self.state();
            let is_it = |asked: &Asked| asked.name == name && asked.question == question;
            let asked = state.reads(unit).and_then(|reads| take(&mut reads.queries, is_it));
            asked.map(|asked| asked.answer.clone())
        });
        match found.map(serde_json::from_value::<A>) {
            Some(Ok(answer)) => answer,
            _ => match self.halt(format!("query {name}")).await {},
        }
    }

    /// The time, outside of any transaction: the one that the recording tells, or that of the last transaction.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        let state = self.state();
        let begun = state.begun.clamp(1, state.units.len().max(1)) - 1;
        state.view_now.or_else(|| state.units.get(begun).map(|unit| unit.now))
    }

    /// The next id that was drawn; where there are no more, another.
    pub fn id(&self, draw: impl FnOnce() -> Uuid) -> Uuid {
        let mut state = self.state();
        let at = state.drawn;
        state.drawn += 1;
        if let Some(id) = state.ids.get(at) {
            return *id;
        }
        let id = draw();
        state.own_ids = true;
        if state.counts() {
            state.ids.push(id);
        }
        id
    }

    /// An aggregate was left to be written.
    pub fn save(&self, unit: UnitId, kind: &str, id: Uuid, version: i64, state: &Value) {
        let row = RowLeft {
            kind: kind.to_owned(),
            id,
            version,
            state: state.clone(),
        };
        self.leave(unit, |then| then.rows.push(row));
    }

    /// Another change was left to be made.
    pub fn put(&self, unit: UnitId, name: &str, change: &impl Serialize) {
        let value = serde_json::to_value(change).unwrap_or_default();
        let name = name.to_owned();
        self.leave(unit, |then| then.writes.push(Written { name, value }));
    }

    /// An event was left to be published.
    pub fn emit(&self, unit: UnitId, event_type: &str, subject: Uuid, version: i64, data: &Value) {
        let event = EventLeft {
            event_type: event_type.to_owned(),
            subject,
            version,
            data: data.clone(),
        };
        self.leave(unit, |then| then.events.push(event));
    }

    fn leave(&self, unit: UnitId, leave: impl FnOnce(&mut Then)) {
        let mut state = self.state();
        if state.counts()
            && let Some(unit) = state.units.get_mut(unit.0 as usize)
        {
            leave(&mut unit.then);
        }
        self.end_of(&state);
    }

    /// What the transaction left counts.
    pub fn committed(&self, unit: UnitId) {
        let mut state = self.state();
        if let Some(unit) = state.units.get_mut(unit.0 as usize) {
            let Then {
                rows, writes, events, ..
            } = std::mem::take(&mut unit.then);
            state.then.rows.extend(rows);
            state.then.writes.extend(writes);
            state.then.events.extend(events);
        }
    }

    /// Somebody is called, and answers what the recording tells. Where that tells of no such call, it ends here: that nobody
    /// answers is told by the list of the calls.
    pub async fn call(&self, port: &str, request: Value) -> Value {
        let answer = {
            let mut state = self.state();
            let same = |call: &Called| call.port == port && call.request == request;
            let unused = state.calls.iter().any(|(call, used)| !used && same(call));
            let answer = match unused {
                // Of several that were under way at a time, each gets its own.
                true => take(&mut state.calls, same),
                false => take(&mut state.calls, |call| call.port == port),
            };
            let answer = answer.map(|call| call.answer.clone());
            if state.counts() {
                let port = port.to_owned();
                state.then.calls.push(Made { port, request });
            }
            self.end_of(&state);
            answer
        };
        match answer {
            // Whoever called gave it up, and what they did then is theirs alone.
            Some(Value::Null) => match self.halt(format!("call {port}")).await {},
            Some(answer) => answer,
            None => {
                self.halted.notify_one();
                std::future::pending().await
            }
        }
    }

    /// Something is missing: nothing is done any more.
    pub async fn halt(&self, missing: String) -> Infallible {
        self.miss(missing);
        std::future::pending().await
    }

    /// The same for whoever cannot wait.
    pub fn miss(&self, missing: String) {
        self.state().missing.get_or_insert(missing);
        self.halted.notify_one();
    }

    /// Ready when it cannot go on. Whoever drives it drops it then.
    pub async fn halted(&self) {
        self.halted.notified().await;
    }

    /// What came of it; `answer` is null when it did not get that far.
    pub fn finish(&self, answer: Value) -> Replayed {
        let mut state = self.state();
        let ids = std::mem::take(&mut state.ids);
        Replayed {
            answer,
            then: std::mem::take(&mut state.then),
            now: None,
            ids: state.own_ids.then_some(ids),
            missing: state.missing.take(),
        }
    }

    fn end_of(&self, state: &State) {
        if state.missing.is_some() {
            self.halted.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl State {
    fn reads(&mut self, unit: Option<UnitId>) -> Option<&mut Reads> {
        match unit {
            Some(unit) => self.units.get_mut(unit.0 as usize).map(|unit| &mut unit.reads),
            None => Some(&mut self.views),
        }
    }

    /// Whether one thing more may be done.
    fn counts(&mut self) -> bool {
        self.left += 1;
        if self.left > MOST {
            self.missing.get_or_insert_with(|| "end".to_owned());
        }
        self.left <= MOST
    }
}
