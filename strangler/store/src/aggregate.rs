//! What a module writes so that its rows can pass through a unit of work.

use std::future::Future;

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::StoreError;

/// Something that changes as a whole and is guarded by one version: a show, an order. It is one row of its entity's
/// table (the head row), and every version of it is kept in the schema's `snapshots`.
pub trait Aggregate: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// What it is called in history, locks and messages, such as `show`. Unique within the schema, and never changed.
    const KIND: &'static str;

    /// The table of its head rows.
    type Entity: EntityTrait<ActiveModel: Send>;

    /// Its id, unique within its kind.
    fn id(&self) -> Uuid;

    /// Its version: the first one stored is 1, each change adds one.
    fn version(&self) -> i64;

    /// The aggregate from its head row. Answer [`StoreError::corrupt_row`] when the row makes no sense.
    fn from_model(model: <Self::Entity as EntityTrait>::Model) -> Result<Self, StoreError>;

    /// Its head row, whole: every column, id and version included.
    fn to_model(&self) -> <Self::Entity as EntityTrait>::ActiveModel;

    /// The column of the id.
    fn id_column() -> <Self::Entity as EntityTrait>::Column;

    /// The column of the version.
    fn version_column() -> <Self::Entity as EntityTrait>::Column;
}

/// A question to the schema beyond loading by id. It is a value, so that a unit of work can be recorded with what it asked
/// and what it was answered.
pub trait Query: Serialize + Send {
    /// What it is called in recordings and messages, such as `shows-in-window`.
    const NAME: &'static str;

    /// What it answers.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Whether a command may answer "it is done" because of this, without a commit. Then it waits until nothing of what it
    /// sees can still come to nothing (on SQLite, where units of work share a commit). Say `false` for what only refuses a
    /// command, or is followed by a commit: it need not wait.
    const ANSWERS: bool = true;

    /// Asks it. Must not write.
    fn run<C: ConnectionTrait>(self, connection: &C) -> impl Future<Output = Result<Self::Answer, DbErr>> + Send;
}

/// A change to rows that are no aggregate: an index, a read model. A value for the same reason as [`Query`].
pub trait Write: Serialize + Send + 'static {
    /// What it is called in recordings and messages, such as `index-show`.
    const NAME: &'static str;

    /// Makes the change. It runs inside the unit of work's transaction.
    fn run<C: ConnectionTrait>(self, connection: &C) -> impl Future<Output = Result<(), DbErr>> + Send;
}
