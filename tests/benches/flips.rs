//! `cargo bench -p system-tests --bench flips`: how long a flip takes to take effect. In process: from putting routes in force
//! until another thread sees them; and from the operator's answer until the next request is answered by the other side, which
//! is to be that one. Across processes: until the other side has the lease of the module's relay under the new route.
//!
//! Needs the release build of `banyan` beside it: `cargo build --release`. `BENCH_FLIPS` (default 200) says how many.

#![expect(clippy::print_stdout, reason = "what was measured is what it is for")]

use std::{
    hint::spin_loop,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use catalog_contract::CATALOG;
use strangler::routes::{ModuleRoutes, Route, RouteTable, Stage};
use strangler_store::{Db, DbOptions};
use system_tests::{Service, System, office};

#[expect(clippy::disallowed_methods, reason = "a benchmark's own settings")]
fn flips() -> usize {
    std::env::var("BENCH_FLIPS")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(200)
}

fn main() {
    in_memory(flips() * 50);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(in_a_system(flips()));
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_secs_f64() * 1e3;
    println!(
        "{what}: p50 {:.4} ms, p99 {:.4} ms, most {:.4} ms, {} flips",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}

/// From before the routes are put in force until another thread, which does nothing but look, has seen it.
fn in_memory(flips: usize) {
    let table = Arc::new(RouteTable::new(&CATALOG));
    let (seen, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let (looking, saw, stopped, began) = (table.clone(), seen.clone(), stop.clone(), Instant::now());
    let last = CATALOG.operations.len() - 1;
    let watcher = std::thread::spawn(move || {
        let mut was = true;
        while !stopped.load(SeqCst) {
            if looking.is_local(last) != was {
                was = !was;
                saw.store(began.elapsed().as_nanos() as u64, SeqCst);
            }
            spin_loop();
        }
    });
    let mut times = Vec::with_capacity(flips);
    for n in 0..flips {
        let stage = if n % 2 == 0 { Stage::Remote } else { Stage::Local };
        seen.store(0, SeqCst);
        let flipped = began.elapsed();
        table.set(ModuleRoutes {
            module: Route::at(stage),
            epoch: n as i64,
            ..ModuleRoutes::default()
        });
        let at = loop {
            match seen.load(SeqCst) {
                0 => std::thread::yield_now(),
                at => break Duration::from_nanos(at),
            }
        };
        times.push(at.saturating_sub(flipped));
    }
    stop.store(true, SeqCst);
    watcher.join().expect("the watcher ends in order");
    tell("in memory, all operations of a module, seen by another thread", times);
}

async fn in_a_system(flips: usize) {
    let system = System::start().await;
    let _service = Service::start(&system, "catalog", &[]).await;
    let url = format!("sqlite:{}", system.data().join("catalog.db").display());
    let db = Db::open(&url, "catalog", DbOptions::default())
        .await
        .expect("the module's schema");
    let path = office::show_path(&system.shows(1).await[0]);
    let (mut answered, mut next, mut handed) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..flips {
        let (stage, side) = if n % 2 == 0 {
            ("remote", "remote")
        } else {
            ("local", "local")
        };
        let epoch = n as i64 + 1;
        let began = Instant::now();
        assert_eq!(system.flip("catalog", Some(stage)).await, 200);
        let flipped = Instant::now();
        answered.push(flipped - began);
        let answer = system.get(&path).await;
        next.push(flipped.elapsed());
        assert_eq!(
            answer.served("catalog"),
            side,
            "the next request after the operator's answer"
        );
        let holds = async || {
            let leases = db.leases().list().await.expect("the leases");
            leases
                .iter()
                .any(|l| l.name == "relay" && !l.holder.is_empty() && l.route == epoch)
        };
        while !holds().await {
            assert!(
                flipped.elapsed() < Duration::from_secs(30),
                "nobody took the relay over"
            );
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        handed.push(began.elapsed());
    }
    db.close().await;
    tell("asked, written down, leases taken away, answered", answered);
    tell(
        "the next request answered by the other side, its own time included",
        next,
    );
    tell(
        "the other process works in the background, from the operator's request on",
        handed,
    );
}
