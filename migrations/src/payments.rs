//! Payments' tables.

use sea_orm_migration::{prelude::*, schema::*};

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(Payments0001)]
}

struct Payments0001;

impl MigrationName for Payments0001 {
    fn name(&self) -> &str {
        "payments_0001_payments"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Payments0001 {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // A payment that was voided before it was authorised has neither amount nor token.
        let payments = Table::create()
            .table("payments")
            .col(uuid("id").primary_key())
            .col(big_integer("version"))
            .col(big_integer_null("amount"))
            .col(text_null("currency"))
            .col(text_null("token_digest"))
            .col(text("phase"))
            .col(text_null("reference"))
            .take();
        manager.create_table(payments).await
    }
}
