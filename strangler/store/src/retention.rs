//! Keeping event logs short: readers say how far they are, and what all of them have passed is pruned.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_query};
use sea_query::{ColumnType, Table};

use crate::{
    Db, Lease, StoreError,
    entity::{event_log, event_log_head},
    schema::column,
    view::Reader,
    writer::Tx,
};

pub(crate) mod log_readers {
    //! How far each reader of this schema's log has come, as it says itself.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "log_readers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub position: i64,
        pub reported_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The most events that one transaction deletes, so that the relay does not wait for long.
const AT_ONCE: i64 = 5_000;

/// How far a reader of a log has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderInfo {
    /// Its schema and subscription, such as `search/index`.
    pub name: String,
    /// What it has handled, or set aside for itself; the log need not keep it.
    pub position: i64,
    /// When it said so.
    pub reported_at: DateTime<Utc>,
}

/// What was pruned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// How many events.
    pub events: u64,
    /// Up to which position the log has been pruned; reading from before it answers
    /// [`LogError::Gone`](crate::LogError::Gone).
    pub floor: i64,
}

/// The retention of one schema's log.
#[derive(Clone, Debug)]
pub struct Retention {
    db: Db,
}

impl Retention {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// The readers that have reported, the slowest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn readers(&self) -> Result<Vec<ReaderInfo>, StoreError> {
        let rows = log_readers::Entity::find()
            .order_by_asc(log_readers::Column::Position)
            .all(&Reader { db: &self.db })
            .await
            .map_err(|e| self.failed(&e))?;
        let info = |row: log_readers::Model| ReaderInfo {
            name: row.name,
            position: row.position,
            reported_at: row.reported_at,
        };
        Ok(rows.into_iter().map(info).collect())
    }

    /// Notes how far a reader is; it is waited for from then on. A smaller position than the last one is taken too: its
    /// data may have been restored from a backup.
    ///
    /// # Errors
    /// The database's.
    pub async fn report(&self, name: &str, position: i64) -> Result<(), StoreError> {
        let row = log_readers::Model {
            name: name.to_owned(),
            position,
            reported_at: self.db.now(),
        };
        let replace = OnConflict::column(log_readers::Column::Name)
            .update_columns([log_readers::Column::Position, log_readers::Column::ReportedAt])
            .to_owned();
        let tx = self.db.begin_raw("reporting a position").await?;
        log_readers::Entity::insert(row.into_active_model().reset_all())
            .on_conflict(replace)
            .exec_without_returning(&tx)
            .await
            .map_err(|e| self.failed(&e))?;
        tx.commit().await.map_err(|e| self.failed(&e))
    }

    /// Does not wait for this reader any more: its subscription is no longer there. Answers whether it was known.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(&self, name: &str) -> Result<bool, StoreError> {
        let tx = self.db.begin_raw("forgetting a reader").await?;
        let deleted = log_readers::Entity::delete_by_id(name).exec(&tx).await;
        let deleted = deleted.map_err(|e| self.failed(&e))?;
        tx.commit().await.map_err(|e| self.failed(&e))?;
        Ok(deleted.rows_affected > 0)
    }

    /// Deletes the events at the beginning of the log that are older than `keep` and that every reader has passed. A log
    /// that nobody reads keeps `keep`. Positions go on from where they were.
    ///
    /// # Errors
    /// The database's; what was deleted before stays deleted.
    pub async fn prune(&self, keep: TimeDelta) -> Result<Pruned, StoreError> {
        let none = Pruned { events: 0, floor: 0 };
        Ok(self
            .prune_some(None, keep, usize::MAX)
            .await?
            .map_or(none, |(pruned, _)| pruned))
    }

    /// As [`prune`](Self::prune), in at most so many transactions, each of which deletes 5000 events at most; answers also
    /// whether there are more. `None` when the lease is somebody else's.
    pub(crate) async fn prune_some(
        &self,
        lease: Option<&Lease>,
        keep: TimeDelta,
        rounds: usize,
    ) -> Result<Option<(Pruned, bool)>, StoreError> {
        let mut pruned = Pruned { events: 0, floor: 0 };
        for _ in 0..rounds {
            let tx = self.db.begin_long("pruning the event log").await?;
            if let Some(lease) = lease
                && !lease.holds(&tx).await?
            {
                return Ok(None);
            }
            let (floor, up_to) = self.bounds(&tx, keep).await.map_err(|e| self.failed(&e))?;
            pruned.floor = floor;
            if up_to <= floor {
                return Ok(Some((pruned, false)));
            }
            pruned.floor = up_to.min(floor.saturating_add(AT_ONCE));
            pruned.events += self.cut(&tx, pruned.floor).await.map_err(|e| self.failed(&e))?;
            tx.commit().await.map_err(|e| self.failed(&e))?;
        }
        Ok(Some((pruned, true)))
    }

    /// The floor, and how far it may be raised. Locks the head row, as the relay does.
    async fn bounds(&self, tx: &Tx, keep: TimeDelta) -> Result<(i64, i64), DbErr> {
        let head = event_log_head::Entity::find_by_id(1).lock_exclusive().one(tx).await?;
        let Some(head) = head else {
            return Err(DbErr::RecordNotFound("the head row of the log is missing".into()));
        };
        let slowest = log_readers::Entity::find()
            .order_by_asc(log_readers::Column::Position)
            .one(tx)
            .await?;
        // Times do not follow positions exactly: the first event that is young enough ends it.
        let young = event_log::Entity::find()
            .select_only()
            .column(event_log::Column::Position)
            .filter(event_log::Column::Time.gte(self.db.now() - keep))
            .order_by_asc(event_log::Column::Position)
            .limit(1)
            .into_tuple::<i64>()
            .one(tx)
            .await?;
        let old = young.map_or(head.position, |position| position - 1);
        Ok((head.floor, slowest.map_or(old, |slowest| old.min(slowest.position))))
    }

    async fn cut(&self, tx: &Tx, until: i64) -> Result<u64, DbErr> {
        let deleted = event_log::Entity::delete_many()
            .filter(event_log::Column::Position.lte(until))
            .exec(tx)
            .await?;
        let floor = event_log_head::ActiveModel {
            floor: Set(until),
            ..Default::default()
        };
        event_log_head::Entity::update_many()
            .set(floor)
            .filter(event_log_head::Column::Id.eq(1))
            .exec(tx)
            .await?;
        Ok(deleted.rows_affected)
    }

    fn failed(&self, error: &DbErr) -> StoreError {
        self.db.place().error("looking after the event log's retention", error)
    }
}

pub(crate) struct ReaderTable;

impl MigrationName for ReaderTable {
    fn name(&self) -> &str {
        "strangler_0005_retention"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for ReaderTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use log_readers::Column as C;
        let table = Table::create()
            .table(log_readers::Entity)
            .col(column(C::Name, ColumnType::Text).primary_key())
            .col(column(C::Position, ColumnType::BigInteger))
            .col(column(C::ReportedAt, ColumnType::TimestampWithTimeZone))
            .take();
        manager.create_table(table).await
    }
}
