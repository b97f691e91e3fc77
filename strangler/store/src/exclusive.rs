//! Being the only one on a PostgreSQL database.

use std::time::{Duration, Instant};

use sea_orm::sqlx::{self, ConnectOptions, Connection, PgConnection};
use tokio::task::JoinHandle;

use crate::{Engine, StoreError, error::Place, postgres};

/// How long somebody else may have the lock before they count as being there: of a process that was killed, the server keeps
/// the session until it has noticed.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried meanwhile.
const AGAIN: Duration = Duration::from_millis(20);
/// How often it is looked whether the lock still holds.
const LOOK: Duration = Duration::from_secs(5);

/// A lock that one process at a time has on a PostgreSQL database: a session's advisory lock on a connection of its own. It
/// ends with the process, however that ends. When the server is restarted it is taken again.
#[derive(Debug)]
pub struct Exclusive {
    keeper: JoinHandle<()>,
}

impl Exclusive {
    /// Takes the lock called `name` in the database at `url`; `None` when another process has it and keeps it for 3 s.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn take(url: &str, name: &str) -> Result<Option<Self>, StoreError> {
        let unnamed = Place::new(Engine::Postgres, "", String::new());
        let (connect, shown) = postgres::parse(url).map_err(|why| unnamed.refused("reading the database URL", why))?;
        let connect = connect.disable_statement_logging();
        let place = Place::new(Engine::Postgres, "", shown);
        let mut connection = connect.connect().await.map_err(|e| place.sqlx("connecting", &e))?;
        let began = Instant::now();
        while !lock(&mut connection, name)
            .await
            .map_err(|e| place.sqlx("locking the database", &e))?
        {
            if began.elapsed() > PATIENCE {
                return Ok(None);
            }
            tokio::time::sleep(AGAIN).await;
        }
        let name = name.to_owned();
        let keeper = tokio::spawn(async move {
            let mut lost = false;
            loop {
                tokio::time::sleep(LOOK).await;
                if connection.ping().await.is_ok() {
                    continue;
                }
                match connect.connect().await {
                    Ok(new) => connection = new,
                    Err(_) => continue,
                }
                match lock(&mut connection, &name).await {
                    Ok(true) => lost = false,
                    Ok(false) if !std::mem::replace(&mut lost, true) => {
                        tracing::error!("while the database was away another process took it over; end one of the two");
                    }
                    _ => {}
                }
            }
        });
        Ok(Some(Self { keeper }))
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn lock(connection: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
        .bind(name)
        .fetch_one(connection)
        .await
}
