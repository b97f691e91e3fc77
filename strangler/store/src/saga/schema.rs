//! The tables of sagas, and of those who are called by them.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_query};
use sea_query::{ColumnDef, ColumnType, Index, Table};

use super::{
    inbox::received,
    row::{saga_steps, sagas},
};
use crate::schema::column;

pub(crate) struct SagaTables;

impl MigrationName for SagaTables {
    fn name(&self) -> &str {
        "strangler_0002_sagas"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SagaTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use sagas::Column as C;
        let table = Table::create()
            .table(sagas::Entity)
            .col(column(C::Id, ColumnType::Uuid).primary_key())
            .col(column(C::Kind, ColumnType::Text))
            .col(column(C::Version, ColumnType::BigInteger))
            .col(column(C::Status, ColumnType::Text))
            .col(column(C::Undoing, ColumnType::Boolean))
            .col(column(C::Step, ColumnType::Text))
            .col(column(C::State, ColumnType::JsonBinary))
            .col(column(C::Attempts, ColumnType::Integer))
            .col(ColumnDef::new_with_type(C::DueAt, ColumnType::TimestampWithTimeZone))
            .col(ColumnDef::new_with_type(C::Deadline, ColumnType::TimestampWithTimeZone))
            .col(column(C::Overdue, ColumnType::Boolean))
            .col(ColumnDef::new_with_type(C::Reason, ColumnType::JsonBinary))
            .col(column(C::Traceparent, ColumnType::Text))
            .col(column(C::BeganAt, ColumnType::TimestampWithTimeZone))
            .col(column(C::ChangedAt, ColumnType::TimestampWithTimeZone))
            .take();
        manager.create_table(table).await?;
        let due = Index::create()
            .name("sagas_due")
            .table(sagas::Entity)
            .col(C::DueAt)
            .take();
        manager.create_index(due).await?;
        let status = Index::create()
            .name("sagas_status")
            .table(sagas::Entity)
            .col(C::Status)
            .take();
        manager.create_index(status).await?;

        use saga_steps::Column as S;
        let table = Table::create()
            .table(saga_steps::Entity)
            .col(column(S::Saga, ColumnType::Uuid))
            .col(column(S::Step, ColumnType::Text))
            .col(column(S::Deed, ColumnType::Text))
            .col(column(S::State, ColumnType::Text))
            .col(column(S::Attempts, ColumnType::Integer))
            .col(column(S::At, ColumnType::TimestampWithTimeZone))
            .col(ColumnDef::new_with_type(S::Outcome, ColumnType::JsonBinary))
            .primary_key(Index::create().col(S::Saga).col(S::Step).col(S::Deed))
            .take();
        manager.create_table(table).await?;

        use received::Column as I;
        let table = Table::create()
            .table(received::Entity)
            .col(column(I::Saga, ColumnType::Uuid))
            .col(column(I::Step, ColumnType::Text))
            .col(column(I::Undone, ColumnType::Boolean))
            .col(ColumnDef::new_with_type(I::Answer, ColumnType::JsonBinary))
            .col(column(I::At, ColumnType::TimestampWithTimeZone))
            .primary_key(Index::create().col(I::Saga).col(I::Step))
            .take();
        manager.create_table(table).await
    }
}

/// Who works on a saga.
pub(crate) struct SagaWorker;

impl MigrationName for SagaWorker {
    fn name(&self) -> &str {
        "strangler_0009_saga_worker"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for SagaWorker {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let worker = ColumnDef::new_with_type(sagas::Column::Worker, ColumnType::Text).take();
        let table = Table::alter().table(sagas::Entity).add_column(worker).take();
        manager.alter_table(table).await
    }
}
