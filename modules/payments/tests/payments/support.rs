//! A schema for one test, a sandbox that can be stopped and started again, and plain HTTP.

use std::{panic::AssertUnwindSafe, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kernel::Uuid;
use payments::{HttpProvider, PaymentsModule};
use payments_contract::{PaymentDraft, PaymentId};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};
use strangler::Cx;
use strangler_store::{Db, DbOptions, provision::provision};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A schema of payments.
pub struct Till {
    pub db: Db,
    pub cx: Cx,
}

impl Till {
    async fn open(url: &str) -> Self {
        let options = DbOptions {
            max_connections: 16,
            acquire_timeout: Duration::from_secs(60),
            ..DbOptions::default()
        };
        let db = Db::open(url, "payments", options).await.unwrap();
        db.migrate(migrations::of("payments").unwrap()).await.unwrap();
        let cx = Cx::system("test");
        Self { db, cx }
    }

    /// Payments with the provider at this address.
    pub fn payments(&self, provider: &str) -> PaymentsModule {
        PaymentsModule::new(self.db.clone(), Arc::new(HttpProvider::new(provider).unwrap()))
    }
}

pub fn id(n: u128) -> PaymentId {
    PaymentId(Uuid::from_u128(n))
}

pub fn draft(amount: i64, token: &str) -> PaymentDraft {
    let body = json!({"amount": {"amount": amount, "currency": "EUR"}, "token": token});
    serde_json::from_value(body).unwrap()
}

/// A sandbox that runs in this process.
pub struct Running {
    pub url: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub async fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let folder = folder.to_owned();
        let task = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            payments::sandbox::serve(listener, &folder, stop).await
        });
        Self { url, stop, task }
    }

    /// Stops it and waits until it is gone.
    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    pub async fn ledger(&self) -> Vec<Value> {
        ledger(&self.url).await
    }
}

/// The entries of a sandbox's ledger.
pub async fn ledger(url: &str) -> Vec<Value> {
    let (status, body) = call(Method::GET, &format!("{url}/ledger"), None, &Value::Null).await;
    assert_eq!(status, 200);
    body["entries"].as_array().unwrap().clone()
}

/// One request; an answer that is no JSON is `null`.
pub async fn call(method: Method, url: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
    try_call(method, url, key, body).await.unwrap()
}

pub async fn try_call(method: Method, url: &str, key: Option<&str>, body: &Value) -> Result<(u16, Value), String> {
    let mut request = Request::builder().method(method).uri(url);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let mut bytes = Bytes::new();
    if !body.is_null() {
        request = request.header("content-type", "application/json");
        bytes = body.to_string().into();
    }
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Full::new(bytes)).unwrap()).await;
    let answer = answer.map_err(|e| e.to_string())?;
    let status = answer.status().as_u16();
    let body = answer
        .into_body()
        .collect()
        .await
        .map_err(|e| e.to_string())?
        .to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}

pub async fn on_sqlite(test: impl AsyncFnOnce(&Till)) {
    let folder = tempfile::tempdir().unwrap();
    test(&Till::open(&format!("sqlite:{}", folder.path().join("payments.db").display())).await).await;
}

pub async fn on_postgres(test: impl AsyncFnOnce(&Till)) {
    let Ok(server) = std::env::var("BANYAN_TEST_POSTGRES") else {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        println!("SKIPPED (BANYAN_TEST_POSTGRES is not set): {name}");
        return;
    };
    let database = format!("banyan_payments_{}_{:x}", std::process::id(), rand::random::<u32>());
    let maintenance = connect(&format!("{server}/postgres")).await;
    let run = async |sql: String| maintenance.execute_unprepared(&sql).await.unwrap();
    run(format!("CREATE DATABASE {database}")).await;
    let url = provision(&format!("{server}/{database}"), "payments", "pw")
        .await
        .unwrap();
    let till = Till::open(&url).await;
    let outcome = AssertUnwindSafe(test(&till)).catch_unwind().await;
    till.db.close().await;
    run(format!("DROP DATABASE {database} WITH (FORCE)")).await;
    run(format!("DROP ROLE {database}_payments")).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}
