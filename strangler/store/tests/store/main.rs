//! The store against real databases: SQLite always, PostgreSQL when `BANYAN_TEST_POSTGRES` names a server, such as
//! `postgres://postgres@127.0.0.1:5432`. Each test makes databases and roles of its own and drops them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop; it says its seed, is told where the server is, and makes up ids"
)]

/// One test for each engine.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn sqlite() {
                crate::support::on_sqlite(super::tests::$name).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn postgres() {
                crate::support::on_postgres(super::tests::$name).await;
            }
        })*
    };
}

mod abandoned;
mod batches;
mod bounded;
mod cleaning;
mod endurance;
mod faults;
mod health;
mod held;
mod leases;
mod log;
mod migrating;
mod notes;
mod order;
mod peer;
mod provisioning;
mod pulse;
mod queues;
mod remote;
mod saga_pages;
mod saga_shapes;
mod sagas;
mod support;
mod tapes;
mod trouble;
mod units;
mod world;
