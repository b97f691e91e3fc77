//! Every schema's migrations: one list per schema, the toolkit's own first. An extracted service runs its module's list
//! alone. This crate knows tables and must never know what is done with them.

mod catalog;
mod control;
mod ordering;
mod payments;
mod seating;

pub use strangler_store::MigrationTrait;

/// The schemas there are, the control plane's first.
pub const SCHEMAS: [&str; 5] = ["strangler", "catalog", "seating", "payments", "ordering"];

/// The migrations of a schema; `None` when there is no such schema.
pub fn of(schema: &str) -> Option<Vec<Box<dyn MigrationTrait>>> {
    let own = match schema {
        "strangler" => control::migrations(),
        "catalog" => catalog::migrations(),
        "seating" => seating::migrations(),
        "payments" => payments::migrations(),
        "ordering" => ordering::migrations(),
        _ => return None,
    };
    Some(strangler_store::migrations().into_iter().chain(own).collect())
}
