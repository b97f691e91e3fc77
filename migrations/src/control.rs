//! The control plane's tables: routes, the audit trail, what happened, and what was done once.

use sea_orm_migration::{prelude::*, schema::*};

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(Control0001),
        Box::new(Control0002),
        Box::new(Control0003),
        Box::new(Control0004),
    ]
}

struct Control0001;

impl MigrationName for Control0001 {
    fn name(&self) -> &str {
        "control_0001_routes_audit_happened"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Control0001 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let routes = Table::create()
            .table("routes")
            .col(text("target").primary_key())
            .col(text("stage"))
            .col(text("fallback"))
            .take();
        manager.create_table(routes).await?;
        let audit = Table::create()
            .table("audit")
            .col(big_integer("id").primary_key().auto_increment())
            .col(timestamp_with_time_zone("at"))
            .col(text("by"))
            .col(text("target"))
            .col(text("from"))
            .col(text("to"))
            .col(text_null("why"))
            .take();
        manager.create_table(audit).await?;
        let happened = Table::create()
            .table("happened")
            .col(big_integer("id").primary_key().auto_increment())
            .col(uuid("event").unique_key())
            .col(text("source"))
            .col(text("kind"))
            .col(uuid("subject"))
            .col(big_integer("version"))
            .col(timestamp_with_time_zone("at"))
            .take();
        manager.create_table(happened).await?;
        let marks = Table::create()
            .table("marks")
            .col(text("name").primary_key())
            .col(timestamp_with_time_zone("at"))
            .take();
        manager.create_table(marks).await
    }
}

/// The epoch of a module's route.
struct Control0002;

impl MigrationName for Control0002 {
    fn name(&self) -> &str {
        "control_0002_route_epoch"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Control0002 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let epoch = Table::alter()
            .table("routes")
            .add_column(big_integer("epoch").default(0))
            .take();
        manager.alter_table(epoch).await
    }
}

/// A canary's share, salt and cohorts, and the share that is compared; shares are in hundredths of a percent. A route from
/// before has no share of callers and is compared as a whole.
struct Control0003;

impl MigrationName for Control0003 {
    fn name(&self) -> &str {
        "control_0003_route_shares"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Control0003 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time.
        let columns = [
            integer("percent").default(0).take(),
            integer("sample").default(10_000).take(),
            text("cohorts").default("").take(),
            big_integer_null("salt").take(),
        ];
        for column in columns {
            let add = Table::alter().table("routes").add_column(column).take();
            manager.alter_table(add).await?;
        }
        Ok(())
    }
}

/// The groups of mismatches.
struct Control0004;

impl MigrationName for Control0004 {
    fn name(&self) -> &str {
        "control_0004_mismatches"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Control0004 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let key = ["module", "operation", "place", "kind", "shape"];
        let mut table = Table::create().table("mismatches").take();
        for column in key {
            table.col(text(column));
        }
        table
            .col(text("detail"))
            .col(text_null("answers"))
            .col(text_null("recorded"));
        let mut primary = Index::create();
        for column in key {
            primary.col(column);
        }
        table.primary_key(&mut primary);
        manager.create_table(table).await
    }
}
