//! Recording: what passes by is written down as text, and put together later, elsewhere.

use std::{
    borrow::Cow,
    sync::{Mutex, MutexGuard},
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{
    UnitId,
    case::{Asked, Called, EventLeft, Given, Made, RowGiven, RowLeft, Then, UnitGiven, ViewsGiven, Written},
    wire::{answer_value, request_value},
};
use crate::wire::{Answered, Ask};

/// Why a unit of work cannot be compared, although it was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// There was more of it than is kept.
    TooLarge,
    /// The database failed it: its answer speaks of that, and nobody else's would.
    StoreFailed,
    /// Something in it is no JSON.
    NotJson,
}

/// A unit of work that is being recorded. Written to by whoever holds the context, from any thread.
pub struct Record {
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    /// How many bytes more are kept.
    room: usize,
    spoilt: Option<Spoilt>,
    /// A transaction met a conflict, and nothing was decided anew since.
    conflict: bool,
    begun: u32,
    units: Vec<Unit>,
    views: Reads,
    view_now: Option<DateTime<Utc>>,
    calls: Vec<Call>,
    ids: Vec<(Option<UnitId>, Uuid)>,
}

struct Unit {
    id: UnitId,
    now: DateTime<Utc>,
    reads: Reads,
    left: Vec<Left>,
    committed: bool,
}

#[derive(Default)]
struct Reads {
    rows: Vec<(&'static str, Uuid, Text)>,
    queries: Vec<(&'static str, Text, Text)>,
}

/// JSON, written and not read yet.
type Text = Box<str>;

enum Left {
    Row(&'static str, Uuid, i64, Text),
    Write(&'static str, Text),
    Event(&'static str, Uuid, i64, Text),
}

struct Call {
    port: Cow<'static, str>,
    request: Said,
    answer: Option<Said>,
}

/// One half of a call, as it came.
enum Said {
    Text(Text),
    Ask(Box<Ask>),
    Answer(Box<Answered>),
}

impl Said {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Ask(ask) => ask.target.len() + ask.body.len(),
            Self::Answer(answer) => answer.body.len(),
        }
    }

    fn value(self) -> Value {
        match self {
            Self::Text(text) => value(&text),
            Self::Ask(ask) => request_value(&ask),
            Self::Answer(answer) => answer_value(&answer),
        }
    }
}

impl Record {
    /// A recording of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let room = limit;
        Self {
            log: Mutex::new(Log { room, ..Log::default() }),
        }
    }

    /// A transaction begins.
    pub fn begin(&self, now: DateTime<Utc>) -> UnitId {
        let mut log = self.log();
        let id = UnitId(log.begun);
        log.begun += 1;
        log.conflict = false;
        if log.takes(size_of::<Unit>()) {
            log.units.push(Unit {
                id,
                now,
                reads: Reads::default(),
                left: Vec::new(),
                committed: false,
            });
        }
        id
    }

    /// A row was loaded, in this transaction or outside of any; `None`: there is none.
    pub fn row<S: Serialize>(&self, unit: Option<UnitId>, kind: &'static str, id: Uuid, state: Option<&S>) {
        let Some(text) = self.text(&state) else { return };
        let mut log = self.log();
        if !log.takes(text.len() + 32) {
            return;
        }
        if let Some(reads) = log.reads(unit) {
            let again = reads.rows.iter().rfind(|(k, i, _)| *k == kind && *i == id);
            // Loaded twice and the same both times, it is told once.
            if again.is_none_or(|(_, _, before)| *before != text) {
                reads.rows.push((kind, id, text));
            }
        }
    }

    /// What is asked, as it will be told together with its answer.
    pub fn question(&self, question: &impl Serialize) -> Option<Box<str>> {
        self.text(question)
    }

    /// A query was answered.
    pub fn query(&self, unit: Option<UnitId>, name: &'static str, question: Option<Box<str>>, answer: &impl Serialize) {
        let (Some(question), Some(answer)) = (question, self.text(answer)) else {
            return;
        };
        let mut log = self.log();
        if log.takes(question.len() + answer.len() + 32)
            && let Some(reads) = log.reads(unit)
        {
            reads.queries.push((name, question, answer));
        }
    }

    /// The time was asked for, outside of any transaction.
    pub fn now(&self, now: DateTime<Utc>) {
        self.log().view_now.get_or_insert(now);
    }

    /// An id was drawn.
    pub fn id(&self, unit: Option<UnitId>, id: Uuid) {
        let mut log = self.log();
        if log.takes(16) {
            log.ids.push((unit, id));
        }
    }

    /// An aggregate was left to be written.
    pub fn save(&self, unit: UnitId, kind: &'static str, id: Uuid, version: i64, state: &Value) {
        if let Some(text) = self.text(state) {
            self.left(unit, text.len(), Left::Row(kind, id, version, text));
        }
    }

    /// Another change was left to be made.
    pub fn put(&self, unit: UnitId, name: &'static str, change: &impl Serialize) {
        if let Some(text) = self.text(change) {
            self.left(unit, text.len(), Left::Write(name, text));
        }
    }

    /// An event was left to be published.
    pub fn emit(&self, unit: UnitId, event_type: &'static str, subject: Uuid, version: i64, data: &Value) {
        if let Some(text) = self.text(data) {
            self.left(unit, text.len(), Left::Event(event_type, subject, version, text));
        }
    }

    fn left(&self, unit: UnitId, length: usize, left: Left) {
        let mut log = self.log();
        if log.takes(length + 48)
            && let Some(unit) = log.unit(unit)
        {
            unit.left.push(left);
        }
    }

    /// What the transaction left is written.
    pub fn committed(&self, unit: UnitId) {
        if let Some(unit) = self.log().unit(unit) {
            unit.committed = true;
        }
    }

    /// The transaction met a conflict: nothing of it happened, and whoever decides anew begins another.
    pub fn conflict(&self, unit: UnitId) {
        let mut log = self.log();
        log.conflict = true;
        log.units.retain(|u| u.id != unit);
        log.ids.retain(|(of, _)| *of != Some(unit));
    }

    /// Something in it cannot be compared.
    pub fn spoil(&self, why: Spoilt) {
        self.log().spoil(why);
    }

    /// Somebody is called; answers the call's number.
    pub fn call(&self, port: &'static str, request: &impl Serialize) -> Option<usize> {
        let request = Said::Text(self.text(request)?);
        self.log().call(port.into(), request)
    }

    pub(super) fn ask(&self, port: &'static str, ask: Ask) -> Option<usize> {
        self.log().call(port.into(), Said::Ask(Box::new(ask)))
    }

    /// The call with this number is answered.
    pub fn answered(&self, call: usize, answer: &impl Serialize) {
        if let Some(text) = self.text(answer) {
            self.log().answered(call, Said::Text(text));
        }
    }

    pub(super) fn heard(&self, call: usize, answer: Answered) {
        self.log().answered(call, Said::Answer(Box::new(answer)));
    }

    /// What the unit of work was given. What comes later is not kept.
    ///
    /// # Errors
    /// Why it cannot be compared.
    pub fn given(&self) -> Result<Given, Spoilt> {
        self.take().map(|(given, _)| given)
    }

    /// All of it. What comes later is not kept.
    ///
    /// # Errors
    /// Why it cannot be compared.
    pub(crate) fn take(&self) -> Result<(Given, Then), Spoilt> {
        let log = std::mem::replace(
            &mut *self.log(),
            Log {
                spoilt: Some(Spoilt::TooLarge),
                ..Log::default()
            },
        );
        match log.spoilt {
            Some(why) => Err(why),
            None if log.conflict => Err(Spoilt::StoreFailed),
            None => Ok(log.assemble()),
        }
    }

    fn text(&self, what: &impl Serialize) -> Option<Text> {
        match serde_json::to_string(what) {
            Ok(text) => Some(text.into()),
            Err(_) => {
                self.spoil(Spoilt::NotJson);
                None
            }
        }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Log {
    /// Whether there is room for so many bytes more; if not, nothing is kept any more.
    fn takes(&mut self, bytes: usize) -> bool {
        if self.spoilt.is_some() {
            return false;
        }
        match self.room.checked_sub(bytes) {
            Some(left) => {
                self.room = left;
                true
            }
            None => {
                self.spoil(Spoilt::TooLarge);
                false
            }
        }
    }

    fn spoil(&mut self, why: Spoilt) {
        self.spoilt.get_or_insert(why);
        self.units.clear();
        self.views = Reads::default();
        self.calls.clear();
        self.ids.clear();
    }

    fn unit(&mut self, id: UnitId) -> Option<&mut Unit> {
        self.units.iter_mut().rfind(|u| u.id == id)
    }

    fn reads(&mut self, unit: Option<UnitId>) -> Option<&mut Reads> {
        match unit {
            Some(unit) => Some(&mut self.unit(unit)?.reads),
            None => Some(&mut self.views),
        }
    }

    fn call(&mut self, port: Cow<'static, str>, request: Said) -> Option<usize> {
        let takes = self.takes(request.len() + 64);
        takes.then(|| {
            self.calls.push(Call {
                port,
                request,
                answer: None,
            });
            self.calls.len() - 1
        })
    }

    fn answered(&mut self, call: usize, answer: Said) {
        if self.takes(answer.len())
            && let Some(call) = self.calls.get_mut(call)
        {
            call.answer = Some(answer);
        }
    }

    fn assemble(self) -> (Given, Then) {
        let mut then = Then::default();
        let mut units = Vec::with_capacity(self.units.len());
        for unit in self.units {
            let (rows, queries) = unit.reads.values();
            units.push(UnitGiven {
                now: unit.now,
                rows,
                queries,
            });
            for left in unit.left.into_iter().filter(|_| unit.committed) {
                left.add_to(&mut then);
            }
        }
        let (rows, queries) = self.views.values();
        let views = ViewsGiven {
            now: self.view_now,
            rows,
            queries,
        };
        let calls = self.calls.into_iter().map(|call| {
            let (port, request) = (call.port.into_owned(), call.request.value());
            then.calls.push(Made {
                port: port.clone(),
                request: request.clone(),
            });
            let answer = call.answer.map_or(Value::Null, Said::value);
            Called { port, request, answer }
        });
        let given = Given {
            calls: calls.collect(),
            units,
            views,
            ids: self.ids.into_iter().map(|(_, id)| id).collect(),
        };
        (given, then)
    }
}

impl Reads {
    fn values(self) -> (Vec<RowGiven>, Vec<Asked>) {
        let rows = self.rows.into_iter().map(|(kind, id, state)| RowGiven {
            kind: kind.to_owned(),
            id,
            state: value(&state),
        });
        let queries = self.queries.into_iter().map(|(name, question, answer)| Asked {
            name: name.to_owned(),
            question: value(&question),
            answer: value(&answer),
        });
        (rows.collect(), queries.collect())
    }
}

impl Left {
    fn add_to(self, then: &mut Then) {
        match self {
            Self::Row(kind, id, version, state) => then.rows.push(RowLeft {
                kind: kind.to_owned(),
                id,
                version,
                state: value(&state),
            }),
            Self::Write(name, text) => then.writes.push(Written {
                name: name.to_owned(),
                value: value(&text),
            }),
            Self::Event(event_type, subject, version, data) => then.events.push(EventLeft {
                event_type: event_type.to_owned(),
                subject,
                version,
                data: value(&data),
            }),
        }
    }
}

/// What was written as JSON a moment ago.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
