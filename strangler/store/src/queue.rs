//! Queues, from point to point: a command is put into a queue, and one of the queue's workers carries it out.
//!
//! A queue is rows of one schema, and lives with those who work on it. A command is sent in a unit of work of that schema and
//! is there if that commits. Another module sends through this module's contract, or its event is heard by a subscription of
//! this module, whose handler sends; with the event's id as the command's, it is sent once.
//!
//! A worker takes a command for a while and acknowledges it in the same transaction as its effects: so the effects happen
//! once, however often it is delivered. When the worker is lost, it is delivered again after that while. What fails is tried
//! again, ever less often, and parked among the schema's [dead letters](crate::DeadLetters) after its attempts. Order is not
//! promised: what must happen in order is an event, or a saga.

use std::fmt;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::NotSet, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, sea_query::OnConflict,
};
use serde::Serialize;
use serde_json::{Value, json};
use strangler::BoxFuture;
use uuid::Uuid;

use crate::{Db, HandlerError, StoreError, Uow, Write, view::Reader};

mod table;
mod worker;

pub(crate) use table::{QueueTable, is_queue, lock, park_again, queued, resolve};
pub use worker::QueueWorker;

/// A command that is to be put into a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueCommand {
    /// Its id: a queue takes each id once, for as long as ended commands are kept.
    pub id: Uuid,
    /// What is to be done, such as `mail.send`.
    pub kind: String,
    /// With what.
    pub body: Value,
    /// The queue of the same schema that the answer is put into; `None` when nobody waits for it.
    pub reply_to: Option<String>,
    /// What the answer will be found by; its own id unless told otherwise.
    pub correlation: Option<Uuid>,
    /// When it may be taken at the earliest; at once unless told otherwise.
    pub not_before: Option<DateTime<Utc>>,
}

impl QueueCommand {
    /// A command that may be carried out at once, and whose answer nobody waits for.
    pub fn new(id: Uuid, kind: &str, body: Value) -> Self {
        Self {
            id,
            kind: kind.to_owned(),
            body,
            reply_to: None,
            correlation: None,
            not_before: None,
        }
    }

    /// Its answer is put into this queue of the same schema, as a command of kind `reply` whose `correlation` is the id of
    /// this one.
    pub fn with_reply_to(mut self, queue: &str) -> Self {
        self.reply_to = Some(queue.to_owned());
        self
    }

    /// The answer's correlation is this, and not the command's id.
    pub fn with_correlation(mut self, correlation: Uuid) -> Self {
        self.correlation = Some(correlation);
        self
    }

    /// It is not taken before that.
    pub fn with_not_before(mut self, at: DateTime<Utc>) -> Self {
        self.not_before = Some(at);
        self
    }
}

/// The kind of an answer.
pub(crate) const REPLY: &str = "reply";

/// A command as it is delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id, given by the sender: the key of effects outside the schema.
    pub id: Uuid,
    /// Its number in the schema's queues, by which a dead letter is named.
    pub position: i64,
    /// The queue.
    pub queue: String,
    /// What is to be done; `reply` for an answer.
    pub kind: String,
    /// With what; an answer's value.
    pub body: Value,
    /// Where its answer goes.
    pub reply_to: Option<String>,
    /// Of an answer: what it answers.
    pub correlation: Option<Uuid>,
    /// The trace of what sent it.
    pub traceparent: String,
    /// When it was sent.
    pub sent_at: DateTime<Utc>,
    /// Which delivery this is, from 1.
    pub attempt: u32,
}

/// Carries out the commands of a queue.
pub trait Consumer: Send + Sync {
    /// Carries out one command. All effects go through `uow`, which is committed together with the acknowledgement. The
    /// value is the answer, if one was asked for. Effects outside the schema must carry `message.id`: they may happen again.
    fn consume<'a>(&'a self, uow: &'a mut Uow, message: &'a Message) -> BoxFuture<'a, Result<Value, HandlerError>>;
}

/// How much is in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueDepth {
    /// Commands that may be taken now.
    pub ready: u64,
    /// Commands that are being carried out, wait for another attempt, or are not to be taken yet.
    pub later: u64,
    /// Since when the oldest of the first has been there to be taken.
    pub oldest: Option<DateTime<Utc>>,
}

/// The queues of one schema. A queue is there when something is sent to it.
#[derive(Clone, Debug)]
pub struct Queues {
    db: Db,
}

impl Queues {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Leaves a command to be sent: it is in the queue when `uow`, a unit of work of the same schema, has committed. An id
    /// that the queue has had is not sent again.
    pub fn send(&self, uow: &mut Uow, queue: &str, command: QueueCommand) {
        let now = uow.now();
        let row = queued::Model {
            id: 0,
            queue: queue.to_owned(),
            message_id: command.id,
            kind: command.kind,
            body: command.body,
            reply_to: command.reply_to,
            correlation: command.correlation,
            traceparent: uow.traceparent().to_owned(),
            sent_at: now,
            due_at: Some(command.not_before.unwrap_or(now)),
            attempts: 0,
            tried: json!([]),
            ended_at: None,
        };
        uow.put(SendCommand(row));
        uow.wake_queues();
    }

    /// A worker on `queue`. Any number of them may work, in any number of processes.
    pub fn worker(&self, queue: &str, consumer: std::sync::Arc<dyn Consumer>) -> QueueWorker {
        QueueWorker::new(self.db.clone(), queue, consumer)
    }

    /// How much is in the queue: for metrics. What is parked is among the [dead letters](Db::dead_letters).
    ///
    /// # Errors
    /// The database's.
    pub async fn depth(&self, queue: &str) -> Result<QueueDepth, StoreError> {
        let now = self.db.now();
        let reader = Reader { db: &self.db };
        let of_queue = || queued::Entity::find().filter(queued::Column::Queue.eq(queue));
        let read = async {
            let ready = of_queue().filter(queued::Column::DueAt.lte(now));
            let oldest = ready.clone().order_by_asc(queued::Column::DueAt).one(&reader).await?;
            let later = of_queue().filter(queued::Column::DueAt.gt(now)).count(&reader).await?;
            Ok(QueueDepth {
                ready: ready.count(&reader).await?,
                later,
                oldest: oldest.and_then(|row| row.due_at),
            })
        };
        read.await
            .map_err(|e: DbErr| self.db.place().error(format_args!("looking at queue {queue}"), &e))
    }
}

/// A command on its way into a queue.
pub(crate) struct SendCommand(pub(crate) queued::Model);

impl Serialize for SendCommand {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = &self.0;
        let recorded = json!({
            "queue": row.queue, "id": row.message_id, "kind": row.kind, "body": row.body, "reply_to": row.reply_to,
            "correlation": row.correlation, "due_at": row.due_at,
        });
        recorded.serialize(serializer)
    }
}

impl Write for SendCommand {
    const NAME: &'static str = "send-command";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let mut row = self.0.into_active_model().reset_all();
        row.id = NotSet;
        use queued::Column as Q;
        let keep = OnConflict::columns([Q::Queue, Q::MessageId]).do_nothing().to_owned();
        let insert = queued::Entity::insert(row).on_conflict(keep);
        insert.exec_without_returning(connection).await.map(drop)
    }
}

impl fmt::Debug for SendCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendCommand")
            .field("queue", &self.0.queue)
            .field("id", &self.0.message_id)
            .finish_non_exhaustive()
    }
}
