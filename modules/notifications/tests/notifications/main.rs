//! Notifications against real databases and a real mail server: SQLite always, PostgreSQL when `BANYAN_TEST_POSTGRES`
//! names a server, such as `postgres://postgres@127.0.0.1:5432`. Each test makes a database of its own and drops it.

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

mod folder;
mod hearing;
mod once;
mod posts;
mod retention;
mod server;
mod smtp;
mod support;
mod tls;
mod wire;
