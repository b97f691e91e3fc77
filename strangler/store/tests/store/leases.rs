//! Leases: one worker at a time, on one side at a time.

on_both!(
    leases_are_granted_and_taken,
    the_check_in_the_transaction_is_what_counts,
    a_flip_hands_everything_over,
    a_worker_that_is_gone_is_replaced,
);

mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use chrono::TimeDelta;
    use strangler::{BoxFuture, ManualClock};
    use strangler_store::{
        Db, DbOptions, Envelope, Filter, Handler, HandlerError, SagaStatus, Subscription, Turn, Uow,
    };
    use tokio::sync::watch;

    use crate::{
        notes::{AddEffect, Effects, WriteDown, cx, id, write},
        support::{Home, eventually},
        world::{STEPS, World, begin, sagas},
    };

    const TTL: Duration = Duration::from_secs(10);

    pub async fn leases_are_granted_and_taken(home: &Home) {
        home.db("notes").await.close().await;
        let clock = ManualClock::new(chrono::Utc::now());
        let options = DbOptions {
            clock: Arc::new(clock.clone()),
            ..DbOptions::default()
        };
        let db = Db::open(&home.url("notes").await, "notes", options).await.unwrap();
        let leases = db.leases();
        let get = async |holder, route| leases.acquire("relay", holder, route, TTL).await.unwrap();
        let holds = async |lease: &strangler_store::Lease| {
            let mut uow = db.begin(&cx()).await.unwrap();
            lease.guards(&mut uow).await.unwrap()
        };
        let one = get("one", 0).await.unwrap();
        assert!(holds(&one).await);
        assert!(get("two", 0).await.is_none());
        clock.advance(TimeDelta::seconds(9));
        assert!(one.renew().await.unwrap());
        clock.advance(TimeDelta::seconds(9));
        assert!(get("two", 0).await.is_none());
        clock.advance(TimeDelta::seconds(2));
        let two = get("two", 0).await.unwrap();
        assert!(!holds(&one).await && holds(&two).await && two.epoch() > one.epoch());
        assert!(!one.renew().await.unwrap());
        one.release().await.unwrap();
        assert!(holds(&two).await);
        two.release().await.unwrap();
        let one = get("one", 0).await.unwrap();
        // A flip: the old side gets nothing any more, whatever it has heard.
        let epoch = leases.revoke("relay", 1).await.unwrap();
        assert!(!holds(&one).await && epoch > one.epoch());
        assert!(get("one", 0).await.is_none());
        let service = get("service", 1).await.unwrap();
        // And one that was not announced by a revocation.
        let monolith = get("one", 2).await.unwrap();
        assert!(!holds(&service).await && holds(&monolith).await);
        let rows = leases.list().await.unwrap();
        assert_eq!((rows.len(), rows[0].holder.as_str(), rows[0].route), (1, "one", 2));
    }

    /// Two workers write the next number down, each as long as it believes that it has the lease.
    async fn fight(home: &Home, schema: &str, guarded: bool) -> usize {
        let (db, other) = (home.db(schema).await, home.handle(schema).await);
        let most = 60;
        let worker = async |db: &Db, name: &str| {
            loop {
                let Some(lease) = db.leases().acquire("work", name, 0, TTL).await.unwrap() else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                };
                // Until it happens to look again, it goes on.
                for _ in 0..4 {
                    let position = db.view(&cx()).find(Effects).await.unwrap().len() as i64;
                    if position >= most {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(rand::random_range(0..4))).await;
                    let mut uow = db.begin(&cx()).await.unwrap();
                    if guarded && !lease.guards(&mut uow).await.unwrap() {
                        break;
                    }
                    uow.put(AddEffect {
                        position,
                        subject: id(),
                        version: 0,
                    });
                    uow.commit().await.unwrap();
                }
            }
        };
        let revoke = async {
            loop {
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..8))).await;
                db.leases().revoke("work", 0).await.unwrap();
            }
        };
        tokio::select! {
            () = async { tokio::join!(worker(&db, "one"), worker(&other, "two")); } => {}
            () = revoke => {}
        }
        let mut written: Vec<i64> = db
            .view(&cx())
            .find(Effects)
            .await
            .unwrap()
            .iter()
            .map(|e| e.0)
            .collect();
        let all = written.len();
        written.sort_unstable();
        written.dedup();
        all - written.len()
    }

    pub async fn the_check_in_the_transaction_is_what_counts(home: &Home) {
        assert_eq!(fight(home, "guarded", true).await, 0);
        // That the workers do meet is a matter of luck.
        for round in 0.. {
            if fight(home, &format!("unguarded_{round}"), false).await > 0 {
                return;
            }
        }
    }

    /// Writes down, and counts for its side.
    struct Counting(Arc<AtomicU32>);

    impl Handler for Counting {
        fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            WriteDown.handle(uow, event)
        }
    }

    pub async fn a_flip_hands_everything_over(home: &Home) {
        let sides = [home.db("notes").await, home.handle("notes").await];
        let world = Arc::new(World::default());
        let turns = [watch::Sender::new(Some(0)), watch::Sender::new(None)];
        let handled = [Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0))];
        let (stop, _) = watch::channel(false);
        let mut workers = tokio::task::JoinSet::new();
        for (n, db) in sides.iter().enumerate() {
            let turn = Turn::following(turns[n].subscribe());
            let handler = Arc::new(Counting(handled[n].clone()));
            let subscription = Subscription::new("s", db.clone(), db.log(), Filter::All, handler)
                .with_batch(3)
                .with_turn(turn.clone());
            let relay = db.relay().with_turn(turn.clone());
            let sagas = sagas(db, &world).with_turn(turn);
            let stopped = || {
                let mut stop = stop.subscribe();
                async move {
                    let _ = stop.wait_for(|stop| *stop).await;
                }
            };
            let (first, second, third) = (stopped(), stopped(), stopped());
            workers.spawn(async move { relay.run(first).await });
            workers.spawn(async move { subscription.run(second).await });
            workers.spawn(async move { sagas.run(third).await });
        }
        let engine = sagas(&sides[0], &world);
        let (mut all, mut written) = (Vec::new(), 0);
        for route in 1..=8_i64 {
            for _ in 0..5 {
                write(&sides[0], id(), "x").await.unwrap();
                all.push(begin(&sides[0], &engine, None).await);
                written += 1;
            }
            let (old, new) = (((route - 1) % 2) as usize, (route % 2) as usize);
            // The flip, in the middle of the work. The old side hears of it last.
            for name in ["relay", "subscription:s", "sagas"] {
                sides[0].leases().revoke(name, route).await.unwrap();
            }
            let before = handled[old].load(Ordering::SeqCst);
            turns[new].send_replace(Some(route));
            let done = async || engine.count(SagaStatus::Done).await.unwrap();
            eventually("the sagas", done, |n| *n == all.len() as u64).await;
            turns[old].send_replace(None);
            // What the old side had begun to handle was rolled back; after that it handles nothing.
            assert!(handled[old].load(Ordering::SeqCst) <= before + 3);
        }
        let events = written + all.len() * 6;
        let effects = async || sides[0].view(&cx()).find(Effects).await.unwrap().len();
        eventually("all effects", effects, |n| *n >= events).await;
        stop.send_replace(true);
        workers.join_all().await;
        let effects = sides[0].view(&cx()).find(Effects).await.unwrap();
        let positions: Vec<i64> = effects.iter().map(|e| e.0).collect();
        assert_eq!(positions, (1..=events as i64).collect::<Vec<_>>());
        assert!(handled.iter().all(|n| n.load(Ordering::SeqCst) > 0));
        for saga in all {
            assert!(STEPS.iter().all(|step| world.of(saga, step).did == 1));
        }
        for lease in sides[0].leases().list().await.unwrap() {
            assert_eq!((lease.holder.as_str(), lease.route), ("", 8), "{lease:?}");
        }
    }

    pub async fn a_worker_that_is_gone_is_replaced(home: &Home) {
        let (db, other) = (home.db("notes").await, home.handle("notes").await);
        let head = async || db.log().head().await.unwrap().position;
        for (n, db) in [&db, &other, &db].into_iter().enumerate() {
            write(db, id(), "x").await.unwrap();
            let relay = db.relay();
            tokio::select! {
                () = relay.run(std::future::pending()) => {}
                _ = eventually("the event", head, |p| *p == n as i64 + 1) => {}
            }
        }
    }
}
