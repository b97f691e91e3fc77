//! Another process, as far as can be seen through a socket: one that serves logs, and some that misbehave.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use strangler::{BoxFuture, pool::http_client};
use strangler_store::{Batch, EventLog, Head, LogDesk, LogError, RemoteLog};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
};

const TOKEN: &str = "Bearer secret";

/// Serves logs to whoever shows the token.
pub struct Peer {
    pub base: String,
    server: JoinSet<()>,
}

impl Peer {
    pub async fn serving(desk: LogDesk) -> Self {
        Self::serving_at("http://127.0.0.1:0", desk).await
    }

    pub async fn serving_at(base: &str, desk: LogDesk) -> Self {
        let listener = TcpListener::bind(base.trim_start_matches("http://")).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move {
            // Connections end with the server.
            let mut connections = JoinSet::new();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let desk = desk.clone();
                let answer = service_fn(move |request| answer(desk.clone(), request));
                connections.spawn(async move {
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), answer)
                        .await;
                });
            }
        });
        Self { base, server }
    }

    pub fn log(&self, module: &str) -> RemoteLog {
        log_at(module, &self.base, TOKEN)
    }

    pub async fn end(mut self) {
        self.server.shutdown().await;
    }
}

async fn answer(desk: LogDesk, request: Request<Incoming>) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    if parts
        .headers
        .get(header::AUTHORIZATION)
        .is_none_or(|value| value != TOKEN)
    {
        let mut refused = Response::new(Full::default());
        *refused.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(refused);
    }
    let body = body.collect().await.unwrap().to_bytes();
    let uri = parts.uri;
    let answer = desk.answer(&parts.method, uri.path(), uri.query(), &body).await;
    Ok(answer.map(Full::new))
}

pub fn log_at(module: &str, base: &str, token: &'static str) -> RemoteLog {
    RemoteLog::new(module, base, header::HeaderValue::from_static(token), http_client())
}

/// A log under another name, with its events' source as it was.
pub fn renamed(name: &'static str, log: Arc<dyn EventLog>) -> Arc<dyn EventLog> {
    Arc::new(Renamed(name, log))
}

struct Renamed(&'static str, Arc<dyn EventLog>);

impl EventLog for Renamed {
    fn source(&self) -> &str {
        self.0
    }

    fn read(&self, after: i64, limit: u64) -> BoxFuture<'_, Result<Batch, LogError>> {
        Box::pin(async move {
            let mut batch = self.1.read(after, limit).await?;
            batch.events.iter_mut().for_each(|e| self.0.clone_into(&mut e.source));
            Ok(batch)
        })
    }

    fn wait(&self, after: i64) -> BoxFuture<'_, Result<(), LogError>> {
        self.1.wait(after)
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, LogError>> {
        self.1.head()
    }
}

/// What a peer does wrong.
#[derive(Clone)]
pub enum Bad {
    /// It takes the request and says nothing.
    Silent,
    /// It answers byte by byte, for ever.
    Trickle,
    /// It answers as fast as it can, for ever.
    Endless,
    /// It answers this.
    Answer(&'static str, String),
}

pub async fn bad_peer(how: Bad) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let how = how.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                let endless = "HTTP/1.1 200 OK\r\ncontent-length: 900000000000\r\n\r\n";
                match how {
                    Bad::Silent => std::future::pending().await,
                    Bad::Trickle => {
                        let _ = socket.write_all(endless.as_bytes()).await;
                        while socket.write_all(b"[").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                    Bad::Endless => {
                        let _ = socket.write_all(endless.as_bytes()).await;
                        while socket.write_all(&[b' '; 1 << 16]).await.is_ok() {}
                    }
                    Bad::Answer(status, body) => {
                        let length = body.len();
                        let text =
                            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                        let _ = socket.write_all(text.as_bytes()).await;
                    }
                }
            });
        }
    });
    base
}
