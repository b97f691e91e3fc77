//! Opens a schema that is an SQLite file: one writer connection, and readers that are opened when they are needed.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use percent_encoding::percent_decode_str;
use sea_orm::{
    DatabaseConnection, SqlxSqliteConnector,
    sqlx::{
        self, ConnectOptions, Connection,
        sqlite::{
            SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
        },
    },
};

use crate::{DbOptions, StoreError, error::Place};

/// Page cache of the writer, and of each reader; a schema's hot pages are in the system's cache anyway. These caches are full
/// sooner or later: what a process of seven schemas holds in the end is seven times the sum of five.
const WRITER_CACHE_KIB: u32 = 1024;
const READER_CACHE_KIB: u32 = 256;

/// The file that the URL names, or what is wrong with it.
pub(crate) fn file_of(url: &str) -> Result<PathBuf, String> {
    let rest = url.strip_prefix("sqlite:").unwrap_or(url);
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    if path.is_empty() || path.starts_with(":memory:") {
        return Err("it names no file; write sqlite: and the path of a file, such as sqlite:data/catalog.db".into());
    }
    match percent_decode_str(path).decode_utf8() {
        Ok(path) => Ok(PathBuf::from(path.as_ref())),
        Err(_) => Err("its path is not UTF-8 once the percent signs are decoded".into()),
    }
}

pub(crate) async fn open(
    file: &Path,
    place: &Place,
    options: &DbOptions,
) -> Result<(DatabaseConnection, DatabaseConnection), StoreError> {
    create_private(file, place).await?;
    let shared = SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .busy_timeout(options.busy_timeout)
        .pragma("recursive_triggers", "ON")
        .disable_statement_logging();
    let writing = shared
        .clone()
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let writer = open_writer(writing, place, options).await?;
    // The writer has made the file a WAL database by now; a reader must not try to.
    let readers = pool(options).max_connections(options.max_connections.saturating_sub(1).clamp(1, 4));
    let reading = shared
        .read_only(true)
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"));
    let reader = readers.connect_lazy_with(reading);
    Ok((
        SqlxSqliteConnector::from_sqlx_sqlite_pool(writer),
        SqlxSqliteConnector::from_sqlx_sqlite_pool(reader),
    ))
}

fn pool(options: &DbOptions) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_release(|connection, _| Box::pin(is_outside_transactions(connection)))
}

/// Whether the connection may be used again. SQLite ends a transaction by itself when the disk is full or an I/O error
/// happens; sqlx's ROLLBACK finds none then, fails, and goes on counting one. The next transaction would be a savepoint, and
/// once such a one is rolled back, all later ones would be savepoints of a transaction that nobody commits: acknowledged and
/// lost. So a connection that still counts one is closed.
async fn is_outside_transactions(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may be under way still; the connection's thread answers after it.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Opens the writer. Turning a new file into a WAL database takes a lock that SQLite's busy timeout does not wait for, so
/// several processes that start at once are waited for here.
async fn open_writer(
    connect: SqliteConnectOptions,
    place: &Place,
    options: &DbOptions,
) -> Result<SqlitePool, StoreError> {
    let deadline = Instant::now() + options.busy_timeout.max(Duration::from_secs(1));
    let mut pause = Duration::from_millis(2);
    loop {
        let pool = pool(options).max_connections(1).min_connections(1);
        let error: sqlx::Error = match pool.connect_with(connect.clone()).await {
            Ok(pool) => return Ok(pool),
            Err(error) => error,
        };
        let error = place.sqlx("opening the database file", &error);
        if !matches!(error, StoreError::Busy(_)) || Instant::now() >= deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Makes the file, readable by its owner only; SQLite gives its `-wal` and `-shm` companions the same mode. The folder is
/// not made: a mistyped path must not become an empty database.
async fn create_private(file: &Path, place: &Place) -> Result<(), StoreError> {
    let folder = file
        .parent()
        .filter(|f| !f.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    match tokio::fs::metadata(folder).await {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => {
            return Err(place.refused(
                "opening the database file",
                format!("{} is no folder", folder.display()),
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let cause = format!("the folder {} does not exist; create it first", folder.display());
            return Err(place.refused("opening the database file", cause));
        }
        Err(error) => return Err(place.io("opening the database file", &error)),
    }
    let mut create = tokio::fs::OpenOptions::new();
    create.write(true).create_new(true);
    #[cfg(unix)]
    create.mode(0o600);
    match create.open(file).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(place.io("creating the database file", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_files() {
        assert_eq!(file_of("sqlite:data/catalog.db"), Ok(PathBuf::from("data/catalog.db")));
        assert_eq!(
            file_of("sqlite:///var/lib/a%20b.db?mode=rwc"),
            Ok(PathBuf::from("/var/lib/a b.db"))
        );
        assert_eq!(file_of("sqlite:/x.db"), Ok(PathBuf::from("/x.db")));
        assert!(file_of("sqlite::memory:").is_err());
        assert!(file_of("sqlite:").is_err());
    }
}
