//! The catalog's tables.

use sea_orm_migration::{prelude::*, schema::*};

use crate::head;

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(Catalog0001)]
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
