//! Seating's tables.

use sea_orm_migration::{prelude::*, schema::*};

use crate::head;

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(Seating0001)]
}

struct Seating0001;

impl MigrationName for Seating0001 {
    fn name(&self) -> &str {
        "seating_0001_venues_shows_holds_taken"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Seating0001 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // What was heard of the catalog. No foreign key: a show may be heard of before its venue.
        manager
            .create_table(head("venues").col(text("sections")).take())
            .await?;
        let shows = head("shows")
            .col(uuid_null("venue"))
            .col(text("prices"))
            .col(boolean("cancelled"))
            .take();
        manager.create_table(shows).await?;
        // A hold that was released before it was taken has no show, no seats and no total.
        let holds = head("holds")
            .col(uuid_null("show"))
            .col(text("seats"))
            .col(big_integer_null("amount"))
            .col(text_null("currency"))
            .col(text("phase"))
            .col(big_integer_null("expires_at"))
            .take();
        manager.create_table(holds).await?;
        let expiring = Index::create()
            .name("holds_expiring")
            .table("holds")
            .col("expires_at")
            .col("id")
            .take();
        manager.create_index(expiring).await?;
        // The key is what keeps a seat from being two people's.
        let taken = Table::create()
            .table("taken")
            .col(uuid("show"))
            .col(text("seat"))
            .col(uuid("hold"))
            .col(boolean("sold"))
            .col(big_integer_null("expires_at"))
            .primary_key(Index::create().col("show").col("seat"))
            .take();
        manager.create_table(taken).await?;
        let by_hold = Index::create().name("taken_by_hold").table("taken").col("hold").take();
        manager.create_index(by_hold).await
    }
}
