//! Beginning, cancelling, resuming and looking at sagas.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use sea_orm_migration::sea_query::OnConflict;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use strangler::tape::Deck;
use uuid::Uuid;

use super::{
    Definition, Saga, SagaStatus, ShapeError, StepRecord,
    definition::Shape,
    file::{self, SagaFile},
    machine::Sheet,
    row::{saga_steps, sagas},
    worker::NAME as WORKERS,
};
use crate::{
    Db, Leases, Snapshot, StoreError, Turn, Uow,
    change::{Change, Head, Sent},
    error::Sort,
    view::Reader,
};

/// What a saga is called among the rows that a unit of work writes.
pub(super) const ROW: &str = "strangler/saga";

/// The sagas of one schema: what is registered, and what can be done with them. Cheap to clone.
#[derive(Clone)]
pub struct Sagas {
    pub(super) db: Db,
    pub(super) shapes: Arc<BTreeMap<String, Arc<Shape>>>,
    pub(super) in_flight: usize,
    pub(super) step_timeout: Duration,
    pub(super) turn: Turn,
    pub(super) deck: Deck,
}

/// What became of a request to cancel a saga.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It turns round: what it has done is being undone.
    Undoing,
    /// It has turned round already, or is undone.
    Already,
    /// It is past the point of no return, or done.
    TooLate,
    /// There is no such saga.
    Unknown,
}

/// What became of a wish to give up a stuck saga.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// Nothing was tried that cannot be undone: it turns round.
    Undoing,
    /// It is over, and its watch has begun what takes it back.
    Over,
    /// It is not given up: a sentence that says why, and what to do.
    Refused(String),
    /// There is no such saga.
    Unknown,
}

impl Sagas {
    /// The sagas of `db`'s schema; none are registered yet. 256 of them are worked on at a time, and a step has 30 s.
    pub fn new(db: Db) -> Self {
        Self {
            db,
            shapes: Arc::default(),
            in_flight: 256,
            step_timeout: Duration::from_secs(30),
            turn: Turn::always(),
            deck: Deck::default(),
        }
    }

    /// The most sagas that [`run`](Self::run) works on at a time.
    pub fn with_in_flight(mut self, sagas: usize) -> Self {
        self.in_flight = sagas.max(1);
        self
    }

    /// How long one attempt of a step may take. A worker that has not said what came of it after twice that time is given
    /// up for lost, and the step is repeated.
    pub fn with_step_timeout(mut self, timeout: Duration) -> Self {
        self.step_timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// [`run`](Self::run) works when it is this side's turn; always, unless told otherwise. What a step that was running
    /// when the turn ended came to is still written down, and the other side goes on from there.
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// Its steps are recorded where `deck` wants them.
    pub fn with_deck(mut self, deck: Deck) -> Self {
        self.deck = deck;
        self
    }

    /// Makes a kind of saga known.
    ///
    /// # Errors
    /// A sentence that says what is wrong with its shape.
    pub fn register<S>(&mut self, definition: Definition<S>) -> Result<(), ShapeError>
    where
        S: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let shape = definition.check()?;
        if self.shapes.contains_key(&shape.name) {
            let cause = format!(
                "the saga {} cannot be registered: another one has that name",
                shape.name
            );
            return Err(ShapeError(cause));
        }
        Arc::make_mut(&mut self.shapes).insert(shape.name.clone(), Arc::new(shape));
        Ok(())
    }

    /// Begins a saga in `uow`, together with what it is about. It should be done by `deadline`.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the kind is not registered, [`StoreError::Conflict`] when there is a saga with this id.
    pub async fn start<S: Serialize + Sync>(
        &self,
        uow: &mut Uow,
        kind: &str,
        id: Uuid,
        state: &S,
        deadline: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let doing = || format!("beginning saga {kind} {id}");
        let shape = self
            .shapes
            .get(kind)
            .and_then(|shape| Some((shape, shape.steps.first()?)));
        let Some((shape, first)) = shape else {
            return Err(self.db.place().refused(doing(), "no such kind of saga is registered"));
        };
        let state = serde_json::to_value(state).map_err(|e| self.db.place().make(Sort::Other, doing(), e))?;
        let saga = Saga {
            id,
            kind: kind.to_owned(),
            version: 1,
            status: SagaStatus::Running,
            undoing: false,
            step: first.name.clone(),
            state,
            attempts: 0,
            due_at: Some(uow.now()),
            deadline,
            overdue: false,
            reason: None,
            traceparent: uow.traceparent().to_owned(),
            began_at: uow.now(),
            changed_at: uow.now(),
            worker: None,
        };
        if let Some(watch) = &shape.watch {
            watch.changed(uow, &saga).await?;
        }
        uow.usable()?;
        if file::moves(uow, file::BEGIN, &saga, &[]) {
            return Ok(());
        }
        uow.writes((ROW, id));
        let done = sagas::Entity::insert(saga.to_model())
            .exec_without_returning(uow.connection()?)
            .await;
        uow.check(done, doing)?;
        uow.wake_sagas(id);
        Ok(())
    }

    /// Asks a saga to turn round, in `uow`; `reason` is kept with it. Load what the saga is about first, if that changes
    /// too.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a worker changed it meanwhile; the database's others.
    pub async fn cancel(&self, uow: &mut Uow, id: Uuid, reason: Value) -> Result<Cancelled, StoreError> {
        let Some((mut sheet, shape)) = self.open(uow, id).await? else {
            return Ok(Cancelled::Unknown);
        };
        let before = sheet.saga.clone();
        if !sheet.cancel(&shape, uow.now(), reason) {
            return Ok(match before.undoing {
                true => Cancelled::Already,
                false => Cancelled::TooLate,
            });
        }
        self.insist(uow, &shape, &before, &mut sheet).await?;
        Ok(Cancelled::Undoing)
    }

    /// Puts a stuck saga back to work, in the direction it was going, with all its attempts again. Answers whether it was
    /// stuck.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub async fn resume(&self, uow: &mut Uow, id: Uuid) -> Result<bool, StoreError> {
        let Some((mut sheet, shape)) = self.open(uow, id).await? else {
            return Ok(false);
        };
        let before = sheet.saga.clone();
        if !sheet.resume(uow.now()) {
            return Ok(false);
        }
        self.insist(uow, &shape, &before, &mut sheet).await?;
        Ok(true)
    }

    /// Gives up a stuck saga, in `uow`; `reason` is kept with it. Only one that no worker is at can be stuck, and whoever
    /// resumes it at the same moment is the first or too late: so a step that was on its way, and may still be, is followed by
    /// what takes it back and by nothing else.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub async fn abandon(&self, uow: &mut Uow, id: Uuid, reason: Value) -> Result<Abandoned, StoreError> {
        let Some((mut sheet, shape)) = self.open(uow, id).await? else {
            return Ok(Abandoned::Unknown);
        };
        let before = sheet.saga.clone();
        if let Err(why) = sheet.abandon(&shape, uow.now(), reason) {
            return Ok(Abandoned::Refused(why));
        }
        self.insist(uow, &shape, &before, &mut sheet).await?;
        Ok(match sheet.saga.status {
            SagaStatus::Abandoned => Abandoned::Over,
            _ => Abandoned::Undoing,
        })
    }

    /// The saga with this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn find(&self, id: Uuid) -> Result<Option<Saga>, StoreError> {
        let row = sagas::Entity::find_by_id(id).one(&Reader { db: &self.db }).await;
        let row = row.map_err(|e| self.failed(id, &e))?;
        row.map(Saga::from_model).transpose().map_err(|e| self.locate(id, e))
    }

    /// What is known of a saga's steps, oldest change first.
    ///
    /// # Errors
    /// The database's.
    pub async fn steps(&self, id: Uuid) -> Result<Vec<StepRecord>, StoreError> {
        let mut steps = self.records(&Reader { db: &self.db }, id).await?;
        steps.sort_by_key(|s| s.at);
        Ok(steps)
    }

    /// A saga with what is known of its steps, oldest change first, as `snapshot` sees them: together with whatever else is
    /// read from it.
    ///
    /// # Errors
    /// The database's.
    pub async fn look(&self, snapshot: &Snapshot, id: Uuid) -> Result<Option<(Saga, Vec<StepRecord>)>, StoreError> {
        let taped = snapshot.taped.as_ref();
        let found = match file::recorded(taped, id).await {
            Some(found) => found,
            None => {
                let found = self.look_up(snapshot.connection()?, id).await;
                file::note(taped, id, &found);
                found?
            }
        };
        Ok(found.map(|SagaFile { saga, mut steps }| {
            steps.sort_by_key(|s| s.at);
            (saga, steps)
        }))
    }

    /// Sagas of this status, the one that changed last first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, status: SagaStatus, limit: u64) -> Result<Vec<Saga>, StoreError> {
        let rows = sagas::Entity::find()
            .filter(sagas::Column::Status.eq(status.as_str()))
            .order_by_desc(sagas::Column::ChangedAt)
            .limit(limit)
            .all(&Reader { db: &self.db })
            .await;
        let rows = rows.map_err(|e| self.db.place().error("listing sagas", &e))?;
        let sagas = rows.into_iter().map(Saga::from_model).collect::<Result<_, _>>();
        sagas.map_err(|e| self.db.place().locate("listing sagas", e))
    }

    /// How many sagas there are of this status.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&self, status: SagaStatus) -> Result<u64, StoreError> {
        use sea_orm::PaginatorTrait;
        let count = sagas::Entity::find()
            .filter(sagas::Column::Status.eq(status.as_str()))
            .count(&Reader { db: &self.db })
            .await;
        count.map_err(|e| self.db.place().error("counting sagas", &e))
    }

    /// A saga with its steps and its definition, to be changed.
    pub(super) async fn open(&self, uow: &mut Uow, id: Uuid) -> Result<Option<(Sheet, Arc<Shape>)>, StoreError> {
        let found = match file::recorded(uow.taped.as_ref(), id).await {
            Some(found) => found,
            None => {
                uow.settle(Some((ROW, id)), || format!("looking at saga {id}")).await?;
                let found = self.look_up(uow.connection()?, id).await;
                file::note(uow.taped.as_ref(), id, &found);
                found?
            }
        };
        let Some(SagaFile { saga, steps }) = found else {
            return Ok(None);
        };
        let Some(shape) = self.shapes.get(&saga.kind) else {
            let cause = format!("its kind, {}, is not registered", saga.kind);
            return Err(self.db.place().refused(format_args!("looking at saga {id}"), cause));
        };
        // Steps change together with the saga: if these are newer than it, its version does not match any more.
        Ok(Some((Sheet::new(saga, steps), shape.clone())))
    }

    /// Writes what was decided, if the saga still has the version that it was decided upon, and `newest`, if given, is the
    /// newest route and stays it until the transaction ends. Whether it did; if not, `uow` must not be committed.
    pub(super) async fn write(
        &self,
        uow: &mut Uow,
        shape: &Shape,
        before: &Saga,
        sheet: &mut Sheet,
        newest: Option<i64>,
    ) -> Result<bool, StoreError> {
        sheet.saga.version = before.version + 1;
        sheet.saga.changed_at = uow.now();
        if let Some(watch) = &shape.watch
            && worth_telling(before, &sheet.saga)
        {
            watch.changed(uow, &sheet.saga).await?;
            // The aggregate first, then the saga: the order in which commands lock them too.
            uow.flush().await?;
        }
        let id = before.id;
        let doing = || format!("moving saga {id}");
        uow.usable()?;
        let steps: Vec<_> = sheet.touched.iter().map(|&i| &sheet.records[i]).collect();
        if file::moves(uow, file::MOVE, &sheet.saga, &steps) {
            sheet.touched.clear();
            return Ok(true);
        }
        uow.writes((ROW, id));
        let head = sagas::Entity::update_many()
            .set(sheet.saga.to_model())
            .filter(sagas::Column::Id.eq(id))
            .filter(sagas::Column::Version.eq(before.version))
            .filter(Condition::all().add_option(newest.map(|route| Leases::newest(WORKERS, route))))
            .into_query();
        let touched: Vec<_> = sheet.touched.drain(..).map(|i| sheet.records[i].to_model(id)).collect();
        let rows = touched.len() as u64;
        let Sent { statement, rows } = if touched.is_empty() {
            Sent {
                statement: uow.connection()?.get_database_backend().build(&head),
                rows: 1,
            }
        } else {
            use saga_steps::Column as C;
            let replace = OnConflict::columns([C::Saga, C::Step, C::Deed])
                .update_columns([C::State, C::Attempts, C::At, C::Outcome])
                .to_owned();
            let steps = saga_steps::Entity::insert_many(touched)
                .on_conflict(replace)
                .into_query();
            Change::new(Head::Update(head), steps, rows).build(self.db.engine())
        };
        let written = uow.connection()?.execute_raw(statement).await;
        Ok(uow.check(written, doing)?.rows_affected() == rows)
    }

    async fn insist(&self, uow: &mut Uow, shape: &Shape, before: &Saga, sheet: &mut Sheet) -> Result<(), StoreError> {
        if self.write(uow, shape, before, sheet, None).await? {
            uow.wake_sagas(before.id);
            return Ok(());
        }
        let doing = format!("changing saga {}", before.id);
        Err(uow.conflict(doing, format!("it does not have version {} any more", before.version)))
    }

    /// A saga and its steps, as they are in the tables.
    async fn look_up(&self, connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<SagaFile>, StoreError> {
        let row = sagas::Entity::find_by_id(id).one(connection).await;
        let Some(row) = row.map_err(|e| self.failed(id, &e))? else {
            return Ok(None);
        };
        let saga = Saga::from_model(row).map_err(|e| self.locate(id, e))?;
        let steps = self.records(connection, id).await?;
        Ok(Some(SagaFile { saga, steps }))
    }

    async fn records(&self, connection: &impl ConnectionTrait, id: Uuid) -> Result<Vec<StepRecord>, StoreError> {
        let rows = saga_steps::Entity::find()
            .filter(saga_steps::Column::Saga.eq(id))
            .all(connection)
            .await
            .map_err(|e| self.failed(id, &e))?;
        let records = rows.into_iter().map(StepRecord::from_model).collect::<Result<_, _>>();
        records.map_err(|e| self.locate(id, e))
    }

    fn failed(&self, id: Uuid, error: &DbErr) -> StoreError {
        self.db.place().error(format_args!("looking at saga {id}"), error)
    }

    fn locate(&self, id: Uuid, error: StoreError) -> StoreError {
        self.db.place().locate(format_args!("looking at saga {id}"), error)
    }
}

/// A retry, and the start of an attempt, are not.
fn worth_telling(before: &Saga, after: &Saga) -> bool {
    before.status != after.status
        || before.step != after.step
        || before.overdue != after.overdue
        || before.state != after.state
}

impl fmt::Debug for Sagas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sagas")
            .field("db", &self.db)
            .field("kinds", &self.shapes.keys())
            .finish_non_exhaustive()
    }
}
