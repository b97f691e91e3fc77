//! A service that misbehaves as it is told, registered with the monolith like a good one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ::http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use uuid::Uuid;

use crate::{System, holds_soon, office};

/// How it answers one request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// With this status and JSON.
    Json(u16, Value),
    /// With a page.
    Html,
    /// Never.
    Hang,
    /// Not at all: it closes the connection.
    Close,
    /// With half of what it announced.
    Halfway,
    /// With so many bytes of JSON.
    Huge(usize),
    /// With this JSON, in pieces of 1 KiB and without saying how long it will be.
    Pieces(Value),
}

/// A request that reached it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Path and query.
    pub path: String,
    /// Request line and headers, as they came.
    pub head: String,
}

impl Asked {
    /// A header's value; `None` when it is not there.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|l| l.split_once(':'));
        fields
            .filter(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.trim())
            .next()
    }
}

type Behave = Arc<dyn Fn(&Asked) -> Behaviour + Send + Sync>;

/// A running one; ended when it is dropped.
pub struct Candidate {
    /// Its id.
    pub id: Uuid,
    /// Its address.
    pub url: String,
    gate: watch::Sender<bool>,
    asked: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<()>>,
}

impl Candidate {
    /// Registers a service of the catalog that speaks this contract version and answers requests as `behave`
    /// says. With `held`, it does so only once it is [let go](Self::release).
    pub async fn start(
        system: &System,
        contract: u32,
        held: bool,
        behave: impl Fn(&Asked) -> Behaviour + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (gate, open) = watch::channel(!held);
        let (asked, answered) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let behave: Behave = Arc::new(behave);
        let (a, b) = (asked.clone(), answered.clone());
        let serving = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (behave, open, asked, answered) = (behave.clone(), open.clone(), a.clone(), b.clone());
                tokio::spawn(async move { serve(socket, behave, open, &asked, &answered).await });
            }
        });
        let id = office::id();
        let registration =
            json!({"id": id, "module": "catalog", "contract": contract, "url": url, "pid": 1}).to_string();
        let (client, join) = (system.client().clone(), format!("Bearer {}", system.join_token()));
        let register = format!("{}/control/v1/instances/{id}", system.internal());
        let beating = tokio::spawn(async move {
            loop {
                let headers = [("authorization", join.as_str()), ("content-type", "application/json")];
                _ = client
                    .send(Method::PUT, &register, &headers, registration.clone())
                    .await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        let candidate = Self {
            id,
            url,
            gate,
            asked,
            answered,
            tasks: vec![serving, beating],
        };
        holds_soon(
            "the candidate is registered and healthy",
            Duration::from_secs(20),
            || async {
                let map = system.on_map("catalog").await;
                let instances = map["instances"].as_array().cloned().unwrap_or_default();
                instances
                    .iter()
                    .any(|i| i["id"] == id.to_string() && i["healthy"] == true)
            },
        )
        .await;
        candidate
    }

    /// Lets it answer.
    pub fn release(&self) {
        _ = self.gate.send(true);
    }

    /// How many calls reached it.
    pub fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// How many calls it has answered in whatever way.
    pub fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(
    mut socket: TcpStream,
    behave: Behave,
    mut open: watch::Receiver<bool>,
    asked: &AtomicU64,
    answered: &AtomicU64,
) {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match socket.read_buf(&mut head).await {
            Ok(n) if n > 0 => {}
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let request = Asked { path, head };
    if request.path == "/readyz" {
        _ = say(&mut socket, 200, "application/json", b"{}").await;
        return;
    }
    asked.fetch_add(1, Relaxed);
    _ = open.wait_for(|open| *open).await;
    let behaviour = behave(&request);
    if !matches!(behaviour, Behaviour::Hang) {
        answered.fetch_add(1, Relaxed);
    }
    // That nobody listens any more is the other side's right.
    _ = match behaviour {
        Behaviour::Json(status, value) => {
            say(&mut socket, status, "application/json", value.to_string().as_bytes()).await
        }
        Behaviour::Html => say(&mut socket, 200, "text/html", b"<!doctype html><title>Welcome</title>").await,
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Close => Ok(()),
        Behaviour::Halfway => {
            let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{\"id\": ";
            socket.write_all(half.as_bytes()).await
        }
        Behaviour::Huge(bytes) => huge(&mut socket, bytes).await,
        Behaviour::Pieces(value) => pieces(&mut socket, value.to_string().as_bytes()).await,
    };
}

async fn say(socket: &mut TcpStream, status: u16, media: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: {media}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body).await?;
    socket.shutdown().await
}

async fn pieces(socket: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await?;
    for piece in body.chunks(1 << 10) {
        socket.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        socket.write_all(piece).await?;
        socket.write_all(b"\r\n").await?;
    }
    socket.write_all(b"0\r\n\r\n").await?;
    socket.shutdown().await
}

async fn huge(socket: &mut TcpStream, bytes: usize) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n\"",
        bytes + 2
    );
    socket.write_all(head.as_bytes()).await?;
    let piece = vec![b'x'; 1 << 16];
    for _ in 0..bytes / piece.len() {
        socket.write_all(&piece).await?;
    }
    socket.write_all(b"\"").await
}
