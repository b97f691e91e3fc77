//! The store toolkit: a module's database handle, its units of work, its outbox and event log, and its subscriptions.
//!
//! A module's [`Db`] *is* its schema: nothing else can be reached through it. A command begins a [`Uow`], loads what it
//! decides upon, and leaves what it wants; nothing is written before [`Uow::commit`], which writes state, history and
//! events in one transaction. The [`Relay`] moves committed events into the schema's [`EventLog`] and numbers them there;
//! a [`Subscription`] of another schema reads that log and moves its cursor in the same transaction as its effects.
//! [`Queues`] carry commands from point to point inside a schema.
//! What takes several modules is a saga: a row of the schema that [`Sagas`] takes from step to step, forward or back.
//!
//! The same code runs on SQLite (one file per schema) and on PostgreSQL (one schema and one login role per module), so
//! no entity carries a schema name. This crate knows nothing of what a module is about, and must never depend on one.

mod aggregate;
mod backlog;
mod backoff;
mod change;
mod db;
mod dead_letter;
mod entity;
mod envelope;
mod error;
mod exclusive;
mod forget;
mod handler;
mod health;
mod held;
mod janitor;
mod lease;
mod log;
mod migrate;
mod page;
mod postgres;
pub mod provision;
mod pulse;
mod queue;
mod relay;
mod retention;
mod saga;
mod schema;
mod sqlite;
mod subscription;
mod tables;
mod taped;
mod tenure;
mod uow;
mod view;
mod waiting;
mod writer;

pub use aggregate::{Aggregate, Query, Write};
pub use backlog::{Backlog, LetterBacklog, LogEnds, MOST_COUNTED, OutboxBacklog, SagaBacklog, SubscriptionBacklog};
pub use backoff::Retry;
pub use db::{Db, DbOptions, Engine};
pub use dead_letter::{Behind, DeadLetter, DeadLetters, Depth, LetterFilter, LetterId, LetterState, Resolved};
pub use envelope::Envelope;
pub use error::{StoreError, Trouble};
pub use exclusive::Exclusive;
pub use forget::Forget;
pub use handler::{Filter, Handler, HandlerError, SubscriptionError};
pub use held::Round;
pub use janitor::{Janitor, Keep, Swept, Unfinished};
pub use lease::{Lease, LeaseInfo, Leases, Turn};
pub use log::{Batch, EventLog, Head, LOGS, LogDesk, LogError, RemoteLog};
pub use page::{After, Same};
pub use queue::{Consumer, Message, QueueCommand, QueueDepth, QueueWorker, Queues};
pub use relay::Relay;
pub use retention::{Pruned, ReaderInfo, Retention};
pub use saga::{
    Abandoned, Act, Cancelled, Deed, Definition, Inbox, Kind, Outcome, Receipt, Saga, SagaChoice, SagaGroup,
    SagaStatus, Sagas, ShapeError, Step, StepKey, StepRecord, StepState, Watch,
};
pub use schema::migrations;
pub use sea_orm_migration::MigrationTrait;
pub use subscription::{Hearing, Subscription};
pub use tables::TableSize;
pub use uow::Uow;
pub use view::{Snapshot, View};
pub use waiting::{QueueWaiting, Waiting};
