//! Subscriptions: what a module hears from another module's log, and does about it, once.

use std::{
    fmt,
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, sea_query::OnConflict};
use strangler::tape::Deck;
use uuid::Uuid;

use crate::{
    Db, Envelope, EventLog, Filter, Handler, HandlerError, Lease, Retry, StoreError, SubscriptionError, Turn, Uow,
    backoff::{AWAY, Backoff},
    entity::subscriptions,
    tenure::Tenure,
    view::Reader,
    writer::Tx,
};

mod aside;
mod heard;
mod report;

use aside::is_away;
pub(crate) use aside::promote;
use heard::Heard;
pub use heard::Hearing;
use report::REPORT;

/// So many events are handled quickly enough for others to wait for.
const SHORT: usize = 16;

/// A transaction that has lasted so long handles no more events, so that those who wait for its locks, or on SQLite for the
/// writer, need not wait for a whole batch.
const LONG: Duration = Duration::from_millis(10);

/// A durable, named subscription. Its cursor is a row of the subscriber's schema and moves in the same transaction as the
/// handler's effects, so any number of workers of one subscription have the effect of one.
pub struct Subscription {
    name: String,
    db: Db,
    log: Arc<dyn EventLog>,
    types: Filter,
    handler: Arc<dyn Handler>,
    batch: u32,
    /// How many events are read next: what one transaction has lately had time for, twice.
    stride: AtomicU32,
    turn: Turn,
    retry: Retry,
    deck: Deck,
}

/// Where the subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cursor {
    incarnation: Uuid,
    position: i64,
}

/// What became of a batch.
enum Outcome {
    /// So many events more are behind the cursor now.
    Applied(usize),
    /// The lease is somebody else's.
    Lost,
    /// Another worker moved the cursor first.
    Overtaken,
    /// The handler failed at this index; nothing was written.
    Failed(usize, HandlerError),
}

impl Subscription {
    /// A subscription of `db`'s schema to `log`; it starts at the log's beginning. `name` is unique in the schema and must
    /// not change, because it is what the cursor is found by.
    pub fn new(name: &str, db: Db, log: Arc<dyn EventLog>, types: Filter, handler: Arc<dyn Handler>) -> Self {
        Self {
            name: name.to_owned(),
            db,
            log,
            types,
            handler,
            batch: 1000,
            stride: AtomicU32::new(100),
            turn: Turn::always(),
            retry: Retry::default(),
            deck: Deck::default(),
        }
    }

    /// The most events handled in one transaction, 1000 unless told otherwise; [`run`](Self::run) also ends one after some
    /// 10 ms.
    pub fn with_batch(mut self, events: u32) -> Self {
        self.batch = events.max(1);
        self
    }

    /// [`run`](Self::run) works when it is this side's turn; always, unless told otherwise.
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// How an event that fails is tried again, before it is parked.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// What its handler does is recorded where `deck` wants it.
    pub fn with_deck(mut self, deck: Deck) -> Self {
        self.deck = deck;
        self
    }

    /// Its handler, to be asked what it would do.
    pub fn hearing(&self) -> Hearing {
        Hearing::new(&self.name, self.db.clone(), self.handler.clone())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The position up to which it has handled the log; 0 before its first step.
    ///
    /// # Errors
    /// The subscriber's database's.
    pub async fn position(&self) -> Result<i64, StoreError> {
        let row = subscriptions::Entity::find_by_id(self.name.clone())
            .one(&Reader { db: &self.db })
            .await;
        Ok(row.map_err(|e| self.failed(&e))?.map_or(0, |row| row.position))
    }

    /// Tries one event again that is due, and handles the next batch in one transaction. Answers how many events were dealt
    /// with: handled, filtered out, or set aside because they failed or because one of the same subject did; 0 when there
    /// was nothing to do.
    ///
    /// # Errors
    /// When the log or the schema cannot be worked on at all; an event that fails is no error.
    pub async fn step(&self) -> Result<usize, SubscriptionError> {
        Ok(self.step_under(None).await?.unwrap_or_default())
    }

    /// One step; `None` when the lease is somebody else's.
    async fn step_under(&self, lease: Option<&Lease>) -> Result<Option<usize>, SubscriptionError> {
        let Some(again) = self.try_again(lease).await? else {
            return Ok(None);
        };
        loop {
            let cursor = self.cursor().await?;
            let batch = self.log.read(cursor.position, self.limit().into()).await?;
            if batch.incarnation != cursor.incarnation {
                return Err(self.other_log(self.log.source(), cursor.incarnation, batch.incarnation));
            }
            let mut events = &batch.events[..];
            let outcome = loop {
                let Some(first) = events.first() else {
                    break Outcome::Applied(0);
                };
                match self.apply(lease, cursor, events).await? {
                    Outcome::Failed(_, HandlerError::Store(error)) if is_away(&error) => return Err(error.into()),
                    Outcome::Failed(0, cause) => {
                        tracing::warn!(error = %self.handler_failed(first, &cause), "an event is set aside");
                        break self.set_aside(lease, cursor, first, &cause).await?;
                    }
                    // Those before it are worth having; its own turn comes next.
                    Outcome::Failed(index, _) => events = &events[..index],
                    outcome => break outcome,
                }
            };
            match outcome {
                Outcome::Applied(events) => return Ok(Some(events + usize::from(again))),
                Outcome::Lost => return Ok(None),
                Outcome::Overtaken | Outcome::Failed(..) => {}
            }
        }
    }

    /// Works until `stop` is ready, which is looked at between steps. An event that fails is set aside and tried again, ever
    /// less often, until it is parked among the [dead letters](Db::dead_letters); other subjects go on.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let mut backoff = Backoff::default();
        let mut reported = (0, None::<Instant>);
        let mut tenure = Tenure::new(&self.db, format!("subscription:{}", self.name), self.turn.clone());
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = std::future::ready(()) => {}
            }
            let lease = tenure.lease().await;
            let waiting = matches!(lease, Ok(None));
            let step = match lease {
                Ok(Some(lease)) => self.step_under(Some(&lease)).await,
                Ok(None) => Ok(Some(0)),
                Err(error) => Err(error.into()),
            };
            let pause = match step {
                Ok(None) => {
                    tenure.lost();
                    continue;
                }
                Ok(Some(events)) => {
                    let failures = backoff.succeeded();
                    if failures > 0 {
                        tracing::info!(subscription = self.name, failures, "the subscription works again");
                    }
                    if !waiting && reported.1.is_none_or(|at| at.elapsed() >= REPORT) {
                        reported = (self.report_news(reported.0).await, Some(Instant::now()));
                    }
                    if events > 0 {
                        continue;
                    }
                    Duration::ZERO
                }
                Err(error) => self.trouble(&mut backoff, &error),
            };
            let next = async {
                tokio::time::sleep(pause).await;
                // What prevents waiting prevents the next step too, which reports it.
                if let Ok(position) = self.position().await {
                    let due = self.next_due().await;
                    tokio::select! {
                        _ = self.log.wait(position) => {}
                        () = tokio::time::sleep(due) => {}
                    }
                }
            };
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = tenure.changed() => {}
                () = next, if !waiting => {}
            }
        }
        tenure.give_back().await;
    }

    fn trouble(&self, backoff: &mut Backoff, error: &SubscriptionError) -> Duration {
        let (pause, news) = backoff.failed(error, AWAY);
        if news {
            tracing::warn!(subscription = self.name, %error, ?pause, "a step failed; it will be tried again");
        }
        pause
    }

    /// The cursor; made at the beginning of the log when there is none.
    async fn cursor(&self) -> Result<Cursor, SubscriptionError> {
        let find = || subscriptions::Entity::find_by_id(self.name.clone());
        let row = find()
            .one(&Reader { db: &self.db })
            .await
            .map_err(|e| self.failed(&e))?;
        let row = match row {
            Some(row) => row,
            None => {
                let head = self.log.head().await?;
                self.report_as(0).await?;
                let first = subscriptions::Model {
                    name: self.name.clone(),
                    source: self.log.source().to_owned(),
                    incarnation: head.incarnation,
                    position: 0,
                    updated_at: self.db.now(),
                };
                let tx = self.db.begin_raw("subscribing").await?;
                let active = subscriptions::ActiveModel::from(first.clone());
                let active = sea_orm::ActiveModelTrait::reset_all(active);
                let keep = OnConflict::column(subscriptions::Column::Name).do_nothing().to_owned();
                let insert = subscriptions::Entity::insert(active).on_conflict(keep);
                insert.exec_without_returning(&tx).await.map_err(|e| self.failed(&e))?;
                let stored = find().one(&tx).await.map_err(|e| self.failed(&e))?;
                tx.commit().await.map_err(|e| self.failed(&e))?;
                stored.unwrap_or(first)
            }
        };
        if row.source != self.log.source() {
            return Err(self.other_log(&row.source, row.incarnation, Uuid::nil()));
        }
        Ok(Cursor {
            incarnation: row.incarnation,
            position: row.position,
        })
    }

    /// Handles these events and moves the cursor, if it still is where they were read from.
    async fn apply(&self, lease: Option<&Lease>, cursor: Cursor, events: &[Envelope]) -> Result<Outcome, StoreError> {
        let (mut uow, at) = match self.enter(lease, events.len()).await? {
            Some(entered) => entered,
            None => return Ok(Outcome::Lost),
        };
        if at != Some(cursor) {
            return Ok(Outcome::Overtaken);
        }
        let blocked = self.blocked(uow.connection()?, events).await?;
        let (began, mut done, mut behind) = (Instant::now(), events.len(), Vec::new());
        let mut heard = Heard::default();
        for (index, event) in events
            .iter()
            .enumerate()
            .filter(|(_, e)| self.types.passes(&e.event_type))
        {
            if blocked.contains(&event.subject) {
                behind.push(event);
            } else if let Err(cause) = self.handle(&mut uow, event, &mut heard).await {
                // One that is not the first is handled again before it is said to have failed.
                heard.failed((index == 0).then_some(&cause));
                return Ok(Outcome::Failed(index, cause));
            }
            // A single step, which nobody repeats, does what it can.
            if lease.is_some() && began.elapsed() > LONG {
                done = index + 1;
                break;
            }
        }
        self.stride.store(stride(done), Ordering::Relaxed);
        let events = &events[..done];
        self.queue(uow.connection()?, behind).await?;
        let position = events.last().map_or(cursor.position, |event| event.position);
        self.move_to(uow.connection()?, position).await?;
        uow.commit().await?;
        heard.committed();
        Ok(Outcome::Applied(events.len()))
    }

    /// How many events to read.
    fn limit(&self) -> u32 {
        self.stride.load(Ordering::Relaxed).min(self.batch)
    }

    /// A transaction of this subscription, for so many events: under its lease, and with its cursor locked. `None` when the lease is somebody
    /// else's.
    async fn enter(&self, lease: Option<&Lease>, events: usize) -> Result<Option<(Uow, Option<Cursor>)>, StoreError> {
        let doing = "beginning to handle events";
        let tx = if events > SHORT {
            self.db.begin_long(doing).await?
        } else {
            self.db.begin_raw(doing).await?
        };
        if let Some(lease) = lease
            && !lease.holds(&tx).await?
        {
            return Ok(None);
        }
        let by = Some(format!("subscription:{}", self.name));
        let uow = Uow::new(self.db.clone(), tx, String::new(), by);
        let row = subscriptions::Entity::find_by_id(self.name.clone())
            .lock_exclusive()
            .one(uow.connection()?)
            .await;
        let row = row.map_err(|e| self.failed(&e))?;
        let cursor = row.map(|row| Cursor {
            incarnation: row.incarnation,
            position: row.position,
        });
        Ok(Some((uow, cursor)))
    }

    async fn move_to(&self, tx: &Tx, position: i64) -> Result<(), StoreError> {
        let moved = subscriptions::Entity::update_many()
            .set(subscriptions::ActiveModel {
                position: Set(position),
                updated_at: Set(self.db.now()),
                ..Default::default()
            })
            .filter(subscriptions::Column::Name.eq(&self.name))
            .exec(tx)
            .await;
        moved.map(drop).map_err(|e| self.failed(&e))
    }

    /// One event is one unit of work as far as its handler can see: what it left is written before the next one begins.
    async fn handle(&self, uow: &mut Uow, event: &Envelope, heard: &mut Heard) -> Result<(), HandlerError> {
        uow.follow(&event.traceparent);
        uow.record(heard.begin(&self.deck, &self.name, event));
        // A handler that panics must not end the worker: it is a failing handler like any other.
        match AssertUnwindSafe(self.handler.handle(uow, event)).catch_unwind().await {
            Ok(result) => result?,
            Err(panic) => {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("no message");
                return Err(HandlerError::failed(format_args!("it panicked: {said}")));
            }
        }
        uow.flush().await?;
        if let Some(taped) = uow.taped.take() {
            taped.committed();
        }
        Ok(())
    }

    fn handler_failed(&self, event: &Envelope, cause: &HandlerError) -> String {
        format!(
            "subscription {} could not handle {} {} of {} at position {}: {cause}",
            self.name, event.event_type, event.id, event.subject, event.position
        )
    }

    fn other_log(&self, source: &str, was: Uuid, is: Uuid) -> SubscriptionError {
        let is = if is.is_nil() {
            self.log.source().to_owned()
        } else {
            format!("{} {is}", self.log.source())
        };
        SubscriptionError::OtherLog {
            subscription: self.name.clone(),
            was: format!("{source} {was}"),
            is,
        }
    }

    fn failed(&self, error: &DbErr) -> StoreError {
        self.db
            .place()
            .error(format_args!("moving subscription {}", self.name), error)
    }
}

/// Twice as many as there was time for.
fn stride(done: usize) -> u32 {
    u32::try_from(done.saturating_mul(2)).unwrap_or(u32::MAX).max(100)
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("name", &self.name)
            .field("db", &self.db)
            .finish_non_exhaustive()
    }
}
