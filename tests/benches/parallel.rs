//! `cargo bench -p system-tests --bench parallel`: what a parallel run costs those who call.
//!
//! * Reads and writes of the catalog at half of what the system can answer, with no parallel run and with one of every call,
//!   in turns: p50 and p99 from the moment a call was due (so that a wait in line counts), and the ratio of the two, round by
//!   round, with the 95 % interval of its geometric mean.
//! * The memory of ten million verdicts.
//!
//! Needs the release build of `banyan` beside it: `cargo build --release`. `BENCH_ROUNDS` (default 16), `BENCH_SECONDS` (default
//! 3) and `BENCH_VERDICTS` (default 10,000,000) say how long it runs.

#![expect(clippy::print_stdout, reason = "what was measured is what it is for")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use catalog_contract::CATALOG;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use strangler::{
    BoxFuture, Contract, Cx, Fault, Principal, Serve, SystemClock, Transport,
    parallel::{ParallelLimits, ParallelRun, redact::Redactor},
    routes::Side,
    wire::{Answered, Ask, Asked},
};
use system_tests::{Options, System, office};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const CONNECTIONS: usize = 16;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        verdicts().await;
        callers().await;
    });
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's own settings")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// What is asked over and over: the nth request.
type Requests = Arc<dyn Fn(u64) -> String + Send + Sync>;

async fn callers() {
    let system = System::with(Options::default()).await;
    system.run(&["extract", "catalog"]).await;
    system.healthy("catalog").await;
    let address: SocketAddr = system
        .public()
        .trim_start_matches("http://")
        .parse()
        .expect("an address");
    let shows = system.shows(40).await;
    let reads: Requests = {
        let shows = shows.clone();
        Arc::new(move |n| {
            let path = office::show_path(&shows[n as usize % shows.len()]);
            format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n")
        })
    };
    let show = system.get(&office::show_path(&shows[0])).await.json();
    let token = system.token();
    let writes: Requests = Arc::new(move |n| {
        let mut draft = show.clone();
        let fields = draft.as_object_mut().expect("a show");
        let id = fields.remove("id").expect("an id");
        fields.remove("version");
        // Each to a show of its own, announced again and again for another second.
        fields["starts_at"] = json!(format!(
            "2031-05-01T{:02}:{:02}:{:02}Z",
            n / 3600 % 24,
            n / 60 % 60,
            n % 60
        ));
        let (path, body) = (office::show_path(id.as_str().expect("a text")), draft.to_string());
        format!(
            "PUT {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    for (name, requests) in [("reads", reads), ("writes", writes)] {
        compare(&system, address, name, requests).await;
    }
    system.run(&["merge-back", "catalog"]).await;
}

async fn compare(system: &System, address: SocketAddr, name: &str, requests: Requests) {
    let (rounds, window) = (
        setting("BENCH_ROUNDS", 16),
        Duration::from_secs(setting("BENCH_SECONDS", 3)),
    );
    system.stage("catalog", "shadow").await;
    let next = Arc::new(AtomicU64::new(0));
    let compared = async || {
        system.on_map("catalog").await["parallel_run"]["compared"]
            .as_u64()
            .unwrap_or(0)
    };
    let begun = compared().await;
    let flat_out = load(address, window * 2, None, &requests, &next).await;
    let answered = flat_out.len() as f64 / (window * 2).as_secs_f64();
    // Flat out, what does not fit is dropped: the system is saturated where no more can be answered *and* compared.
    let most = answered.min((compared().await - begun) as f64 / (window * 2).as_secs_f64());
    let rate = most / 2.0;
    println!("{name}: flat out {answered:.0}/s answered, {most:.0}/s of them compared");
    let before = system.on_map("catalog").await["parallel_run"].clone();
    let (mut p50s, mut p99s): (Vec<[f64; 2]>, Vec<[f64; 2]>) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let (mut p50, mut p99) = ([0.0; 2], [0.0; 2]);
        // Who is first takes turns, too.
        for turn in 0..2 {
            let shadow = (turn + round) % 2 == 1;
            system.stage("catalog", if shadow { "shadow" } else { "local" }).await;
            let mut times = load(address, window, Some(rate), &requests, &next).await;
            times.sort_unstable_by(f64::total_cmp);
            let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize] * 1e6;
            (p50[usize::from(shadow)], p99[usize::from(shadow)]) = (at(0.5), at(0.99));
        }
        // The first round warms up.
        if round > 0 {
            p50s.push(p50);
            p99s.push(p99);
        }
    }
    let after = system.on_map("catalog").await["parallel_run"].clone();
    let of = |key: &str| after[key].as_u64().unwrap_or(0) - before[key].as_u64().unwrap_or(0);
    println!(
        "{name}: {rate:.0}/s, half of what is answered and compared; {} of {} eligible calls compared, {} mismatched, {} inconclusive",
        of("compared"),
        of("eligible"),
        of("mismatched"),
        of("inconclusive")
    );
    for (what, pairs) in [("p50", &p50s), ("p99", &p99s)] {
        let [none, all] = [0, 1].map(|side| median(pairs.iter().map(|pair| pair[side])));
        let (ratio, low, high) = ratio(pairs);
        println!(
            "{name}, {what}: {none:.0} µs with no parallel run, {all:.0} µs with one of every call; ratio {ratio:.3} (95 % interval {low:.3} to {high:.3})"
        );
    }
}

/// Asks at this rate (`None`: one request after the other on each connection); how long each took since it was due, in seconds.
async fn load(
    address: SocketAddr,
    window: Duration,
    rate: Option<f64>,
    requests: &Requests,
    next: &Arc<AtomicU64>,
) -> Vec<f64> {
    let mut clients = JoinSet::new();
    let begin = Instant::now();
    for connection in 0..CONNECTIONS {
        let (requests, next) = (requests.clone(), next.clone());
        clients.spawn(async move {
            let mut socket = TcpStream::connect(address).await.expect("connects");
            socket.set_nodelay(true).expect("a socket");
            let every = rate.map(|rate| Duration::from_secs_f64(CONNECTIONS as f64 / rate));
            let mut due = begin + every.map_or(Duration::ZERO, |e| e.mul_f64(connection as f64 / CONNECTIONS as f64));
            let (mut times, mut buffer) = (Vec::with_capacity(100_000), vec![0; 16 << 10]);
            while due < begin + window {
                match every {
                    Some(_) => tokio::time::sleep_until(due.into()).await,
                    None => due = Instant::now(),
                }
                // The timer wakes by the millisecond; what it was late is not the server's.
                let began = due.max(Instant::now().checked_sub(Duration::from_millis(2)).unwrap_or(due));
                let request = requests(next.fetch_add(1, Relaxed));
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
                due = every.map_or_else(Instant::now, |every| due + every);
            }
            times
        });
    }
    let mut times = Vec::new();
    while let Some(some) = clients.join_next().await {
        times.extend(some.expect("a client"));
    }
    times
}

/// Whether a whole good answer has arrived.
fn whole(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
        return false;
    };
    let text = std::str::from_utf8(&bytes[..head]).expect("a head");
    assert!(text.starts_with("HTTP/1.1 20"), "{}", String::from_utf8_lossy(bytes));
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

/// The geometric mean of second ÷ first, and its 95 % interval by the normal approximation of the logarithms.
fn ratio(pairs: &[[f64; 2]]) -> (f64, f64, f64) {
    let logs: Vec<_> = pairs.iter().map(|[first, second]| (second / first).ln()).collect();
    let n = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / n;
    let variance = logs.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let half = 1.96 * (variance / n).sqrt();
    (mean.exp(), (mean - half).exp(), (mean + half).exp())
}

/// Answers a show; every tenth time another one than the other side.
struct Voice(AtomicU64);

impl Voice {
    fn say(&self) -> Answered {
        let n = self.0.fetch_add(1, Relaxed);
        let mut show =
            json!({"id": "0198f2d4-0000-7000-8000-000000000001", "version": 3, "starts_at": "2031-05-01T19:30:00Z"});
        if n.is_multiple_of(10) {
            show[format!("f{}", n % 500)] = json!(n);
        }
        answered(&show)
    }
}

fn answered(value: &Value) -> Answered {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answered {
        status: StatusCode::OK,
        headers,
        body: value.to_string().into(),
    }
}

impl Serve for Voice {
    fn contract(&self) -> &'static Contract {
        &CATALOG
    }

    fn serve<'a>(&'a self, _: usize, _: &'a Cx, _: Asked<'a>) -> BoxFuture<'a, Answered> {
        Box::pin(async { self.say() })
    }
}

impl Transport for Voice {
    fn send<'a>(&'a self, _: &'a Cx, _: &'static Contract, _: Ask) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async { Ok(self.say()) })
    }
}

/// The memory of so many verdicts: after a tenth of them, and after all.
async fn verdicts() {
    let all = setting("BENCH_VERDICTS", 10_000_000);
    let voice = || Arc::new(Voice(AtomicU64::new(0)));
    let (run, worker) = ParallelRun::new(
        &CATALOG,
        ParallelLimits::default(),
        Arc::new(SystemClock),
        Arc::new(Redactor::of([&CATALOG])),
        voice(),
        voice(),
    );
    let worker = tokio::spawn(worker);
    let index = CATALOG.operation("show").expect("an operation");
    let seen = answered(
        &json!({"id": "0198f2d4-0000-7000-8000-000000000001", "version": 3, "starts_at": "2031-05-01T19:30:00Z"}),
    );
    let (cx, began) = (Cx::new(Principal::ANYBODY), Instant::now());
    let (mut offered, mut early) = (0, 0);
    while offered < all {
        let judged = run.summary().eligible;
        // Never more than the queue holds.
        if offered - judged >= 200 {
            tokio::task::yield_now().await;
            continue;
        }
        let seen = seen.clone();
        if let Some(offer) = run.offer(index, Side::Monolith) {
            offer.fill(&cx, move || {
                let ask = Ask {
                    index,
                    target: "/api/v1/catalog/shows/0198f2d4-0000-7000-8000-000000000001".to_owned(),
                    headers: HeaderMap::new(),
                    body: Bytes::new(),
                    most: 1 << 20,
                };
                (Ok(ask), seen)
            });
        }
        offered += 1;
        if offered == all / 10 {
            early = office::memory_kib(std::process::id());
        }
    }
    let summary = loop {
        let summary = run.summary();
        if summary.eligible >= all {
            break summary;
        }
        tokio::task::yield_now().await;
    };
    println!(
        "{} verdicts ({} mismatched, {} inconclusive, {} dropped) in {:.0} s: {:.1} MiB after a tenth of them, {:.1} MiB after all",
        summary.eligible,
        summary.mismatched,
        summary.inconclusive,
        summary.dropped,
        began.elapsed().as_secs_f64(),
        early as f64 / 1024.0,
        office::memory_kib(std::process::id()) as f64 / 1024.0
    );
    worker.abort();
}
