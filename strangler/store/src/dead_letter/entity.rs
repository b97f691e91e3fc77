//! The tables of events that failed.

use sea_orm::{ActiveModelTrait, DbErr, EntityTrait, sea_query::OnConflict};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait, sea_query};
use sea_query::{ColumnDef, ColumnType, Index, Table};

use crate::{schema::column, writer::Tx};

pub(crate) mod set_aside {
    //! Events that are tried again, and those of the same subject that wait behind them.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "set_aside")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub subscription: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub position: i64,
        pub event_id: Uuid,
        pub subject: Uuid,
        pub event: Json,
        pub attempts: i32,
        pub due_at: Option<DateTimeUtc>,
        pub tried: Json,
        pub aside_at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod dead_letters {
    //! Events that were given up, until a person decides, and afterwards.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "dead_letters")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub subscription: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub position: i64,
        pub event_id: Uuid,
        pub subject: Uuid,
        pub event: Json,
        pub error: String,
        pub tried: Json,
        pub parked_at: DateTimeUtc,
        pub resolved_at: Option<DateTimeUtc>,
        pub resolved_by: Option<String>,
        pub resolution: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Parks a letter; it may have been parked before, and retried.
pub(crate) async fn park(tx: &Tx, letter: dead_letters::Model) -> Result<(), DbErr> {
    use dead_letters::Column as C;
    let replace = OnConflict::columns([C::Subscription, C::Position])
        .update_columns([
            C::Error,
            C::Tried,
            C::ParkedAt,
            C::ResolvedAt,
            C::ResolvedBy,
            C::Resolution,
        ])
        .to_owned();
    let letter = dead_letters::ActiveModel::from(letter).reset_all();
    let insert = dead_letters::Entity::insert(letter).on_conflict(replace);
    insert.exec_without_returning(tx).await.map(drop)
}

pub(crate) struct TroubleTables;

impl MigrationName for TroubleTables {
    fn name(&self) -> &str {
        "strangler_0004_trouble"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for TroubleTables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let optional = |name: &'static str, kind| ColumnDef::new_with_type(name, kind);
        use set_aside::Column as A;
        let table = Table::create()
            .table(set_aside::Entity)
            .col(column(A::Subscription, ColumnType::Text))
            .col(column(A::Position, ColumnType::BigInteger))
            .col(column(A::EventId, ColumnType::Uuid))
            .col(column(A::Subject, ColumnType::Uuid))
            .col(column(A::Event, ColumnType::JsonBinary))
            .col(column(A::Attempts, ColumnType::Integer))
            .col(optional("due_at", ColumnType::TimestampWithTimeZone))
            .col(column(A::Tried, ColumnType::JsonBinary))
            .col(column(A::AsideAt, ColumnType::TimestampWithTimeZone))
            .primary_key(Index::create().col(A::Subscription).col(A::Position))
            .take();
        manager.create_table(table).await?;
        for (name, key) in [("set_aside_due", A::DueAt), ("set_aside_subject", A::Subject)] {
            let index = Index::create()
                .name(name)
                .table(set_aside::Entity)
                .col(A::Subscription)
                .col(key)
                .take();
            manager.create_index(index).await?;
        }
        use dead_letters::Column as D;
        let table = Table::create()
            .table(dead_letters::Entity)
            .col(column(D::Subscription, ColumnType::Text))
            .col(column(D::Position, ColumnType::BigInteger))
            .col(column(D::EventId, ColumnType::Uuid))
            .col(column(D::Subject, ColumnType::Uuid))
            .col(column(D::Event, ColumnType::JsonBinary))
            .col(column(D::Error, ColumnType::Text))
            .col(column(D::Tried, ColumnType::JsonBinary))
            .col(column(D::ParkedAt, ColumnType::TimestampWithTimeZone))
            .col(optional("resolved_at", ColumnType::TimestampWithTimeZone))
            .col(optional("resolved_by", ColumnType::Text))
            .col(optional("resolution", ColumnType::Text))
            .primary_key(Index::create().col(D::Subscription).col(D::Position))
            .take();
        manager.create_table(table).await?;
        let index = Index::create()
            .name("dead_letters_subject")
            .table(dead_letters::Entity)
            .col(D::Subscription)
            .col(D::Subject)
            .take();
        manager.create_index(index).await
    }
}

/// Letters that were decided about are listed too, in the order in which they were parked.
pub(crate) struct LetterIndexes;

impl MigrationName for LetterIndexes {
    fn name(&self) -> &str {
        "strangler_0010_letter_lists"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for LetterIndexes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        use dead_letters::Column as D;
        let index = Index::create()
            .name("dead_letters_resolution")
            .table(dead_letters::Entity)
            .col(D::Resolution)
            .col(D::ParkedAt)
            .take();
        manager.create_index(index).await
    }
}
