//! The tables of notifications.

use sea_orm_migration::{prelude::*, schema::*};

use crate::head;

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(Notifications0001)]
}

struct Notifications0001;

impl MigrationName for Notifications0001 {
    fn name(&self) -> &str {
        "notifications_0001_acts_venues_shows_mails"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Notifications0001 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // What was heard of the catalog. No foreign keys: a show may be heard of before its act and its venue.
        manager.create_table(head("acts").col(text("name")).take()).await?;
        let venues = head("venues")
            .col(text("name"))
            .col(text("city"))
            .col(text("time_zone"))
            .take();
        manager.create_table(venues).await?;
        let shows = head("shows")
            .col(uuid("act"))
            .col(uuid("venue"))
            .col(big_integer("starts_at"))
            .take();
        manager.create_table(shows).await?;
        // The key is the event's id: however often it is delivered, there is one mail about it.
        let mails = head("mails")
            .col(uuid("order_id"))
            .col(big_integer("order_version"))
            .col(text("address"))
            .col(text("letter"))
            .col(text("phase"))
            .col(integer("attempts"))
            .col(integer("tries"))
            .col(big_integer("queued_at"))
            .col(big_integer_null("due_at"))
            .col(text_null("subject"))
            .col(text_null("reason"))
            .take();
        manager.create_table(mails).await?;
        let index = |name: &'static str, columns: &[&'static str]| {
            let mut index = Index::create().name(name).table("mails").take();
            columns.iter().for_each(|column| {
                index.col(*column);
            });
            index
        };
        manager.create_index(index("mails_due", &["due_at", "id"])).await?;
        manager
            .create_index(index("mails_of_order", &["order_id", "order_version"]))
            .await?;
        manager
            .create_index(index("mails_in_phase", &["phase", "queued_at", "id"]))
            .await?;
        manager.create_index(index("mails_queued", &["queued_at", "id"])).await
    }
}
