//! Group commit: on SQLite, units of work that wait for the schema's one writer share a transaction, and so a sync.
//!
//! A task, the driver, owns the writer as long as anybody wants it. It begins a transaction, lends it to the first in line,
//! and gets it back with what the unit has written, or with nothing. While others wait it lends the same transaction to the
//! next one, inside a savepoint; when nobody does, or the batch has reached its bound, it commits, and only then every unit
//! of the batch hears that it is committed. So one who is alone waits for nobody; whoever comes while a commit is being
//! synced is in the next batch together with all the others. The line is first come, first served.
//!
//! * A unit that fails, panics or is dropped is rolled back to its savepoint; its neighbours do not notice. The driver sets it
//!   before it lends: a unit that goes away while a statement is on its way leaves SQLite to do some of it, or none.
//! * When COMMIT fails, every unit of the batch fails. The same happens when SQLite ends the transaction by itself, which it
//!   does when there is no room or an I/O error happens. Statements after that would be transactions of their own; so after
//!   one has failed nobody is taken in any more unless it was rolled back to its savepoint, which shows that it is there.
//! * The driver is a task of its own, so no caller who hangs up can interrupt a COMMIT.
//! * A unit reads what the units before it in the batch wrote. If it commits, it commits with them. If it does not, because
//!   it found that everything is as it should be, it must not say so before they are committed: see [`Tx::settle`].
//! * A constraint that is checked at the end of the transaction only (`DEFERRABLE INITIALLY DEFERRED`) would fail the whole
//!   batch: let tables have none.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use sea_orm::{
    ConnAcquireErr, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tokio::sync::oneshot;

use crate::{
    error::{Place, connection_lost},
    pulse::Own,
};

mod signals;
mod tx;

pub(crate) use signals::{News, Signals};
use tx::{Back, Before, What};
pub(crate) use tx::{Row, Tx};

/// The most units of work that share a transaction.
const MOST: usize = 64;
/// A batch that is older takes nobody in any more, so that the first one does not wait for the sake of the others.
const LONGEST: Duration = Duration::from_millis(10);

/// The line before the one writer of an SQLite file.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Shared>);

struct Shared {
    connection: DatabaseConnection,
    place: Arc<Place>,
    patience: Duration,
    signals: Arc<Signals>,
    line: Mutex<Line>,
    own: Own,
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
        own: Own,
        patience: Duration,
    ) -> Self {
        Self(Arc::new(Shared {
            connection,
            place,
            patience,
            signals,
            line: Mutex::default(),
            own,
        }))
    }

    /// How many transactions it has committed.
    pub(crate) fn commits(&self) -> u64 {
        self.0.own.load(Ordering::Relaxed) / 2
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
    /// There is a savepoint, of the last unit that was lent to behind another.
    savepoint: bool,
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
            savepoint: false,
            news: News::default(),
            members: Vec::new(),
        };
        let mut waiter = first;
        loop {
            let alone = batch.before.units == 0;
            if !alone && let Err(error) = batch.set_savepoint().await {
                // The one who was to be lent to gets in line again.
                batch.fail(&error);
                return End::Committed;
            }
            let (back, given_back) = oneshot::channel();
            let tx = Tx::lent(
                batch.tx,
                batch.before,
                back,
                self.shared.signals.clone(),
                waiter.undone_before,
            );
            // Whoever is not there any more drops it, and so gives it back.
            drop(waiter.hand.send(Ok(tx)));
            let Ok(Back { tx, before, what }) = given_back.await else {
                // It was neither committed nor dropped, but forgotten. Those before it hear that all is lost.
                return End::Committed;
            };
            (batch.tx, batch.before) = (tx, before);
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
        self.shared.own.fetch_add(1, Ordering::Relaxed);
        let result = batch.tx.commit().await;
        self.shared.own.fetch_add(1, Ordering::Relaxed);
        for done in batch.members {
            drop(done.send(result.clone()));
        }
        self.shared.signals.announce(batch.news);
        result
    }
}

impl Batch {
    /// Marks where the next unit begins, to go back to; what the last one kept stays.
    async fn set_savepoint(&mut self) -> Result<(), DbErr> {
        let sql = match std::mem::replace(&mut self.savepoint, true) {
            true => "RELEASE unit; SAVEPOINT unit",
            false => "SAVEPOINT unit",
        };
        self.tx.execute_unprepared(sql).await.map(drop)
    }

    /// Tells everybody that it came to nothing.
    fn fail(self, error: &DbErr) {
        for done in self.members {
            drop(done.send(Err(error.clone())));
        }
    }
}
