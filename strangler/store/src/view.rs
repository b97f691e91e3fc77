//! Reading for queries: outside of any unit of work, without locks.

use chrono::{DateTime, Utc};
use sea_orm::{
    AccessMode, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, ExecResult,
    IsolationLevel, QueryFilter, QueryResult, Statement, TransactionTrait, entity::prelude::async_trait,
};
use uuid::Uuid;

use crate::{Aggregate, Db, Engine, Query, StoreError, postgres};

/// Reads with one statement at a time, each of which sees what is committed when it runs.
#[derive(Debug)]
pub struct View<'a> {
    db: &'a Db,
}

impl<'a> View<'a> {
    pub(crate) fn new(db: &'a Db) -> Self {
        Self { db }
    }

    /// The time now, by the clock that units of work have theirs from; microseconds, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        self.db.now()
    }

    /// The aggregate with this id, if there is one.
    ///
    /// # Errors
    /// The database's, or [`StoreError::Corrupt`] for a row that cannot be understood.
    pub async fn load<A: Aggregate>(&self, id: Uuid) -> Result<Option<A>, StoreError> {
        read(self.db, &Reader { db: self.db }, id).await
    }

    /// Asks `query`.
    ///
    /// # Errors
    /// The database's.
    pub async fn find<Q: Query>(&self, query: Q) -> Result<Q::Answer, StoreError> {
        let answer = query.run(&Reader { db: self.db }).await;
        answer.map_err(|e| self.db.place().error(format_args!("asking {}", Q::NAME), &e))
    }

    /// Reads that all see the same state.
    ///
    /// # Errors
    /// The database's.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::begin(self.db).await
    }
}

/// Several reads of one state of the schema. Keep it short: old row versions are kept as long as it lives.
pub struct Snapshot {
    db: Db,
    tx: DatabaseTransaction,
}

impl Snapshot {
    pub(crate) async fn begin(db: &Db) -> Result<Self, StoreError> {
        let tx = match db.engine() {
            // A deferred transaction takes its snapshot at the first read.
            Engine::Sqlite => db.persist(|| db.reader().begin()).await,
            Engine::Postgres => {
                let (level, access) = (IsolationLevel::RepeatableRead, AccessMode::ReadOnly);
                db.persist(|| postgres::begin(db.reader().clone(), Some(level), Some(access)))
                    .await
            }
        };
        let tx = tx.map_err(|e| db.place().error("beginning to read", &e))?;
        Ok(Self { db: db.clone(), tx })
    }

    /// The aggregate with this id, if there was one.
    ///
    /// # Errors
    /// As [`View::load`].
    pub async fn load<A: Aggregate>(&self, id: Uuid) -> Result<Option<A>, StoreError> {
        read(&self.db, &self.tx, id).await
    }

    /// Asks `query`.
    ///
    /// # Errors
    /// The database's.
    pub async fn find<Q: Query>(&self, query: Q) -> Result<Q::Answer, StoreError> {
        let answer = query.run(&self.tx).await;
        answer.map_err(|e| self.db.place().error(format_args!("asking {}", Q::NAME), &e))
    }

    pub(crate) fn connection(&self) -> &DatabaseTransaction {
        &self.tx
    }
}

async fn read<A: Aggregate>(db: &Db, connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<A>, StoreError> {
    let doing = || format!("loading {} {id}", A::KIND);
    let row = A::Entity::find().filter(A::id_column().eq(id)).one(connection).await;
    match row.map_err(|e| db.place().error(doing(), &e))? {
        Some(model) => A::from_model(model)
            .map(Some)
            .map_err(|e| db.place().locate(doing(), e)),
        None => Ok(None),
    }
}

/// The reader pool, which sends a read again when its connection turns out to be lost, and refuses what is no read.
pub(crate) struct Reader<'a> {
    pub(crate) db: &'a Db,
}

fn no_read() -> DbErr {
    DbErr::Custom("a view only reads; change data in a unit of work".into())
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader<'_> {
    fn get_database_backend(&self) -> DbBackend {
        self.db.reader().get_database_backend()
    }

    async fn execute_raw(&self, _: Statement) -> Result<ExecResult, DbErr> {
        Err(no_read())
    }

    async fn execute_unprepared(&self, _: &str) -> Result<ExecResult, DbErr> {
        Err(no_read())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.db
            .persist(|| self.db.reader().query_one_raw(statement.clone()))
            .await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.db
            .persist(|| self.db.reader().query_all_raw(statement.clone()))
            .await
    }
}
