//! Databases for one test each, and waiting for conditions.

use std::{
    fmt::Debug,
    panic::AssertUnwindSafe,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use strangler_store::{Db, DbOptions, provision::provision};

use crate::notes;

/// Where a test's schemas live.
pub enum Home {
    Sqlite(tempfile::TempDir),
    Postgres { admin: String, database: String },
}

pub const PASSWORD: &str = "p/w d@1'\\";

impl Home {
    /// The URL of a schema. On PostgreSQL the schema is provisioned by this.
    pub async fn url(&self, schema: &str) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join(format!("{schema}.db")).display()),
            Self::Postgres { admin, .. } => provision(admin, schema, PASSWORD).await.unwrap(),
        }
    }

    /// One more handle to a schema, as another process would have it.
    pub async fn handle(&self, schema: &str) -> Db {
        let options = DbOptions {
            max_connections: 16,
            ..DbOptions::default()
        };
        Db::open(&self.url(schema).await, schema, options).await.unwrap()
    }

    /// A handle to a schema that has its tables.
    pub async fn db(&self, schema: &str) -> Db {
        let db = self.handle(schema).await;
        db.migrate(notes::migrations()).await.unwrap();
        db
    }

    /// A connection that goes past the store.
    pub async fn raw(&self, schema: &str) -> Raw {
        let mut options = ConnectOptions::new(self.url(schema).await);
        options.max_connections(1).sqlx_logging(false);
        Raw(Database::connect(options).await.unwrap())
    }

    pub fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }
}

/// SQL by hand.
pub struct Raw(DatabaseConnection);

impl Raw {
    pub async fn run(&self, sql: &str) {
        self.0.execute_unprepared(sql).await.unwrap();
    }

    pub async fn error(&self, sql: &str) -> String {
        self.0.execute_unprepared(sql).await.unwrap_err().to_string()
    }

    /// All rows, of two integers each.
    pub async fn pairs(&self, sql: &str) -> Vec<(i64, i64)> {
        let rows = self
            .0
            .query_all_raw(Statement::from_string(self.0.get_database_backend(), sql))
            .await
            .unwrap();
        rows.iter()
            .map(|row| (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap()))
            .collect()
    }

    pub async fn number(&self, sql: &str) -> i64 {
        let row = self
            .0
            .query_one_raw(Statement::from_string(self.0.get_database_backend(), sql))
            .await
            .unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }
}

pub async fn on_sqlite(test: impl AsyncFnOnce(&Home)) {
    let home = Home::Sqlite(tempfile::tempdir().unwrap());
    test(&home).await;
}

pub async fn on_postgres(test: impl AsyncFnOnce(&Home)) {
    let Ok(server) = std::env::var("BANYAN_TEST_POSTGRES") else {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        println!("SKIPPED (BANYAN_TEST_POSTGRES is not set): {name}");
        return;
    };
    let database = format!("banyan_store_{}_{:x}", std::process::id(), rand::random::<u32>());
    let maintenance = connect(&format!("{server}/postgres")).await;
    maintenance.run(&format!("CREATE DATABASE {database}")).await;
    let home = Home::Postgres {
        admin: format!("{server}/{database}"),
        database: database.clone(),
    };
    let outcome = AssertUnwindSafe(test(&home)).catch_unwind().await;
    maintenance.run(&format!("DROP DATABASE {database} WITH (FORCE)")).await;
    let roles = format!("SELECT rolname::text AS name FROM pg_roles WHERE starts_with(rolname::text, '{database}_')");
    let backend = maintenance.0.get_database_backend();
    for row in maintenance
        .0
        .query_all_raw(Statement::from_string(backend, roles))
        .await
        .unwrap()
    {
        let role: String = row.try_get("", "name").unwrap();
        maintenance
            .run(&format!("DROP ROLE \"{}\"", role.replace('"', "\"\"")))
            .await;
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

pub async fn connect(url: &str) -> Raw {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Raw(Database::connect(options).await.unwrap())
}

/// Waits until `observe` answers something that `done` accepts, at most half a minute.
pub async fn eventually<T: Debug>(what: &str, observe: impl AsyncFn() -> T, done: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let seen = observe().await;
        if done(&seen) {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "waited in vain for {what}; last seen: {seen:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The seed of a test's randomness: printed, and set by `BANYAN_TEST_SEED` to see the same again.
pub fn seed() -> u64 {
    let seed = std::env::var("BANYAN_TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(rand::random);
    println!("BANYAN_TEST_SEED={seed}");
    seed
}

/// This test program once more, running one test in a process of its own.
pub fn child(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command
}
