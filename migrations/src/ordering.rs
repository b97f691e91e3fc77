//! Ordering's tables. How far an order has come is in the toolkit's tables of sagas.

use sea_orm_migration::{prelude::*, schema::*};

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(Ordering0001)]
}

struct Ordering0001;

impl MigrationName for Ordering0001 {
    fn name(&self) -> &str {
        "ordering_0001_orders"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Ordering0001 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let orders = Table::create()
            .table("orders")
            .col(uuid("id").primary_key())
            .col(big_integer("version"))
            .col(uuid("show"))
            .col(text("seats"))
            .col(text("email"))
            .col(text("token_digest"))
            .col(text("status"))
            .col(boolean("cancel_asked"))
            .col(uuid_null("cancellation"))
            .col(text_null("reason"))
            .col(big_integer_null("amount"))
            .col(text_null("currency"))
            .col(text("tickets"))
            .take();
        manager.create_table(orders).await
    }
}
