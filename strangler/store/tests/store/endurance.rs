//! Very many events through a subscription whose workers are killed, stopped and slow, and whose handler fails now and then:
//! none lost, doubled or out of order per subject, and one that can never be handled holds up its own subject only.
//!
//! 20,000 events, or as many as `BANYAN_TEST_EVENTS` says. A million on both engines:
//!
//! ```sh
//! BANYAN_TEST_EVENTS=1000000 cargo test -p strangler-store --test store endurance::alone::events -- --nocapture --test-threads 1
//! ```

mod alone {
    use std::{
        process::{Child, Command, Stdio},
        sync::Arc,
        time::{Duration, Instant},
    };

    use rand::{Rng, SeedableRng, rngs::StdRng};
    use strangler::BoxFuture;
    use strangler_store::{
        Batch, Db, DbOptions, Envelope, EventLog, Filter, Handler, HandlerError, Head, LogError, Retry, Subscription,
        Uow,
    };

    use crate::{
        notes::{AddEffect, WriteDown, cx},
        support::{self, Home, Raw},
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_sqlite() {
        support::on_sqlite(events).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_postgres() {
        support::on_postgres(events).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cursor_apart_doubles_sqlite() {
        support::on_sqlite(mutant).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cursor_apart_doubles_postgres() {
        support::on_postgres(mutant).await;
    }

    const WORKERS: usize = 3;

    /// What was seen to be wrong.
    #[derive(Debug, PartialEq)]
    struct Wrong {
        lost: i64,
        doubled: i64,
        disordered: i64,
    }

    const NOTHING: Wrong = Wrong {
        lost: 0,
        doubled: 0,
        disordered: 0,
    };

    /// Subjects of twenty events each; the first subject's third event is the poison.
    fn subjects(events: i64) -> i64 {
        (events / 20).max(1)
    }

    const POISON: i64 = 3;

    /// Puts so many events into the outbox, as commands would have: versions count up per subject, subjects are mixed.
    async fn fill(home: &Home, events: i64) {
        let raw = home.raw("notes").await;
        let s = subjects(events);
        let columns = "event_id, type, dataversion, stream, subject, aggregateversion, time, traceparent, data";
        let sql = if home.is_postgres() {
            format!(
                "INSERT INTO outbox ({columns}) SELECT gen_random_uuid(), 'notes.note.changed', 1, 'notes.note',
                 lpad(to_hex(n % {s}), 32, '0')::uuid, n / {s} + 1, now(), '', '{{}}' FROM generate_series(0, {events} - 1) n"
            )
        } else {
            format!(
                "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {events} - 1)
                 INSERT INTO outbox ({columns}) SELECT randomblob(16), 'notes.note.changed', 1, 'notes.note',
                 unhex(printf('%032x', n % {s})), n / {s} + 1, '2026-01-01 00:00:00.000000+00:00', '', '{{}}' FROM c"
            )
        };
        raw.run(&sql).await;
    }

    /// Compares the effects with what they should be: everything but the poison and what waits behind it.
    async fn look(raw: &Raw, expected: i64) -> Wrong {
        let sql = "SELECT count(*), count(DISTINCT position) FROM effects";
        let (all, distinct) = raw.pairs(sql).await[0];
        let disordered =
            "SELECT count(*) FROM (SELECT version, lag(version, 1, 0) OVER (PARTITION BY subject ORDER BY id)
                          AS before FROM effects) AS seen WHERE version <> before + 1";
        Wrong {
            lost: expected - distinct,
            doubled: all - distinct,
            disordered: raw.number(disordered).await,
        }
    }

    fn spawn(urls: &str, worker: usize, how: &str) -> Child {
        support::child("endurance::alone::works")
            .env("BANYAN_TEST_URLS", urls)
            .env("BANYAN_TEST_WORKER", format!("{how}-{worker}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Stops a process, or lets it go on: to everybody else it is very slow.
    fn signal(child: &Child, which: &str) {
        let id = child.id().to_string();
        assert!(Command::new("kill").args([which, &id]).status().unwrap().success());
    }

    async fn events(home: &Home) {
        let events = std::env::var("BANYAN_TEST_EVENTS").map_or(20_000, |n| n.parse().unwrap());
        let versions = events / subjects(events);
        // The poison, and what waits behind it.
        let held = versions - (POISON - 1);
        let (wrong, figures) = through(home, events, held, WORKERS, "right").await;
        println!("{figures}");
        assert_eq!(wrong, NOTHING);
    }

    /// The same with a worker that moves its cursor in a transaction of its own: the check sees it.
    async fn mutant(home: &Home) {
        let (wrong, figures) = through(home, 2_000, 0, 1, "apart").await;
        println!("{figures}");
        assert!(
            wrong.doubled > 0 && wrong.lost == 0,
            "a cursor apart went unnoticed: {wrong:?}"
        );
    }

    async fn through(home: &Home, events: i64, held: i64, workers: usize, how: &str) -> (Wrong, String) {
        let mut random = StdRng::seed_from_u64(support::seed());
        let (db, reader) = (home.db("notes").await, home.db("reader").await);
        fill(home, events).await;
        let raw = home.raw("reader").await;
        let urls = format!("{}\n{}", home.url("notes").await, home.url("reader").await);
        let mut children: Vec<Child> = (0..workers).map(|n| spawn(&urls, n, how)).collect();
        let (mut kills, mut stops, began) = (0, 0, Instant::now());
        let limit = Duration::from_secs(150).max(Duration::from_millis(events.unsigned_abs() * 2));
        let expected = events - held;
        let progress = match how {
            "right" => "SELECT coalesce(max(position), 0) FROM subscriptions",
            _ => "SELECT coalesce(max(version), 0) FROM shadow",
        };
        let mut seen = 0;
        loop {
            // When the next fault comes is chance; nothing is waited for.
            tokio::time::sleep(Duration::from_millis(random.random_range(100..600))).await;
            // Not by counting effects: that takes longer the more there are.
            let done = raw.number(progress).await;
            let depth = reader.dead_letters().depth().await.unwrap();
            if done == events && depth.retrying == 0 && depth.parked == u64::from(held > 0) {
                break;
            }
            assert!(
                began.elapsed() < limit,
                "{done} of {events} after {:?}",
                began.elapsed()
            );
            if done == seen && how == "right" {
                // Let it come to something between two faults.
                continue;
            }
            seen = done;
            let victim = random.random_range(0..workers);
            if random.random_range(0..3) == 0 {
                signal(&children[victim], "-STOP");
                // The fault: somebody who stands still for as long as this.
                tokio::time::sleep(Duration::from_millis(random.random_range(50..400))).await;
                signal(&children[victim], "-CONT");
                stops += 1;
            } else {
                children[victim].kill().unwrap();
                children[victim].wait().unwrap();
                children[victim] = spawn(&urls, victim, how);
                kills += 1;
            }
        }
        let took = began.elapsed();
        for mut child in children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let wrong = look(&raw, expected).await;
        let depth = reader.dead_letters().depth().await.unwrap();
        if how == "right" {
            assert_eq!(
                (depth.parked, depth.retrying, depth.waiting),
                (u64::from(held > 0), 0, held.unsigned_abs().saturating_sub(1))
            );
        }
        assert_eq!(db.log().head().await.unwrap().position, events);
        let rate = events as f64 / took.as_secs_f64();
        let figures = format!(
            "{how}: {events} events in {took:.1?} ({rate:.0}/s), {kills} kills, {stops} stops, {held} held up by the poison: {wrong:?}"
        );
        (wrong, figures)
    }

    /// Slow, as over a network: and now and then it fails, or answers less than it was asked for.
    struct Slow(Arc<dyn EventLog>);

    impl EventLog for Slow {
        fn source(&self) -> &str {
            self.0.source()
        }

        fn read(&self, after: i64, limit: u64) -> BoxFuture<'_, Result<Batch, LogError>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..4))).await;
                match rand::random_range(0..100) {
                    0 => Err(LogError::Away {
                        source: "notes".into(),
                        at: "nowhere".into(),
                        cause: "as told".into(),
                    }),
                    1..10 => self.0.read(after, rand::random_range(1..=limit)).await,
                    _ => self.0.read(after, limit).await,
                }
            })
        }

        fn wait(&self, after: i64) -> BoxFuture<'_, Result<(), LogError>> {
            self.0.wait(after)
        }

        fn head(&self) -> BoxFuture<'_, Result<Head, LogError>> {
            self.0.head()
        }
    }

    /// Leaves its effect, and then fails: once in a while, and always at the poison.
    struct Moody;

    impl Handler for Moody {
        fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
            Box::pin(async move {
                WriteDown.handle(uow, event).await?;
                if event.subject.is_nil() && event.aggregateversion == POISON {
                    return Err(HandlerError::failed("poison"));
                }
                match rand::random_range(0..4_000) {
                    0 => Err(HandlerError::failed("moody")),
                    _ => Ok(()),
                }
            })
        }
    }

    /// One process: a relay and a worker of the subscription.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn works() {
        let Ok(urls) = std::env::var("BANYAN_TEST_URLS") else {
            return;
        };
        let worker = std::env::var("BANYAN_TEST_WORKER").unwrap();
        // The same name after a restart, so that the lease of one that was killed is its own again.
        let options = DbOptions {
            worker: Some(worker.clone()),
            ..DbOptions::default()
        };
        let (notes, reader) = urls.split_once('\n').unwrap();
        let db = Db::open(notes, "notes", options.clone()).await.unwrap();
        let reader_url = reader;
        let reader = Db::open(reader, "reader", options).await.unwrap();
        let relay = db.relay();
        if worker.starts_with("apart") {
            tokio::join!(relay.run(std::future::pending()), apart(&db, &reader, reader_url));
            return;
        }
        let retry = Retry {
            first: Duration::from_millis(5),
            longest: Duration::from_millis(50),
            attempts: 12,
        };
        let log = Arc::new(Slow(db.log()));
        let subscription = Subscription::new("endures", reader, log, Filter::All, Arc::new(Moody))
            .with_batch(250)
            .with_retry(retry);
        tokio::join!(
            relay.run(std::future::pending()),
            subscription.run(std::future::pending())
        );
    }

    /// What must not be done: the effects first, then the cursor, in two transactions.
    async fn apart(db: &Db, reader: &Db, url: &str) {
        let raw = support::connect(url).await;
        let max = "SELECT coalesce(max(version), 0) FROM shadow";
        loop {
            // The cursor is a row of a table that is there anyway.
            let after = raw.number(max).await;
            let batch = db.log().read(after, 50).await.unwrap();
            let Some(last) = batch.events.last() else {
                let _ = db.log().wait(after).await;
                continue;
            };
            let mut uow = reader.begin(&cx()).await.unwrap();
            for event in &batch.events {
                uow.put(AddEffect {
                    position: event.position,
                    subject: event.subject,
                    version: event.aggregateversion,
                });
            }
            uow.commit().await.unwrap();
            if rand::random_range(0..4) == 0 {
                std::process::abort();
            }
            let mut uow = reader.begin(&cx()).await.unwrap();
            uow.put(crate::notes::AddShadow {
                subject: last.subject,
                version: last.position,
            });
            uow.commit().await.unwrap();
        }
    }
}
