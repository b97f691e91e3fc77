//! The unit of work: what a command, a saga step and an event handler all are.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter,
    QuerySelect, QueryTrait, Statement,
};
use serde_json::Value;
use strangler::{BoxFuture, Event, tape::Tape};
use uuid::{NoContext, Timestamp, Uuid};

use crate::{
    Aggregate, Db, Engine, Query, StoreError, Write,
    change::{Change, Head, Sent},
    entity::{event_log, outbox, snapshots},
    envelope::stream,
    error::Sort,
    taped::Taped,
    writer::{News, Row, Tx},
};

/// One decision and all that it changes. Load what it needs, decide, leave what it wants with [`save`](Self::save),
/// [`put`](Self::put) and [`emit`](Self::emit): nothing is written before [`commit`](Self::commit), which writes all of it
/// or nothing. Time and ids come from it too. Dropping it rolls back.
///
/// What was saved is seen by [`load`](Self::load) and [`peek`](Self::peek) of the same unit of work, but not by
/// [`find`](Self::find), which asks the database.
pub struct Uow {
    db: Db,
    /// Not there where it is only done again, from a recording.
    tx: Option<Tx>,
    /// Where it is recorded, or done again.
    pub(crate) taped: Option<Taped>,
    now: DateTime<Utc>,
    traceparent: String,
    by: Option<String>,
    saves: Vec<Save>,
    puts: Vec<Put>,
    events: Vec<outbox::ActiveModel>,
    /// What the commit will tell.
    news: News,
    /// Its caller may answer without a commit.
    answers: bool,
    /// Something was written, so it will be committed or come to nothing.
    wrote: bool,
    /// Something was read that this decision may rest on.
    read: bool,
    /// A statement failed, or something could not be written down: committing what is left would be half a decision.
    failed: Option<StoreError>,
}

/// The most saves in one trip: what is sent is kept prepared.
const TOGETHER: usize = 4;

struct Save {
    kind: &'static str,
    id: Uuid,
    version: i64,
    state: Value,
    head: Head,
}

struct Put {
    name: &'static str,
    run: Run,
}

type Run = Box<dyn for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Result<(), DbErr>> + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lock {
    Row,
    None,
}

impl Uow {
    pub(crate) fn new(db: Db, tx: Tx, traceparent: String, by: Option<String>) -> Self {
        let now = db.now();
        let (saves, puts, events) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            db,
            tx: Some(tx),
            taped: None,
            now,
            traceparent,
            by,
            saves,
            puts,
            events,
            news: News::default(),
            answers: false,
            wrote: false,
            read: false,
            failed: None,
        }
    }

    /// One that is only done again: there is no transaction, and what it reads was recorded.
    pub(crate) async fn replayed(db: Db, tape: Arc<Tape>, traceparent: String, by: Option<String>) -> Self {
        let (taped, now) = Taped::replaying(tape, db.now()).await;
        Self {
            db,
            tx: None,
            taped: Some(taped),
            now,
            traceparent,
            by,
            saves: Vec::new(),
            puts: Vec::new(),
            events: Vec::new(),
            news: News::default(),
            answers: false,
            wrote: false,
            read: false,
            failed: None,
        }
    }

    /// From here on it is recorded on `tape`, if there is one.
    pub(crate) fn record(&mut self, tape: Option<Arc<Tape>>) {
        self.taped = tape.and_then(|tape| Taped::recording(tape, self.now));
    }

    /// A command's: its caller may answer that everything is as it should be, without a commit.
    pub(crate) fn answering(mut self) -> Self {
        self.answers = true;
        self
    }

    /// When this decision is made: one instant, taken when the unit of work began; microseconds, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// A new id (UUID v7) of the time of this unit of work.
    pub fn new_id(&mut self) -> Uuid {
        match &self.taped {
            Some(taped) => taped.id(|| self.draw_id()),
            None => self.draw_id(),
        }
    }

    /// An id that nobody sees but the event it is of.
    fn draw_id(&self) -> Uuid {
        let seconds = u64::try_from(self.now.timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(
            NoContext,
            seconds,
            self.now.timestamp_subsec_nanos(),
        ))
    }

    /// The aggregate with this id, if there is one, locked until the unit of work ends. When there is none, its id is
    /// locked instead, so that of two creators of one id the second finds what the first made. Load several aggregates in
    /// the order of their ids, or two commands may wait for each other.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the lock cannot be had in time, [`StoreError::Corrupt`] for a row that cannot be
    /// understood, and the database's others.
    pub async fn load<A: Aggregate>(&mut self, id: Uuid) -> Result<Option<A>, StoreError> {
        self.read(id, Lock::Row).await
    }

    /// The aggregate with this id, if there is one, as it is at the moment: for what a decision looks at and does not
    /// change.
    ///
    /// # Errors
    /// As [`load`](Self::load), without waiting.
    pub async fn peek<A: Aggregate>(&mut self, id: Uuid) -> Result<Option<A>, StoreError> {
        self.read(id, Lock::None).await
    }

    /// Asks `query` inside the transaction.
    ///
    /// # Errors
    /// The database's.
    pub async fn find<Q: Query>(&mut self, query: Q) -> Result<Q::Answer, StoreError> {
        let doing = || format!("asking {}", Q::NAME);
        self.usable()?;
        if let Some(replay) = self.replay()
            && let Some(answer) = replay.query(Q::NAME, &query).await
        {
            return Ok(answer);
        }
        if Q::ANSWERS {
            self.settle(None, doing).await?;
        }
        self.read = true;
        let question = self.taped.as_ref().and_then(|taped| taped.question(&query));
        let answer = query.run(self.connection()?).await;
        let answer = self.check(answer, doing)?;
        if let Some(taped) = &self.taped {
            taped.note_query(Q::NAME, question, &answer);
        }
        Ok(answer)
    }

    /// Leaves the aggregate to be written: inserted when its version is 1, else updated where the stored version is one
    /// less. The whole state is kept in history too, with the time and the caller.
    pub fn save<A: Aggregate>(&mut self, aggregate: &A) {
        let (kind, id, version) = (A::KIND, aggregate.id(), aggregate.version());
        let state = match serde_json::to_value(aggregate) {
            Ok(state) => state,
            Err(error) => return self.fail(format_args!("saving {kind} {id}"), error),
        };
        if version < 1 {
            return self.fail(
                format_args!("saving {kind} {id}"),
                format_args!("{version} is no version; the first is 1"),
            );
        }
        if let Some(taped) = &self.taped {
            taped.save(kind, id, version, &state);
        }
        let row = aggregate.to_model().reset_all();
        let head = if version == 1 {
            Head::Insert(A::Entity::insert(row).into_query())
        } else {
            let guard = Condition::all()
                .add(A::id_column().eq(id))
                .add(A::version_column().eq(version - 1));
            Head::Update(A::Entity::update_many().set(row).filter(guard).into_query())
        };
        self.saves.push(Save {
            kind,
            id,
            version,
            state,
            head,
        });
    }

    /// Leaves a change to other rows to be made. Changes are made in the order they were left, after the aggregates.
    pub fn put<W: Write>(&mut self, write: W) {
        if let Some(taped) = &self.taped {
            taped.put(W::NAME, &write);
            if taped.replays() {
                return;
            }
        }
        self.puts.push(Put {
            name: W::NAME,
            run: Box::new(move |tx| Box::pin(write.run(tx))),
        });
    }

    /// Leaves an event to be published: it happened to `subject`, which has `version` since. One version of one
    /// aggregate has one event. Load or save the aggregate in the same unit of work: its lock is what keeps its events
    /// in order.
    pub fn emit<E: Event>(&mut self, subject: Uuid, version: i64, event: &E) {
        let event_type = event.event_type();
        let data = match serde_json::to_value(event) {
            Ok(data) => data,
            Err(error) => return self.fail(format_args!("emitting {event_type}"), error),
        };
        if let Some(taped) = &self.taped {
            taped.emit(event_type, subject, version, &data);
            if taped.replays() {
                return;
            }
        }
        let row = outbox::ActiveModel {
            event_id: Set(self.draw_id()),
            event_type: Set(event_type.to_owned()),
            dataversion: Set(i32::try_from(event.data_version()).unwrap_or(i32::MAX)),
            stream: Set(stream(event_type).to_owned()),
            subject: Set(subject),
            aggregateversion: Set(version),
            time: Set(self.now),
            traceparent: Set(self.traceparent.clone()),
            data: Set(data),
            ..Default::default()
        };
        self.events.push(row);
    }

    /// Writes everything that was left and commits.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else changed or created the same thing meanwhile; the database's others.
    /// Nothing was written then, with one exception: when the connection is lost during the commit itself
    /// ([`StoreError::Unavailable`]) it may have taken effect, and the same command must be safe to repeat.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.flush().await?;
        let Self {
            db, tx, taped, news, ..
        } = self;
        let done = match tx {
            Some(tx) => tx
                .commit_with(news)
                .await
                .map_err(|e| db.place().error("committing", &e)),
            None => Ok(()),
        };
        if let Some(taped) = taped {
            match &done {
                Ok(()) => taped.committed(),
                Err(error) => taped.failed(error),
            }
        }
        done
    }

    /// Writes everything that was left, without committing. For tests that must act between an outbox id being drawn and
    /// the commit, and for the end of each event of a batch.
    ///
    /// # Errors
    /// As [`commit`](Self::commit); the unit of work cannot be committed any more then.
    #[doc(hidden)]
    pub async fn flush(&mut self) -> Result<(), StoreError> {
        self.usable()?;
        let mut saves = std::mem::take(&mut self.saves);
        if self.replay().is_some() {
            return Ok(());
        }
        // Locks are taken in this order by everybody.
        saves.sort_by(|a, b| (a.kind, a.id, a.version).cmp(&(b.kind, b.id, b.version)));
        while !saves.is_empty() {
            let some = match self.db.engine() {
                Engine::Sqlite => saves.len().min(TOGETHER),
                Engine::Postgres => 1,
            };
            self.write(saves.drain(..some).collect()).await?;
        }
        for Put { name, run } in std::mem::take(&mut self.puts) {
            self.wrote = true;
            let done = run(self.connection()?).await;
            self.check(done, || format!("writing {name}"))?;
        }
        // The rows above are locked by now: only then an outbox id is drawn, so ids follow the order of versions.
        for event in std::mem::take(&mut self.events) {
            self.publish(event).await?;
        }
        Ok(())
    }

    async fn read<A: Aggregate>(&mut self, id: Uuid, lock: Lock) -> Result<Option<A>, StoreError> {
        let doing = || format!("loading {} {id}", A::KIND);
        let saved = self.saves.iter().rfind(|s| s.kind == A::KIND && s.id == id);
        if let Some(saved) = saved {
            let state = serde_json::from_value(saved.state.clone());
            return state
                .map(Some)
                .map_err(|e| self.db.place().make(Sort::Other, doing(), e));
        }
        let select = || {
            let select = A::Entity::find().filter(A::id_column().eq(id));
            if lock == Lock::Row {
                select.lock_exclusive()
            } else {
                select
            }
        };
        if let Some(replay) = self.replay() {
            return Ok(replay.row(A::KIND, id).await);
        }
        self.settle(Some((A::KIND, id)), doing).await?;
        self.read = true;
        let row = select().one(self.connection()?).await;
        let mut row = self.check(row, doing)?;
        if row.is_none() && lock == Lock::Row && self.db.engine() == Engine::Postgres {
            // There is no row to lock, so its name is locked. Whoever held it may have made the row: look again.
            let name = format!("{}/{}/{id}", self.db.schema(), A::KIND);
            let wait = Statement::from_sql_and_values(
                self.connection()?.get_database_backend(),
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
                [name.into()],
            );
            let waited = self.connection()?.execute_raw(wait).await;
            self.check(waited, doing)?;
            let again = select().one(self.connection()?).await;
            row = self.check(again, doing)?;
        }
        let found = row.map(A::from_model).transpose();
        let found = found.map_err(|e| self.db.place().locate(doing(), e));
        if let Some(taped) = &self.taped {
            match &found {
                Ok(found) => taped.note_row(A::KIND, id, found.as_ref()),
                Err(error) => taped.failed(error),
            }
        }
        found
    }

    /// Writes these, and that they were, in one trip.
    async fn write(&mut self, saves: Vec<Save>) -> Result<(), StoreError> {
        let named: Vec<_> = saves.iter().map(|s| (s.kind, s.id, s.version)).collect();
        let doing = || {
            let name = |(kind, id, version): &(&str, Uuid, i64)| format!("{kind} {id}, version {version}");
            format!("saving {}", named.iter().map(name).collect::<Vec<_>>().join(" and "))
        };
        let mut sent = Vec::with_capacity(saves.len());
        for save in saves {
            self.writes((save.kind, save.id));
            let history = snapshots::ActiveModel {
                kind: Set(save.kind.to_owned()),
                id: Set(save.id),
                version: Set(save.version),
                state: Set(save.state),
                at: Set(self.now),
                by: Set(self.by.clone()),
            };
            let history = snapshots::Entity::insert(history).into_query();
            sent.push(Change::new(save.head, history, 1).build(self.db.engine()));
        }
        let Sent { statement, rows } = Sent::join(sent);
        let done = self.connection()?.execute_raw(statement).await;
        if self.check(done, doing)?.rows_affected() != rows {
            return Err(self.conflict(doing(), "the version before that is not the newest any more"));
        }
        Ok(())
    }

    async fn publish(&mut self, event: outbox::ActiveModel) -> Result<(), StoreError> {
        let doing = || format!("emitting {}", event.event_type.as_ref());
        let done = outbox::Entity::insert(event.clone())
            .exec_without_returning(self.connection()?)
            .await;
        self.check(done, doing)?;
        // The same version may have been relayed already. Asked after the insert, which waits for a relay that is just
        // moving it; a duplicate found by the relay would stop the schema's events for good.
        let same = Condition::all()
            .add(event_log::Column::Subject.eq(*event.subject.as_ref()))
            .add(event_log::Column::Aggregateversion.eq(*event.aggregateversion.as_ref()))
            .add(event_log::Column::Stream.eq(event.stream.as_ref().as_str()));
        let relayed = event_log::Entity::find()
            .select_only()
            .column(event_log::Column::Position)
            .filter(same);
        let relayed = relayed.into_tuple::<i64>().one(self.connection()?).await;
        if self.check(relayed, doing)?.is_some() {
            let version = event.aggregateversion.as_ref();
            let cause = format!("version {version} of {} has an event already", event.subject.as_ref());
            return Err(self.conflict(doing(), cause));
        }
        self.news.emitted = true;
        Ok(())
    }

    /// Every statement's result passes through here. After a failed one PostgreSQL answers COMMIT with a silent rollback,
    /// so a unit of work whose caller swallowed the error must not pretend to have committed.
    pub(crate) fn check<T>(
        &mut self,
        result: Result<T, DbErr>,
        doing: impl FnOnce() -> String,
    ) -> Result<T, StoreError> {
        result.map_err(|error| {
            let error = self.db.place().error(doing(), &error);
            self.has_failed(error)
        })
    }

    /// It cannot be committed any more.
    fn has_failed(&mut self, error: StoreError) -> StoreError {
        if let Some(taped) = &self.taped {
            taped.failed(&error);
        }
        self.failed.get_or_insert_with(|| error.clone());
        error
    }

    fn fail(&mut self, doing: impl std::fmt::Display, cause: impl std::fmt::Display) {
        let error = self.db.place().make(Sort::Other, doing, cause);
        drop(self.has_failed(error));
    }

    /// What follows is caused by this event: its trace goes on in whatever is emitted.
    pub(crate) fn follow(&mut self, traceparent: &str) {
        traceparent.clone_into(&mut self.traceparent);
    }

    /// The trace that this is part of.
    pub(crate) fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// The commit will wake those who work on sagas.
    pub(crate) fn wake_sagas(&mut self, saga: Uuid) {
        self.news.sagas.push(saga);
    }

    /// The commit will wake those who work on queues.
    pub(crate) fn wake_queues(&mut self) {
        self.news.queued = true;
    }

    /// Somebody else changed what this decision is about: it cannot be committed any more.
    pub(crate) fn conflict(&mut self, doing: impl std::fmt::Display, cause: impl std::fmt::Display) -> StoreError {
        let error = self.db.place().make(Sort::Conflict, doing, cause);
        self.has_failed(error)
    }

    /// The transaction.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is none, because it is only done again: whoever asks for it cannot be.
    pub(crate) fn connection(&self) -> Result<&Tx, StoreError> {
        self.tx.as_ref().ok_or_else(|| {
            if let Some(taped) = &self.taped {
                taped.miss("database");
            }
            let cause = "it is only done again from a recording, and asks for more than is recorded";
            self.db.place().refused("asking the database", cause)
        })
    }

    /// What answers instead of the database, where it is only done again.
    pub(crate) fn replay(&self) -> Option<&Taped> {
        self.taped.as_ref().filter(|taped| taped.replays())
    }

    /// This row is being written: whoever reads it next, and might answer without a commit, waits until it is committed.
    pub(crate) fn writes(&mut self, row: Row) {
        self.wrote = true;
        if let Some(tx) = &mut self.tx {
            tx.touch(row);
        }
    }

    /// Refuses what comes after a failure.
    pub(crate) fn usable(&self) -> Result<(), StoreError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// To be called before a row (or, with `None`, anything) is read on which an answer may rest that is given without a
    /// commit: waits until what others wrote to it in the same transaction is committed, see [`Tx::settle`].
    pub(crate) async fn settle(&mut self, row: Option<Row>, doing: impl Fn() -> String) -> Result<(), StoreError> {
        self.usable()?;
        // Who has written something commits it, or gives up what it decided. Neither tells anything too early.
        let uncertain = self.tx.as_ref().is_some_and(|tx| tx.is_uncertain(row));
        if !self.answers || self.wrote || !uncertain {
            return Ok(());
        }
        // Should this be dropped while it waits, there is no transaction to go on with.
        let place = self.db.place();
        self.failed = Some(place.make(Sort::Other, doing(), "it was given up while it waited for others"));
        let settled = match &mut self.tx {
            Some(tx) => tx.settle().await,
            None => Ok(false),
        };
        self.failed = None;
        match settled {
            Ok(false) => Ok(()),
            Ok(true) if !self.read => Ok(()),
            Ok(true) => Err(self.conflict(doing(), "what it has read was changed meanwhile")),
            Err(error) => self.check(Err(error), doing),
        }
    }
}

impl std::fmt::Debug for Uow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uow")
            .field("db", &self.db)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
