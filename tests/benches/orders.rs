//! `cargo bench -p system-tests --bench orders`: orders per second from placing to `confirmed`, and how long one takes, with
//! every module in the monolith and with ordering extracted; embedded, and on PostgreSQL when `BANYAN_TEST_POSTGRES` names
//! a server. A buyer places an order, waits until the event log says that it is confirmed, and places the next.
//!
//! Needs the release build of `banyan` beside it: `cargo build --release`. `BENCH_ORDERS` (default 3000) and `BENCH_BUYERS`
//! (default 64) say how many there are.

#![expect(clippy::print_stdout, reason = "what was measured is what it is for")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::Method;
use system_tests::{Client, Database, Hall, Options, Placed, System, sales};
use tokio::{sync::oneshot, task::JoinSet};
use uuid::Uuid;

type Waiting = Arc<Mutex<HashMap<Uuid, oneshot::Sender<Instant>>>>;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's own settings")]
fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

async fn measure() {
    on("embedded", Options::default()).await;
    if let Some(database) = Database::make("orders per second").await {
        let options = Options {
            database: Some(database.url()),
            ..Options::default()
        };
        on("PostgreSQL", options).await;
        database.drop().await;
    }
}

async fn on(engine: &str, options: Options) {
    let (orders, buyers) = (setting("BENCH_ORDERS", 3000), setting("BENCH_BUYERS", 64));
    let system = System::with(options).await;
    // Warm, before anything is measured.
    round(&system, 200, buyers).await;
    round_of(engine, "all local", &system, orders, buyers).await;
    round_of(engine, "one buyer", &system, orders / 20, 1).await;
    system.run(&["extract", "ordering"]).await;
    system.stage("ordering", "remote").await;
    round(&system, 200, buyers).await;
    round_of(engine, "ordering extracted", &system, orders, buyers).await;
    system.run(&["merge-back", "ordering"]).await;
}

async fn round_of(engine: &str, what: &str, system: &System, orders: usize, buyers: usize) {
    let cpu = cpu(system.pid());
    let began = Instant::now();
    let mut times = round(system, orders, buyers).await;
    let took = began.elapsed();
    let used = self::cpu(system.pid()) - cpu;
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    println!(
        "{engine}, {what}: {:.0} orders/s with {buyers} buyers, p50 {:.1} ms, p99 {:.1} ms, {:.2} ms of the monolith's CPU per order",
        orders as f64 / took.as_secs_f64(),
        at(0.5),
        at(0.99),
        used.as_secs_f64() * 1e3 / orders as f64,
    );
}

/// So many orders; how long each took to be confirmed.
async fn round(system: &System, orders: usize, buyers: usize) -> Vec<Duration> {
    let mut halls = Vec::new();
    for _ in 0..orders.div_ceil(1000) {
        halls.push(system.hall(20, 50).await);
    }
    let single = |hall: &Hall| {
        let seats = hall.seats.iter();
        seats
            .map(|seat| Placed::new(hall, std::slice::from_ref(seat), "tok_ok"))
            .collect::<Vec<_>>()
    };
    let todo: Vec<_> = halls.iter().flat_map(single).take(orders).collect();
    let todo = Arc::new(Mutex::new(todo.into_iter()));
    let waiting = Waiting::default();
    let following = tokio::spawn(follow(system.internal(), system.token(), waiting.clone()));
    let mut tasks = JoinSet::new();
    for _ in 0..buyers {
        let (todo, waiting, public) = (todo.clone(), waiting.clone(), system.public());
        tasks.spawn(async move {
            let (client, mut times) = (Client::default(), Vec::new());
            loop {
                let next = todo.lock().expect("the list").next();
                let Some(order) = next else {
                    return times;
                };
                let (told, confirmed) = oneshot::channel();
                waiting.lock().expect("the list").insert(order.id, told);
                let began = Instant::now();
                let answer = sales::place(&client, &public, &order).await.expect("an answer");
                assert_eq!(answer.status, 202, "{answer:?}");
                let at = confirmed.await.expect("it is confirmed");
                times.push(at.saturating_duration_since(began));
            }
        });
    }
    let mut times = Vec::new();
    while let Some(some) = tasks.join_next().await {
        times.extend(some.expect("a buyer ends in order"));
    }
    following.abort();
    times
}

/// Tells buyers when their orders are confirmed, as the event log says it.
async fn follow(internal: String, token: String, waiting: Waiting) {
    let (client, bearer) = (Client::default(), format!("Bearer {token}"));
    let headers = [("authorization", bearer.as_str())];
    let mut path = "/control/v1/events/ordering?limit=1".to_owned();
    loop {
        let url = format!("{internal}{path}");
        let answer = client.send(Method::GET, &url, &headers, "").await.expect("events");
        let now = Instant::now();
        let json = answer.json();
        for event in json["events"].as_array().into_iter().flatten() {
            let id = event["subject"]
                .as_str()
                .and_then(|s| s.parse().ok())
                .unwrap_or_default();
            let kind = event["type"].as_str().unwrap_or_default();
            if kind == "ordering.order.confirmed" {
                let told = waiting.lock().expect("the list").remove(&id);
                told.map(|told| told.send(now));
            } else {
                assert_eq!(kind, "ordering.order.placed", "{event}");
            }
        }
        let position = json["position"].as_i64().expect("a position");
        path = format!("/control/v1/events/ordering?after={position}&limit=1000");
    }
}

/// The processor time that a process has used.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|n| n.parse::<u64>().ok())
        .sum();
    // The kernel counts in hundredths of a second (USER_HZ).
    Duration::from_millis(ticks * 10)
}
