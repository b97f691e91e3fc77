//! Takes commands from a queue and carries them out.

use std::{fmt, future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures_util::FutureExt;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{LockBehavior, LockType},
};
use serde_json::{Value, json};

use super::{
    Consumer, Message, REPLY, SendCommand,
    table::{self, letters_of, queued},
};
use crate::{
    Db, Envelope, HandlerError, Retry, StoreError, Turn, Uow, Write,
    backoff::{AWAY, Backoff},
    dead_letter::entity::{dead_letters, park},
    log::NET,
    view::Reader,
    writer::Tx,
};

/// One worker of a queue.
pub struct QueueWorker {
    db: Db,
    queue: String,
    consumer: Arc<dyn Consumer>,
    batch: u64,
    visible: Duration,
    retry: Retry,
    turn: Turn,
}

/// Why a command was not carried out this time.
enum Failed {
    /// Its consumer failed.
    Consumer(HandlerError),
    /// Its time had passed, and somebody else has it.
    Overtaken,
}

impl From<HandlerError> for Failed {
    fn from(error: HandlerError) -> Self {
        Self::Consumer(error)
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Consumer(error.into())
    }
}

impl QueueWorker {
    pub(super) fn new(db: Db, queue: &str, consumer: Arc<dyn Consumer>) -> Self {
        Self {
            db,
            queue: queue.to_owned(),
            consumer,
            batch: 8,
            visible: Duration::from_secs(30),
            retry: Retry::default(),
            turn: Turn::always(),
        }
    }

    /// How many commands it takes at a time, to carry them out one after the other; 8 unless told otherwise.
    pub fn with_batch(mut self, commands: u32) -> Self {
        self.batch = u64::from(commands.max(1));
        self
    }

    /// The visible time: for how long others leave alone what it took. 30 s unless told otherwise. A command that takes
    /// longer is delivered again, and has its effects once all the same; but whoever comes second has worked in vain.
    pub fn with_visible_time(mut self, time: Duration) -> Self {
        self.visible = time;
        self
    }

    /// How a command that fails is tried again, before it is parked. A delivery whose worker was lost is an attempt too.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// [`run`](Self::run) works when it is this side's turn; always, unless told otherwise.
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// Takes commands and carries them out. Answers how many it took, including those that failed and will be tried again or
    /// are parked; 0 when there was nothing to do.
    ///
    /// # Errors
    /// When the schema cannot be worked on at all; a command that fails is no error.
    pub async fn step(&self) -> Result<usize, StoreError> {
        // Taking is writing; there must be something to take.
        if self.next_due().await?.is_none_or(|left| left > Duration::ZERO) {
            return Ok(0);
        }
        let taken = self.take().await?;
        let count = taken.len();
        for row in taken {
            match self.carry_out(&row).await {
                Ok(()) => {}
                Err(Failed::Overtaken) => {
                    tracing::debug!(queue = self.queue, id = %row.message_id, "somebody else has the command by now");
                }
                Err(Failed::Consumer(HandlerError::Store(error))) if is_away(&error) => return Err(error),
                Err(Failed::Consumer(cause)) => {
                    let (queue, id) = (&self.queue, row.message_id);
                    tracing::warn!(queue, %id, kind = row.kind, attempt = row.attempts, error = %cause, "a command failed");
                    self.failed(&row, &cause).await?;
                }
            }
        }
        Ok(count)
    }

    /// Works until `stop` is ready, which is looked at between steps. A database that is away is waited for.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let (mut work, mut beats) = (self.db.watch_queues(), self.db.beats());
        let mut turn = self.turn.clone();
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = std::future::ready(()) => {}
            }
            work.mark_unchanged();
            let ours = turn.now().is_some();
            let step = match ours {
                true => self.step().await,
                false => Ok(0),
            };
            let pause = match step {
                Ok(0) => {
                    let due = match ours {
                        true => self.next_due().await.ok().flatten(),
                        false => None,
                    };
                    due.map_or(NET, |due| due.clamp(Duration::from_millis(1), NET))
                }
                Ok(_) => {
                    let failures = backoff.succeeded();
                    if failures > 0 {
                        tracing::info!(queue = self.queue, failures, "the queue is worked on again");
                    }
                    continue;
                }
                Err(error) => {
                    let (pause, news) = backoff.failed(&error, AWAY);
                    if news {
                        tracing::warn!(queue = self.queue, %error, ?pause, "the queue cannot be worked on; trying again");
                    }
                    pause
                }
            };
            let healthy = ours && backoff.failures() == 0;
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = turn.changed() => {}
                _ = work.changed(), if healthy => {}
                () = beats.next(), if healthy => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// How long until something may be taken; `None` when nothing will be.
    async fn next_due(&self) -> Result<Option<Duration>, StoreError> {
        let first = queued::Entity::find()
            .select_only()
            .column(queued::Column::DueAt)
            .filter(queued::Column::Queue.eq(&self.queue))
            .filter(queued::Column::DueAt.is_not_null())
            .order_by_asc(queued::Column::DueAt)
            .limit(1)
            .into_tuple::<Option<chrono::DateTime<chrono::Utc>>>()
            .one(&Reader { db: &self.db })
            .await;
        let first = first.map_err(|e| self.error(&e))?.flatten();
        Ok(first.map(|due| (due - self.db.now()).to_std().unwrap_or_default()))
    }

    /// Takes what is due, and parks what was taken too often without coming to an end.
    async fn take(&self) -> Result<Vec<queued::Model>, StoreError> {
        let tx = self.db.begin_raw("taking commands").await?;
        let taken = self.take_in(&tx).await.map_err(|e| self.error(&e))?;
        tx.commit().await.map_err(|e| self.error(&e))?;
        Ok(taken)
    }

    async fn take_in(&self, tx: &Tx) -> Result<Vec<queued::Model>, DbErr> {
        let now = self.db.now();
        let rows = queued::Entity::find()
            .filter(queued::Column::Queue.eq(&self.queue))
            .filter(queued::Column::DueAt.lte(now))
            .order_by_asc(queued::Column::DueAt)
            .order_by_asc(queued::Column::Id)
            .limit(self.batch)
            // On SQLite there is one writer, and nothing to lock.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .all(tx)
            .await?;
        let until = now + TimeDelta::from_std(self.visible).unwrap_or(TimeDelta::MAX);
        let mut taken = Vec::with_capacity(rows.len());
        for mut row in rows {
            if u32::try_from(row.attempts).unwrap_or(u32::MAX) >= self.retry.attempts {
                let error = format!("its worker was lost at each of {} deliveries", row.attempts);
                self.park(tx, row, error).await?;
                continue;
            }
            row.attempts = row.attempts.saturating_add(1);
            row.due_at = Some(until);
            let update = queued::ActiveModel {
                attempts: Set(row.attempts),
                due_at: Set(row.due_at),
                ..Default::default()
            };
            table::update(tx, row.id, update).await?;
            taken.push(row);
        }
        Ok(taken)
    }

    /// Effects, answer and acknowledgement in one transaction.
    async fn carry_out(&self, row: &queued::Model) -> Result<(), Failed> {
        let tx = self.db.begin_raw("beginning to carry out a command").await?;
        let by = Some(letters_of(&self.queue));
        let mut uow = Uow::new(self.db.clone(), tx, row.traceparent.clone(), by);
        let found = table::lock(uow.connection()?, row.id).await;
        let found = uow.check(found, || format!("taking command {}", row.message_id))?;
        if !found.is_some_and(|found| is_ours(&found, row)) {
            return Err(Failed::Overtaken);
        }
        let message = message(row);
        let consumed = AssertUnwindSafe(self.consumer.consume(&mut uow, &message)).catch_unwind();
        let answer = match consumed.await {
            Ok(answer) => answer?,
            Err(panic) => {
                let said = panic.downcast_ref::<String>().map(String::as_str);
                let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
                let said = said.unwrap_or("no message");
                return Err(HandlerError::failed(format_args!("it panicked: {said}")).into());
            }
        };
        if let Some(queue) = &row.reply_to {
            let reply = reply(&mut uow, queue, row, answer);
            uow.put(reply);
            uow.wake_queues();
        }
        uow.put(End {
            id: row.id,
            at: uow.now(),
        });
        uow.commit().await?;
        Ok(())
    }

    /// Notes a failed attempt: the command is due again later, or parked.
    async fn failed(&self, row: &queued::Model, cause: &HandlerError) -> Result<(), StoreError> {
        let tx = self.db.begin_raw("noting a failed command").await?;
        self.fail_in(&tx, row, cause).await.map_err(|e| self.error(&e))?;
        tx.commit().await.map_err(|e| self.error(&e))
    }

    async fn fail_in(&self, tx: &Tx, row: &queued::Model, cause: &HandlerError) -> Result<(), DbErr> {
        // Its visible time may have passed, and somebody else may have it.
        let Some(mut found) = table::lock(tx, row.id).await?.filter(|found| is_ours(found, row)) else {
            return Ok(());
        };
        let (now, error) = (self.db.now(), cause.to_string());
        if let Value::Array(tried) = &mut found.tried {
            tried.push(json!({ "at": now, "error": error }));
        }
        let attempts = u32::try_from(found.attempts).unwrap_or(u32::MAX);
        if matches!(cause, HandlerError::Undecodable(_)) || attempts >= self.retry.attempts {
            return self.park(tx, found, error).await;
        }
        let pause = TimeDelta::from_std(self.retry.pause(attempts)).unwrap_or(TimeDelta::MAX);
        let again = queued::ActiveModel {
            due_at: Set(Some(now + pause)),
            tried: Set(found.tried),
            ..Default::default()
        };
        table::update(tx, found.id, again).await
    }

    async fn park(&self, tx: &Tx, row: queued::Model, error: String) -> Result<(), DbErr> {
        let (queue, id) = (&self.queue, row.message_id);
        tracing::error!(queue, %id, kind = row.kind, error, attempts = row.attempts, "a command is parked");
        let parked = queued::ActiveModel {
            due_at: Set(None),
            tried: Set(row.tried.clone()),
            ..Default::default()
        };
        table::update(tx, row.id, parked).await?;
        let event = serde_json::to_value(self.envelope(&row)).unwrap_or_default();
        let letter = dead_letters::Model {
            subscription: letters_of(&self.queue),
            position: row.id,
            event_id: row.message_id,
            subject: row.message_id,
            event,
            error,
            tried: row.tried,
            parked_at: self.db.now(),
            resolved_at: None,
            resolved_by: None,
            resolution: None,
        };
        park(tx, letter).await
    }

    /// A command in the form in which dead letters are shown.
    fn envelope(&self, row: &queued::Model) -> Envelope {
        Envelope {
            specversion: Envelope::SPEC_VERSION.to_owned(),
            id: row.message_id,
            source: self.db.schema().to_owned(),
            event_type: row.kind.clone(),
            dataversion: 1,
            subject: row.message_id,
            aggregateversion: 0,
            time: row.sent_at,
            traceparent: row.traceparent.clone(),
            datacontenttype: Envelope::CONTENT_TYPE.to_owned(),
            data: row.body.clone(),
            position: row.id,
        }
    }

    fn error(&self, error: &DbErr) -> StoreError {
        self.db
            .place()
            .error(format_args!("working on queue {}", self.queue), error)
    }
}

/// Whether the row is as we took it: every other delivery has another number of attempts, or another time.
fn is_ours(found: &queued::Model, row: &queued::Model) -> bool {
    found.attempts == row.attempts && found.due_at == row.due_at && found.ended_at.is_none()
}

/// Whether the database as a whole is in trouble, which no command is to blame for. What was taken is delivered again.
fn is_away(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Busy(_) | StoreError::Full(_) | StoreError::ReadOnly(_) | StoreError::Unavailable(_)
    )
}

fn message(row: &queued::Model) -> Message {
    Message {
        id: row.message_id,
        position: row.id,
        queue: row.queue.clone(),
        kind: row.kind.clone(),
        body: row.body.clone(),
        reply_to: row.reply_to.clone(),
        correlation: row.correlation,
        traceparent: row.traceparent.clone(),
        sent_at: row.sent_at,
        attempt: u32::try_from(row.attempts).unwrap_or_default(),
    }
}

fn reply(uow: &mut Uow, queue: &str, row: &queued::Model, answer: Value) -> SendCommand {
    SendCommand(queued::Model {
        id: 0,
        queue: queue.to_owned(),
        message_id: uow.new_id(),
        kind: REPLY.to_owned(),
        body: answer,
        reply_to: None,
        correlation: Some(row.correlation.unwrap_or(row.message_id)),
        traceparent: row.traceparent.clone(),
        sent_at: uow.now(),
        due_at: Some(uow.now()),
        attempts: 0,
        tried: json!([]),
        ended_at: None,
    })
}

/// Acknowledges.
#[derive(serde::Serialize)]
struct End {
    id: i64,
    at: chrono::DateTime<chrono::Utc>,
}

impl Write for End {
    const NAME: &'static str = "end-command";

    async fn run<C: sea_orm::ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let ended = queued::ActiveModel {
            due_at: Set(None),
            ended_at: Set(Some(self.at)),
            ..Default::default()
        };
        let update = queued::Entity::update_many()
            .set(ended)
            .filter(queued::Column::Id.eq(self.id));
        update.exec(connection).await.map(drop)
    }
}

impl fmt::Debug for QueueWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueWorker")
            .field("db", &self.db)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
