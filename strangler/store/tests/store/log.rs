//! The log and its subscriptions: envelopes, failing handlers, pruning.

on_both!(
    envelopes_are_cloud_events,
    a_failing_event_holds_up_no_other,
    filtered_events_move_the_cursor,
    what_takes_long_is_committed_bit_by_bit,
    an_overtaken_worker_changes_nothing,
    pruned_events_are_gone,
    nothing_is_pruned_that_somebody_needs,
    another_log_is_refused,
    readers_are_woken,
    relays_take_turns,
);

mod tests {
    use std::{
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, Ordering},
        },
        time::{Duration, Instant},
    };

    use strangler::{BoxFuture, ManualClock};
    use strangler_store::{
        Db, DbOptions, Envelope, Filter, Handler, HandlerError, LogError, Pruned, Retry, Subscription,
        SubscriptionError, Uow,
    };

    use crate::{
        notes::{AddEffect, Effects, Note, NoteEvent, WriteDown, changed, cx, id, write},
        support::{Home, eventually},
    };

    pub async fn envelopes_are_cloud_events(home: &Home) {
        let db = home.db("notes").await;
        let cx = cx();
        let mut uow = db.begin(&cx).await.unwrap();
        let note = Note::first(id(), "hello");
        uow.save(&note);
        uow.emit(note.id, 1, &changed(&note));
        let now = uow.now();
        uow.commit().await.unwrap();
        assert_eq!(db.relay().pass().await.unwrap(), 1);
        assert_eq!(db.relay().pass().await.unwrap(), 0);
        let batch = db.log().read(0, 10).await.unwrap();
        let event = &batch.events[0];
        assert_eq!(event.time, now);
        let json = serde_json::to_value(event).unwrap();
        let expected = serde_json::json!({
            "specversion": "1.0", "id": event.id, "source": "notes", "type": "notes.note.changed", "dataversion": 1,
            "subject": note.id, "aggregateversion": 1, "time": json["time"], "traceparent": cx.traceparent(),
            "datacontenttype": "application/json", "data": {"text": "hello"}, "position": 1,
        });
        assert_eq!(json, expected);
        assert_eq!(&serde_json::from_value::<Envelope>(json).unwrap(), event);
        assert_eq!(db.log().head().await.unwrap().incarnation, batch.incarnation);
    }

    /// Fails at one text, in several ways, until it is repaired. Leaves an effect before it fails.
    struct Fragile(Arc<AtomicBool>);

    impl Handler for Fragile {
        fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
            Box::pin(async move {
                WriteDown.handle(uow, event).await?;
                let broken = !self.0.load(Ordering::SeqCst);
                match event.data["text"].as_str() {
                    Some("panic") if broken => panic!("as told"),
                    Some("fail") if broken => Err(HandlerError::failed("as told")),
                    Some("swallow") if broken => {
                        let _ = uow.find(crate::notes::Nonsense).await;
                        Ok(())
                    }
                    _ => Ok(()),
                }
            })
        }
    }

    pub async fn a_failing_event_holds_up_no_other(home: &Home) {
        for text in ["fail", "panic", "swallow"] {
            let db = home.db(&format!("notes_{text}")).await;
            let repaired = Arc::new(AtomicBool::new(false));
            for text in ["one", "two", text, "four"] {
                write(&db, id(), text).await.unwrap();
            }
            db.relay().pass().await.unwrap();
            let handler = Arc::new(Fragile(repaired.clone()));
            let quick = Retry {
                first: Duration::from_millis(1),
                longest: Duration::from_millis(1),
                attempts: 100,
            };
            let subscription =
                Subscription::new("fragile", db.clone(), db.log(), Filter::All, handler).with_retry(quick);
            while subscription.position().await.unwrap() < 4 {
                subscription.step().await.unwrap();
            }
            let depth = db.dead_letters().depth().await.unwrap();
            assert_eq!((depth.retrying, depth.parked), (1, 0));
            assert_eq!(db.view(&cx()).find(Effects).await.unwrap().len(), 3);
            repaired.store(true, Ordering::SeqCst);
            let depth = async || {
                subscription.step().await.unwrap();
                db.dead_letters().depth().await.unwrap().retrying
            };
            eventually("the retry", depth, |n| *n == 0).await;
            assert_eq!(subscription.step().await.unwrap(), 0);
            assert_eq!(db.view(&cx()).find(Effects).await.unwrap().len(), 4);
        }
    }

    pub async fn filtered_events_move_the_cursor(home: &Home) {
        let db = home.db("notes").await;
        for n in 1..=6_i64 {
            let mut uow = db.begin(&cx()).await.unwrap();
            let text = String::new();
            let event = if n % 3 == 0 {
                NoteEvent::Filed { text }
            } else {
                NoteEvent::Changed { text }
            };
            uow.emit(id(), n, &event);
            uow.commit().await.unwrap();
        }
        db.relay().pass().await.unwrap();
        let filter = Filter::types(["notes.note.filed"]);
        let subscription = Subscription::new("filed", db.clone(), db.log(), filter, Arc::new(WriteDown));
        assert_eq!(subscription.step().await.unwrap(), 6);
        let positions: Vec<i64> = db
            .view(&cx())
            .find(Effects)
            .await
            .unwrap()
            .iter()
            .map(|e| e.0)
            .collect();
        assert_eq!(positions, [3, 6]);
        assert_eq!(subscription.position().await.unwrap(), 6);
    }

    /// Takes its time over each event, and notes how many effects others see of those before.
    struct Slow {
        db: Db,
        seen: Mutex<Vec<usize>>,
    }

    impl Handler for Slow {
        fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
            Box::pin(async move {
                let effects = self.db.view(&cx()).find(Effects).await?;
                self.seen.lock().unwrap().push(effects.len());
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(11) {
                    tokio::task::yield_now().await;
                }
                WriteDown.handle(uow, event).await
            })
        }
    }

    pub async fn what_takes_long_is_committed_bit_by_bit(home: &Home) {
        let db = home.db("notes").await;
        for _ in 0..5 {
            write(&db, id(), "x").await.unwrap();
        }
        db.relay().pass().await.unwrap();
        let slow = Arc::new(Slow {
            db: db.clone(),
            seen: Mutex::default(),
        });
        let subscription = Subscription::new("slow", db.clone(), db.log(), Filter::All, slow.clone());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(async move { subscription.run(async { drop(stopped.await) }).await });
        let effects = async || db.view(&cx()).find(Effects).await.unwrap().len();
        eventually("all effects", effects, |effects| *effects == 5).await;
        stop.send(()).unwrap();
        running.await.unwrap();
        assert_eq!(*slow.seen.lock().unwrap(), [0, 1, 2, 3, 4]);
    }

    pub async fn an_overtaken_worker_changes_nothing(home: &Home) {
        let (db, other) = (home.db("notes").await, home.handle("notes").await);
        for _ in 0..40 {
            write(&db, id(), "x").await.unwrap();
        }
        db.relay().pass().await.unwrap();
        let worker = |db| Subscription::new("s", db, other.log(), Filter::All, Arc::new(WriteDown)).with_batch(1);
        let (one, two) = (worker(db.clone()), worker(other.clone()));
        let work = async |worker: Subscription| while worker.step().await.unwrap() > 0 {};
        tokio::join!(work(one), work(two));
        let positions: Vec<i64> = db
            .view(&cx())
            .find(Effects)
            .await
            .unwrap()
            .iter()
            .map(|e| e.0)
            .collect();
        assert_eq!(positions, (1..=40).collect::<Vec<i64>>());
    }

    pub async fn pruned_events_are_gone(home: &Home) {
        let db = home.db("notes").await;
        for _ in 0..3 {
            write(&db, id(), "x").await.unwrap();
        }
        db.relay().pass().await.unwrap();
        let raw = home.raw("notes").await;
        raw.run("DELETE FROM event_log WHERE position <= 2").await;
        raw.run("UPDATE event_log_head SET floor = 2").await;
        let error = db.log().read(1, 10).await.unwrap_err();
        assert!(matches!(error, LogError::Gone { floor: 2, after: 1, .. }), "{error}");
        assert_eq!(db.log().read(2, 10).await.unwrap().events.len(), 1);
        let subscription = Subscription::new("late", db.clone(), db.log(), Filter::All, Arc::new(WriteDown));
        assert!(
            subscription
                .step()
                .await
                .unwrap_err()
                .to_string()
                .contains("have been pruned")
        );
    }

    pub async fn nothing_is_pruned_that_somebody_needs(home: &Home) {
        home.db("notes").await.close().await;
        let clock = ManualClock::new(chrono::Utc::now());
        let options = DbOptions {
            clock: Arc::new(clock.clone()),
            ..DbOptions::default()
        };
        let db = Db::open(&home.url("notes").await, "notes", options).await.unwrap();
        let reader = home.db("reader").await;
        let day = chrono::TimeDelta::days(1);
        for _ in 0..3 {
            for _ in 0..4 {
                write(&db, id(), "x").await.unwrap();
            }
            clock.advance(day);
        }
        db.relay().pass().await.unwrap();
        let retention = db.retention();
        let subscribe =
            |name| Subscription::new(name, reader.clone(), db.log(), Filter::All, Arc::new(WriteDown)).with_batch(6);
        let (slow, quick) = (subscribe("slow"), subscribe("quick"));
        // Both are known before they have handled anything of note.
        assert_eq!((slow.step().await.unwrap(), quick.step().await.unwrap()), (6, 6));
        assert_eq!(retention.readers().await.unwrap().len(), 2);
        let none = Pruned { events: 0, floor: 0 };
        assert_eq!(retention.prune(day).await.unwrap(), none);
        slow.report().await.unwrap();
        assert_eq!(quick.step().await.unwrap(), 6);
        quick.report().await.unwrap();
        // The slowest bounds it, and so does what is kept in any case.
        let prune = async |keep| retention.prune(keep).await.unwrap();
        assert_eq!(prune(day * 3).await, none);
        assert_eq!(prune(day * 2 + day / 2).await, Pruned { events: 4, floor: 4 });
        assert_eq!(prune(day / 2).await, Pruned { events: 2, floor: 6 });
        assert!(matches!(
            db.log().read(5, 10).await,
            Err(LogError::Gone { floor: 6, .. })
        ));
        assert_eq!(slow.step().await.unwrap(), 6);
        assert!(retention.forget("reader/slow").await.unwrap());
        assert_eq!(prune(day / 2).await, Pruned { events: 6, floor: 12 });
        // An empty log goes on where it was.
        write(&db, id(), "x").await.unwrap();
        db.relay().pass().await.unwrap();
        assert_eq!(db.log().read(12, 10).await.unwrap().events[0].position, 13);
        assert_eq!(slow.step().await.unwrap(), 1);
    }

    pub async fn another_log_is_refused(home: &Home) {
        let (db, reader) = (home.db("notes").await, home.db("reader").await);
        write(&db, id(), "x").await.unwrap();
        db.relay().pass().await.unwrap();
        let subscribe = |log| Subscription::new("s", reader.clone(), log, Filter::All, Arc::new(WriteDown));
        assert_eq!(subscribe(db.log()).step().await.unwrap(), 1);
        let error = subscribe(reader.log()).step().await.unwrap_err();
        assert!(matches!(error, SubscriptionError::OtherLog { .. }), "{error}");
        let other = id();
        let raw = home.raw("reader").await;
        let other = if home.is_postgres() {
            format!("'{other}'")
        } else {
            format!("x'{}'", other.simple())
        };
        raw.run(&format!("UPDATE subscriptions SET incarnation = {other}"))
            .await;
        let error = subscribe(db.log()).step().await.unwrap_err();
        assert!(matches!(error, SubscriptionError::OtherLog { .. }), "{error}");
    }

    pub async fn readers_are_woken(home: &Home) {
        let db = home.db("notes").await;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let relay = db.relay();
        let relaying = tokio::spawn(async move {
            relay.run(async { drop(stopped.await) }).await;
        });
        for position in 0..20 {
            let log = db.log();
            let waiting = tokio::spawn(async move { log.wait(position).await });
            write(&db, id(), "x").await.unwrap();
            waiting.await.unwrap().unwrap();
            assert_eq!(db.log().read(position, 10).await.unwrap().events.len(), 1);
        }
        let mut uow = db.begin(&cx()).await.unwrap();
        uow.put(AddEffect {
            position: 0,
            subject: id(),
            version: 0,
        });
        uow.commit().await.unwrap();
        stop.send(()).unwrap();
        relaying.await.unwrap();
        let head = eventually(
            "the head",
            async || db.log().head().await.unwrap().position,
            |p| *p == 20,
        )
        .await;
        assert_eq!(head, 20);
    }

    pub async fn relays_take_turns(home: &Home) {
        let (db, other) = (home.db("notes").await, home.handle("notes").await);
        for _ in 0..5 {
            for _ in 0..20 {
                write(&db, id(), "x").await.unwrap();
            }
            // None of them fails, and none of them moves what another one has moved.
            let passes = (0..8)
                .map(|n| if n % 2 == 0 { &db } else { &other })
                .map(|db| db.relay().with_batch(3));
            let work = |relay: strangler_store::Relay| async move {
                let mut moved = 0;
                while let n @ 1.. = relay.pass().await.unwrap() {
                    moved += n;
                }
                moved
            };
            let moved: usize = futures_util::future::join_all(passes.map(work)).await.into_iter().sum();
            assert_eq!(moved, 20);
        }
        let raw = home.raw("notes").await;
        assert_eq!(
            raw.pairs("SELECT count(*), max(position) FROM event_log").await,
            [(100, 100)]
        );
    }
}
