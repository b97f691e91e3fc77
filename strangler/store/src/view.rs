//! Reading for queries: outside of any unit of work, without locks.

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::{
    AccessMode, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, ExecResult,
    IsolationLevel, QueryFilter, QueryResult, Statement, TransactionTrait, entity::prelude::async_trait,
};
use uuid::Uuid;

use crate::{Aggregate, Db, Engine, Query, StoreError, postgres, taped::Taped};

/// Reads with one statement at a time, each of which sees what is committed when it runs.
pub struct View<'a> {
    db: &'a Db,
    taped: Option<Taped>,
}

impl<'a> View<'a> {
    pub(crate) fn new(db: &'a Db, taped: Option<Taped>) -> Self {
        Self { db, taped }
    }

    /// The time now, by the clock that units of work have theirs from; microseconds, UTC.
    pub fn now(&self) -> DateTime<Utc> {
        let now = self.db.now();
        self.taped.as_ref().map_or(now, |taped| taped.now(now))
    }

    /// The aggregate with this id, if there is one.
    ///
    /// # Errors
    /// The database's, or [`StoreError::Corrupt`] for a row that cannot be understood.
    pub async fn load<A: Aggregate>(&self, id: Uuid) -> Result<Option<A>, StoreError> {
        read((self.db, self.taped.as_ref()), &Reader { db: self.db }, id).await
    }

    /// Asks `query`.
    ///
    /// # Errors
    /// The database's.
    pub async fn find<Q: Query>(&self, query: Q) -> Result<Q::Answer, StoreError> {
        ask((self.db, self.taped.as_ref()), &Reader { db: self.db }, query).await
    }

    /// Reads that all see the same state.
    ///
    /// # Errors
    /// The database's.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        match self.taped.as_ref().filter(|taped| taped.replays()) {
            Some(_) => Ok(Snapshot {
                db: self.db.clone(),
                tx: None,
                taped: self.taped.clone(),
            }),
            None => {
                let begun = Snapshot::begin(self.db).await.inspect_err(|error| {
                    if let Some(taped) = &self.taped {
                        taped.failed(error);
                    }
                });
                begun.map(|snapshot| Snapshot {
                    taped: self.taped.clone(),
                    ..snapshot
                })
            }
        }
    }
}

/// Several reads of one state of the schema. Keep it short: old row versions are kept as long as it lives.
pub struct Snapshot {
    db: Db,
    /// Not there where a unit of work is only done again, from a recording.
    tx: Option<DatabaseTransaction>,
    pub(crate) taped: Option<Taped>,
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
        Ok(Self {
            db: db.clone(),
            tx: Some(tx),
            taped: None,
        })
    }

    /// The aggregate with this id, if there was one.
    ///
    /// # Errors
    /// As [`View::load`].
    pub async fn load<A: Aggregate>(&self, id: Uuid) -> Result<Option<A>, StoreError> {
        let on = (&self.db, self.taped.as_ref());
        match &self.tx {
            Some(tx) => read(on, tx, id).await,
            None => read(on, &Reader { db: &self.db }, id).await,
        }
    }

    /// Asks `query`.
    ///
    /// # Errors
    /// The database's.
    pub async fn find<Q: Query>(&self, query: Q) -> Result<Q::Answer, StoreError> {
        let on = (&self.db, self.taped.as_ref());
        match &self.tx {
            Some(tx) => ask(on, tx, query).await,
            None => ask(on, &Reader { db: &self.db }, query).await,
        }
    }

    /// The transaction.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where there is none: see [`Uow::connection`](crate::Uow).
    pub(crate) fn connection(&self) -> Result<&DatabaseTransaction, StoreError> {
        self.tx.as_ref().ok_or_else(|| {
            if let Some(taped) = &self.taped {
                taped.miss("database");
            }
            let cause = "it is only done again from a recording, and asks for more than is recorded";
            self.db.place().refused("asking the database", cause)
        })
    }
}

/// A schema, and the tape on which it is read, if any.
type On<'a> = (&'a Db, Option<&'a Taped>);

async fn read<A: Aggregate>(
    (db, taped): On<'_>,
    connection: &impl ConnectionTrait,
    id: Uuid,
) -> Result<Option<A>, StoreError> {
    if let Some(replay) = taped.filter(|taped| taped.replays()) {
        return Ok(replay.row(A::KIND, id).await);
    }
    let doing = || format!("loading {} {id}", A::KIND);
    let row = A::Entity::find().filter(A::id_column().eq(id)).one(connection).await;
    let found = row.map_err(|e| db.place().error(doing(), &e)).and_then(|row| {
        let found = row.map(A::from_model).transpose();
        found.map_err(|e| db.place().locate(doing(), e))
    });
    match (taped, &found) {
        (Some(taped), Ok(found)) => taped.note_row(A::KIND, id, found.as_ref()),
        (Some(taped), Err(error)) => taped.failed(error),
        (None, _) => {}
    }
    found
}

async fn ask<Q: Query>(
    (db, taped): On<'_>,
    connection: &impl ConnectionTrait,
    query: Q,
) -> Result<Q::Answer, StoreError> {
    if let Some(replay) = taped.filter(|taped| taped.replays())
        && let Some(answer) = replay.query(Q::NAME, &query).await
    {
        return Ok(answer);
    }
    let question = taped.and_then(|taped| taped.question(&query));
    let answer = query.run(connection).await;
    let answer = answer.map_err(|e| db.place().error(format_args!("asking {}", Q::NAME), &e));
    match (taped, &answer) {
        (Some(taped), Ok(answer)) => taped.note_query(Q::NAME, question, answer),
        (Some(taped), Err(error)) => taped.failed(error),
        (None, _) => {}
    }
    answer
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("db", &self.db).finish_non_exhaustive()
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
