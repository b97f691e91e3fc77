//! `/livez`, `/readyz`, `/startupz`: open on every address, as orchestrators ask without a token.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, json};
use strangler_store::{Db, StoreError};

/// How long a database may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is wrong with a database, in words that anybody may read.
async fn look(db: &Db) -> Option<&'static str> {
    match db.ping().await {
        Ok(()) if db.is_writable().await => None,
        Ok(()) => Some("cannot be written"),
        Err(error @ StoreError::Corrupt(_)) => {
            tracing::error!(%error, "the process is not ready");
            Some("is damaged")
        }
        Err(_) => Some("does not answer"),
    }
}

/// How the process is.
#[derive(Clone)]
pub(super) struct Probes {
    started: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    databases: Arc<[Db]>,
}

impl Probes {
    pub(super) fn new(databases: Vec<Db>) -> Self {
        Self {
            started: Arc::default(),
            stopping: Arc::default(),
            databases: databases.into(),
        }
    }

    pub(super) fn started(&self) {
        self.started.store(true, Relaxed);
    }

    pub(super) fn stopping(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// The answer to a probe; `None` when the path is none.
    pub(super) async fn answer(&self, path: &str) -> Option<Response> {
        match path {
            "/livez" => Some(Json(json!({"status": "alive"})).into_response()),
            "/startupz" => Some(self.startup()),
            "/readyz" => Some(self.ready().await),
            _ => None,
        }
    }

    fn startup(&self) -> Response {
        if self.started.load(Relaxed) {
            Json(json!({"status": "started"})).into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "starting"}))).into_response()
        }
    }

    async fn ready(&self) -> Response {
        let (started, stopping) = (self.started.load(Relaxed), self.stopping.load(Relaxed));
        let mut checks = Map::new();
        let mut all = started && !stopping;
        for db in self.databases.iter() {
            let looked = tokio::time::timeout(PATIENCE, look(db)).await;
            let trouble = looked.unwrap_or(Some("does not answer"));
            checks.insert(db.schema().to_owned(), trouble.unwrap_or("answers").into());
            all &= trouble.is_none();
        }
        let status = match (all, stopping, started) {
            (true, ..) => "ready",
            (false, true, _) => "stopping",
            (false, false, false) => "starting",
            _ => "not ready",
        };
        let code = if all {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        (code, Json(json!({"status": status, "databases": checks}))).into_response()
    }
}
