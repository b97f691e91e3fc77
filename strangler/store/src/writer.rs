//! Group commit: on SQLite, units of work that wait for the schema's one writer share a transaction, and so a sync.
//!
//! A task, the driver, owns the writer as long as anybody wants it. It begins a transaction, lends it to the first in line,
//! and gets it back with what the unit has written, or with nothing. While others wait it lends the same transaction to the
//! next one, inside a savepoint; when nobody does, or the batch has reached its bound, it commits, and only then every unit
//! of the batch hears that it is committed. So one who is alone waits for nobody; whoever comes while a commit is being
//! synced is in the next batch together with all the others. The line is first come, first served.
//!
//! * A unit that fails, panics or is dropped is rolled back to its savepoint; its neighbours do not notice.
//! * When COMMIT fails, every unit of the batch fails. The same happens when SQLite ends the transaction by itself, which it
//!   does when there is no room or an I/O error happens. Statements after that would be transactions of their own; so after
//!   one has failed nobody is taken in any more unless it was rolled back to its savepoint, which shows that it is there.
//! * The driver is a task of its own, so no caller who hangs up can interrupt a COMMIT.
//! * A unit reads what the units before it in the batch wrote. If it commits, it commits with them. If it does not, because
//!   it found that everything is as it should be, it must not say so before they are committed: see [`Tx::settle`].
//! * A constraint that is checked at the end of the transaction only (`DEFERRABLE INITIALLY DEFERRED`) would fail the whole
//!   batch: let tables have none.

use std::{
    collections::{HashSet, VecDeque},
    ops::Deref,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
    entity::prelude::async_trait, sqlx,
};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use crate::error::{Place, connection_lost};

/// The most units of work that share a transaction.
const MOST: usize = 64;
/// A batch that is older takes nobody in any more, so that the first one does not wait for the sake of the others.
const LONGEST: Duration = Duration::from_millis(10);

/// The most sagas that are kept in mind until somebody works on them.
const MOST_BEGUN: usize = 4096;

/// An aggregate, or something else with an id of its own, as far as a batch is concerned.
pub(crate) type Row = (&'static str, Uuid);

/// Who is to be told of a commit.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Counts commits that emitted, so that the relays of this process wake up.
    pub(crate) commits: watch::Sender<u64>,
    /// Counts relay passes, so that the log's readers in this process wake up.
    pub(crate) logged: watch::Sender<u64>,
    /// Counts commits that began sagas or put them back to work, so that those who work on them in this process wake up.
    pub(crate) sagas: watch::Sender<u64>,
    /// Counts commits that sent commands, so that the queues' workers in this process wake up.
    pub(crate) queues: watch::Sender<u64>,
    /// Which sagas: whoever works on them here need not look for them.
    begun: Mutex<VecDeque<Uuid>>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        let (commits, logged, sagas) = (watch::Sender::new(0), watch::Sender::new(0), watch::Sender::new(0));
        let (queues, begun) = (watch::Sender::new(0), Mutex::default());
        Self {
            commits,
            logged,
            sagas,
            queues,
            begun,
        }
    }

    pub(crate) fn announce(&self, news: News) {
        let moved = !news.sagas.is_empty();
        if self.sagas.receiver_count() > 0 {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            begun.extend(news.sagas);
            // Those that are forgotten here are found when the table is looked at.
            let over = begun.len().saturating_sub(MOST_BEGUN);
            begun.drain(..over);
        }
        let told = [
            (news.emitted, &self.commits),
            (news.logged, &self.logged),
            (moved, &self.sagas),
            (news.queued, &self.queues),
        ];
        for (_, sender) in told.into_iter().filter(|(happened, _)| *happened) {
            sender.send_modify(|n| *n += 1);
        }
    }

    /// Up to so many of the sagas that were begun or put back to work, for somebody to work on; each is told once.
    pub(crate) fn take_begun(&self, limit: usize) -> Vec<Uuid> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = limit.min(begun.len());
        begun.drain(..taken).collect()
    }
}

/// What a transaction did that somebody waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    /// There are events in the outbox.
    pub(crate) emitted: bool,
    /// There are events in the log.
    pub(crate) logged: bool,
    /// There are commands in queues.
    pub(crate) queued: bool,
    /// These sagas were begun or put back to work.
    pub(crate) sagas: Vec<Uuid>,
}

impl News {
    fn add(&mut self, more: Self) {
        self.emitted |= more.emitted;
        self.logged |= more.logged;
        self.queued |= more.queued;
        self.sagas.extend(more.sagas);
    }
}

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
struct Before {
    units: usize,
    rows: HashSet<Row>,
}

/// What a unit gives back.
struct Back {
    tx: DatabaseTransaction,
    before: Before,
    what: What,
}

enum What {
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

impl Deref for Tx {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        self.held
            .as_ref()
            .expect("a unit of work that could not settle asks the database nothing more")
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        (**self).get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.note((**self).execute_raw(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.note((**self).execute_unprepared(sql).await)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.note((**self).query_one_raw(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.note((**self).query_all_raw(statement).await)
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

/// The line before the one writer of an SQLite file.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Shared>);

struct Shared {
    connection: DatabaseConnection,
    place: Arc<Place>,
    patience: Duration,
    signals: Arc<Signals>,
    line: Mutex<Line>,
    commits: AtomicU64,
}

#[derive(Default)]
struct Line {
    /// There is a driver.
    driven: bool,
    waiting: VecDeque<Waiter>,
}

/// One who wants the writer.
struct Waiter {
    hand: oneshot::Sender<Result<Tx, DbErr>>,
    /// It will take long, so it must be the first of its batch: nobody's commit waits for it.
    long: bool,
    /// Those it waited for came to nothing.
    undone_before: bool,
}

impl Writer {
    pub(crate) fn new(
        connection: DatabaseConnection,
        place: Arc<Place>,
        signals: Arc<Signals>,
        patience: Duration,
    ) -> Self {
        Self(Arc::new(Shared {
            connection,
            place,
            patience,
            signals,
            line: Mutex::default(),
            commits: AtomicU64::new(0),
        }))
    }

    /// How many transactions it has committed.
    pub(crate) fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::Relaxed)
    }

    /// The writer, when it is one's turn.
    pub(crate) async fn begin(&self, long: bool) -> Result<Tx, DbErr> {
        let wait = async {
            loop {
                let (hand, turn) = oneshot::channel();
                self.0.enqueue(Waiter {
                    hand,
                    long,
                    undone_before: false,
                });
                // When the driver's runtime has ended, this one's takes over.
                if let Ok(tx) = turn.await {
                    return tx;
                }
            }
        };
        let timed_out = |_| Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout));
        tokio::time::timeout(self.0.patience, wait)
            .await
            .unwrap_or_else(timed_out)
    }
}

impl Shared {
    fn line(&self) -> std::sync::MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(self: &Arc<Self>, waiter: Waiter) {
        let mut line = self.line();
        line.waiting.push_back(waiter);
        if !std::mem::replace(&mut line.driven, true) {
            drop(line);
            let driver = Driver {
                shared: self.clone(),
                driving: true,
            };
            drop(tokio::spawn(driver.drive()));
        }
    }
}

struct Driver {
    shared: Arc<Shared>,
    /// It has not given up yet.
    driving: bool,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.driving {
            return;
        }
        // Its runtime has ended; those who wait look for another one.
        let mut line = self.shared.line();
        line.driven = false;
        let waiting = std::mem::take(&mut line.waiting);
        drop(line);
        drop(waiting);
    }
}

/// A transaction and those who are in it.
struct Batch {
    tx: DatabaseTransaction,
    before: Before,
    news: News,
    members: Vec<oneshot::Sender<Result<(), DbErr>>>,
}

/// How a batch ended.
enum End {
    Committed,
    /// Ended too, and this one goes on in the next.
    Settled(Waiter),
}

impl Driver {
    async fn drive(mut self) {
        let mut next = None;
        loop {
            let Some(first) = next.take().or_else(|| self.next()) else {
                // Whoever comes from now on spawns another driver.
                return;
            };
            next = match self.batch(first).await {
                End::Committed => None,
                End::Settled(waiter) => Some(waiter),
            };
        }
    }

    /// The first in line who is still there. With nobody there, this is no driver any more.
    fn next(&mut self) -> Option<Waiter> {
        let mut line = self.shared.line();
        while let Some(waiter) = line.waiting.pop_front() {
            if !waiter.hand.is_closed() {
                return Some(waiter);
            }
        }
        line.driven = false;
        self.driving = false;
        None
    }

    /// The first in line, if it may come after others.
    fn another(&self) -> Option<Waiter> {
        let mut line = self.shared.line();
        while let Some(waiter) = line.waiting.pop_front() {
            if waiter.hand.is_closed() {
                continue;
            }
            if !waiter.long {
                return Some(waiter);
            }
            line.waiting.push_front(waiter);
            break;
        }
        None
    }

    async fn batch(&self, first: Waiter) -> End {
        let tx = match self.begin().await {
            Ok(tx) => tx,
            Err(error) => {
                drop(first.hand.send(Err(error)));
                return End::Committed;
            }
        };
        let began = Instant::now();
        let mut batch = Batch {
            tx,
            before: Before::default(),
            news: News::default(),
            members: Vec::new(),
        };
        let mut waiter = first;
        loop {
            let (back, given_back) = oneshot::channel();
            let tx = Tx {
                held: Some(batch.tx),
                loan: Some(Loan {
                    back,
                    before: batch.before,
                }),
                signals: self.shared.signals.clone(),
                touched: Vec::new(),
                undone_before: waiter.undone_before,
                trouble: OnceLock::new(),
            };
            // Whoever is not there any more drops it, and so gives it back.
            drop(waiter.hand.send(Ok(tx)));
            let Ok(Back { tx, before, what }) = given_back.await else {
                // It was neither committed nor dropped, but forgotten. Those before it hear that all is lost.
                return End::Committed;
            };
            (batch.tx, batch.before) = (tx, before);
            let alone = batch.before.units == 0;
            let sound = match what {
                What::Kept {
                    touched,
                    news,
                    doubtful,
                    done,
                } => {
                    batch.before.units += 1;
                    batch.before.rows.extend(touched);
                    batch.news.add(news);
                    batch.members.push(done);
                    !doubtful
                }
                What::Undone(_) if alone => {
                    // Nobody minds if this fails: the connection is closed then.
                    drop(batch.tx.rollback().await);
                    return End::Committed;
                }
                What::Undone(trouble) => {
                    if let Err(error) = batch.tx.execute_unprepared("ROLLBACK TO unit").await {
                        batch.fail(&trouble.unwrap_or(error));
                        return End::Committed;
                    }
                    true
                }
                What::Settle(again) => {
                    let committed = self.commit(batch).await;
                    return End::Settled(Waiter {
                        hand: again,
                        long: false,
                        undone_before: committed.is_err(),
                    });
                }
            };
            let room = sound && batch.members.len() < MOST && began.elapsed() < LONGEST;
            let Some(another) = room.then(|| self.another()).flatten() else {
                // What went wrong has been said.
                drop(self.commit(batch).await);
                return End::Committed;
            };
            let next = if alone {
                "SAVEPOINT unit"
            } else {
                "RELEASE unit; SAVEPOINT unit"
            };
            if let Err(error) = batch.tx.execute_unprepared(next).await {
                batch.fail(&error);
                // Nothing has happened to this one yet: it is the first of the next batch.
                return End::Settled(another);
            }
            waiter = another;
        }
    }

    async fn begin(&self) -> Result<DatabaseTransaction, DbErr> {
        let Shared { connection, place, .. } = &*self.shared;
        let options = TransactionOptions {
            // A deferred transaction that reads and then writes fails with "database is locked" at once, without waiting.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let mut result = connection.begin_with_options(options).await;
        for _ in 0..2 {
            match &result {
                Err(error) if connection_lost(place.engine, error) => place.note_broken(),
                _ => break,
            }
            result = connection.begin_with_options(options).await;
        }
        result
    }

    async fn commit(&self, batch: Batch) -> Result<(), DbErr> {
        let result = batch.tx.commit().await;
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        for done in batch.members {
            drop(done.send(result.clone()));
        }
        self.shared.signals.announce(batch.news);
        result
    }
}

impl Batch {
    /// Tells everybody that it came to nothing.
    fn fail(self, error: &DbErr) {
        for done in self.members {
            drop(done.send(Err(error.clone())));
        }
    }
}
