//! How soon one process hears of another one's events, and what it costs to wait for them.

on_both!(another_handle_is_heard_at_once);

mod tests {
    use std::time::Instant;

    use crate::{
        notes::{id, write},
        support::Home,
    };

    /// Two handles know nothing of each other, as two processes do not. With polling alone the median would be half a second.
    pub async fn another_handle_is_heard_at_once(home: &Home) {
        let (here, there) = (home.db("notes").await, home.handle("notes").await);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let relay = there.relay();
        let relaying = tokio::spawn(async move { relay.run(async { drop(stopped.await) }).await });
        let mut waits = Vec::new();
        for position in 0..41 {
            let log = here.log();
            let waiting = tokio::spawn(async move { log.wait(position).await });
            // At no particular moment of anybody's rhythm.
            tokio::time::sleep(std::time::Duration::from_millis(rand::random_range(0..40))).await;
            let began = Instant::now();
            // Committed here, relayed there, waited for here.
            write(&here, id(), "x").await.unwrap();
            waiting.await.unwrap().unwrap();
            waits.push(began.elapsed().as_secs_f64() * 1e3);
        }
        waits.sort_by(f64::total_cmp);
        println!(
            "commit to wait, there and back: median {:.1} ms, worst {:.1} ms",
            waits[20], waits[40]
        );
        assert!(waits[20] < 90.0, "{waits:?}");
        stop.send(()).unwrap();
        relaying.await.unwrap();
    }
}

/// Two real processes; and what it costs when nothing happens.
mod alone {
    use std::{
        io::{BufRead, BufReader},
        process::Stdio,
        time::{Duration, Instant},
    };

    use strangler_store::{Db, DbOptions};

    use crate::{
        notes::{id, migrations, write},
        support::{self, Home},
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite() {
        support::on_sqlite(from_process_to_process).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres() {
        support::on_postgres(from_process_to_process).await;
    }

    const SCHEMAS: [&str; 5] = ["a", "b", "c", "d", "e"];

    async fn from_process_to_process(home: &Home) {
        let mut urls = Vec::new();
        let mut dbs = Vec::new();
        for schema in SCHEMAS {
            let db = home.handle(schema).await;
            db.migrate(migrations()).await.unwrap();
            urls.push(home.url(schema).await);
            dbs.push(db);
        }
        let mut child = support::child("pulse::alone::waits")
            .env("BANYAN_TEST_URLS", urls.join("\n"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = std::sync::Mutex::new(lines);
        let line = |what: &str| {
            let mut lines = lines.lock().unwrap();
            let found = lines.find_map(|line| line.unwrap().strip_prefix(what).map(str::to_owned));
            found.unwrap()
        };
        // It waits, relays, and nothing happens.
        let idle: f64 = tokio::task::block_in_place(|| line("idle ")).parse().unwrap();
        let mut delays = Vec::new();
        for round in 0..30 {
            write(&dbs[round % 5], id(), "x").await.unwrap();
            let began = Instant::now();
            let delay = tokio::task::block_in_place(|| line("heard"));
            assert_eq!(delay, "");
            delays.push(began.elapsed().as_secs_f64() * 1e3);
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..60))).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        delays.sort_by(f64::total_cmp);
        println!(
            "waiting on five schemas while nothing happens: {idle:.2}% of a core; commit in one process to wait's return in \
             the other, which relays: median {:.1} ms, worst {:.1} ms",
            delays[15], delays[29]
        );
        assert!(delays[15] < 60.0, "{delays:?}");
        assert!(idle < 4.0, "{idle}");
    }

    /// The other process: relays five schemas and waits for their events.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn waits() {
        let Ok(urls) = std::env::var("BANYAN_TEST_URLS") else {
            return;
        };
        for (schema, url) in SCHEMAS.iter().zip(urls.lines()) {
            let db = Db::open(url, schema, DbOptions::default()).await.unwrap();
            let relay = db.relay();
            tokio::spawn(async move { relay.run(std::future::pending()).await });
            tokio::spawn(async move {
                let log = db.log();
                for position in 0.. {
                    log.wait(position).await.unwrap();
                    println!("heard");
                }
            });
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        let before = (cpu(), Instant::now());
        tokio::time::sleep(Duration::from_secs(5)).await;
        println!("idle {}", (cpu() - before.0) / before.1.elapsed().as_secs_f64() * 100.0);
        std::future::pending::<()>().await;
    }

    /// Seconds of CPU that this process has used.
    fn cpu() -> f64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}
