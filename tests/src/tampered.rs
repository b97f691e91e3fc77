//! A service as good as any, behind somebody who reads and changes what it says of units of work that are done again.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use ::http::Method;
use bytes::Bytes;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{Answer, Client, Service, System};

/// Changes what is answered to this question; answers whether it did.
pub type Fault = fn(&Value, &mut Value) -> bool;

/// A service in a process of its own, registered under the address of whoever stands in front of it.
pub struct Tampered {
    /// The service.
    pub service: Service,
    shared: Arc<Shared>,
    gate: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    fault: Mutex<Option<Fault>>,
    done: AtomicU64,
    asked: AtomicU64,
    changed: AtomicU64,
    subjects: Mutex<BTreeMap<String, u64>>,
}

impl Tampered {
    /// Starts one for `module` and waits until the monolith knows it. With `held`, it answers for units of work only once it
    /// is [let go](Self::release).
    pub async fn start(system: &System, module: &str, held: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let front = format!("http://{}", listener.local_addr().expect("an address"));
        let service = Service::launch(system, module, &["--advertise", &front]);
        let (gate, open) = watch::channel(!held);
        let shared = Arc::<Shared>::default();
        let (to, all) = (service.url(), shared.clone());
        let task = tokio::spawn(async move {
            let client = Client::default();
            while let Ok((socket, _)) = listener.accept().await {
                let (to, client, shared, open) = (to.clone(), client.clone(), all.clone(), open.clone());
                tokio::spawn(async move {
                    // That nobody listens any more is the other side's right.
                    _ = serve(socket, &to, &client, &shared, open).await;
                });
            }
        });
        let tampered = Self {
            service,
            shared,
            gate,
            task,
        };
        tampered.service.ready(system).await;
        tampered
    }

    /// From here on this is done to its answers.
    pub fn tamper(&self, fault: Option<Fault>) {
        *self.shared.fault.lock().expect("a fault") = fault;
    }

    /// Lets it answer.
    pub fn release(&self) {
        _ = self.gate.send(true);
    }

    /// How many units of work it was asked for.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Relaxed)
    }

    /// How many it has answered.
    pub fn answered(&self) -> u64 {
        self.shared.done.load(Relaxed)
    }

    /// How many of its answers were changed.
    pub fn changed(&self) -> u64 {
        self.shared.changed.load(Relaxed)
    }

    /// What it was asked for, by name, and how often.
    pub fn subjects(&self) -> BTreeMap<String, u64> {
        self.shared.subjects.lock().expect("subjects").clone()
    }
}

impl Drop for Tampered {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is to be done again, by name.
fn subject(ask: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let when = &ask["when"];
    if let Some(step) = when.get("step") {
        return format!(
            "{}:{}:{}",
            text(&step["saga"]),
            text(&step["step"]),
            text(&step["deed"])
        );
    }
    match when.get("event") {
        Some(heard) => format!("{}:{}", text(&heard["subscription"]), text(&heard["event"]["type"])),
        None => text(&when["command"]["operation"]),
    }
}

/// One request of one connection.
async fn serve(
    mut socket: TcpStream,
    to: &str,
    client: &Client,
    shared: &Shared,
    mut open: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut body = read.split_off(end);
    let fields: Vec<(String, String)> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = fields.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or_default();
    while body.len() < length {
        if socket.read_buf(&mut body).await? == 0 {
            return Ok(());
        }
    }
    let mut words = head.split(' ');
    let method: Method = words.next().and_then(|m| m.parse().ok()).unwrap_or_default();
    let path = words.next().unwrap_or_default().to_owned();
    let shadow = path.starts_with("/shadow/");
    let ask: Value = serde_json::from_slice(&body).unwrap_or_default();
    if shadow {
        shared.asked.fetch_add(1, Relaxed);
        *shared
            .subjects
            .lock()
            .expect("subjects")
            .entry(subject(&ask))
            .or_default() += 1;
        _ = open.wait_for(|open| *open).await;
    }
    let kept = fields
        .iter()
        .filter(|(name, _)| !["host", "connection", "content-length"].contains(&name.as_str()));
    let headers: Vec<_> = kept.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let url = format!("{to}{path}");
    let Ok(answer) = client.send(method, &url, &headers, Bytes::from(body)).await else {
        return Ok(());
    };
    let mut said = answer.json();
    let fault = *shared.fault.lock().expect("a fault");
    let body = match fault.filter(|_| shadow && answer.status == 200) {
        Some(fault) if fault(&ask, &mut said) => {
            shared.changed.fetch_add(1, Relaxed);
            Bytes::from(said.to_string())
        }
        _ => answer.body.clone(),
    };
    if shadow {
        shared.done.fetch_add(1, Relaxed);
    }
    say(&mut socket, &answer, &body).await
}

async fn say(socket: &mut TcpStream, answer: &Answer, body: &Bytes) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {} Said\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.status,
        answer.header("content-type"),
        body.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body).await?;
    socket.shutdown().await
}
