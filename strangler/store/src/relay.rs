//! Moves committed events from the outbox into the event log, and numbers them there.
//!
//! Only the relay numbers, and only what has committed: so a reader of the log never passes a position that is filled
//! later. Ids drawn by the writers cannot serve for that, because they commit in another order than they draw.

use std::{future::Future, pin::pin, time::Duration};

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QuerySelect, Statement};

use crate::{
    Db, Engine, Lease, StoreError, Turn,
    backoff::{AWAY, Backoff},
    entity::outbox,
    error::Sort,
    log::NET,
    tenure::Tenure,
    view::Reader,
    writer::{News, Tx},
};

const COLUMNS: &str =
    r#""event_id", "type", "dataversion", "stream", "subject", "aggregateversion", "time", "traceparent", "data""#;

/// A relay of one schema. Each pass locks the log's head row first, so any number of relays may run; of those that do, one
/// works at a time, which has the lease `relay`.
#[derive(Clone, Debug)]
pub struct Relay {
    db: Db,
    batch: u32,
    turn: Turn,
}

impl Relay {
    pub(crate) fn new(db: Db) -> Self {
        Self {
            db,
            batch: 1000,
            turn: Turn::always(),
        }
    }

    /// The most events that one pass moves; 1000 unless told otherwise.
    pub fn with_batch(mut self, events: u32) -> Self {
        self.batch = events.max(1);
        self
    }

    /// [`run`](Self::run) works when it is this side's turn; always, unless told otherwise.
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// Moves what is in the outbox, up to one batch, in one transaction, whosever turn it is. Answers how many events it
    /// moved.
    ///
    /// # Errors
    /// The database's; nothing was moved then.
    pub async fn pass(&self) -> Result<usize, StoreError> {
        Ok(self.pass_under(None).await?.unwrap_or_default())
    }

    /// One pass; `None` when the lease is somebody else's.
    async fn pass_under(&self, lease: Option<&Lease>) -> Result<Option<usize>, StoreError> {
        let tx = self.db.begin_raw("relaying events").await?;
        if let Some(lease) = lease
            && !lease.holds(&tx).await?
        {
            return Ok(None);
        }
        let fail = |e: DbErr| self.db.place().error("relaying events", &e);
        let head = self.lock_head(&tx).await.map_err(fail)?;
        let Some(head) = head else {
            return Err(self
                .db
                .place()
                .make(Sort::Corrupt, "relaying events", "the head row of the log is missing"));
        };
        let moved = match self.db.engine() {
            Engine::Sqlite => self.move_sqlite(&tx, head).await,
            Engine::Postgres => self.move_postgres(&tx, head).await,
        };
        let moved = moved.map_err(fail)?;
        if moved == 0 {
            return Ok(Some(0));
        }
        let position = head.saturating_add(i64::try_from(moved).unwrap_or(i64::MAX));
        let update = self.statement(
            r#"UPDATE "event_log_head" SET "position" = $1 WHERE "id" = 1"#,
            [position],
        );
        tx.execute_raw(update).await.map_err(fail)?;
        let news = News {
            logged: true,
            ..News::default()
        };
        tx.commit_with(news).await.map_err(fail)?;
        Ok(Some(usize::try_from(moved).unwrap_or(usize::MAX)))
    }

    /// Relays until `stop` is ready: whenever a unit of work of this process commits an event, and within some 20 ms for those
    /// of other processes. A database that is away is waited for.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let (mut commits, mut beats) = (self.db.watch_commits(), self.db.beats());
        let mut backoff = Backoff::default();
        let mut look_first = false;
        let mut tenure = Tenure::new(&self.db, "relay".to_owned(), self.turn.clone());
        loop {
            commits.mark_unchanged();
            let lease = tenure.lease().await;
            let waiting = matches!(lease, Ok(None));
            let turn = match lease {
                Ok(Some(lease)) => self.turn(&lease, look_first).await,
                Ok(None) => Ok(Some(0)),
                Err(error) => Err(error),
            };
            let pause = match turn {
                Ok(None) => {
                    tenure.lost();
                    Duration::ZERO
                }
                Ok(Some(moved)) => {
                    let failures = backoff.succeeded();
                    if failures > 0 {
                        tracing::info!(schema = self.db.schema(), failures, "the relay works again");
                    }
                    if moved >= self.batch as usize {
                        Duration::ZERO
                    } else {
                        NET
                    }
                }
                Err(error) => {
                    let (pause, news) = backoff.failed(&error, AWAY);
                    if news {
                        tracing::warn!(schema = self.db.schema(), %error, "the relay cannot work; it will try again");
                    }
                    pause
                }
            };
            let healthy = backoff.failures() == 0;
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = tenure.changed(), if waiting => look_first = false,
                // While the database is away, commits are no reason to hurry.
                _ = commits.changed(), if healthy && !waiting => look_first = false,
                () = beats.next(), if healthy && !waiting && pause == NET => look_first = true,
                () = tokio::time::sleep(pause), if !waiting => look_first = pause == NET,
            }
        }
        tenure.give_back().await;
    }

    /// One pass; after a poll only if there is something to move, because a pass takes the schema's writer.
    async fn turn(&self, lease: &Lease, look_first: bool) -> Result<Option<usize>, StoreError> {
        if look_first {
            let one = outbox::Entity::find().select_only().column(outbox::Column::Id).limit(1);
            let waiting = one.into_tuple::<i64>().one(&Reader { db: &self.db }).await;
            if waiting
                .map_err(|e| self.db.place().error("looking for events", &e))?
                .is_none()
            {
                return Ok(Some(0));
            }
        }
        self.pass_under(Some(lease)).await
    }

    async fn lock_head(&self, tx: &Tx) -> Result<Option<i64>, DbErr> {
        let lock = match self.db.engine() {
            Engine::Sqlite => r#"SELECT "position" FROM "event_log_head" WHERE "id" = 1"#,
            Engine::Postgres => r#"SELECT "position" FROM "event_log_head" WHERE "id" = 1 FOR UPDATE"#,
        };
        let row = tx.query_one_raw(self.statement(lock, [])).await?;
        row.map(|row| row.try_get("", "position")).transpose()
    }

    /// Under BEGIN IMMEDIATE nobody else writes, so both statements see the same rows.
    async fn move_sqlite(&self, tx: &Tx, head: i64) -> Result<u64, DbErr> {
        let copy = format!(
            r#"INSERT INTO "event_log" ("position", {COLUMNS})
               SELECT $1 + row_number() OVER (ORDER BY "id"), {COLUMNS} FROM "outbox" ORDER BY "id" LIMIT $2"#
        );
        let moved = tx
            .execute_raw(self.statement(&copy, [head, self.batch.into()]))
            .await?
            .rows_affected();
        if moved > 0 {
            let delete = r#"DELETE FROM "outbox" WHERE "id" IN (SELECT "id" FROM "outbox" ORDER BY "id" LIMIT $1)"#;
            tx.execute_raw(self.statement(delete, [self.batch.into()])).await?;
        }
        Ok(moved)
    }

    /// One statement, one snapshot: what is deleted is exactly what is numbered, whatever commits meanwhile.
    async fn move_postgres(&self, tx: &Tx, head: i64) -> Result<u64, DbErr> {
        let sql = format!(
            r#"WITH "moved" AS (
                   DELETE FROM "outbox" WHERE "id" IN (SELECT "id" FROM "outbox" ORDER BY "id" LIMIT $2)
                   RETURNING "id", {COLUMNS}
               )
               INSERT INTO "event_log" ("position", {COLUMNS})
               SELECT $1 + row_number() OVER (ORDER BY "id"), {COLUMNS} FROM "moved""#
        );
        Ok(tx
            .execute_raw(self.statement(&sql, [head, self.batch.into()]))
            .await?
            .rows_affected())
    }

    fn statement<const N: usize>(&self, sql: &str, values: [i64; N]) -> Statement {
        let backend = match self.db.engine() {
            Engine::Sqlite => sea_orm::DbBackend::Sqlite,
            Engine::Postgres => sea_orm::DbBackend::Postgres,
        };
        Statement::from_sql_and_values(backend, sql, values.map(sea_orm::Value::from))
    }
}
