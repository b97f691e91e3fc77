//! How many commands a second one schema on SQLite carries out, and how many syncs that takes: alone, and with many at once.
//!
//! `cargo bench -p strangler-store --bench commits`. Each command makes or changes its own aggregate-sized rows and leaves
//! an event. Besides the rates it prints how long one sync takes on this disk, which is what the rates have to be held
//! against, and the time from the call to the answer.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops when it cannot go on, and says what it measured"
)]

use std::{
    io::{Seek, Write},
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;
use strangler::{Cx, Event};
use strangler_store::{Db, DbOptions};

const LASTS: Duration = Duration::from_secs(3);

#[derive(Serialize)]
struct Happened {
    text: String,
}

impl Event for Happened {
    fn event_type(&self) -> &'static str {
        "bench.thing.happened"
    }
}

async fn command(db: &Db) {
    let mut uow = db.begin(&Cx::system("bench")).await.unwrap();
    let subject = uow.new_id();
    let text = "what a command leaves, ".repeat(10);
    uow.emit(subject, 1, &Happened { text });
    uow.commit().await.unwrap();
}

fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    sorted[(sorted.len() - 1) * percent / 100].as_secs_f64() * 1000.0
}

/// What one sync of a file costs that somebody has just written 8 KiB to.
fn sync(folder: &Path) {
    let mut file = std::fs::File::create(folder.join("probe")).unwrap();
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            file.rewind().unwrap();
            file.write_all(&[7; 8192]).unwrap();
            let start = Instant::now();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    let (p50, p99) = (percentile(&took, 50), percentile(&took, 99));
    println!("one sync, alone: {p50:.2} ms at p50, {p99:.2} ms at p99");
}

async fn writers(db: &Db, writers: usize) {
    let (start, commits) = (Instant::now(), db.commits());
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let db = db.clone();
        running.spawn(async move {
            let mut took = Vec::new();
            while start.elapsed() < LASTS {
                let begin = Instant::now();
                command(&db).await;
                took.push(begin.elapsed());
            }
            took
        });
    }
    let mut took = running.join_all().await.concat();
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let commits = db.commits() - commits;
    println!(
        "{writers:>3} writers: {:>6.0} commands/s, {:>5.2} syncs per command, {:.2} ms at p50, {:.2} ms at p99",
        took.len() as f64 / seconds,
        commits as f64 / took.len() as f64,
        percentile(&took, 50),
        percentile(&took, 99),
    );
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    sync(folder.path());
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    let db = Db::open(&url, "bench", DbOptions::default()).await.unwrap();
    db.migrate(strangler_store::migrations()).await.unwrap();
    for n in [1, 4, 16, 64] {
        writers(&db, n).await;
    }
    db.close().await;
}
