//! Every schema's migrations: one list per schema, the toolkit's own first. An extracted service runs its module's list
//! alone. This crate knows tables and must never know what is done with them.

mod catalog;
mod control;
mod notifications;
mod ordering;
mod payments;
mod seating;

use sea_orm_migration::{
    prelude::{Table, TableCreateStatement},
    schema::{big_integer, uuid},
};
pub use strangler_store::MigrationTrait;

/// The schemas there are, the control plane's first.
pub const SCHEMAS: [&str; 7] = [
    "strangler",
    "catalog",
    "seating",
    "payments",
    "ordering",
    "notifications",
    "storefront",
];

/// The migrations of a schema; `None` when there is no such schema.
pub fn of(schema: &str) -> Option<Vec<Box<dyn MigrationTrait>>> {
    let own = match schema {
        "strangler" => control::migrations(),
        "catalog" => catalog::migrations(),
        "seating" => seating::migrations(),
        "payments" => payments::migrations(),
        "notifications" => notifications::migrations(),
        "ordering" => ordering::migrations(),
        // Its pages are made of what others know; it has the toolkit's tables alone.
        "storefront" => Vec::new(),
        _ => return None,
    };
    Some(strangler_store::migrations().into_iter().chain(own).collect())
}

/// A table of head rows, as the unit of work wants them: an id and a version. The rest is the schema's own.
fn head(table: &'static str) -> TableCreateStatement {
    let mut table = Table::create().table(table).take();
    table.col(uuid("id").primary_key()).col(big_integer("version"));
    table
}
