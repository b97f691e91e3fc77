//! Opens a schema that is a PostgreSQL role's search path.

use std::{sync::Arc, time::Duration};

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, IsolationLevel, SqlxPostgresConnector,
    Statement, TransactionTrait,
    sqlx::{
        ConnectOptions, Connection,
        postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
    },
};

use crate::{DbOptions, StoreError, error::Place};

/// A connection that nobody needed for so long is closed: a server has a hundred as a rule, and they are for all schemas of
/// the monolith and of every process that was extracted.
const IDLE: Duration = Duration::from_secs(30);
/// A connection that was idle for longer is asked whether it still lives before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// A session that stops in the middle of a transaction (a suspended process, a lost host) must not hold its locks for ever.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);

/// How to connect, and how to call it without its password.
pub(crate) fn parse(url: &str) -> Result<(PgConnectOptions, String), String> {
    let options: PgConnectOptions = url
        .parse()
        .map_err(|e: sea_orm::sqlx::Error| format!("it cannot be understood: {e}"))?;
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let shown = format!(
        "postgres://{}@{host}:{}/{database}",
        options.get_username(),
        options.get_port()
    );
    // Between two processes of one machine there is nobody to hide from, and a handshake costs 90 ms on Linux: sqlx turns
    // Nagle's algorithm off only after it. Whoever wants TLS there too says so in the URL.
    let asked_for = url.contains("sslmode=") || url.contains("ssl-mode=");
    let options = match is_loopback(&options) && !asked_for {
        true => options.ssl_mode(PgSslMode::Disable),
        false => options,
    };
    Ok((options, shown))
}

fn is_loopback(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(crate) async fn open(
    connect: PgConnectOptions,
    place: &Arc<Place>,
    options: &DbOptions,
) -> Result<DatabaseConnection, StoreError> {
    // READ COMMITTED whatever the server's default is: `Uow::load` looks again after it has waited for a lock.
    let session = [
        ("default_transaction_isolation", "read committed".to_owned()),
        ("lock_timeout", options.busy_timeout.as_millis().to_string()),
        (
            "idle_in_transaction_session_timeout",
            IDLE_IN_TRANSACTION.as_millis().to_string(),
        ),
    ];
    let connect = connect.options(session).disable_statement_logging();
    let watched = place.clone();
    let pool = PgPoolOptions::new()
        .max_connections(options.max_connections.max(1))
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(IDLE)
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            // A round trip for every transaction would be a third of a short one's time. So only a connection that may
            // have been lost is tested: one that was idle for long, or that is older than the last broken one.
            let idle = u64::try_from(meta.idle_for.as_millis()).unwrap_or(u64::MAX);
            let doubtful = meta.idle_for >= TRUSTED_IDLE || watched.suspects(idle);
            Box::pin(async move { Ok(!doubtful || connection.ping().await.is_ok()) })
        })
        .connect_with(connect)
        .await
        .map_err(|e| place.sqlx("connecting", &e))?;
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    check_search_path(&connection, place).await?;
    Ok(connection)
}

/// Begins a transaction, and does so to its end even when whoever asked goes away meanwhile. sqlx counts a transaction once
/// BEGIN was answered; one that is dropped before is rolled back by nobody, and its connection would go back to the pool
/// inside of it: what others do there next would be part of it.
pub(crate) async fn begin(
    connection: DatabaseConnection,
    level: Option<IsolationLevel>,
    access: Option<AccessMode>,
) -> Result<DatabaseTransaction, DbErr> {
    let begun = tokio::spawn(async move { connection.begin_with_config(level, access).await });
    begun
        .await
        .unwrap_or_else(|e| Err(DbErr::Custom(format!("beginning a transaction broke off: {e}"))))
}

/// Without a schema to put them in, tables would fail to be created one by one, with a message that says less.
async fn check_search_path(connection: &DatabaseConnection, place: &Place) -> Result<(), StoreError> {
    let ask = Statement::from_string(
        connection.get_database_backend(),
        "SELECT current_schema()::text AS name",
    );
    let row = connection
        .query_one_raw(ask)
        .await
        .map_err(|e| place.error("connecting", &e))?;
    let name: Option<String> = row.and_then(|row| row.try_get("", "name").ok()).flatten();
    match name {
        Some(_) => Ok(()),
        None => Err(place.refused(
            "connecting",
            "the role's search_path leads to no schema; provision the role first",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_shown() {
        let (_, shown) = parse("postgres://app:s3cr%2Ft@db.example:5433/box?sslmode=disable").expect("parses");
        assert_eq!(shown, "postgres://app@db.example:5433/box");
        let error = parse("postgres://app:s3cret@host:notaport/box").expect_err("the port is no number");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
