//! The catalog's tables.

use sea_orm_migration::{prelude::*, schema::*};

use crate::head;

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(Catalog0001), Box::new(Catalog0002)]
}

struct Catalog0001;

impl MigrationName for Catalog0001 {
    fn name(&self) -> &str {
        "catalog_0001_acts_venues_shows"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Catalog0001 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(head("acts").col(text("name")).col(text("genre")).take())
            .await?;
        let venues = head("venues")
            .col(text("name"))
            .col(text("city"))
            .col(text("time_zone"))
            .col(text("sections"))
            .take();
        manager.create_table(venues).await?;
        let shows = head("shows")
            .col(uuid("act"))
            .col(uuid("venue"))
            .col(big_integer("starts_at"))
            .col(text("prices"))
            .col(boolean("cancelled"))
            .foreign_key(ForeignKey::create().from("shows", "act").to("acts", "id"))
            .foreign_key(ForeignKey::create().from("shows", "venue").to("venues", "id"))
            .take();
        manager.create_table(shows).await?;
        let by_time = Index::create()
            .name("shows_by_time")
            .table("shows")
            .col("starts_at")
            .col("id")
            .take();
        manager.create_index(by_time).await?;
        let by_act = Index::create()
            .name("shows_by_act")
            .table("shows")
            .col("act")
            .col("starts_at")
            .col("id")
            .take();
        manager.create_index(by_act).await
    }
}

/// Acts are searched by name and shows by city, in capitals or not.
struct Catalog0002;

impl MigrationName for Catalog0002 {
    fn name(&self) -> &str {
        "catalog_0002_folded_names"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Catalog0002 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, named, folded) in [("acts", "name", "name_folded"), ("venues", "city", "city_folded")] {
            let add = Table::alter().table(table).add_column(text(folded).default("")).take();
            manager.alter_table(add).await?;
            fold(manager, table, named, folded).await?;
        }
        let by_city = Index::create()
            .name("venues_by_city")
            .table("venues")
            .col("city_folded")
            .take();
        manager.create_index(by_city).await
    }
}

/// Fills the folded column of the rows there are. Not in SQL: SQLite's `lower` knows ASCII alone.
async fn fold(
    manager: &SchemaManager<'_>,
    table: &'static str,
    named: &'static str,
    folded: &'static str,
) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let names = Query::select().distinct().column(named).from(table).take();
    for row in connection.query_all(&names).await? {
        let name: String = row.try_get_by_index(0)?;
        let update = Query::update()
            .table(table)
            .value(folded, name.to_lowercase())
            .and_where(Expr::col(named).eq(name))
            .take();
        connection.execute(&update).await?;
    }
    Ok(())
}
