//! Throws away what nobody needs any more, after a time that is set: a few rows in each transaction, a bounded number in each
//! sweep, under a lease.
//!
//! | what | when it goes | why it may |
//! | --- | --- | --- |
//! | events | older than the time, and every reader has passed them | [`Retention`](crate::Retention) |
//! | sagas and their steps | ended so long ago; stuck ones never | nothing is asked in their name any more |
//! | receipts of steps | so old, and older than every saga that may still ask here | see below |
//! | dead letters | resolved so long ago | a parked one is never touched |
//! | queued commands | ended so long ago | until then their ids are not taken twice |
//!
//! A receipt is what makes a repeat of a saga's step harmless, and its tombstone refuses a do that comes after its undo. Time
//! alone cannot say that neither comes any more: a saga may be stuck for months and then be resumed. But a receipt is never
//! older than its saga. So whatever is older than the oldest saga that has not ended, in all the schemas whose sagas call
//! here, belongs to one that has; and what such a one asked last is no longer on its way after the time that is set. A janitor
//! that does not know who calls here, or cannot ask them, keeps all receipts.

use std::{fmt, future::Future, pin::pin, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_query};
use sea_query::Index;
use serde::Serialize;
use strangler::BoxFuture;
use uuid::Uuid;

use crate::{
    Db, Lease, SagaStatus, StoreError, Turn,
    backoff::{AWAY, Backoff},
    dead_letter::entity::dead_letters,
    queue::queued,
    saga::{received, saga_steps, sagas},
    tenure::Tenure,
    view::Reader,
    writer::Tx,
};

/// The most rows of one kind that one transaction deletes.
const AT_ONCE: u64 = 500;
/// The most transactions of one kind in one sweep.
const ROUNDS: usize = 20;
/// How soon the next sweep comes when one did not come to its end.
const SOON: Duration = Duration::from_secs(1);
/// How much the clocks of two processes may differ.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Events that every reader has passed; 7 days.
    pub events: TimeDelta,
    /// Sagas that have ended; 30 days.
    pub sagas: TimeDelta,
    /// Receipts of steps, after their sagas have ended; 7 days. It must be longer than a request can be on its way.
    pub receipts: TimeDelta,
    /// Dead letters that were resolved; 90 days.
    pub letters: TimeDelta,
    /// Queued commands that have ended; 7 days. So long an id is not taken twice.
    pub commands: TimeDelta,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            events: TimeDelta::days(7),
            sagas: TimeDelta::days(30),
            receipts: TimeDelta::days(7),
            letters: TimeDelta::days(90),
            commands: TimeDelta::days(7),
        }
    }
}

/// What a sweep deleted, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Events.
    pub events: u64,
    /// Sagas; their steps are not counted.
    pub sagas: u64,
    /// Receipts of steps.
    pub receipts: u64,
    /// Dead letters.
    pub letters: u64,
    /// Queued commands.
    pub commands: u64,
    /// There was more than one sweep deletes.
    pub more: bool,
}

/// Somebody whose sagas call the schema that is swept.
pub trait Unfinished: Send + Sync {
    /// When the oldest of its sagas that have not ended began, stuck ones included; `None` when all have.
    fn oldest(&self) -> BoxFuture<'_, Result<Option<DateTime<Utc>>, StoreError>>;
}

impl Unfinished for Db {
    fn oldest(&self) -> BoxFuture<'_, Result<Option<DateTime<Utc>>, StoreError>> {
        Box::pin(async move {
            let first = sagas::Entity::find()
                .select_only()
                .column(sagas::Column::BeganAt)
                .filter(sagas::Column::Status.is_not_in(ENDED))
                .order_by_asc(sagas::Column::BeganAt)
                .limit(1)
                .into_tuple::<DateTime<Utc>>()
                .one(&Reader { db: self })
                .await;
            first.map_err(|e| self.place().error("looking for unfinished sagas", &e))
        })
    }
}

const ENDED: [&str; 3] = [
    SagaStatus::Done.as_str(),
    SagaStatus::Undone.as_str(),
    SagaStatus::Abandoned.as_str(),
];

/// Sweeps one schema.
#[derive(Clone)]
pub struct Janitor {
    db: Db,
    keep: Keep,
    callers: Option<Vec<Arc<dyn Unfinished>>>,
    every: Duration,
    turn: Turn,
}

/// The end of a sweep whose lease is somebody else's.
struct Lost;

impl Janitor {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            keep: Keep::default(),
            callers: None,
            every: Duration::from_secs(600),
            turn: Turn::always(),
        }
    }

    /// How long things are kept; see [`Keep`] for what they are unless told otherwise.
    pub fn with_keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// All whose sagas call this schema: their schemas' handles, as a rule. Without this, receipts are kept for ever.
    pub fn with_callers(mut self, callers: impl IntoIterator<Item = Arc<dyn Unfinished>>) -> Self {
        self.callers = Some(callers.into_iter().collect());
        self
    }

    /// How often [`run`](Self::run) sweeps; every ten minutes unless told otherwise.
    pub fn with_every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// [`run`](Self::run) works when it is this side's turn; always, unless told otherwise.
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// Sweeps once, whosever turn it is.
    ///
    /// # Errors
    /// The database's; what was deleted before stays deleted.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        Ok(self.sweep_under(None).await?.unwrap_or_default())
    }

    /// Sweeps again and again until `stop` is ready, which is looked at between sweeps, under the lease `janitor`.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut backoff = Backoff::default();
        let mut tenure = Tenure::new(&self.db, "janitor".to_owned(), self.turn.clone());
        let schema = self.db.schema();
        let mut next = tokio::time::Instant::now();
        loop {
            let lease = tenure.lease().await;
            let waiting = matches!(lease, Ok(None));
            let due = next <= tokio::time::Instant::now();
            let swept = match lease {
                Ok(Some(lease)) if due => self.sweep_under(Some(&lease)).await,
                Ok(_) => Ok(Some(Swept::default())),
                Err(error) => Err(error),
            };
            let pause = match swept {
                Ok(None) => {
                    tenure.lost();
                    SOON
                }
                Ok(Some(swept)) => {
                    backoff.succeeded();
                    if swept != Swept::default() {
                        tracing::info!(schema, ?swept, "swept");
                    }
                    if swept.more { SOON } else { self.every }
                }
                Err(error) => {
                    let (pause, news) = backoff.failed(&error, AWAY);
                    if news {
                        tracing::warn!(schema, %error, "cannot sweep; trying again");
                    }
                    pause
                }
            };
            if due && !waiting {
                next = tokio::time::Instant::now() + pause;
            }
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = tenure.changed() => {}
                () = tokio::time::sleep_until(next), if !waiting => {}
            }
        }
        tenure.give_back().await;
    }

    /// `None` when the lease is somebody else's.
    async fn sweep_under(&self, lease: Option<&Lease>) -> Result<Option<Swept>, StoreError> {
        let mut swept = Swept::default();
        let now = self.db.now();
        let pruned = self.db.retention().prune_some(lease, self.keep.events, ROUNDS).await?;
        let Some((pruned, more)) = pruned else {
            return Ok(None);
        };
        swept.events = pruned.events;
        swept.more |= more;
        let receipts = self.receipts_before(now).await;
        let kinds = [
            (Some(now - self.keep.sagas), Kind::Sagas),
            (receipts, Kind::Receipts),
            (Some(now - self.keep.letters), Kind::Letters),
            (Some(now - self.keep.commands), Kind::Commands),
        ];
        for (before, kind) in kinds {
            let Some(before) = before else { continue };
            let count = match kind {
                Kind::Sagas => &mut swept.sagas,
                Kind::Receipts => &mut swept.receipts,
                Kind::Letters => &mut swept.letters,
                Kind::Commands => &mut swept.commands,
            };
            match self.sweep_kind(lease, kind, before).await? {
                Ok((deleted, more)) => {
                    *count = deleted;
                    swept.more |= more;
                }
                Err(Lost) => return Ok(None),
            }
        }
        Ok(Some(swept))
    }

    /// Receipts from before this belong to sagas that have ended. `None` when that is not known.
    async fn receipts_before(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut before = now - self.keep.receipts;
        for caller in self.callers.as_ref()? {
            match caller.oldest().await {
                Ok(Some(oldest)) => before = before.min(oldest - SKEW),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(schema = self.db.schema(), %error, "a caller cannot be asked: receipts are kept");
                    return None;
                }
            }
        }
        Some(before)
    }

    /// How many were deleted, and whether there are more.
    async fn sweep_kind(
        &self,
        lease: Option<&Lease>,
        kind: Kind,
        before: DateTime<Utc>,
    ) -> Result<Result<(u64, bool), Lost>, StoreError> {
        let fail = |e: DbErr| self.db.place().error("sweeping", &e);
        let mut deleted = 0;
        for _ in 0..ROUNDS {
            // Looking takes no lock, deleting does.
            if !kind.any(&Reader { db: &self.db }, before).await.map_err(fail)? {
                return Ok(Ok((deleted, false)));
            }
            let tx = self.db.begin_long("sweeping").await?;
            if let Some(lease) = lease
                && !lease.holds(&tx).await?
            {
                return Ok(Err(Lost));
            }
            deleted += kind.delete(&tx, before).await.map_err(fail)?;
            tx.commit().await.map_err(fail)?;
        }
        let more = kind.any(&Reader { db: &self.db }, before).await.map_err(fail)?;
        Ok(Ok((deleted, more)))
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Sagas,
    Receipts,
    Letters,
    Commands,
}

impl Kind {
    async fn any(self, reader: &Reader<'_>, before: DateTime<Utc>) -> Result<bool, DbErr> {
        Ok(match self {
            Self::Sagas => ended_sagas(before).limit(1).one(reader).await?.is_some(),
            Self::Receipts => receipts(before).limit(1).one(reader).await?.is_some(),
            Self::Letters => letters(before).limit(1).one(reader).await?.is_some(),
            Self::Commands => commands(before).limit(1).one(reader).await?.is_some(),
        })
    }

    /// Deletes some of those from before `before`, the oldest first.
    async fn delete(self, tx: &Tx, before: DateTime<Utc>) -> Result<u64, DbErr> {
        match self {
            Self::Sagas => {
                let ids: Vec<Uuid> = ended_sagas(before)
                    .select_only()
                    .column(sagas::Column::Id)
                    .limit(AT_ONCE)
                    .lock_exclusive()
                    .into_tuple()
                    .all(tx)
                    .await?;
                let steps = saga_steps::Entity::delete_many().filter(saga_steps::Column::Saga.is_in(ids.clone()));
                steps.exec(tx).await?;
                let delete = sagas::Entity::delete_many()
                    .filter(sagas::Column::Id.is_in(ids))
                    .filter(sagas::Column::Status.is_in(ENDED));
                Ok(delete.exec(tx).await?.rows_affected)
            }
            Self::Receipts => {
                let Some(until) = last(receipts(before), received::Column::At, tx).await? else {
                    return Ok(0);
                };
                let delete = received::Entity::delete_many().filter(received::Column::At.lte(until));
                Ok(delete.exec(tx).await?.rows_affected)
            }
            Self::Letters => {
                let Some(until) = last(letters(before), dead_letters::Column::ResolvedAt, tx).await? else {
                    return Ok(0);
                };
                let delete = dead_letters::Entity::delete_many().filter(dead_letters::Column::ResolvedAt.lte(until));
                Ok(delete.exec(tx).await?.rows_affected)
            }
            Self::Commands => {
                let Some(until) = last(commands(before), queued::Column::EndedAt, tx).await? else {
                    return Ok(0);
                };
                let delete = queued::Entity::delete_many().filter(queued::Column::EndedAt.lte(until));
                Ok(delete.exec(tx).await?.rows_affected)
            }
        }
    }
}

/// The time of the last of the rows that are deleted at once. Those of the same instant go with it.
async fn last<E: EntityTrait>(rows: Select<E>, at: E::Column, tx: &Tx) -> Result<Option<DateTime<Utc>>, DbErr> {
    let times = rows
        .select_only()
        .column(at)
        .limit(AT_ONCE)
        .into_tuple::<DateTime<Utc>>()
        .all(tx)
        .await?;
    Ok(times.last().copied())
}

fn ended_sagas(before: DateTime<Utc>) -> Select<sagas::Entity> {
    sagas::Entity::find()
        .filter(sagas::Column::Status.is_in(ENDED))
        .filter(sagas::Column::ChangedAt.lt(before))
}

fn receipts(before: DateTime<Utc>) -> Select<received::Entity> {
    received::Entity::find()
        .filter(received::Column::At.lt(before))
        .order_by_asc(received::Column::At)
}

fn letters(before: DateTime<Utc>) -> Select<dead_letters::Entity> {
    dead_letters::Entity::find()
        .filter(dead_letters::Column::ResolvedAt.lt(before))
        .order_by_asc(dead_letters::Column::ResolvedAt)
}

fn commands(before: DateTime<Utc>) -> Select<queued::Entity> {
    queued::Entity::find()
        .filter(queued::Column::EndedAt.lt(before))
        .order_by_asc(queued::Column::EndedAt)
}

impl fmt::Debug for Janitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Janitor")
            .field("db", &self.db)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

/// What the janitor looks for must be found without reading all of a table.
pub(crate) struct AgeIndexes;

impl MigrationName for AgeIndexes {
    fn name(&self) -> &str {
        "strangler_0008_ages"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for AgeIndexes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let ended = Index::create()
            .name("sagas_ended")
            .table(sagas::Entity)
            .col(sagas::Column::Status)
            .col(sagas::Column::ChangedAt)
            .take();
        manager.create_index(ended).await?;
        let received = Index::create()
            .name("inbox_age")
            .table(received::Entity)
            .col(received::Column::At)
            .take();
        manager.create_index(received).await?;
        let resolved = Index::create()
            .name("dead_letters_resolved")
            .table(dead_letters::Entity)
            .col(dead_letters::Column::ResolvedAt)
            .take();
        manager.create_index(resolved).await
    }
}
