//! Sagas under failures of every kind.

on_both!(
    a_saga_goes_forward,
    a_failure_anywhere_changes_nothing,
    a_refusal_undoes_what_was_done_in_reverse,
    a_late_do_finds_the_tombstone,
    a_late_answer_does_not_count,
    killed_workers_lose_and_double_nothing,
    two_workers_share,
    a_deadline_before_the_pivot_compensates,
    a_deadline_after_the_pivot_alerts,
    a_stuck_saga_is_resumed,
    an_operator_without_definitions_has_a_saga_resumed,
    cancelling,
    inboxes_remember,
);

mod tests {
    use std::{sync::Arc, time::Duration};

    use chrono::TimeDelta;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use serde_json::{Value, json};
    use strangler::ManualClock;
    use strangler_store::{
        Cancelled, Db, DbOptions, Deed, Inbox, Receipt, SagaStatus, Sagas, StepKey, StepState, StoreError,
    };
    use uuid::Uuid;

    use crate::{
        notes::{CountNotes, Note, cx, id},
        support::{Home, eventually, seed},
        world::{Done, Fault, PIVOT, QUICK, STEPS, State, World, begin, purchase, reaches, sagas, working},
    };

    const FORWARD: Done = Done {
        did: 1,
        undid: 0,
        tombstone: false,
    };

    fn steps(deed: &str, of: impl Iterator<Item = usize>) -> Vec<String> {
        of.map(|n| format!("{}:{deed}", STEPS[n])).collect()
    }

    /// Whatever happened on the way: each step once or not at all, and nothing left of what was undone.
    fn assert_consistent(world: &World, id: Uuid, status: SagaStatus) {
        for (n, step) in STEPS.iter().enumerate() {
            let done = world.of(id, step);
            match status {
                SagaStatus::Done => assert_eq!(done, FORWARD, "{step}"),
                SagaStatus::Undone => {
                    assert_eq!(done.did, done.undid, "{step}");
                    assert!(done.did == 0 || n < PIVOT, "{step}");
                }
                other => panic!("{id} is {other:?}"),
            }
        }
    }

    pub async fn a_saga_goes_forward(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        let saga = begin(&db, &sagas, None).await;
        let done = working(&sagas, reaches(&sagas, saga, SagaStatus::Done)).await;
        assert_eq!(world.log_of(saga), steps("do", 0..5));
        let state: State = done.state_as().unwrap();
        assert_eq!(state.answered, steps("do", 0..5));
        assert_eq!((done.due_at, done.attempts, done.reason), (None, 0, None));
        for record in sagas.steps(saga).await.unwrap() {
            let expected = match record.deed {
                Deed::Do => (StepState::Done, 1),
                Deed::Undo => (StepState::Recorded, 0),
            };
            assert_eq!((record.state, record.attempts), expected, "{record:?}");
        }
        // Begun, four steps on, done: the note was told each time, in the same transaction.
        let note: Note = db.view(&cx()).load(state.note).await.unwrap().unwrap();
        assert_eq!((note.version, note.text.as_str()), (6, "done confirm"));
        assert_eq!(sagas.count(SagaStatus::Done).await.unwrap(), 1);
        let mut uow = db.begin(&cx()).await.unwrap();
        let again = sagas.start(&mut uow, "purchase", saga, &state, None).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        drop(uow);
        let mut uow = db.begin(&cx()).await.unwrap();
        let unknown = sagas.start(&mut uow, "rental", id(), &state, None).await.unwrap_err();
        assert!(unknown.to_string().contains("no such kind of saga"), "{unknown}");
    }

    pub async fn a_failure_anywhere_changes_nothing(home: &Home) {
        let db = home.db("orders").await;
        for fault in [Fault::Before, Fault::After, Fault::Panic] {
            for step in STEPS {
                let world = Arc::new(World::default());
                let sagas = sagas(&db, &world);
                world.plan(&format!("{step}:do"), [fault, fault]);
                let saga = begin(&db, &sagas, None).await;
                working(&sagas, reaches(&sagas, saga, SagaStatus::Done)).await;
                assert_eq!(world.log_of(saga), steps("do", 0..5));
                assert_eq!(*world.calls.lock().unwrap(), 7);
            }
            // The same on the way back.
            for step in &STEPS[..PIVOT] {
                let world = Arc::new(World::default());
                let sagas = sagas(&db, &world);
                world.plan("capture:do", [Fault::Refuse]);
                world.plan(&format!("{step}:undo"), [fault, fault]);
                let saga = begin(&db, &sagas, None).await;
                working(&sagas, reaches(&sagas, saga, SagaStatus::Undone)).await;
                assert_eq!(
                    world.log_of(saga),
                    ["hold:do", "authorise:do", "authorise:undo", "hold:undo"]
                );
            }
        }
    }

    pub async fn a_refusal_undoes_what_was_done_in_reverse(home: &Home) {
        let db = home.db("orders").await;
        for (at, step) in STEPS.iter().enumerate().take(PIVOT + 1) {
            let world = Arc::new(World::default());
            let sagas = sagas(&db, &world);
            world.plan(&format!("{step}:do"), [Fault::After, Fault::Refuse]);
            let saga = begin(&db, &sagas, None).await;
            let undone = working(&sagas, reaches(&sagas, saga, SagaStatus::Undone)).await;
            let mut expected = steps("do", 0..=at);
            // The first attempt had its effect, although the second was refused: it is undone too, if it can be.
            expected.extend(steps("undo", (0..=at.min(PIVOT - 1)).rev()));
            assert_eq!(world.log_of(saga), expected);
            let reason = undone.reason.unwrap();
            assert_eq!(reason, json!({ "step": step, "refused": "refused as told" }));
        }
        // A step that is never answered is given up, and undone.
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        world.plan("authorise:do", [Fault::Before; 4]);
        let saga = begin(&db, &sagas, None).await;
        let undone = working(&sagas, reaches(&sagas, saga, SagaStatus::Undone)).await;
        assert_eq!(world.log_of(saga), ["hold:do", "hold:undo"]);
        assert!(world.of(saga, "authorise").tombstone);
        assert_eq!(undone.reason.unwrap()["gave_up"], "before");
        // After the pivot there is no way back.
        world.plan("assign:do", [Fault::Refuse]);
        let saga = begin(&db, &sagas, None).await;
        let stuck = working(&sagas, reaches(&sagas, saga, SagaStatus::Stuck)).await;
        assert_eq!(stuck.reason.unwrap()["stuck"]["step"], "assign");
    }

    pub async fn a_late_do_finds_the_tombstone(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        // The first attempt is on its way while the saga is cancelled, undone, and over.
        world.plan("authorise:do", [Fault::Hang]);
        let saga = begin(&db, &sagas, None).await;
        let cancel = async {
            let look = async || world.log_of(saga);
            eventually("the first step", look, |log| log.len() == 1).await;
            let look = async || sagas.find(saga).await.unwrap().unwrap().step;
            eventually("the second", look, |step| step == "authorise").await;
            let mut uow = db.begin(&cx()).await.unwrap();
            let cancelled = sagas.cancel(&mut uow, saga, json!("bored")).await.unwrap();
            assert_eq!(cancelled, Cancelled::Undoing);
            uow.commit().await.unwrap();
            // Another worker need not wait for the one that hangs.
            working(&sagas, reaches(&sagas, saga, SagaStatus::Undone)).await
        };
        let undone = working(&sagas, cancel).await;
        assert_eq!(undone.reason, Some(json!({ "cancelled": "bored" })));
        let late = StepKey {
            saga,
            step: "authorise".into(),
            deed: Deed::Do,
        };
        assert!(!world.effect(&late));
        assert_consistent(&world, saga, SagaStatus::Undone);
        assert_eq!(world.log_of(saga), ["hold:do", "hold:undo"]);
    }

    pub async fn a_late_answer_does_not_count(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world).with_step_timeout(Duration::from_secs(20));
        world.plan("authorise:do", [Fault::Late]);
        let saga = begin(&db, &sagas, None).await;
        working(&sagas, async {
            let look = async || world.log_of(saga).len();
            eventually("the second step", look, |n| *n == 2).await;
            let mut uow = db.begin(&cx()).await.unwrap();
            sagas.cancel(&mut uow, saga, Value::Null).await.unwrap();
            uow.commit().await.unwrap();
            working(&sagas, reaches(&sagas, saga, SagaStatus::Undone)).await;
            // Stopping waits for the step, which says now that it is done.
            world.release.notify_one();
        })
        .await;
        let undone = sagas.find(saga).await.unwrap().unwrap();
        assert_eq!((undone.status, undone.due_at), (SagaStatus::Undone, None));
        assert_consistent(&world, saga, SagaStatus::Undone);
    }

    pub async fn killed_workers_lose_and_double_nothing(home: &Home) {
        let mut random = StdRng::seed_from_u64(seed());
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        *world.chance.lock().unwrap() = 15;
        let mut all = Vec::new();
        let mut engine = Sagas::new(db.clone()).with_step_timeout(Duration::from_millis(40));
        let patient = strangler_store::Retry {
            attempts: 1000,
            ..QUICK
        };
        engine.register(purchase(&world, patient)).unwrap();
        for n in 0..20 {
            all.push(begin(&db, &engine, None).await);
            if n % 5 == 0 {
                world.plan("capture:do", [Fault::Refuse]);
            }
        }
        let mut kills = 0;
        while engine.count(SagaStatus::Running).await.unwrap() + engine.count(SagaStatus::Compensating).await.unwrap()
            > 0
        {
            let life = Duration::from_millis(random.random_range(1..120));
            let _ = tokio::time::timeout(life, engine.run(std::future::pending())).await;
            kills += 1;
            assert!(kills < 2000, "the sagas do not come to an end");
        }
        for saga in all {
            let status = engine.find(saga).await.unwrap().unwrap().status;
            assert_consistent(&world, saga, status);
        }
    }

    pub async fn two_workers_share(home: &Home) {
        let (db, other) = (home.db("orders").await, home.handle("orders").await);
        let world = Arc::new(World::default());
        *world.chance.lock().unwrap() = 10;
        let (one, two) = (sagas(&db, &world), sagas(&other, &world));
        let mut all = Vec::new();
        for _ in 0..30 {
            all.push(begin(&db, &one, None).await);
        }
        let done = async {
            let look = async || {
                one.count(SagaStatus::Running).await.unwrap() + one.count(SagaStatus::Compensating).await.unwrap()
            };
            eventually("the end of all", look, |n| *n == 0).await;
        };
        working(&one, working(&two, done)).await;
        for saga in all {
            let status = one.find(saga).await.unwrap().unwrap().status;
            assert_consistent(&world, saga, status);
        }
    }

    async fn with_clock(home: &Home, schema: &str) -> (Db, ManualClock) {
        home.db(schema).await.close().await;
        let clock = ManualClock::new(chrono::Utc::now());
        let options = DbOptions {
            clock: Arc::new(clock.clone()),
            ..DbOptions::default()
        };
        let db = Db::open(&home.url(schema).await, schema, options).await.unwrap();
        (db, clock)
    }

    pub async fn a_deadline_before_the_pivot_compensates(home: &Home) {
        let (db, clock) = with_clock(home, "orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        let deadline = strangler::Clock::now(&clock) + TimeDelta::seconds(60);
        world.plan("authorise:do", [Fault::After]);
        let saga = begin(&db, &sagas, Some(deadline)).await;
        let undone = working(&sagas, async {
            // It waits for its second attempt, and the clock stands still.
            let look = async || world.log_of(saga).len();
            eventually("two steps", look, |n| *n == 2).await;
            clock.advance(TimeDelta::seconds(61));
            reaches(&sagas, saga, SagaStatus::Undone).await
        })
        .await;
        assert_eq!(
            world.log_of(saga),
            ["hold:do", "authorise:do", "authorise:undo", "hold:undo"]
        );
        assert_eq!(undone.reason.unwrap(), json!({ "deadline": deadline }));
    }

    pub async fn a_deadline_after_the_pivot_alerts(home: &Home) {
        let (db, clock) = with_clock(home, "orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        // Nobody knows whether it was captured when the deadline passes.
        for step in ["capture:do", "assign:do"] {
            world.plan(step, [Fault::After]);
            let deadline = strangler::Clock::now(&clock) + TimeDelta::seconds(60);
            let saga = begin(&db, &sagas, Some(deadline)).await;
            let done = working(&sagas, async {
                let look = async || world.log_of(saga);
                eventually("the step", look, |log| log.last().is_some_and(|l| l == step)).await;
                let mut uow = db.begin(&cx()).await.unwrap();
                let late = sagas.cancel(&mut uow, saga, Value::Null).await.unwrap();
                assert_eq!(late, Cancelled::TooLate);
                drop(uow);
                clock.advance(TimeDelta::seconds(61));
                reaches(&sagas, saga, SagaStatus::Done).await
            })
            .await;
            assert!(done.overdue);
            let late = db.backlog().await.unwrap().sagas.overdue;
            assert_eq!(
                (late, sagas.overdue(10).await.unwrap().len()),
                (0, 0),
                "what is over is not late"
            );
            assert_consistent(&world, saga, SagaStatus::Done);
        }
    }

    pub async fn a_stuck_saga_is_resumed(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        world.plan("capture:do", [Fault::Refuse]);
        world.plan("authorise:undo", [Fault::Before; 4]);
        let saga = begin(&db, &sagas, None).await;
        working(&sagas, async {
            let stuck = reaches(&sagas, saga, SagaStatus::Stuck).await;
            let reason = stuck.reason.unwrap();
            assert_eq!(reason["stuck"], json!({ "step": "authorise", "gave_up": "before" }));
            assert_eq!(reason["undoing"]["refused"], "refused as told");
            assert_eq!(sagas.list(SagaStatus::Stuck, 10).await.unwrap().len(), 1);
            // It stops no other.
            let other = begin(&db, &sagas, None).await;
            reaches(&sagas, other, SagaStatus::Done).await;
            let mut uow = db.begin(&cx()).await.unwrap();
            assert!(sagas.resume(&mut uow, saga).await.unwrap());
            uow.commit().await.unwrap();
            reaches(&sagas, saga, SagaStatus::Undone).await;
            let mut uow = db.begin(&cx()).await.unwrap();
            assert!(!sagas.resume(&mut uow, saga).await.unwrap());
        })
        .await;
        assert_eq!(
            world.log_of(saga),
            ["hold:do", "authorise:do", "authorise:undo", "hold:undo"]
        );
    }

    pub async fn an_operator_without_definitions_has_a_saga_resumed(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        world.plan("capture:do", [Fault::Refuse]);
        world.plan("authorise:undo", [Fault::Before; 4]);
        let saga = begin(&db, &sagas, None).await;
        let desk = Sagas::new(db.clone());
        let ask = async |id| {
            let mut uow = db.begin(&cx()).await.unwrap();
            let stuck = desk.ask_to_resume(&mut uow, id).await.unwrap();
            uow.commit().await.unwrap();
            stuck
        };
        assert!(!ask(saga).await, "it runs");
        working(&sagas, async {
            reaches(&sagas, saga, SagaStatus::Stuck).await;
            let backlog = db.backlog().await.unwrap();
            assert_eq!((backlog.sagas.stuck, backlog.sagas.running), (1, 0));
            assert!(backlog.sagas.oldest_stuck.is_some());
            assert_eq!(backlog.complaints("orders").len(), 1, "{backlog:?}");
            assert_eq!(desk.stuck(10).await.unwrap(), [saga]);
            assert!(ask(saga).await);
            reaches(&desk, saga, SagaStatus::Undone).await;
        })
        .await;
        assert!(!ask(saga).await && !ask(id()).await);
        assert!(db.backlog().await.unwrap().complaints("orders").is_empty());
        // Its watch was told that it goes on, and that it is over: stuck, compensating, undone.
        assert_consistent(&world, saga, SagaStatus::Undone);
    }

    pub async fn cancelling(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        let cancel = async |saga| {
            let mut uow = db.begin(&cx()).await.unwrap();
            let answer = sagas.cancel(&mut uow, saga, json!("no")).await.unwrap();
            uow.commit().await.unwrap();
            answer
        };
        assert_eq!(cancel(id()).await, Cancelled::Unknown);
        // Before anything has happened there is nothing to undo.
        let saga = begin(&db, &sagas, None).await;
        assert_eq!(cancel(saga).await, Cancelled::Undoing);
        assert_eq!(cancel(saga).await, Cancelled::Already);
        working(&sagas, reaches(&sagas, saga, SagaStatus::Undone)).await;
        assert_eq!(*world.calls.lock().unwrap(), 0);
        let shown = CountNotes {
            text: "undone hold".into(),
        };
        assert_eq!(db.view(&cx()).find(shown).await.unwrap(), 1);
        let saga = begin(&db, &sagas, None).await;
        working(&sagas, reaches(&sagas, saga, SagaStatus::Done)).await;
        assert_eq!(cancel(saga).await, Cancelled::TooLate);
    }

    pub async fn inboxes_remember(home: &Home) {
        let (db, other) = (home.db("seating").await, home.handle("seating").await);
        let key = |step: &str, deed| StepKey {
            saga: Uuid::from_u128(7),
            step: step.into(),
            deed,
        };
        let receive = async |db: &Db, key: &StepKey| {
            let mut uow = db.begin(&cx()).await.unwrap();
            let receipt = Inbox::receive(&mut uow, key).await.unwrap();
            if receipt == Receipt::First {
                Inbox::answer(&mut uow, key, json!(42)).await.unwrap();
            }
            uow.commit().await.unwrap();
            receipt
        };
        let (hold, release) = (key("hold", Deed::Do), key("hold", Deed::Undo));
        assert_eq!(receive(&db, &hold).await, Receipt::First);
        assert_eq!(receive(&db, &hold).await, Receipt::Repeated(json!(42)));
        assert_eq!(receive(&db, &release).await, Receipt::Undo(json!(42)));
        assert_eq!(receive(&db, &release).await, Receipt::Repeated(Value::Null));
        assert_eq!(receive(&db, &hold).await, Receipt::TooLate);
        let (pay, void) = (key("pay", Deed::Do), key("pay", Deed::Undo));
        assert_eq!(receive(&db, &void).await, Receipt::NeverHappened);
        assert_eq!(receive(&db, &void).await, Receipt::Repeated(Value::Null));
        assert_eq!(receive(&db, &pay).await, Receipt::TooLate);
        // What is rolled back was not received; of many at once one is the first.
        let race = key("race", Deed::Do);
        let mut uow = db.begin(&cx()).await.unwrap();
        assert_eq!(Inbox::receive(&mut uow, &race).await.unwrap(), Receipt::First);
        drop(uow);
        let asked =
            futures_util::future::join_all((0..8).map(|n| receive(if n % 2 == 0 { &db } else { &other }, &race)));
        let first = asked.await.iter().filter(|r| **r == Receipt::First).count();
        assert_eq!(first, 1);
    }
}
