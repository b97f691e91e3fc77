//! `cargo bench -p system-tests --bench pages`: what a person waits for, and what a console that is left open costs.
//!
//! First every page is opened again and again in a headless Chromium while readers, writers and buyers are at work: the time to
//! the first byte of the answer, and to the page being interactive, that is parsed with its scripts run (`domContentLoadedEventEnd`
//! of the Navigation Timing). Then the console's map stays open under the same load: memory of the server and of the browser,
//! the objects of its script, and the size and number of the updates that it is sent.
//!
//! Needs the release build of `banyan` beside it, `cargo build --release`, and `BANYAN_TEST_BROWSER`, a chromedriver.
//! `BENCH_VISITS` (default 40) says how often each page is opened, `BENCH_MINUTES` (default 60) how long the console stays open.

#![expect(clippy::print_stdout, reason = "what was measured is what it is for")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rand::SeedableRng;
use system_tests::{Bear, Browser, Load, Options, Placed, Random, System, View, office};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure());
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's own settings")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

async fn measure() {
    let Some(browser) = Browser::open("how fast pages are").await else {
        return;
    };
    let system = Arc::new(System::with(Options::default()).await);
    let mut random = Random::seed_from_u64(7);
    let load = Load::start(&system, 4, 1, Bear::Problems, &mut random).await;
    let bought = Arc::<AtomicU64>::default();
    let stop = Arc::<AtomicBool>::default();
    let buyers = buyers(system.clone(), stop.clone(), bought.clone());

    println!("| page | first byte p50 | p99 | interactive p50 | p99 |\n| --- | --- | --- | --- | --- |");
    browser.view(View::ALL[0]).await;
    for (name, path) in shop(&system).await {
        visit(&browser, &system, name, &path).await;
    }
    browser.go(&format!("{}/console/login", system.public())).await;
    browser.fill("#token", &system.token()).await;
    browser.press("Sign in").await;
    browser.find("form[action='/console/logout']").await;
    for (name, path) in CONSOLE {
        visit(&browser, &system, name, path).await;
    }
    let (reads, writes) = load.done();
    println!(
        "\nmeanwhile {reads} reads, {writes} writes, {} orders",
        bought.load(Relaxed)
    );

    left_open(&browser, &system, &load, &bought).await;
    stop.store(true, Relaxed);
    buyers.await.expect("buyers end in order");
    load.end().await;
    browser.close().await;
}

/// The console's pages.
const CONSOLE: [(&str, &str); 7] = [
    ("console: map", "/console"),
    ("console: module", "/console/modules/catalog"),
    ("console: requests", "/console/requests"),
    ("console: parallel run", "/console/parallel-run"),
    ("console: messages", "/console/messages"),
    ("console: sagas", "/console/sagas"),
    ("console: audit", "/console/audit"),
];

/// The shop's pages: of a show of the sample season and of an order that was confirmed.
async fn shop(system: &System) -> Vec<(&'static str, String)> {
    let hall = system.hall(2, 5).await;
    let order = Placed::new(&hall, &hall.seats[..2], "tok_ok");
    assert_eq!(system.place(&order).await.status, 202);
    assert_eq!(system.settled(order.id).await["status"], "confirmed");
    let show = system.shows(1).await.swap_remove(0);
    let held = office::id();
    let seats = serde_json::json!({"show": hall.show, "seats": &hall.seats[3..5]});
    let answer = system.put(&format!("/api/v1/seating/holds/{held}"), &seats).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    vec![
        ("checkout", format!("/shows/{}/checkout/{held}", hall.show)),
        ("season", "/".to_owned()),
        ("show with its seats", format!("/shows/{show}")),
        ("order", format!("/orders/{}", order.id)),
        ("tickets", format!("/orders/{}/tickets", order.id)),
    ]
}

/// Opens a page again and again, and prints a row.
async fn visit(browser: &Browser, system: &System, name: &str, path: &str) {
    let (mut bytes, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..setting("BENCH_VISITS", 40) {
        browser.go(&format!("{}{path}", system.public())).await;
        let script = "const t = performance.getEntriesByType('navigation')[0];
                      return [t.responseStart - t.requestStart, t.domContentLoadedEventEnd - t.startTime, t.responseStatus]";
        let times = browser.run(script).await;
        assert_eq!(times[2], 200, "{path}");
        bytes.push(times[0].as_f64().expect("a time"));
        ready.push(times[1].as_f64().expect("a time"));
    }
    let at = |times: &mut Vec<f64>, q: f64| {
        times.sort_by(f64::total_cmp);
        times[((times.len() - 1) as f64 * q) as usize]
    };
    let (b50, b99, r50, r99) = (
        at(&mut bytes, 0.5),
        at(&mut bytes, 0.99),
        at(&mut ready, 0.5),
        at(&mut ready, 0.99),
    );
    println!("| {name} | {b50:.1} ms | {b99:.1} ms | {r50:.0} ms | {r99:.0} ms |");
}

/// Eight buyers, one order after the other each, with a breath in between. Where others use the disk, everybody may have to wait
/// too long: who is told so tries again.
fn buyers(system: Arc<System>, stop: Arc<AtomicBool>, bought: Arc<AtomicU64>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let (system, stop, bought) = (system.clone(), stop.clone(), bought.clone());
            tasks.spawn(async move {
                while !stop.load(Relaxed) {
                    let builder = system.clone();
                    let Ok(hall) = tokio::spawn(async move { builder.hall(20, 50).await }).await else {
                        continue;
                    };
                    for seat in &hall.seats {
                        let answer = system
                            .place(&Placed::new(&hall, std::slice::from_ref(seat), "tok_ok"))
                            .await;
                        assert!(matches!(answer.status, 202 | 503), "{answer:?}");
                        bought.fetch_add(u64::from(answer.status == 202), Relaxed);
                        tokio::time::sleep(Duration::from_millis(250)).await;
                        if stop.load(Relaxed) {
                            return;
                        }
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a buyer ends in order");
        }
    })
}

/// What was seen of the stream of updates.
#[derive(Default)]
struct Seen {
    updates: AtomicU64,
    bytes: AtomicU64,
    largest: AtomicU64,
    most_per_second: AtomicU64,
}

/// The bytes of a folder's databases, with what is not folded back into them yet.
fn databases(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ours = entries.filter(|e| e.file_name().to_string_lossy().contains(".db"));
    ours.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}

/// The console's map stays open; a row a minute.
async fn left_open(browser: &Browser, system: &System, load: &Load, bought: &AtomicU64) {
    browser.go(&format!("{}/console", system.public())).await;
    browser.sees("Live").await;
    let seen = Arc::<Seen>::default();
    // What the page itself asks for: the parts that it has.
    let script =
        "return encodeURIComponent([...document.querySelectorAll('[data-v]')].map((p) => p.id + ':' + p.dataset.v))";
    let have = browser.run(script).await;
    let path = format!("/console/live?have={}", have.as_str().expect("its parts"));
    let cookie = browser.cookies().await;
    let following = tokio::spawn(follow(system.public(), path, cookie, seen.clone()));
    println!(
        "\n| minute | server | of it its own | databases | browser | script’s objects | nodes | updates/s | bytes an update | largest | reads | orders |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let minutes = setting("BENCH_MINUTES", 60);
    for minute in 0..=minutes {
        let (updates, bytes) = (seen.updates.swap(0, Relaxed), seen.bytes.swap(0, Relaxed));
        let (heap, nodes) = browser.heap().await;
        println!(
            "| {minute} | {} MiB | {} MiB | {} MB | {} MiB | {} KiB | {nodes} | {:.2} (at most {}) | {} | {} | {} | {} |",
            office::memory_kib(system.pid()) / 1024,
            office::own_memory_kib(system.pid()) / 1024,
            databases(&system.data()) / 1_000_000,
            browser.memory_kib() / 1024,
            heap / 1024,
            updates as f64 / 60.0,
            seen.most_per_second.load(Relaxed),
            bytes / updates.max(1),
            seen.largest.load(Relaxed),
            load.done().0,
            bought.load(Relaxed),
        );
        if minute < minutes {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    }
    following.abort();
}

/// Reads the same stream as the page does, and counts. Each chunk is one update.
async fn follow(public: String, path: String, cookie: String, seen: Arc<Seen>) {
    let address = public.trim_start_matches("http://").to_owned();
    loop {
        let mut socket = TcpStream::connect(&address).await.expect("the server");
        let ask = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\ncookie: {cookie}\r\n\r\n");
        socket.write_all(ask.as_bytes()).await.expect("asked");
        let (mut buffer, mut recent) = (vec![0; 64 << 10], Vec::<Instant>::new());
        let mut first = true;
        loop {
            let n = socket.read(&mut buffer).await.unwrap_or(0);
            if n == 0 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                break;
            }
            // The first one brings a page that shows something else up to date.
            let update = buffer[..n].windows(6).any(|w| w == b"event:");
            if !update || std::mem::take(&mut first) {
                continue;
            }
            let now = Instant::now();
            recent.retain(|at| now - *at < Duration::from_secs(1));
            recent.push(now);
            seen.updates.fetch_add(1, Relaxed);
            seen.bytes.fetch_add(n as u64, Relaxed);
            seen.largest.fetch_max(n as u64, Relaxed);
            seen.most_per_second.fetch_max(recent.len() as u64, Relaxed);
        }
    }
}
