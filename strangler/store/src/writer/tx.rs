//! A transaction that will write, as it is lent to a unit of work.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement,
    entity::prelude::async_trait, sqlx,
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::signals::{News, Signals};

/// An aggregate, or something else with an id of its own, as far as a batch is concerned.
pub(crate) type Row = (&'static str, Uuid);

/// A transaction that will write. On PostgreSQL it is one; on SQLite it is a part of one. Dropping it rolls it back.
pub(crate) struct Tx {
    /// Not there only while it settles, and after it failed to.
    held: Option<DatabaseTransaction>,
    loan: Option<Loan>,
    signals: Arc<Signals>,
    /// What it has written, for those who come after it in the batch.
    touched: Vec<Row>,
    /// Those it waited for to be certain came to nothing.
    undone_before: bool,
    /// The first failure of a statement of it.
    trouble: OnceLock<DbErr>,
}

/// How it goes back to the driver.
struct Loan {
    back: oneshot::Sender<Back>,
    before: Before,
}

/// What was written before in the same transaction.
#[derive(Default)]
pub(super) struct Before {
    pub(super) units: usize,
    pub(super) rows: HashSet<Row>,
}

/// What a unit gives back.
pub(super) struct Back {
    pub(super) tx: DatabaseTransaction,
    pub(super) before: Before,
    pub(super) what: What,
}

pub(super) enum What {
    /// To be committed; the answer goes there.
    Kept {
        touched: Vec<Row>,
        news: News,
        /// A statement failed, and it is to be committed all the same.
        doubtful: bool,
        done: oneshot::Sender<Result<(), DbErr>>,
    },
    /// To be rolled back.
    Undone(Option<DbErr>),
    /// Nothing was written yet; it goes on when those before it are committed.
    Settle(oneshot::Sender<Result<Tx, DbErr>>),
}

impl Tx {
    /// A transaction of its own.
    pub(crate) fn own(tx: DatabaseTransaction, signals: Arc<Signals>) -> Self {
        Self {
            held: Some(tx),
            loan: None,
            signals,
            touched: Vec::new(),
            undone_before: false,
            trouble: OnceLock::new(),
        }
    }

    /// A part of one, to be given back.
    pub(super) fn lent(
        tx: DatabaseTransaction,
        before: Before,
        back: oneshot::Sender<Back>,
        signals: Arc<Signals>,
        undone_before: bool,
    ) -> Self {
        let mut lent = Self::own(tx, signals);
        lent.loan = Some(Loan { back, before });
        lent.undone_before = undone_before;
        lent
    }

    /// Commits, and tells whom it may concern.
    pub(crate) async fn commit_with(mut self, news: News) -> Result<(), DbErr> {
        let Some(tx) = self.held.take() else {
            return Err(lost());
        };
        let Some(Loan { back, before }) = self.loan.take() else {
            // Even a commit whose answer got lost, or whose caller went away, may have left something.
            let _announce = Announce(&self.signals, news);
            return tx.commit().await;
        };
        let (done, told) = oneshot::channel();
        let touched = std::mem::take(&mut self.touched);
        let what = What::Kept {
            touched,
            news,
            doubtful: self.trouble.get().is_some(),
            done,
        };
        drop(back.send(Back { tx, before, what }));
        told.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Commits.
    pub(crate) async fn commit(self) -> Result<(), DbErr> {
        self.commit_with(News::default()).await
    }

    /// It has written this; so whoever loads it in the same transaction later may have to wait.
    pub(crate) fn touch(&mut self, row: Row) {
        if self.loan.is_some() {
            self.touched.push(row);
        }
    }

    /// Remembers that a statement failed.
    fn note<T>(&self, result: Result<T, DbErr>) -> Result<T, DbErr> {
        if let Err(error) = &result {
            self.trouble.get_or_init(|| error.clone());
        }
        result
    }

    /// Whether this row, or any at all, was written by somebody whose commit is not certain yet.
    pub(crate) fn is_uncertain(&self, row: Option<Row>) -> bool {
        self.loan.as_ref().is_some_and(|loan| match row {
            Some(row) => loan.before.rows.contains(&row),
            None => loan.before.units > 0,
        })
    }

    /// Waits until what was written before in the same transaction is committed, and goes on in one of its own; nothing must
    /// have been written here. A command that finds that it was carried out already answers without a commit. What it found
    /// may be written by another one of the same batch, whose commit may yet fail: then "it is done" was not true, and if
    /// the process was killed, what was acknowledged is lost. Answers whether what was read before may not hold any more: those
    /// who wrote it failed to commit, or another process wrote in between.
    pub(crate) async fn settle(&mut self) -> Result<bool, DbErr> {
        let version = self.data_version().await?;
        let (Some(tx), Some(Loan { back, before })) = (self.held.take(), self.loan.take()) else {
            return Err(lost());
        };
        let (again, next) = oneshot::channel();
        let what = What::Settle(again);
        drop(back.send(Back { tx, before, what }));
        *self = next.await.unwrap_or_else(|_| Err(lost()))?;
        Ok(self.undone_before || self.data_version().await? != version)
    }

    /// Changes when another connection has written to the file, and by nothing else.
    async fn data_version(&self) -> Result<i64, DbErr> {
        let ask = Statement::from_string(DbBackend::Sqlite, "PRAGMA data_version");
        let row = self.query_one_raw(ask).await?;
        row.ok_or_else(lost)?.try_get_by_index(0)
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if let (Some(tx), Some(Loan { back, before })) = (self.held.take(), self.loan.take()) {
            let what = What::Undone(self.trouble.take());
            drop(back.send(Back { tx, before, what }));
        }
    }
}

impl Tx {
    /// The transaction itself, for one that was begun as the first of its batch: nothing is there to go back to but its
    /// beginning.
    pub(crate) fn whole(&self) -> &DatabaseTransaction {
        self.held()
    }

    fn held(&self) -> &DatabaseTransaction {
        self.held
            .as_ref()
            .expect("a unit of work that could not settle asks the database nothing more")
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.held().get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.note(self.held().execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.note(self.held().execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.note(self.held().query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.note(self.held().query_all_raw(statement).await)
    }
}

struct Announce<'a>(&'a Signals, News);

impl Drop for Announce<'_> {
    fn drop(&mut self) {
        self.0.announce(std::mem::take(&mut self.1));
    }
}

/// The driver is gone in the middle of something: its runtime has ended.
fn lost() -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(Arc::new(sqlx::Error::WorkerCrashed)))
}
