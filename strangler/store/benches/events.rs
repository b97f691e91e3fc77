//! How many events a second go from commit to effect, and how long each takes.
//!
//! `cargo bench -p strangler-store --bench events` on SQLite; with `BANYAN_TEST_POSTGRES=postgres://postgres@127.0.0.1`
//! naming a server also on PostgreSQL, in a database that is made for it and dropped. The numbers printed are events (or
//! commands) per second, and milliseconds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops when it cannot go on, says what it measured, and is told where the server is"
)]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{ConnectOptions, ConnectionTrait, Database};
use serde::Serialize;
use strangler::{BoxFuture, Cx, Event};
use strangler_store::{Db, DbOptions, Envelope, Filter, Handler, HandlerError, Subscription, Uow, provision};
use uuid::Uuid;

#[derive(Serialize)]
struct Happened {
    text: &'static str,
}

impl Event for Happened {
    fn event_type(&self) -> &'static str {
        "bench.thing.happened"
    }
}

/// Counts, and notes how old each event is.
#[derive(Default)]
struct Count {
    seen: AtomicU64,
    ages: Mutex<Vec<Duration>>,
}

impl Handler for Count {
    fn handle<'a>(&'a self, _: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            self.seen.fetch_add(1, Ordering::Relaxed);
            let age = (chrono::Utc::now() - event.time).to_std().unwrap_or_default();
            self.ages.lock().unwrap().push(age);
            Ok(())
        })
    }
}

async fn emit(db: &Db, events: u32) {
    let mut uow = db.begin(&Cx::system("bench")).await.unwrap();
    for _ in 0..events {
        let subject = uow.new_id();
        uow.emit(
            subject,
            1,
            &Happened {
                text: "as a rule, short",
            },
        );
    }
    uow.commit().await.unwrap();
}

fn rate(count: u64, since: Instant) -> f64 {
    count as f64 / since.elapsed().as_secs_f64()
}

/// What is in the outbox already: relaying it, then handling it in batches.
async fn drain(db: &Db, reader: &Db, name: &str) {
    const EVENTS: u64 = 40_000;
    for _ in 0..EVENTS / 500 {
        emit(db, 500).await;
    }
    let start = Instant::now();
    while db.relay().pass().await.unwrap() > 0 {}
    println!("{name}: relay                  {:>9.0} events/s", rate(EVENTS, start));
    for batch in [100, 1000] {
        let count = Arc::new(Count::default());
        let subscription = Subscription::new(
            &format!("b{batch}"),
            reader.clone(),
            db.log(),
            Filter::All,
            count.clone(),
        );
        let subscription = subscription.with_batch(batch);
        let start = Instant::now();
        while subscription.step().await.unwrap() > 0 {}
        assert_eq!(count.seen.load(Ordering::Relaxed), EVENTS);
        println!(
            "{name}: subscription, by {batch:>4}  {:>9.0} events/s",
            rate(EVENTS, start)
        );
    }
}

/// One event per command, `writers` at once, with relay and subscription running: the rate of commands, and the time from
/// the decision to the effect.
async fn live(db: &Db, reader: &Db, name: &str, writers: usize) {
    let count = Arc::new(Count::default());
    let head = db.log().head().await.unwrap().position;
    let subscription = Subscription::new(
        &format!("live{writers}"),
        reader.clone(),
        db.log(),
        Filter::All,
        count.clone(),
    )
    .with_batch(1000);
    while subscription.step().await.unwrap() > 0 {}
    assert_eq!(subscription.position().await.unwrap(), head);
    count.seen.store(0, Ordering::Relaxed);
    count.ages.lock().unwrap().clear();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let waiting = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let (relay, until) = (db.relay(), waiting(stopped.clone()));
    let relaying = tokio::spawn(async move { relay.run(until).await });
    let until = waiting(stopped);
    let subscribed = tokio::spawn(async move { subscription.run(until).await });
    let start = Instant::now();
    let mut commands = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let db = db.clone();
        commands.spawn(async move {
            let mut done = 0;
            while start.elapsed() < Duration::from_secs(3) {
                emit(&db, 1).await;
                done += 1;
            }
            done
        });
    }
    let done: u64 = commands.join_all().await.into_iter().sum();
    let commanded = rate(done, start);
    while count.seen.load(Ordering::Relaxed) < done {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let handled = rate(done, start);
    stop.send_replace(true);
    relaying.await.unwrap();
    subscribed.await.unwrap();
    let mut ages = std::mem::take(&mut *count.ages.lock().unwrap());
    ages.sort_unstable();
    let at = |percent: usize| ages[(ages.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
    println!(
        "{name}: {writers:>2} writers, live: {commanded:>7.0} commands/s, {handled:>7.0} effects/s, delay {:.1} ms at p50, \
         {:.1} ms at p99",
        at(50),
        at(99)
    );
}

async fn measure(db: Db, reader: Db, name: &str) {
    db.migrate(strangler_store::migrations()).await.unwrap();
    reader.migrate(strangler_store::migrations()).await.unwrap();
    drain(&db, &reader, name).await;
    for writers in [1, 8] {
        live(&db, &reader, name, writers).await;
    }
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let open = async |url: String, schema: &str| Db::open(&url, schema, DbOptions::default()).await.unwrap();
    let url = |schema: &str| format!("sqlite:{}", folder.path().join(format!("{schema}.db")).display());
    let (db, reader) = (open(url("source"), "source").await, open(url("reader"), "reader").await);
    measure(db, reader, "sqlite").await;

    let Ok(server) = std::env::var("BANYAN_TEST_POSTGRES") else {
        return println!("postgres: SKIPPED (BANYAN_TEST_POSTGRES is not set)");
    };
    let mut options = ConnectOptions::new(format!("{server}/postgres"));
    options.max_connections(1).sqlx_logging(false);
    let maintenance = Database::connect(options).await.unwrap();
    let run = async |sql: String| maintenance.execute_unprepared(&sql).await.unwrap();
    let database = format!("banyan_bench_{:x}", Uuid::now_v7().as_u128() as u32);
    run(format!("CREATE DATABASE {database}")).await;
    let admin = format!("{server}/{database}");
    let provisioned = async |schema: &str| provision::provision(&admin, schema, "bench").await.unwrap();
    let (source, target) = (provisioned("source").await, provisioned("reader").await);
    let (db, reader) = (open(source, "source").await, open(target, "reader").await);
    measure(db.clone(), reader.clone(), "postgres").await;
    db.close().await;
    reader.close().await;
    run(format!("DROP DATABASE {database} WITH (FORCE)")).await;
    for schema in ["source", "reader"] {
        run(format!("DROP ROLE IF EXISTS {database}_{schema}")).await;
    }
}
