//! The migrations of the toolkit's own tables. A module's list puts them first.

use sea_orm::{ActiveValue::Set, DbErr, EntityTrait};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_query};
use sea_query::{ColumnDef, ColumnType, Index, Table, TableCreateStatement};

use crate::{
    backlog::BacklogIndexes,
    dead_letter::entity::{LetterIndexes, TroubleTables},
    entity::{event_log, event_log_head, outbox, snapshots, subscriptions},
    janitor::AgeIndexes,
    lease::LeaseTable,
    queue::QueueTable,
    retention::ReaderTable,
    saga::{SagaTables, SagaWorker},
};

/// The migrations that every schema starts with: `snapshots`, `outbox`, `event_log`, `event_log_head`, `subscriptions`;
/// `sagas`, `saga_steps`, `inbox`; `leases`;
/// `set_aside`, `dead_letters`; `log_readers`; `queue_messages`.
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(Foundation),
        Box::new(SagaTables),
        Box::new(LeaseTable),
        Box::new(TroubleTables),
        Box::new(ReaderTable),
        Box::new(BacklogIndexes),
        Box::new(QueueTable),
        Box::new(AgeIndexes),
        Box::new(SagaWorker),
        Box::new(LetterIndexes),
    ]
}

struct Foundation;

impl MigrationName for Foundation {
    fn name(&self) -> &str {
        "strangler_0001_foundation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Foundation {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(snapshots_table()).await?;
        manager.create_table(outbox_table()).await?;
        manager.create_table(event_log_table()).await?;
        manager.create_table(head_table()).await?;
        manager.create_table(subscriptions_table()).await?;
        let head = event_log_head::ActiveModel {
            id: Set(1),
            incarnation: Set(uuid::Builder::from_random_bytes(rand::random()).into_uuid()),
            position: Set(0),
            floor: Set(0),
        };
        event_log_head::Entity::insert(head)
            .exec_without_returning(manager.get_connection())
            .await?;
        Ok(())
    }
}

/// A column that is never null.
pub(crate) fn column(name: impl sea_query::IntoIden, kind: ColumnType) -> ColumnDef {
    ColumnDef::new_with_type(name, kind).not_null().take()
}

fn snapshots_table() -> TableCreateStatement {
    use snapshots::Column as C;
    Table::create()
        .table(snapshots::Entity)
        .col(column(C::Kind, ColumnType::Text))
        .col(column(C::Id, ColumnType::Uuid))
        .col(column(C::Version, ColumnType::BigInteger))
        .col(column(C::State, ColumnType::JsonBinary))
        .col(column(C::At, ColumnType::TimestampWithTimeZone))
        .col(ColumnDef::new_with_type(C::By, ColumnType::Text))
        .primary_key(Index::create().col(C::Kind).col(C::Id).col(C::Version))
        .take()
}

fn outbox_table() -> TableCreateStatement {
    use outbox::Column as C;
    let mut table = Table::create();
    // AUTOINCREMENT, so that an id is never given twice although the relay empties the table.
    table
        .table(outbox::Entity)
        .col(column(C::Id, ColumnType::BigInteger).auto_increment().primary_key());
    table
        .col(column(C::EventId, ColumnType::Uuid))
        .col(column(C::EventType, ColumnType::Text))
        .col(column(C::Dataversion, ColumnType::Integer))
        .col(column(C::Stream, ColumnType::Text))
        .col(column(C::Subject, ColumnType::Uuid))
        .col(column(C::Aggregateversion, ColumnType::BigInteger))
        .col(column(C::Time, ColumnType::TimestampWithTimeZone))
        .col(column(C::Traceparent, ColumnType::Text))
        .col(column(C::Data, ColumnType::JsonBinary))
        .index(
            Index::create()
                .unique()
                .name("outbox_once")
                .col(C::Subject)
                .col(C::Aggregateversion)
                .col(C::Stream),
        )
        .take()
}

fn event_log_table() -> TableCreateStatement {
    use event_log::Column as C;
    let mut table = Table::create();
    table
        .table(event_log::Entity)
        .col(column(C::Position, ColumnType::BigInteger).primary_key());
    table
        .col(column(C::EventId, ColumnType::Uuid))
        .col(column(C::EventType, ColumnType::Text))
        .col(column(C::Dataversion, ColumnType::Integer))
        .col(column(C::Stream, ColumnType::Text))
        .col(column(C::Subject, ColumnType::Uuid))
        .col(column(C::Aggregateversion, ColumnType::BigInteger))
        .col(column(C::Time, ColumnType::TimestampWithTimeZone))
        .col(column(C::Traceparent, ColumnType::Text))
        .col(column(C::Data, ColumnType::JsonBinary))
        .index(
            Index::create()
                .unique()
                .name("event_log_once")
                .col(C::Subject)
                .col(C::Aggregateversion)
                .col(C::Stream),
        )
        .take()
}

fn head_table() -> TableCreateStatement {
    use event_log_head::Column as C;
    Table::create()
        .table(event_log_head::Entity)
        .col(column(C::Id, ColumnType::Integer).primary_key())
        .col(column(C::Incarnation, ColumnType::Uuid))
        .col(column(C::Position, ColumnType::BigInteger))
        .col(column(C::Floor, ColumnType::BigInteger))
        .take()
}

fn subscriptions_table() -> TableCreateStatement {
    use subscriptions::Column as C;
    Table::create()
        .table(subscriptions::Entity)
        .col(column(C::Name, ColumnType::Text).primary_key())
        .col(column(C::Source, ColumnType::Text))
        .col(column(C::Incarnation, ColumnType::Uuid))
        .col(column(C::Position, ColumnType::BigInteger))
        .col(column(C::UpdatedAt, ColumnType::TimestampWithTimeZone))
        .take()
}
