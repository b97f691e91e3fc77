//! Leases: which worker of a name may work, and on which side.
//!
//! A lease that has merely been granted proves nothing: its holder may have been asleep while another one took over. So
//! every transaction of its holder first locks the lease's row and looks whether it still stands there with its epoch.
//! Whoever takes a lease, or revokes it, waits for that lock, and raises the epoch.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, OnConflict},
};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_query};
use sea_query::{ColumnType, Table};
use tokio::sync::watch;

use crate::{Db, StoreError, Uow, schema::column, view::Reader, writer::Tx};

pub(crate) mod leases {
    //! One row per name that was ever leased.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "leases")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub holder: String,
        pub epoch: i64,
        pub route: i64,
        pub until: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// How long a worker that fell silent keeps others waiting.
pub(crate) const TTL: Duration = Duration::from_secs(15);

/// When this process may do a schema's background work. It follows the stage of the module: `None` while the other side
/// works, and otherwise the epoch of the route, which is raised by each flip. A side whose epoch is behind can get no
/// lease, even if it has not heard of the flip.
#[derive(Clone, Debug)]
pub struct Turn {
    route: watch::Receiver<Option<i64>>,
    _keep: Option<Arc<watch::Sender<Option<i64>>>>,
}

impl Turn {
    /// Always, at route epoch 0: for a module that does not move.
    pub fn always() -> Self {
        let sender = watch::Sender::new(Some(0));
        Self {
            route: sender.subscribe(),
            _keep: Some(Arc::new(sender)),
        }
    }

    /// As `route` says. When its sender is gone, what it said last stays true.
    pub fn following(route: watch::Receiver<Option<i64>>) -> Self {
        Self { route, _keep: None }
    }

    /// The route epoch, if it is this side's turn.
    pub fn now(&self) -> Option<i64> {
        *self.route.borrow()
    }

    /// Returns when it may have changed.
    pub async fn changed(&mut self) {
        if self.route.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// One row of `leases`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseInfo {
    /// What is leased, such as `relay` or `subscription:search`.
    pub name: String,
    /// Who has it; empty when nobody has.
    pub holder: String,
    /// Raised whenever it is granted or revoked.
    pub epoch: i64,
    /// The newest route epoch it was granted or revoked for.
    pub route: i64,
    /// Until when it is kept for its holder.
    pub until: DateTime<Utc>,
}

impl From<leases::Model> for LeaseInfo {
    fn from(row: leases::Model) -> Self {
        Self {
            name: row.name,
            holder: row.holder,
            epoch: row.epoch,
            route: row.route,
            until: row.until,
        }
    }
}

/// The leases of one schema.
#[derive(Clone, Debug)]
pub struct Leases {
    db: Db,
}

impl Leases {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// Leases `name` to `holder`, if it is free, has expired, was granted for an older route epoch, or is the holder's
    /// already. A holder of an older route epoch than the newest one seen gets nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn acquire(
        &self,
        name: &str,
        holder: &str,
        route: i64,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let tx = self.db.begin_raw("acquiring a lease").await?;
        let row = self.lock(&tx, name).await?;
        let now = self.db.now();
        let free = row.holder.is_empty() || row.holder == holder || row.until <= now || row.route < route;
        if row.route > route || !free {
            return Ok(None);
        }
        let lease = Lease {
            db: self.db.clone(),
            name: name.to_owned(),
            holder: holder.to_owned(),
            epoch: row.epoch + 1,
            ttl,
        };
        let granted = leases::ActiveModel {
            holder: Set(lease.holder.clone()),
            epoch: Set(lease.epoch),
            route: Set(route),
            until: Set(lease.expiry()),
            ..Default::default()
        };
        self.update(&tx, name, granted).await?;
        self.commit(tx, name).await?;
        Ok(Some(lease))
    }

    /// Takes `name` from whoever has it, waiting for the transaction it may be in. From then on only route epochs of
    /// `route` or newer get it. Answers the new epoch.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke(&self, name: &str, route: i64) -> Result<i64, StoreError> {
        Ok(self.revoke_if(name, route, |_| true).await?.unwrap_or_default())
    }

    /// The same, when `holds` is true of it as it is then. Answers the new epoch, if it was revoked.
    ///
    /// # Errors
    /// The database's.
    pub async fn revoke_if(
        &self,
        name: &str,
        route: i64,
        holds: impl FnOnce(&LeaseInfo) -> bool + Send,
    ) -> Result<Option<i64>, StoreError> {
        let tx = self.db.begin_raw("revoking a lease").await?;
        let row = self.lock(&tx, name).await?;
        let revoked = leases::ActiveModel {
            holder: Set(String::new()),
            epoch: Set(row.epoch + 1),
            route: Set(row.route.max(route)),
            until: Set(self.db.now()),
            ..Default::default()
        };
        let epoch = row.epoch + 1;
        if !holds(&LeaseInfo::from(row)) {
            return Ok(None);
        }
        self.update(&tx, name, revoked).await?;
        self.commit(tx, name).await?;
        Ok(Some(epoch))
    }

    /// All leases, by name.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self) -> Result<Vec<LeaseInfo>, StoreError> {
        let rows = leases::Entity::find()
            .order_by_asc(leases::Column::Name)
            .all(&Reader { db: &self.db })
            .await
            .map_err(|e| self.db.place().error("listing leases", &e))?;
        Ok(rows.into_iter().map(LeaseInfo::from).collect())
    }

    /// Notes that `route` has come: workers that share a name (sagas) need no holder, but work for the newest route only.
    /// Answers whether this is the newest.
    pub(crate) async fn enter(&self, name: &str, route: i64) -> Result<bool, StoreError> {
        let tx = self.db.begin_raw("entering a route").await?;
        let row = self.lock(&tx, name).await?;
        if row.route < route {
            let entered = leases::ActiveModel {
                route: Set(route),
                epoch: Set(row.epoch + 1),
                ..Default::default()
            };
            self.update(&tx, name, entered).await?;
        }
        self.commit(tx, name).await?;
        Ok(row.route <= route)
    }

    /// Inside a transaction: whether `route` is still the newest, and will be until the transaction ends. [`Leases::enter`]
    /// has made the row.
    pub(crate) async fn is_newest(&self, tx: &Tx, name: &str, route: i64) -> Result<bool, StoreError> {
        let row = leases::Entity::find_by_id(name).lock_shared().one(tx).await;
        let row = row.map_err(|e| self.failed(name, &e))?;
        Ok(row.is_some_and(|row| row.route == route))
    }

    /// The same as a condition of a statement of that transaction, which saves asking first.
    pub(crate) fn newest(name: &str, route: i64) -> Expr {
        let row = leases::Entity::find_by_id(name)
            .select_only()
            .column(leases::Column::Route)
            .filter(leases::Column::Route.eq(route))
            .lock_shared();
        Expr::exists(row.into_query())
    }

    /// The row of this name, locked; made if there is none.
    async fn lock(&self, tx: &Tx, name: &str) -> Result<leases::Model, StoreError> {
        let find = || leases::Entity::find_by_id(name).lock_exclusive();
        if let Some(row) = find().one(tx).await.map_err(|e| self.failed(name, &e))? {
            return Ok(row);
        }
        let row = leases::Model {
            name: name.to_owned(),
            holder: String::new(),
            epoch: 0,
            route: 0,
            until: self.db.now(),
        };
        let keep = OnConflict::column(leases::Column::Name).do_nothing().to_owned();
        let insert = leases::Entity::insert(row.clone().into_active_model().reset_all()).on_conflict(keep);
        insert
            .exec_without_returning(tx)
            .await
            .map_err(|e| self.failed(name, &e))?;
        Ok(find().one(tx).await.map_err(|e| self.failed(name, &e))?.unwrap_or(row))
    }

    async fn update(&self, tx: &Tx, name: &str, row: leases::ActiveModel) -> Result<(), StoreError> {
        let update = leases::Entity::update_many()
            .set(row)
            .filter(leases::Column::Name.eq(name));
        update.exec(tx).await.map(drop).map_err(|e| self.failed(name, &e))
    }

    async fn commit(&self, tx: Tx, name: &str) -> Result<(), StoreError> {
        tx.commit().await.map_err(|e| self.failed(name, &e))
    }

    fn failed(&self, name: &str, error: &DbErr) -> StoreError {
        self.db.place().error(format_args!("leasing {name}"), error)
    }
}

/// A lease that was granted. Whether it still holds is only known inside a transaction.
#[derive(Clone)]
pub struct Lease {
    db: Db,
    name: String,
    holder: String,
    epoch: i64,
    ttl: Duration,
}

impl Lease {
    /// What is leased.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The epoch it was granted with.
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Keeps it for another while. `false` when it is somebody else's by now.
    ///
    /// # Errors
    /// The database's.
    pub async fn renew(&self) -> Result<bool, StoreError> {
        self.keep(self.holder.clone(), self.expiry()).await
    }

    /// Gives it back, if it is still there to be given back.
    ///
    /// # Errors
    /// The database's; it expires then.
    pub async fn release(self) -> Result<(), StoreError> {
        self.keep(String::new(), self.db.now()).await.map(drop)
    }

    /// In a unit of work, before anything else: whether it still holds. If so it does until the unit of work ends; if not,
    /// drop it.
    ///
    /// # Errors
    /// The database's.
    pub async fn guards(&self, uow: &mut Uow) -> Result<bool, StoreError> {
        self.holds(uow.connection()?).await
    }

    /// Inside a transaction, before anything else: whether it still holds. If so it does until the transaction ends.
    pub(crate) async fn holds(&self, tx: &Tx) -> Result<bool, StoreError> {
        let row = leases::Entity::find_by_id(self.name.clone())
            .lock_exclusive()
            .one(tx)
            .await;
        let row = row.map_err(|e| self.failed(&e))?;
        Ok(row.is_some_and(|row| row.epoch == self.epoch && row.holder == self.holder))
    }

    async fn keep(&self, holder: String, until: DateTime<Utc>) -> Result<bool, StoreError> {
        let tx = self.db.begin_raw("keeping a lease").await?;
        let kept = leases::ActiveModel {
            holder: Set(holder),
            until: Set(until),
            ..Default::default()
        };
        let updated = leases::Entity::update_many()
            .set(kept)
            .filter(leases::Column::Name.eq(&self.name))
            .filter(leases::Column::Epoch.eq(self.epoch))
            .filter(leases::Column::Holder.eq(&self.holder))
            .exec(&tx)
            .await
            .map_err(|e| self.failed(&e))?;
        tx.commit().await.map_err(|e| self.failed(&e))?;
        Ok(updated.rows_affected == 1)
    }

    fn expiry(&self) -> DateTime<Utc> {
        self.db.now() + TimeDelta::from_std(self.ttl).unwrap_or(TimeDelta::MAX)
    }

    fn failed(&self, error: &DbErr) -> StoreError {
        self.db.place().error(format_args!("leasing {}", self.name), error)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("name", &self.name)
            .field("holder", &self.holder)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

pub(crate) struct LeaseTable;

impl MigrationName for LeaseTable {
    fn name(&self) -> &str {
        "strangler_0003_leases"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for LeaseTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use leases::Column as C;
        let table = Table::create()
            .table(leases::Entity)
            .col(column(C::Name, ColumnType::Text).primary_key())
            .col(column(C::Holder, ColumnType::Text))
            .col(column(C::Epoch, ColumnType::BigInteger))
            .col(column(C::Route, ColumnType::BigInteger))
            .col(column(C::Until, ColumnType::TimestampWithTimeZone))
            .take();
        manager.create_table(table).await
    }
}
