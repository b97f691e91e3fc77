//! What can go wrong between a module and its database, in a few kinds, each with what to do about it.
//!
//! The codes of SQLite and PostgreSQL are read in this file and nowhere else.

use std::{
    fmt, io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, error::ErrorKind},
};

use crate::Engine;

/// A failure of the store. `Display` is one or two sentences: what happened, where, and what to do next.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else changed or created the same thing in the meantime, or a value that must be unique exists already.
    Conflict(Box<Trouble>),
    /// A lock could not be had in time, or the transaction was the victim of a deadlock.
    Busy(Box<Trouble>),
    /// There is no room left on the database's disk.
    Full(Box<Trouble>),
    /// The database, its file or folder may not be written, or the role may not do this.
    ReadOnly(Box<Trouble>),
    /// The database cannot be reached at the moment.
    Unavailable(Box<Trouble>),
    /// The file or a row of it is damaged.
    Corrupt(Box<Trouble>),
    /// A precondition does not hold, and repeating it changes nothing: a setting, a name or a version is wrong.
    Refused(Box<Trouble>),
    /// Anything else: most likely a defect.
    Other(Box<Trouble>),
}

/// Where and why a store operation failed. Holds no secret.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// The schema, such as `catalog`; empty when it is not known yet.
    pub schema: String,
    /// The database as it may be shown, without password.
    pub database: String,
    /// What was being done, such as `loading show 018f…`.
    pub doing: String,
    /// What the database (or the operating system) said.
    pub cause: String,
}

impl StoreError {
    /// For [`Aggregate::from_model`](crate::Aggregate::from_model): a stored row that cannot be understood. The store
    /// adds where it was read.
    pub fn corrupt_row(cause: impl fmt::Display) -> Self {
        Self::Corrupt(Box::new(Trouble {
            cause: cause.to_string(),
            ..Trouble::default()
        }))
    }

    /// Whether the same operation may succeed when it is simply run again from its beginning. A conflict counts: the
    /// next run loads the newer state and decides anew.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Conflict(_) | Self::Busy(_) | Self::Unavailable(_))
    }

    /// What it means for who asked from outside, and what they can do: without what the database said, which is for the log.
    pub fn outward(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "it was changed by two at once; ask again",
            Self::Busy(_) => "it is busy; ask again shortly",
            Self::Full(_) => "its disk is full; nothing was changed, and somebody has to make room",
            Self::ReadOnly(_) => "it cannot be written; nothing was changed, and the log says why",
            Self::Unavailable(_) => "its database does not answer; ask again shortly",
            _ => "something is wrong with it; the log has the cause under this trace",
        }
    }

    /// Where and why it failed.
    pub fn trouble(&self) -> &Trouble {
        match self {
            Self::Conflict(t) | Self::Busy(t) | Self::Full(t) | Self::ReadOnly(t) => t,
            Self::Unavailable(t) | Self::Corrupt(t) | Self::Refused(t) | Self::Other(t) => t,
        }
    }

    fn trouble_mut(&mut self) -> &mut Trouble {
        match self {
            Self::Conflict(t) | Self::Busy(t) | Self::Full(t) | Self::ReadOnly(t) => t,
            Self::Unavailable(t) | Self::Corrupt(t) | Self::Refused(t) | Self::Other(t) => t,
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trouble {
            schema,
            database,
            doing,
            cause,
        } = self.trouble();
        let place = match (schema.as_str(), database.as_str()) {
            ("", "") => String::new(),
            ("", database) => format!(" ({database})"),
            (schema, "") => format!(" in schema {schema}"),
            (schema, database) => format!(" in schema {schema} ({database})"),
        };
        let doing = if doing.is_empty() { "reading a row" } else { doing };
        match self {
            Self::Conflict(_) => write!(
                f,
                "{doing}{place} met a conflict: {cause}. Nothing was written; load the newer state and decide again."
            ),
            Self::Busy(_) => {
                write!(
                    f,
                    "{doing}{place} waited too long for another writer: {cause}. Nothing was written; try again."
                )
            }
            Self::Full(_) => write!(
                f,
                "{doing}{place} found no room: {cause}. Nothing was written; free space on the database's disk, then try \
                 again."
            ),
            Self::ReadOnly(_) => write!(
                f,
                "{doing}{place} is not permitted: {cause}. Check the permissions of the file and its folder, or of the role."
            ),
            Self::Unavailable(_) => write!(
                f,
                "{doing}{place} could not reach the database: {cause}. See that it is running; the connection comes back \
                 by itself, then the same request can be sent again."
            ),
            Self::Corrupt(_) => write!(
                f,
                "{doing}{place} found damaged data: {cause}. Stop writing, keep a copy of what is there, and restore a \
                 backup."
            ),
            Self::Refused(_) => write!(f, "{doing}{place} is refused: {cause}."),
            Self::Other(_) => write!(
                f,
                "{doing}{place} failed: {cause}. This looks like a defect; nothing was committed."
            ),
        }
    }
}

impl std::error::Error for StoreError {}

/// The kinds, before there is a place to go with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Conflict,
    Busy,
    Full,
    ReadOnly,
    Unavailable,
    Corrupt,
    Refused,
    Other,
}

/// One schema of one database: turns the driver's errors into ours, and remembers when the connection last broke and when a
/// write last found no room.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) engine: Engine,
    pub(crate) schema: String,
    pub(crate) database: String,
    started: Instant,
    /// Milliseconds after `started` at which a connection was last found broken; 0 for never.
    broken: AtomicU64,
    /// The same for a write that was not possible; 0 again when one was.
    stuck: AtomicU64,
}

impl Place {
    pub(crate) fn new(engine: Engine, schema: &str, database: String) -> Self {
        Self {
            engine,
            schema: schema.to_owned(),
            database,
            started: Instant::now(),
            broken: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
        }
    }

    /// The driver's error, with its place.
    pub(crate) fn error(&self, doing: impl fmt::Display, error: &DbErr) -> StoreError {
        let (sort, cause) = classify(self.engine, error);
        self.make(sort, doing, cause)
    }

    pub(crate) fn sqlx(&self, doing: impl fmt::Display, error: &sqlx::Error) -> StoreError {
        let (sort, cause) = classify_sqlx(self.engine, error);
        self.make(sort, doing, cause)
    }

    pub(crate) fn io(&self, doing: impl fmt::Display, error: &io::Error) -> StoreError {
        self.make(classify_io(error), doing, error)
    }

    pub(crate) fn refused(&self, doing: impl fmt::Display, cause: impl fmt::Display) -> StoreError {
        self.make(Sort::Refused, doing, cause)
    }

    pub(crate) fn make(&self, sort: Sort, doing: impl fmt::Display, cause: impl fmt::Display) -> StoreError {
        if sort == Sort::Unavailable {
            self.note_broken();
        }
        if matches!(sort, Sort::Full | Sort::ReadOnly) {
            self.stuck.store(self.moment(), Ordering::Relaxed);
        }
        let trouble = Box::new(Trouble {
            schema: self.schema.clone(),
            database: self.database.clone(),
            doing: doing.to_string(),
            cause: cause.to_string().trim_end_matches('.').to_owned(),
        });
        match sort {
            Sort::Conflict => StoreError::Conflict(trouble),
            Sort::Busy => StoreError::Busy(trouble),
            Sort::Full => StoreError::Full(trouble),
            Sort::ReadOnly => StoreError::ReadOnly(trouble),
            Sort::Unavailable => StoreError::Unavailable(trouble),
            Sort::Corrupt => StoreError::Corrupt(trouble),
            Sort::Refused => StoreError::Refused(trouble),
            Sort::Other => StoreError::Other(trouble),
        }
    }

    /// Completes an error that a module made without knowing its place.
    pub(crate) fn locate(&self, doing: impl fmt::Display, mut error: StoreError) -> StoreError {
        let trouble = error.trouble_mut();
        if trouble.schema.is_empty() {
            trouble.schema.clone_from(&self.schema);
            trouble.database.clone_from(&self.database);
        }
        if trouble.doing.is_empty() {
            trouble.doing = doing.to_string();
        }
        error
    }

    /// Remembers that a connection was found broken just now.
    pub(crate) fn note_broken(&self) {
        self.broken.store(self.moment(), Ordering::Relaxed);
    }

    /// How long ago a write was last found not to be possible; `None` when one was since.
    pub(crate) fn stuck(&self) -> Option<Duration> {
        let stuck = self.stuck.load(Ordering::Relaxed);
        (stuck > 0).then(|| Duration::from_millis(self.moment().saturating_sub(stuck)))
    }

    /// A write that began at this [`moment`](Self::moment) was possible; one that was not since counts more.
    pub(crate) fn note_written(&self, began: u64) {
        let stuck = self.stuck.load(Ordering::Relaxed);
        if stuck < began {
            _ = self
                .stuck
                .compare_exchange(stuck, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Now, in milliseconds after the start; never 0.
    pub(crate) fn moment(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// Whether a connection that was last used `idle_ms` ago may have been broken since.
    pub(crate) fn suspects(&self, idle_ms: u64) -> bool {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let broken = self.broken.load(Ordering::Relaxed);
        broken > 0 && now.saturating_sub(idle_ms) <= broken
    }
}

/// Whether the connection itself broke, so that the statement may be sent again over another one. A pool that has no
/// connection to give is not that: waiting for it a second time only doubles the wait.
pub(crate) fn connection_lost(engine: Engine, error: &DbErr) -> bool {
    !matches!(error, DbErr::ConnectionAcquire(_))
        && !matches!(inner(error), Some(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed))
        && classify(engine, error).0 == Sort::Unavailable
}

/// Whether the statement failed because its table does not exist.
pub(crate) fn no_such_table(error: &DbErr) -> bool {
    let Some(sqlx::Error::Database(error)) = inner(error) else {
        return false;
    };
    error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
}

fn inner(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(e)) | DbErr::Exec(RuntimeErr::SqlxError(e)) => Some(e),
        DbErr::Query(RuntimeErr::SqlxError(e)) => Some(e),
        _ => None,
    }
}

fn classify(engine: Engine, error: &DbErr) -> (Sort, String) {
    match error {
        // On SQLite the pool is one writer connection: waiting for it is waiting for another writer.
        DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout) => match engine {
            Engine::Sqlite => (Sort::Busy, "no connection became free in time".into()),
            Engine::Postgres => (Sort::Unavailable, "no connection could be had in time".into()),
        },
        DbErr::ConnectionAcquire(_) => (Sort::Unavailable, "the handle has been closed".into()),
        other => match inner(other) {
            Some(e) => classify_sqlx(engine, e),
            None => (Sort::Other, other.to_string()),
        },
    }
}

fn classify_sqlx(engine: Engine, error: &sqlx::Error) -> (Sort, String) {
    use sqlx::Error as E;
    match error {
        E::Database(e) => {
            let code = e.code().unwrap_or_default();
            let sort = match e.kind() {
                ErrorKind::UniqueViolation => Sort::Conflict,
                _ if engine == Engine::Sqlite => sqlite_code(&code),
                _ => postgres_code(&code),
            };
            (sort, format!("{} (code {code})", e.message()))
        }
        E::PoolTimedOut => classify(engine, &DbErr::ConnectionAcquire(sea_orm::ConnAcquireErr::Timeout)),
        E::PoolClosed => (Sort::Unavailable, "the handle has been closed".into()),
        E::Io(e) if engine == Engine::Sqlite => (classify_io(e), e.to_string()),
        E::Io(e) => (Sort::Unavailable, e.to_string()),
        E::Tls(_) | E::Protocol(_) | E::WorkerCrashed | E::BeginFailed => (Sort::Unavailable, error.to_string()),
        E::Configuration(_) => (Sort::Refused, error.to_string()),
        _ => (Sort::Other, error.to_string()),
    }
}

fn classify_io(error: &io::Error) -> Sort {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Sort::Full,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Sort::ReadOnly,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => Sort::Refused,
        _ => Sort::Other,
    }
}

/// SQLite's extended result codes carry the primary one in their low byte (<https://sqlite.org/rescode.html>).
fn sqlite_code(code: &str) -> Sort {
    let Ok(code) = code.parse::<u32>() else {
        return Sort::Other;
    };
    match code & 0xff {
        5 | 6 => Sort::Busy,
        3 | 8 | 14 | 23 => Sort::ReadOnly,
        11 | 26 => Sort::Corrupt,
        13 => Sort::Full,
        _ => Sort::Other,
    }
}

/// SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn postgres_code(code: &str) -> Sort {
    match code {
        "40001" | "40P01" | "55P03" | "57014" => Sort::Busy,
        "53100" => Sort::Full,
        "25006" | "42501" | "28000" | "28P01" => Sort::ReadOnly,
        "53200" | "53300" | "53400" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" => Sort::Unavailable,
        "XX001" | "XX002" => Sort::Corrupt,
        "3D000" => Sort::Refused,
        _ if code.starts_with("08") => Sort::Unavailable,
        _ => Sort::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read() {
        assert_eq!(sqlite_code("517"), Sort::Busy);
        assert_eq!(sqlite_code("26"), Sort::Corrupt);
        assert_eq!(sqlite_code("1032"), Sort::ReadOnly);
        assert_eq!(sqlite_code("13"), Sort::Full);
        assert_eq!(postgres_code("57P01"), Sort::Unavailable);
        assert_eq!(postgres_code("08006"), Sort::Unavailable);
        assert_eq!(postgres_code("55P03"), Sort::Busy);
        assert_eq!(postgres_code("53100"), Sort::Full);
    }

    #[test]
    fn every_kind_is_a_sentence_with_its_place() {
        let place = Place::new(Engine::Sqlite, "catalog", "sqlite:data/catalog.db".into());
        for sort in [
            Sort::Conflict,
            Sort::Busy,
            Sort::Full,
            Sort::ReadOnly,
            Sort::Unavailable,
            Sort::Corrupt,
        ] {
            let text = place.make(sort, "saving show 1", "it said so.").to_string();
            assert!(
                text.starts_with("saving show 1 in schema catalog (sqlite:data/catalog.db)"),
                "{text}"
            );
            assert!(text.ends_with('.') && !text.contains(".."), "{text}");
        }
        let located = place.locate("loading show 1", StoreError::corrupt_row("no such state"));
        assert!(
            located.to_string().contains("loading show 1 in schema catalog"),
            "{located}"
        );
    }

    #[test]
    fn a_broken_connection_makes_older_ones_suspect() {
        let place = Place::new(Engine::Postgres, "catalog", String::new());
        assert!(!place.suspects(1));
        drop(place.make(Sort::Unavailable, "x", "y"));
        assert!(place.suspects(1));
    }
}
