//! The table of queued commands.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_query};
use sea_query::{ColumnDef, ColumnType, Index, Table};
use serde_json::Value;

use crate::{schema::column, writer::Tx};

pub(crate) mod queued {
    //! One row per command; `due_at` is when it may be taken, and null once it has ended or is parked.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "queue_messages")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub queue: String,
        pub message_id: Uuid,
        pub kind: String,
        pub body: Json,
        pub reply_to: Option<String>,
        pub correlation: Option<Uuid>,
        pub traceparent: String,
        pub sent_at: DateTimeUtc,
        pub due_at: Option<DateTimeUtc>,
        pub attempts: i32,
        pub tried: Json,
        pub ended_at: Option<DateTimeUtc>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What stands before a queue's name in the dead letters, where a subscription's name stands otherwise.
const PREFIX: &str = "queue:";

/// How the dead letters name this queue.
pub(super) fn letters_of(queue: &str) -> String {
    format!("{PREFIX}{queue}")
}

/// Whether the dead letters of this name are a queue's.
pub(crate) fn is_queue(subscription: &str) -> bool {
    subscription.starts_with(PREFIX)
}

/// Locks the row, so that nobody takes, ends or resolves it meanwhile.
pub(crate) async fn lock(tx: &Tx, id: i64) -> Result<Option<queued::Model>, DbErr> {
    queued::Entity::find_by_id(id).lock_exclusive().one(tx).await
}

/// What was decided about a dead letter happens to its command: it is due again with all its attempts, or has ended.
pub(crate) async fn resolve(tx: &Tx, id: i64, retried: bool, tried: Value, now: DateTime<Utc>) -> Result<(), DbErr> {
    let row = queued::ActiveModel {
        due_at: Set(retried.then_some(now)),
        ended_at: Set((!retried).then_some(now)),
        attempts: Set(0),
        tried: Set(tried),
        ..Default::default()
    };
    update(tx, id, row).await
}

/// What was given up waits for a decision again.
pub(crate) async fn park_again(tx: &Tx, id: i64, tried: Value) -> Result<(), DbErr> {
    let row = queued::ActiveModel {
        due_at: Set(None),
        ended_at: Set(None),
        attempts: Set(0),
        tried: Set(tried),
        ..Default::default()
    };
    update(tx, id, row).await
}

pub(super) async fn update(tx: &Tx, id: i64, row: queued::ActiveModel) -> Result<(), DbErr> {
    let update = queued::Entity::update_many().set(row).filter(queued::Column::Id.eq(id));
    update.exec(tx).await.map(drop)
}

pub(crate) struct QueueTable;

impl MigrationName for QueueTable {
    fn name(&self) -> &str {
        "strangler_0007_queues"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for QueueTable {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use queued::Column as C;
        let optional = ColumnDef::new_with_type::<C>;
        let table = Table::create()
            .table(queued::Entity)
            .col(column(C::Id, ColumnType::BigInteger).auto_increment().primary_key())
            .col(column(C::Queue, ColumnType::Text))
            .col(column(C::MessageId, ColumnType::Uuid))
            .col(column(C::Kind, ColumnType::Text))
            .col(column(C::Body, ColumnType::JsonBinary))
            .col(optional(C::ReplyTo, ColumnType::Text))
            .col(optional(C::Correlation, ColumnType::Uuid))
            .col(column(C::Traceparent, ColumnType::Text))
            .col(column(C::SentAt, ColumnType::TimestampWithTimeZone))
            .col(optional(C::DueAt, ColumnType::TimestampWithTimeZone))
            .col(column(C::Attempts, ColumnType::Integer))
            .col(column(C::Tried, ColumnType::JsonBinary))
            .col(optional(C::EndedAt, ColumnType::TimestampWithTimeZone))
            .index(
                Index::create()
                    .unique()
                    .name("queue_messages_once")
                    .col(C::Queue)
                    .col(C::MessageId),
            )
            .take();
        manager.create_table(table).await?;
        for (name, first, second) in [
            ("queue_messages_due", C::Queue, C::DueAt),
            ("queue_messages_ended", C::EndedAt, C::Id),
        ] {
            let index = Index::create()
                .name(name)
                .table(queued::Entity)
                .col(first)
                .col(second)
                .take();
            manager.create_index(index).await?;
        }
        Ok(())
    }
}
