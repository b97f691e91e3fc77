//! Sagas: business processes over several modules, as persisted state machines.
//!
//! A [`Definition`] is a list of steps: compensatable ones, at most one pivot, retriable ones. A saga is one row of the
//! schema, begun in the same transaction as what it is about ([`Sagas::start`]) and advanced by [`Sagas::run`], which may
//! run in any number of processes. What a step does happens outside of any transaction, between two of them: one that
//! says it has started, and one that says what came of it and that the next one has started. Every transaction compares
//! the saga's version with the one it has read, so a worker that was overtaken changes nothing.
//!
//! A step may run more than once, at times even after its undo has: it always carries the same [`StepKey`], and the side
//! that is called keeps these keys in its [`Inbox`]. (The terms are those of H. Garcia-Molina and K. Salem, "Sagas", 1987,
//! and C. Richardson, "Microservices Patterns", chapter 4.)

mod definition;
mod desk;
mod engine;
mod file;
mod inbox;
mod key;
mod list;
mod machine;
mod places;
mod replay;
mod row;
mod schema;
mod worker;

pub use definition::{Act, Definition, Kind, Outcome, ShapeError, Step, Watch};
pub use engine::{Abandoned, Cancelled, Sagas};
pub(crate) use inbox::received;
pub use inbox::{Inbox, Receipt};
pub use key::{Deed, StepKey};
pub use list::{SagaChoice, SagaGroup};
pub use row::{Saga, SagaStatus, StepRecord, StepState};
pub(crate) use row::{saga_steps, sagas};
pub(crate) use schema::{SagaTables, SagaWorker};
