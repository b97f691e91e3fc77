//! The database handle of one module.

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, Statement};
use sea_orm_migration::MigrationTrait;
use strangler::{Clock, Cx, SystemClock, tape::Spoilt};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    DeadLetters, EventLog, Janitor, Leases, Queues, Relay, Retention, StoreError, Uow, View,
    error::{Place, Sort, connection_lost},
    health::Home,
    log::LocalLog,
    migrate, postgres,
    pulse::{Beats, Own, Pulse},
    sqlite,
    taped::Taped,
    writer::{Signals, Tx, Writer},
};

/// The database engines that a schema can live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// One file per schema.
    Sqlite,
    /// One schema and one login role per module.
    Postgres,
}

/// How a [`Db`] behaves. `DbOptions::default()` suits a module of average traffic.
#[derive(Clone)]
pub struct DbOptions {
    /// The most connections at a time; default 6. On SQLite one of them writes and at most four read.
    pub max_connections: u32,
    /// How long to wait for a connection; default 5 s.
    pub acquire_timeout: Duration,
    /// How long to wait for a lock that another process or transaction holds; default 5 s.
    pub busy_timeout: Duration,
    /// Where units of work get their time from; default the machine's clock.
    pub clock: Arc<dyn Clock>,
    /// A name that this process alone has, and has again after a restart: leases that it held when it was killed are its own
    /// again at once, and not only when they expire. Default none: every start is somebody new.
    pub worker: Option<String>,
}

impl Default for DbOptions {
    fn default() -> Self {
        Self {
            max_connections: 6,
            acquire_timeout: Duration::from_secs(5),
            busy_timeout: Duration::from_secs(5),
            clock: Arc::new(SystemClock),
            worker: None,
        }
    }
}

impl fmt::Debug for DbOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DbOptions")
            .field("max_connections", &self.max_connections)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("busy_timeout", &self.busy_timeout)
            .finish_non_exhaustive()
    }
}

/// A module's handle to its data. The handle *is* the schema: nothing else is reachable through it. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    place: Arc<Place>,
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    clock: Arc<dyn Clock>,
    worker: Option<String>,
    signals: Arc<Signals>,
    /// On SQLite: the line before the one writer.
    line: Option<Writer>,
    /// Signs of what other processes wrote.
    pulse: Pulse,
    /// On SQLite: the file it was opened in.
    home: Option<Home>,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db")
            .field("schema", &self.schema())
            .field("database", &self.display_url())
            .finish()
    }
}

impl Db {
    /// Opens a schema: `sqlite:data/catalog.db` (created if missing, its folder is not) or `postgres://role:pw@host/db`,
    /// whose role's `search_path` is the schema (see [`provision`](crate::provision)). `schema` is what events name as
    /// their source.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a URL, folder or role that cannot work; [`StoreError::Unavailable`] when the server does
    /// not answer within the acquire timeout; [`StoreError::Corrupt`] for a file that is no database.
    pub async fn open(url: &str, schema: &str, options: DbOptions) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let unnamed = Place::new(Engine::Sqlite, schema, String::new());
            let file = sqlite::file_of(url).map_err(|why| unnamed.refused("reading the database URL", why))?;
            let place = Arc::new(Place::new(Engine::Sqlite, schema, format!("sqlite:{}", file.display())));
            let (writer, reader) = sqlite::open(&file, &place, &options).await?;
            let home = Home::of(&file).map_err(|e| place.io("looking at the file", &e))?;
            let own = Own::default();
            let pulse = Pulse::of_file(&file, own.clone());
            Ok(Self::assemble(place, writer, reader, pulse, Some((own, home)), options))
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let unnamed = Place::new(Engine::Postgres, schema, String::new());
            let parsed = postgres::parse(url).map_err(|why| unnamed.refused("reading the database URL", why))?;
            let (connect, shown) = parsed;
            let place = Arc::new(Place::new(Engine::Postgres, schema, shown));
            let connection = postgres::open(connect, &place, &options).await?;
            let pulse = Pulse::of_channel(connection.get_postgres_connection_pool(), schema);
            Ok(Self::assemble(
                place,
                connection.clone(),
                connection,
                pulse,
                None,
                options,
            ))
        } else {
            let place = Place::new(Engine::Sqlite, schema, String::new());
            let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
            let cause = format!("`{scheme}:` is no known kind of database; write sqlite:… or postgres://…");
            Err(place.refused("reading the database URL", cause))
        }
    }

    fn assemble(
        place: Arc<Place>,
        writer: DatabaseConnection,
        reader: DatabaseConnection,
        pulse: Pulse,
        file: Option<(Own, Home)>,
        options: DbOptions,
    ) -> Self {
        let signals = Arc::new(Signals::new());
        for news in [&signals.commits, &signals.logged, &signals.sagas, &signals.queues] {
            pulse.announce(news.subscribe());
        }
        let (line, home) = file
            .map(|(own, home)| {
                let line = Writer::new(
                    writer.clone(),
                    place.clone(),
                    signals.clone(),
                    own,
                    options.acquire_timeout,
                );
                (line, home)
            })
            .unzip();
        Self(Arc::new(Inner {
            place,
            writer,
            reader,
            clock: options.clock,
            worker: options.worker,
            signals,
            line,
            pulse,
            home,
        }))
    }

    /// Under which name its workers hold leases, when that was given.
    pub(crate) fn worker(&self) -> Option<&str> {
        self.0.worker.as_deref()
    }

    /// The kind of database it is in.
    pub fn engine(&self) -> Engine {
        self.0.place.engine
    }

    /// The schema's name, such as `catalog`.
    pub fn schema(&self) -> &str {
        &self.0.place.schema
    }

    /// Where it is, fit to be shown: there is never a password in it.
    pub fn display_url(&self) -> &str {
        &self.0.place.database
    }

    /// Runs the migrations that the schema has not had, in the order of the list, in one transaction and under a lock, so
    /// that many processes may start at once. Answers how many it ran. Takes no lock when there is nothing to do.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the schema has had migrations that are not in the list; the migrations' own failures,
    /// after which nothing of this run remains.
    pub async fn migrate(&self, list: Vec<Box<dyn MigrationTrait>>) -> Result<u32, StoreError> {
        migrate::migrate(self, list).await
    }

    /// Begins a unit of work: a command. On SQLite it holds the schema's one writer from here on; on PostgreSQL it locks
    /// the rows it loads. Dropping it rolls back.
    ///
    /// # Errors
    /// [`StoreError::Busy`] or [`StoreError::Unavailable`].
    pub async fn begin(&self, cx: &Cx) -> Result<Uow, StoreError> {
        let by = cx.subject().map(str::to_owned);
        if let Some(tape) = cx.tape().filter(|_| cx.is_replay()) {
            return Ok(Uow::replayed(self.clone(), tape.clone(), cx.traceparent(), by).await);
        }
        let tx = self.begin_raw("beginning a unit of work").await.inspect_err(|_| {
            if let Some(record) = cx.tape().and_then(|tape| tape.as_record()) {
                record.spoil(Spoilt::StoreFailed);
            }
        })?;
        let mut uow = Uow::new(self.clone(), tx, cx.traceparent(), by).answering();
        uow.record(cx.tape().cloned());
        Ok(uow)
    }

    /// Reads for a query. Each statement sees what is committed when it runs; for several that must agree, take a
    /// [`View::snapshot`].
    pub fn view(&self, cx: &Cx) -> View<'_> {
        View::new(self, cx.tape().cloned().map(Taped::view))
    }

    /// The schema's event log. Its readers are woken at once by a relay of this handle or a clone of it, and within some 20 ms
    /// by those of other handles and processes.
    pub fn log(&self) -> Arc<dyn EventLog> {
        Arc::new(LocalLog::new(self.clone()))
    }

    /// A relay from the schema's outbox to its event log. Any number of them may run at once, in any number of processes.
    pub fn relay(&self) -> Relay {
        Relay::new(self.clone())
    }

    /// The leases by which the schema's background workers take turns.
    pub fn leases(&self) -> Leases {
        Leases::new(self.clone())
    }

    /// The events that this schema's subscriptions could not handle.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(self.clone())
    }

    /// The schema's queues.
    pub fn queues(&self) -> Queues {
        Queues::new(self.clone())
    }

    /// Throws away what nobody needs any more.
    pub fn janitor(&self) -> Janitor {
        Janitor::new(self.clone())
    }

    /// How long the schema's event log is kept.
    pub fn retention(&self) -> Retention {
        Retention::new(self.clone())
    }

    /// Whether the database answers, and on SQLite whether it is still the file that was opened.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] most likely; [`StoreError::Corrupt`] when the file was deleted or replaced.
    pub async fn ping(&self) -> Result<(), StoreError> {
        const DOING: &str = "asking whether the database is there";
        if let Some(home) = &self.0.home {
            home.check()
                .map_err(|gone| self.place().make(Sort::Corrupt, DOING, gone))?;
        }
        // On SQLite a constant would not touch the file.
        let sql = match self.engine() {
            Engine::Sqlite => "SELECT count(*) FROM sqlite_schema",
            Engine::Postgres => "SELECT 1",
        };
        let ask = Statement::from_string(self.0.reader.get_database_backend(), sql);
        let answer = self
            .persist(async || self.0.reader.query_one_raw(ask.clone()).await)
            .await;
        answer.map(drop).map_err(|e| self.place().error(DOING, &e))
    }

    /// Closes every connection, after the statements that are running. Clones of this handle are closed too.
    pub async fn close(self) {
        self.0.pulse.stop();
        // Readers first: the last connection to close folds the WAL back into the file, and it must be able to write.
        for connection in [&self.0.reader, &self.0.writer] {
            if let Err(error) = connection.close_by_ref().await {
                let error = self.place().error("closing", &error);
                tracing::warn!(schema = self.schema(), %error, "the database could not be closed");
            }
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0.place
    }

    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.0.reader
    }

    /// The time now, as every database here can keep it.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.0.clock.now().trunc_subsecs(6)
    }

    /// A transaction that will write. On SQLite it may share one with others, and then sees what they wrote: an answer
    /// that is given without a commit must not rest on that.
    pub(crate) async fn begin_raw(&self, doing: &str) -> Result<Tx, StoreError> {
        self.begin_writing(doing, false).await
    }

    /// The same for what may take long: nobody's commit waits for it.
    pub(crate) async fn begin_long(&self, doing: &str) -> Result<Tx, StoreError> {
        self.begin_writing(doing, true).await
    }

    async fn begin_writing(&self, doing: &str, long: bool) -> Result<Tx, StoreError> {
        let tx = match &self.0.line {
            Some(line) => line.begin(long).await,
            None => {
                let tx = self
                    .persist(|| postgres::begin(self.0.writer.clone(), None, None))
                    .await;
                tx.map(|tx| Tx::own(tx, self.0.signals.clone()))
            }
        };
        tx.map_err(|e| self.place().error(doing, &e))
    }

    /// How many transactions this handle has committed on SQLite: each is a sync. For benchmarks.
    #[doc(hidden)]
    pub fn commits(&self) -> u64 {
        self.0.line.as_ref().map_or(0, Writer::commits)
    }

    /// Does what may be done again (a read, a beginning) up to three times, when its connection turns out to be lost. The
    /// first loss makes the pool test its other connections, which have most likely been lost too.
    pub(crate) async fn persist<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let mut result = attempt().await;
        for _ in 0..2 {
            match &result {
                Err(error) if connection_lost(self.engine(), error) => self.place().note_broken(),
                _ => break,
            }
            result = attempt().await;
        }
        result
    }

    pub(crate) fn watch_commits(&self) -> watch::Receiver<u64> {
        self.0.signals.commits.subscribe()
    }

    pub(crate) fn watch_logged(&self) -> watch::Receiver<u64> {
        self.0.signals.logged.subscribe()
    }

    /// Signs that another process wrote something.
    pub(crate) fn beats(&self) -> Beats {
        self.0.pulse.beats()
    }

    pub(crate) fn watch_queues(&self) -> watch::Receiver<u64> {
        self.0.signals.queues.subscribe()
    }

    /// See [`Signals::take_begun`].
    pub(crate) fn take_begun(&self, limit: usize) -> Vec<Uuid> {
        self.0.signals.take_begun(limit)
    }

    pub(crate) fn watch_sagas(&self) -> watch::Receiver<u64> {
        self.0.signals.sagas.subscribe()
    }
}
