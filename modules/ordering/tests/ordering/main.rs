//! Ordering against real databases, with seating and payments in memory that fail in every way: SQLite always, PostgreSQL
//! when `BANYAN_TEST_POSTGRES` names a server, such as `postgres://postgres@127.0.0.1:5432`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop; it is told where the server is"
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

mod cancelling;
mod fakes;
mod faults;
mod giving_up;
mod injected;
mod killed;
mod placing;
mod refusals;
mod support;
mod wire;
