//! `cargo bench -p system-tests --bench http`: requests per second, latency, CPU and memory of `GET show`, answered by the
//! monolith, by an extracted service, and by a plain axum handler that calls the same service and store without gateway
//! and switch. The three take turns in one run, so that a machine that gets slower does so for all.
//!
//! Needs the release build of `banyan` beside it: `cargo build --release`. `BENCH_ROUNDS` (default 10) and
//! `BENCH_SECONDS` (default 1) say how long it runs.

#![expect(clippy::print_stdout, reason = "what was measured is what it is for")]

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use catalog::CatalogModule;
use catalog_contract::{CatalogService, ShowId};
use strangler::{Cx, Principal};
use strangler_store::{Db, DbOptions};
use system_tests::{Options, System};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const SHOW: &str = "0bee0000-0000-8000-8000-000300000001";
const CONNECTIONS: usize = 16;

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match args.next().as_deref() {
        Some("bare") => runtime.block_on(bare(&args.next().expect("a database"), &args.next().expect("a port"))),
        _ => runtime.block_on(measure()),
    }
}

/// The peer: an axum handler over the same service and store.
async fn bare(database: &str, port: &str) {
    async fn show(
        State(catalog): State<Arc<CatalogModule>>,
        axum::extract::Path(id): axum::extract::Path<ShowId>,
    ) -> axum::response::Response {
        match catalog.show(&Cx::new(Principal::ANYBODY), id).await {
            Ok(show) => Json(show).into_response(),
            Err(error) => (axum::http::StatusCode::NOT_FOUND, error.to_string()).into_response(),
        }
    }
    let db = Db::open(database, "catalog", DbOptions::default())
        .await
        .expect("the database");
    let catalog = Arc::new(CatalogModule::new(db));
    let app = Router::new()
        .route("/api/v1/catalog/shows/{id}", get(show))
        .with_state(catalog);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}"))
        .await
        .expect("the port");
    axum::serve(listener, app).await.expect("serves");
}

struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's own settings")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// How long it takes from starting the process to the first 200 from `/readyz`, on an empty folder and on a used one.
async fn readiness() {
    let (mut empty, mut used) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let mut system = System::prepare(Options::default());
        for times in [&mut empty, &mut used] {
            let began = Instant::now();
            system.launch();
            let url = format!("{}/readyz", system.public());
            while !system
                .client()
                .send(http::Method::GET, &url, &[], "")
                .await
                .is_ok_and(|a| a.status == 200)
            {
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            times.push(began.elapsed().as_secs_f64() * 1e3);
            system.stop();
        }
    }
    let (empty, used) = (median(empty.into_iter()), median(used.into_iter()));
    println!("ready on an empty folder {empty:.0} ms, on a used one {used:.0} ms (medians of 10)");
}

async fn measure() {
    readiness().await;
    let (rounds, seconds) = (setting("BENCH_ROUNDS", 10), setting("BENCH_SECONDS", 1));
    let window = Duration::from_secs(seconds);
    let system = System::with(Options::default()).await;
    system.run(&["extract", "catalog"]).await;
    let service = system.status("catalog").await["instances"][0]["pid"]
        .as_u64()
        .expect("a pid") as u32;
    let port = system_tests::system::free_port();
    let database = format!("sqlite:{}", system.data().join("catalog.db").display());
    let program = std::env::current_exe().expect("this program");
    let child = Command::new(program)
        .args(["bare", &database, &port.to_string()])
        .stdout(Stdio::null())
        .spawn();
    let peer = Bare(child.expect("the peer starts"));
    let peer_address: SocketAddr = ([127, 0, 0, 1], port).into();
    let ours: SocketAddr = system
        .public()
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    while TcpStream::connect(peer_address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!(
        "memory at rest: monolith {} MiB, service {} MiB",
        rss(system.pid()),
        rss(service)
    );

    let mut results: [Vec<Load>; 3] = Default::default();
    for round in 0..=rounds {
        for (side, results) in results.iter_mut().enumerate() {
            let (address, pids) = match side {
                0 => (peer_address, vec![peer.0.id()]),
                1 => (ours, vec![system.pid()]),
                _ => (ours, vec![system.pid(), service]),
            };
            if side > 0 {
                system
                    .run(&["stage", "catalog", if side == 1 { "local" } else { "remote" }])
                    .await;
            }
            let load = load(address, window, &pids).await;
            // The first round warms up.
            if round > 0 {
                results.push(load);
            }
        }
    }
    println!(
        "{:<28}{:>12}{:>12}{:>12}{:>16}",
        "GET show, 16 connections", "req/s", "p50 µs", "p99 µs", "server CPU µs"
    );
    for (name, loads) in ["bare axum handler", "monolith, local", "monolith, remote"]
        .iter()
        .zip(&results)
    {
        println!(
            "{name:<28}{:>12.0}{:>12.0}{:>12.0}{:>16.1}",
            median(loads.iter().map(|l| l.rate)),
            median(loads.iter().map(|l| l.p50)),
            median(loads.iter().map(|l| l.p99)),
            median(loads.iter().map(|l| l.cpu)),
        );
    }
    for (name, side) in [("local", 1), ("remote", 2)] {
        let ratios = results[side].iter().zip(&results[0]);
        let (rates, cpu): (Vec<_>, Vec<_>) = ratios.map(|(a, b)| (a.rate / b.rate, a.cpu / b.cpu)).unzip();
        let (low, high) = interval(&rates);
        println!(
            "{name} ÷ bare, round by round: rate {:.2} (95% interval {low:.2} to {high:.2}), CPU {:.2}",
            median(rates.iter().copied()),
            median(cpu.into_iter())
        );
    }
    system.run(&["stage", "catalog", "local"]).await;
    let mut answered = 0;
    while answered < 100_000 {
        answered += load(ours, window, &[system.pid()]).await.answered;
    }
    println!(
        "memory after {answered} more requests: monolith {} MiB, service {} MiB",
        rss(system.pid()),
        rss(service)
    );
    system.run(&["merge-back", "catalog"]).await;
}

struct Load {
    answered: u64,
    rate: f64,
    p50: f64,
    p99: f64,
    /// Of the servers, per request.
    cpu: f64,
}

/// Asks for the show over 16 connections, one request after the other on each.
async fn load(address: SocketAddr, window: Duration, pids: &[u32]) -> Load {
    let before: f64 = pids.iter().map(|&pid| cpu_seconds(pid)).sum();
    let began = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(client(address, began + window)))
        .collect();
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.await.expect("a client"));
    }
    let took = began.elapsed().as_secs_f64();
    let cpu: f64 = pids.iter().map(|&pid| cpu_seconds(pid)).sum::<f64>() - before;
    times.sort_unstable_by(f64::total_cmp);
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize] * 1e6;
    let answered = times.len() as u64;
    Load {
        answered,
        rate: answered as f64 / took,
        p50: at(0.5),
        p99: at(0.99),
        cpu: cpu / answered as f64 * 1e6,
    }
}

async fn client(address: SocketAddr, until: Instant) -> Vec<f64> {
    let mut socket = TcpStream::connect(address).await.expect("connects");
    socket.set_nodelay(true).expect("a socket");
    let request = format!("GET /api/v1/catalog/shows/{SHOW} HTTP/1.1\r\nhost: bench\r\naccept: */*\r\n\r\n");
    let (mut times, mut buffer) = (Vec::with_capacity(100_000), vec![0; 16 << 10]);
    while Instant::now() < until {
        let began = Instant::now();
        socket.write_all(request.as_bytes()).await.expect("sent");
        let mut read = 0;
        loop {
            let n = socket.read(&mut buffer[read..]).await.expect("an answer");
            assert!(n > 0, "the server hung up");
            read += n;
            if whole(&buffer[..read]) {
                break;
            }
        }
        times.push(began.elapsed().as_secs_f64());
    }
    times
}

/// Whether a whole 200 has arrived.
fn whole(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let text = std::str::from_utf8(&bytes[..head]).expect("a head");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    let length = text.lines().find_map(|l| {
        l.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse::<usize>()
            .ok()
    });
    bytes.len() >= head + 4 + length.expect("a length")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The 95% interval of the mean, by the normal approximation.
fn interval(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let half = 1.96 * (variance / n).sqrt();
    (mean - half, mean + half)
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<_> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().expect("utime") + fields[12].parse::<f64>().expect("stime");
    ticks / 100.0
}

/// Resident memory in MiB.
fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}
