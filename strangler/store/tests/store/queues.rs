//! Queues: commands are carried out, once, by whoever takes them; what fails is tried again and parked.

on_both!(
    a_command_is_sent_with_its_transaction,
    answers_go_to_the_reply_queue,
    workers_compete,
    poison_is_parked_and_others_go_on,
    what_cannot_be_decoded_is_parked_at_once,
    a_lost_workers_command_is_delivered_again,
);

use std::collections::BTreeMap;

use serde_json::{Value, json};
use strangler::BoxFuture;
use strangler_store::{Consumer, Db, HandlerError, Message, QueueCommand, Uow};

use crate::notes::{AddEffect, Effects, cx, id};

/// Writes each command down, with its number; fails when its body says so.
struct CarryOut;

impl Consumer for CarryOut {
    fn consume<'a>(&'a self, uow: &'a mut Uow, message: &'a Message) -> BoxFuture<'a, Result<Value, HandlerError>> {
        Box::pin(async move {
            uow.put(AddEffect {
                position: message.position,
                subject: message.id,
                version: i64::from(message.attempt),
            });
            match message.body["do"].as_str() {
                Some("fail") => Err(HandlerError::failed("as told")),
                Some("fail twice") if message.attempt < 3 => Err(HandlerError::failed("not yet")),
                Some("panic") => panic!("as told"),
                Some("decode") => Ok(serde_json::from_value::<u32>(json!("no number"))?.into()),
                _ => Ok(json!({"did": message.body, "attempt": message.attempt})),
            }
        })
    }
}

/// Sends so many commands that say `what`, a few hundred at a time.
async fn send(db: &Db, what: &str, count: usize) {
    let mut left = count;
    while left > 0 {
        let mut uow = db.begin(&cx()).await.unwrap();
        for _ in 0..left.min(250) {
            let command = QueueCommand::new(id(), "test", json!({"do": what}));
            db.queues().send(&mut uow, "q", command);
        }
        uow.commit().await.unwrap();
        left = left.saturating_sub(250);
    }
}

/// How often each command had its effect.
async fn effects(db: &Db) -> BTreeMap<i64, usize> {
    let mut times = BTreeMap::new();
    for (position, ..) in db.view(&cx()).find(Effects).await.unwrap() {
        *times.entry(position).or_default() += 1;
    }
    times
}

mod tests {
    use std::{sync::Arc, time::Duration};

    use serde_json::json;
    use strangler::{Cx, ManualClock};
    use strangler_store::{Db, DbOptions, LetterId, QueueCommand, QueueDepth, QueueWorker, Retry};

    use super::{CarryOut, effects, send};
    use crate::{
        notes::{cx, id},
        support::{Home, eventually},
    };

    const QUICK: Retry = Retry {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(3),
        attempts: 3,
    };

    fn worker(db: &Db) -> QueueWorker {
        db.queues().worker("q", Arc::new(CarryOut)).with_retry(QUICK)
    }

    async fn with_clock(home: &Home, clock: &ManualClock) -> Db {
        home.db("notes").await.close().await;
        let options = DbOptions {
            clock: Arc::new(clock.clone()),
            ..DbOptions::default()
        };
        Db::open(&home.url("notes").await, "notes", options).await.unwrap()
    }

    pub async fn a_command_is_sent_with_its_transaction(home: &Home) {
        let clock = ManualClock::new(chrono::Utc::now());
        let db = with_clock(home, &clock).await;
        let queues = db.queues();
        let command = QueueCommand::new(id(), "test", json!({"n": 1}));
        let mut uow = db.begin(&cx()).await.unwrap();
        queues.send(&mut uow, "q", command.clone());
        uow.flush().await.unwrap();
        drop(uow);
        assert_eq!(queues.depth("q").await.unwrap(), QueueDepth::default());
        assert_eq!(worker(&db).step().await.unwrap(), 0);
        // Sent three times, in two transactions; and one for tomorrow, and one in another queue.
        for _ in 0..2 {
            let mut uow = db.begin(&cx()).await.unwrap();
            queues.send(&mut uow, "q", command.clone());
            queues.send(&mut uow, "q", command.clone());
            uow.commit().await.unwrap();
        }
        let day = chrono::TimeDelta::days(1);
        let mut uow = db.begin(&cx()).await.unwrap();
        let tomorrow = uow.now() + day;
        let later = QueueCommand::new(id(), "test", json!({})).with_not_before(tomorrow);
        queues.send(&mut uow, "q", later);
        queues.send(&mut uow, "other", command.clone());
        uow.commit().await.unwrap();
        let depth = queues.depth("q").await.unwrap();
        assert_eq!((depth.ready, depth.later), (1, 1));
        assert_eq!(worker(&db).step().await.unwrap(), 1);
        assert_eq!(worker(&db).step().await.unwrap(), 0);
        // What has ended is not sent again either.
        let mut uow = db.begin(&cx()).await.unwrap();
        queues.send(&mut uow, "q", command);
        uow.commit().await.unwrap();
        assert_eq!(worker(&db).step().await.unwrap(), 0);
        assert_eq!(effects(&db).await.len(), 1);
        clock.advance(day);
        assert_eq!(worker(&db).step().await.unwrap(), 1);
        assert_eq!(effects(&db).await.into_values().collect::<Vec<_>>(), [1, 1]);
        assert_eq!(queues.depth("other").await.unwrap().ready, 1);
    }

    pub async fn answers_go_to_the_reply_queue(home: &Home) {
        use std::sync::Mutex;

        use serde_json::Value;
        use strangler::BoxFuture;
        use strangler_store::{Consumer, HandlerError, Message, Uow};

        struct Hear(Mutex<Vec<Message>>);

        impl Consumer for Hear {
            fn consume<'a>(
                &'a self,
                _: &'a mut Uow,
                message: &'a Message,
            ) -> BoxFuture<'a, Result<Value, HandlerError>> {
                Box::pin(async move {
                    self.0.lock().unwrap().push(message.clone());
                    Ok(Value::Null)
                })
            }
        }

        let db = home.db("notes").await;
        let (first, second, correlation) = (id(), id(), id());
        let mut uow = db.begin(&cx()).await.unwrap();
        for command in [
            QueueCommand::new(first, "test", json!({"do": "fail twice"})).with_reply_to("answers"),
            QueueCommand::new(second, "test", json!({}))
                .with_reply_to("answers")
                .with_correlation(correlation),
            QueueCommand::new(id(), "test", json!({})),
        ] {
            db.queues().send(&mut uow, "q", command);
        }
        uow.commit().await.unwrap();
        let worked = async || {
            worker(&db).step().await.unwrap();
            db.queues().depth("answers").await.unwrap().ready
        };
        eventually("both answers", worked, |n| *n == 2).await;
        let hear = Arc::new(Hear(Mutex::default()));
        assert_eq!(db.queues().worker("answers", hear.clone()).step().await.unwrap(), 2);
        let heard = std::mem::take(&mut *hear.0.lock().unwrap());
        let answer = |correlation| heard.iter().find(|m| m.correlation == Some(correlation)).unwrap();
        assert_eq!(answer(first).body, json!({"did": {"do": "fail twice"}, "attempt": 3}));
        assert_eq!(answer(correlation).body["attempt"], 1);
        assert!(heard.iter().all(|m| m.kind == "reply" && m.reply_to.is_none()));
    }

    /// Eight workers, each of them with a handle of its own or a shared one.
    pub async fn workers_compete(home: &Home) {
        let count = std::env::var("BANYAN_TEST_MESSAGES").map_or(10_000, |n| n.parse().unwrap());
        let (db, other) = (home.db("notes").await, home.handle("notes").await);
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut workers = Vec::new();
        for n in 0..8 {
            let worker = worker(if n % 2 == 0 { &db } else { &other });
            let mut stopped = stopped.clone();
            let ended = async move { drop(stopped.wait_for(|s| *s).await) };
            workers.push(tokio::spawn(async move { worker.run(ended).await }));
        }
        let began = std::time::Instant::now();
        send(&db, "it", count).await;
        let deadline = std::time::Duration::from_secs(150);
        loop {
            let depth = db.queues().depth("q").await.unwrap();
            if (depth.ready, depth.later) == (0, 0) {
                break;
            }
            assert!(began.elapsed() < deadline, "{depth:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = began.elapsed();
        stop.send(true).unwrap();
        for worker in workers {
            worker.await.unwrap();
        }
        println!(
            "{count} commands by eight workers in {took:.1?}: {:.0}/s",
            count as f64 / took.as_secs_f64()
        );
        let effects = effects(&db).await;
        assert_eq!((effects.len(), effects.values().sum::<usize>()), (count, count));
    }

    pub async fn poison_is_parked_and_others_go_on(home: &Home) {
        let db = home.db("notes").await;
        for what in ["it", "fail", "it", "fail twice", "panic", "it"] {
            send(&db, what, 1).await;
        }
        let dead = db.dead_letters();
        let parked = async || {
            worker(&db).step().await.unwrap();
            let depth = db.queues().depth("q").await.unwrap();
            (dead.depth().await.unwrap().parked, depth.ready + depth.later)
        };
        eventually("the dead letters", parked, |seen| *seen == (2, 0)).await;
        assert_eq!(effects(&db).await, [1, 3, 4, 6].map(|n| (n, 1)).into());
        let mut letters = dead.list(10).await.unwrap();
        letters.sort_by_key(|l| l.id.position);
        let letter = |position| LetterId {
            subscription: "queue:q".into(),
            position,
        };
        assert_eq!([&letters[0].id, &letters[1].id], [&letter(2), &letter(5)]);
        assert_eq!((letters[0].error.as_str(), letters[0].waiting), ("as told", 0));
        assert_eq!(letters[0].tried.as_array().unwrap().len(), 3);
        assert_eq!(letters[1].error, "it panicked: as told");
        let event = letters[0].event.as_ref().unwrap();
        assert_eq!(
            (event.event_type.as_str(), &event.data),
            ("test", &json!({"do": "fail"}))
        );
        // Retried, it has all its attempts again; it is parked again; it is discarded.
        let operator = Cx::system("olga");
        assert_eq!(
            dead.retry(&operator, &[letter(2), letter(3), letter(99)])
                .await
                .unwrap(),
            1
        );
        assert_eq!(dead.retry(&operator, &[letter(2)]).await.unwrap(), 0);
        eventually("the dead letter", parked, |seen| *seen == (2, 0)).await;
        let again = dead.show(&letter(2)).await.unwrap().unwrap();
        assert_eq!((again.tried.as_array().unwrap().len(), again.resolved), (7, None));
        assert_eq!(dead.discard(&operator, &[letter(2), letter(5)]).await.unwrap(), 2);
        assert_eq!(parked().await, (0, 0));
        assert_eq!(effects(&db).await.len(), 4);
        let shown = dead.show(&letter(5)).await.unwrap().unwrap().resolved.unwrap();
        assert_eq!((shown.how.as_str(), shown.by.as_deref()), ("discarded", Some("olga")));
        // Restored, it waits for a decision again and is not taken; retried, it is.
        assert_eq!(dead.restore(&operator, &[letter(5), letter(99)]).await.unwrap(), 1);
        assert_eq!(parked().await, (1, 0));
        let queues = db.waiting().await.unwrap().queues;
        let queue = (
            queues[0].name.as_str(),
            queues[0].ready,
            queues[0].later,
            queues[0].parked,
        );
        assert_eq!((queues.len(), queue), (1, ("q", 0, 0, 1)));
        assert_eq!(dead.retry(&operator, &[letter(5)]).await.unwrap(), 1);
        assert_eq!(db.waiting().await.unwrap().queues[0].ready, 1);
        eventually("the dead letter", parked, |seen| *seen == (1, 0)).await;
    }

    pub async fn what_cannot_be_decoded_is_parked_at_once(home: &Home) {
        let db = home.db("notes").await;
        send(&db, "decode", 1).await;
        assert_eq!(worker(&db).step().await.unwrap(), 1);
        let list = db.dead_letters().list(10).await.unwrap();
        assert_eq!(list[0].tried.as_array().unwrap().len(), 1);
        assert!(list[0].error.contains("cannot be decoded"), "{}", list[0].error);
    }

    pub async fn a_lost_workers_command_is_delivered_again(home: &Home) {
        let clock = ManualClock::new(chrono::Utc::now());
        let db = with_clock(home, &clock).await;
        send(&db, "it", 1).await;
        let begun = Arc::new(tokio::sync::Notify::new());
        let hanging = || {
            let worker = db.queues().worker("q", Arc::new(Hang(begun.clone()))).with_retry(QUICK);
            worker.with_visible_time(Duration::from_secs(20))
        };
        for _ in 0..3 {
            // The worker is lost in the middle of it.
            let worker = hanging();
            let lost = tokio::spawn(async move { worker.run(std::future::pending()).await });
            begun.notified().await;
            lost.abort();
            assert!(lost.await.unwrap_err().is_cancelled());
            clock.advance(chrono::TimeDelta::seconds(19));
            assert_eq!(hanging().step().await.unwrap(), 0, "it is not visible yet");
            clock.advance(chrono::TimeDelta::seconds(1));
        }
        // Something that costs the worker its life each time must not do so for ever.
        let worker = worker(&db).with_visible_time(Duration::from_secs(20));
        let parked = async || {
            assert_eq!(worker.step().await.unwrap(), 0);
            db.dead_letters().list(10).await.unwrap()
        };
        let list = eventually("the dead letter", parked, |list| list.len() == 1).await;
        assert_eq!(list[0].error, "its worker was lost at each of 3 deliveries");
        assert!(effects(&db).await.is_empty());
        // Somebody who comes back late finds that somebody else has it, and changes nothing.
        send(&db, "it", 1).await;
        let (slow, gate) = (
            Arc::new(tokio::sync::Notify::new()),
            Arc::new(tokio::sync::Notify::new()),
        );
        let late = db
            .queues()
            .worker("q", Arc::new(Slow(slow.clone(), gate.clone())))
            .with_batch(2);
        send(&db, "it", 1).await;
        let late = tokio::spawn(async move { late.with_visible_time(Duration::from_secs(20)).step().await });
        slow.notified().await;
        clock.advance(chrono::TimeDelta::seconds(21));
        if home.is_postgres() {
            // On SQLite the late one holds the only writer.
            assert_eq!(worker.step().await.unwrap(), 1);
            assert_eq!(effects(&db).await, [(3, 1)].into());
        }
        gate.notify_one();
        late.await.unwrap().unwrap();
        while worker.step().await.unwrap() > 0 {}
        assert_eq!(effects(&db).await, [(2, 1), (3, 1)].into());
    }

    /// Never comes to an end.
    struct Hang(Arc<tokio::sync::Notify>);

    impl strangler_store::Consumer for Hang {
        fn consume<'a>(
            &'a self,
            _: &'a mut strangler_store::Uow,
            _: &'a strangler_store::Message,
        ) -> strangler::BoxFuture<'a, Result<serde_json::Value, strangler_store::HandlerError>> {
            Box::pin(async move {
                self.0.notify_one();
                std::future::pending().await
            })
        }
    }

    /// The first command takes as long as the gate is closed.
    struct Slow(Arc<tokio::sync::Notify>, Arc<tokio::sync::Notify>);

    impl strangler_store::Consumer for Slow {
        fn consume<'a>(
            &'a self,
            uow: &'a mut strangler_store::Uow,
            message: &'a strangler_store::Message,
        ) -> strangler::BoxFuture<'a, Result<serde_json::Value, strangler_store::HandlerError>> {
            Box::pin(async move {
                if message.position == 2 {
                    self.0.notify_one();
                    self.1.notified().await;
                }
                CarryOut.consume(uow, message).await
            })
        }
    }
}

/// Workers that are killed.
mod alone {
    use std::{
        process::{Child, Stdio},
        sync::Arc,
        time::{Duration, Instant},
    };

    use rand::{Rng, SeedableRng, rngs::StdRng};
    use strangler_store::{Db, DbOptions, Retry};

    use super::{CarryOut, effects, send};
    use crate::{
        notes::{AddEffect, cx, id},
        support::{self, Home, connect},
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed_workers_lose_and_double_nothing_sqlite() {
        support::on_sqlite(killed).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn killed_workers_lose_and_double_nothing_postgres() {
        support::on_postgres(killed).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn acknowledging_apart_doubles_sqlite() {
        support::on_sqlite(mutant).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn acknowledging_apart_doubles_postgres() {
        support::on_postgres(mutant).await;
    }

    fn spawn(url: &str, how: &str) -> Child {
        support::child("queues::alone::works")
            .env("BANYAN_TEST_URL", url)
            .env("BANYAN_TEST_WORKER", how)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Works on the queue with these workers, one of which is killed every now and then, until it is empty. Answers how many
    /// commands there were, how many had no effect, how many had several, and how many workers were killed.
    async fn work(home: &Home, how: &str, workers: usize, count: usize) -> (usize, usize, usize, usize) {
        let mut random = StdRng::seed_from_u64(support::seed());
        let db = home.db("notes").await;
        let url = home.url("notes").await;
        send(&db, "it", count).await;
        let mut children: Vec<Child> = (0..workers).map(|_| spawn(&url, how)).collect();
        let (began, mut kills) = (Instant::now(), 0);
        loop {
            tokio::time::sleep(Duration::from_millis(random.random_range(80..300))).await;
            let depth = db.queues().depth("q").await.unwrap();
            if (depth.ready, depth.later) == (0, 0) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(240), "{depth:?}");
            let victim = &mut children[random.random_range(0..workers)];
            victim.kill().unwrap();
            victim.wait().unwrap();
            kills += 1;
            *victim = spawn(&url, how);
        }
        let took = began.elapsed();
        for mut child in children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let effects = effects(&db).await;
        let doubled = effects.values().filter(|times| **times > 1).count();
        let lost = count - effects.len();
        println!("{how}: {count} commands, {kills} kills, {took:.1?}: {lost} lost, {doubled} doubled");
        (count, lost, doubled, kills)
    }

    async fn killed(home: &Home) {
        let count = std::env::var("BANYAN_TEST_MESSAGES").map_or(4_000, |n| n.parse().unwrap());
        let (_, lost, doubled, kills) = work(home, "right", 4, count).await;
        assert_eq!((lost, doubled), (0, 0));
        assert!(kills > 0);
    }

    /// The same with a worker that acknowledges in a transaction of its own: the check sees it.
    async fn mutant(home: &Home) {
        let (_, lost, doubled, _) = work(home, "apart", 1, 400).await;
        assert_eq!(lost, 0);
        assert!(doubled > 0, "acknowledging apart went unnoticed");
    }

    /// A process with two workers.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn works() {
        let Ok(url) = std::env::var("BANYAN_TEST_URL") else {
            return;
        };
        let db = Db::open(&url, "notes", DbOptions::default()).await.unwrap();
        if std::env::var("BANYAN_TEST_WORKER").unwrap() == "apart" {
            return apart(&db, &url).await;
        }
        let retry = Retry {
            attempts: 1000,
            ..Retry::default()
        };
        let worker = || {
            let worker = db.queues().worker("q", Arc::new(CarryOut));
            worker.with_retry(retry).with_visible_time(Duration::from_millis(400))
        };
        let (one, two) = (worker(), worker());
        tokio::join!(one.run(std::future::pending()), two.run(std::future::pending()));
    }

    /// What must not be done: effects first, then the acknowledgement, in two transactions.
    async fn apart(db: &Db, url: &str) {
        let raw = connect(url).await;
        let find = "SELECT id, id FROM queue_messages WHERE due_at IS NOT NULL ORDER BY id LIMIT 8";
        loop {
            for (position, _) in raw.pairs(find).await {
                let mut uow = db.begin(&cx()).await.unwrap();
                uow.put(AddEffect {
                    position,
                    subject: id(),
                    version: 1,
                });
                uow.commit().await.unwrap();
                if rand::random_range(0..20) == 0 {
                    std::process::abort();
                }
                raw.run(&format!(
                    "UPDATE queue_messages SET due_at = NULL WHERE id = {position}"
                ))
                .await;
            }
        }
    }
}
