//! A transaction on a tape: see [`Tape`].

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use strangler::tape::{Spoilt, Tape, UnitId};
use uuid::Uuid;

use crate::StoreError;

/// One transaction on a tape, or what is read outside of any.
#[derive(Clone)]
pub(crate) struct Taped {
    tape: Arc<Tape>,
    unit: Option<UnitId>,
}

impl Taped {
    /// A transaction that begins `now`, on a tape that records; `None` on another.
    pub(crate) fn recording(tape: Arc<Tape>, now: DateTime<Utc>) -> Option<Self> {
        let unit = Some(tape.as_record()?.begin(now));
        Some(Self { tape, unit })
    }

    /// The next transaction of a tape that replays, and its time; on another, one that begins `now`.
    pub(crate) async fn replaying(tape: Arc<Tape>, now: DateTime<Utc>) -> (Self, DateTime<Utc>) {
        let (unit, now) = match &*tape {
            Tape::Replay(replay) => replay.begin().await,
            Tape::Record(record) => (record.begin(now), now),
        };
        let unit = Some(unit);
        (Self { tape, unit }, now)
    }

    /// What is read outside of transactions.
    pub(crate) fn view(tape: Arc<Tape>) -> Self {
        Self { tape, unit: None }
    }

    /// Whether it is only done again.
    pub(crate) fn replays(&self) -> bool {
        self.tape.as_replay().is_some()
    }

    /// The time, where that is asked for outside of transactions.
    pub(crate) fn now(&self, live: DateTime<Utc>) -> DateTime<Utc> {
        match &*self.tape {
            Tape::Record(record) => {
                record.now(live);
                live
            }
            Tape::Replay(replay) => replay.now().unwrap_or_else(|| {
                replay.miss("now".to_owned());
                live
            }),
        }
    }

    /// An id: another, or the one that was drawn.
    pub(crate) fn id(&self, draw: impl FnOnce() -> Uuid) -> Uuid {
        match &*self.tape {
            Tape::Record(record) => {
                let id = draw();
                record.id(self.unit, id);
                id
            }
            Tape::Replay(replay) => replay.id(draw),
        }
    }

    /// A row was loaded.
    pub(crate) fn note_row<S: Serialize>(&self, kind: &'static str, id: Uuid, state: Option<&S>) {
        if let Tape::Record(record) = &*self.tape {
            record.row(self.unit, kind, id, state);
        }
    }

    /// The row that was loaded. Only of a tape that replays.
    pub(crate) async fn row<S: DeserializeOwned>(&self, kind: &str, id: Uuid) -> Option<S> {
        match &*self.tape {
            Tape::Replay(replay) => replay.row(self.unit, kind, id).await,
            Tape::Record(_) => None,
        }
    }

    /// A question, written down before it is asked.
    pub(crate) fn question(&self, question: &impl Serialize) -> Option<Box<str>> {
        self.tape.as_record()?.question(question)
    }

    /// A question was answered.
    pub(crate) fn note_query(&self, name: &'static str, question: Option<Box<str>>, answer: &impl Serialize) {
        if let Tape::Record(record) = &*self.tape {
            record.query(self.unit, name, question, answer);
        }
    }

    /// What the question was answered, of a tape that replays; `None` of another.
    pub(crate) async fn query<A: DeserializeOwned>(&self, name: &str, question: &impl Serialize) -> Option<A> {
        match &*self.tape {
            Tape::Replay(replay) => Some(replay.query(self.unit, name, question).await),
            Tape::Record(_) => None,
        }
    }

    pub(crate) fn save(&self, kind: &'static str, id: Uuid, version: i64, state: &Value) {
        let Some(unit) = self.unit else { return };
        match &*self.tape {
            Tape::Record(record) => record.save(unit, kind, id, version, state),
            Tape::Replay(replay) => replay.save(unit, kind, id, version, state),
        }
    }

    pub(crate) fn put(&self, name: &'static str, change: &impl Serialize) {
        let Some(unit) = self.unit else { return };
        match &*self.tape {
            Tape::Record(record) => record.put(unit, name, change),
            Tape::Replay(replay) => replay.put(unit, name, change),
        }
    }

    pub(crate) fn emit(&self, event_type: &'static str, subject: Uuid, version: i64, data: &Value) {
        let Some(unit) = self.unit else { return };
        match &*self.tape {
            Tape::Record(record) => record.emit(unit, event_type, subject, version, data),
            Tape::Replay(replay) => replay.emit(unit, event_type, subject, version, data),
        }
    }

    /// What was left is written.
    pub(crate) fn committed(&self) {
        let Some(unit) = self.unit else { return };
        match &*self.tape {
            Tape::Record(record) => record.committed(unit),
            Tape::Replay(replay) => replay.committed(unit),
        }
    }

    /// The store failed it. After a conflict it is decided anew; what anything else led to is no decision at all.
    pub(crate) fn failed(&self, error: &StoreError) {
        let Tape::Record(record) = &*self.tape else { return };
        match (error, self.unit) {
            (StoreError::Conflict(_), Some(unit)) => record.conflict(unit),
            _ => record.spoil(Spoilt::StoreFailed),
        }
    }

    /// Something is asked for that no recording has.
    pub(crate) fn miss(&self, what: &str) {
        if let Tape::Replay(replay) = &*self.tape {
            replay.miss(what.to_owned());
        }
    }
}
