//! Units of work on tape: recorded against a database, done again without one.

on_both!(
    a_command_is_done_again_without_a_database,
    what_was_decided_anew_is_not_told,
    what_was_not_loaded_is_named,
    views_and_snapshots_are_recorded,
    sagas_and_inboxes_are_recorded,
    steps_are_recorded_and_done_again,
    handlers_are_recorded_when_they_have_committed,
    own_ids_and_times_make_no_difference,
);

mod tests {
    use std::{
        borrow::Cow,
        sync::{Arc, Mutex},
    };

    use chrono::{DateTime, TimeDelta, Utc};
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use serde_json::{Value, json};
    use strangler::{
        BoxFuture, Cx, ManualClock,
        compare::differences,
        effects::compared,
        parallel::Skip,
        shadow::replay,
        tape::{CommandAsked, Deck, Finished, Given, Place, Recording, Replayed, Subject, Tape, Then, Wants, When},
    };
    use strangler_store::{
        Db, DbOptions, Deed, Envelope, Filter, Handler, HandlerError, Inbox, SagaStatus, Sagas, StepKey, StoreError,
        Subscription, Uow,
    };
    use uuid::Uuid;

    use crate::{
        notes::{AddEffect, CountNotes, Note, WriteDown, changed, cx, id, write},
        support::{Home, eventually, seed},
        world::{Fault, State, World, begin, reaches, sagas, working},
    };

    /// Keeps whatever is recorded.
    #[derive(Default)]
    struct Kept {
        all: Arc<Mutex<Vec<Finished>>>,
        forgotten: Arc<Mutex<usize>>,
    }

    struct Slot(Arc<Mutex<Vec<Finished>>>, Arc<Mutex<usize>>);

    impl Wants for Kept {
        fn place(&self, _: Subject<'_>) -> Option<Box<dyn Place>> {
            Some(Box::new(Slot(self.all.clone(), self.forgotten.clone())))
        }

        fn limit(&self) -> usize {
            1 << 20
        }
    }

    impl Place for Slot {
        fn fill(self: Box<Self>, _: &Cx, make: Box<dyn FnOnce() -> Finished + Send>) {
            self.0.lock().unwrap().push(make());
        }

        fn skip(self: Box<Self>, skip: Skip) {
            self.0.lock().unwrap().push(Err(skip));
        }

        fn forget(self: Box<Self>) {
            *self.1.lock().unwrap() += 1;
        }
    }

    impl Kept {
        fn deck(self: &Arc<Self>) -> Deck {
            let deck = Deck::default();
            deck.connect(self.clone());
            deck
        }

        fn take(&self) -> Vec<Recording> {
            let all = std::mem::take(&mut *self.all.lock().unwrap());
            all.into_iter().map(|one| one.expect("a recording")).collect()
        }
    }

    /// Records what `run` does.
    async fn recorded<T: serde::Serialize>(run: impl AsyncFnOnce(Cx) -> T) -> Recording {
        let wants = Arc::new(Kept::default());
        let taping = wants.begin(Subject::Command(0)).expect("it is wanted");
        let answer = run(taping.cx(&cx())).await;
        let told = json!({ "status": 200, "body": answer });
        taping.done(&cx(), move || Ok((asked(), told)));
        wants.take().pop().expect("one")
    }

    fn asked() -> When {
        When::Command(CommandAsked {
            operation: "notes.write".to_owned(),
            method: "PUT".to_owned(),
            target: "/".to_owned(),
            headers: Default::default(),
            body: Value::Null,
        })
    }

    async fn again<T: serde::Serialize>(given: Given, run: impl AsyncFnOnce(Cx) -> T) -> Replayed {
        let run = |tape: Arc<Tape>| async move {
            let answer = run(cx().shadow().with_tape(tape)).await;
            json!({ "status": 200, "body": answer })
        };
        replay(given, run, |said| panic!("{said}")).await
    }

    /// A handle whose database cannot be reached any more: whoever asks it anything hears of that.
    async fn closed(home: &Home) -> Db {
        let db = home.handle("notes").await;
        db.clone().close().await;
        assert!(db.ping().await.is_err());
        db
    }

    /// A command with everything in it.
    async fn everything(db: &Db, cx: &Cx, note: Uuid) -> Result<(Note, Uuid), StoreError> {
        let mut uow = db.begin(cx).await?;
        let there = uow.load::<Note>(note).await?;
        let beside = uow.peek::<Note>(Uuid::from_u128(7)).await?;
        let same = uow.find(CountNotes { text: "same".into() }).await?;
        let text = format!("{} of {} at {}", beside.is_some(), same, uow.now());
        let next = there.map_or_else(|| Note::first(note, &text), |there| there.next(&text));
        uow.save(&next);
        // What was left is seen.
        assert_eq!(uow.load::<Note>(note).await?.as_ref(), Some(&next));
        let drawn = uow.new_id();
        uow.put(AddEffect {
            position: 1,
            subject: drawn,
            version: next.version,
        });
        uow.emit(next.id, next.version, &changed(&next));
        uow.commit().await?;
        Ok((next, drawn))
    }

    fn ok<T>(answer: Result<T, StoreError>) -> T {
        answer.unwrap_or_else(|error| panic!("{error}"))
    }

    pub async fn a_command_is_done_again_without_a_database(home: &Home) {
        let db = home.db("notes").await;
        let note = write(&db, id(), "first").await.unwrap().id;
        let recording = recorded(async |cx| ok(everything(&db, &cx, note).await)).await;
        let (given, then) = (&recording.given, &recording.then);
        assert_eq!((given.units.len(), given.ids.len()), (1, 1), "{given:?}");
        assert_eq!(given.units[0].rows.len(), 2);
        assert_eq!(given.units[0].rows[1].state, Value::Null);
        assert_eq!(given.units[0].queries[0].name, "count-notes");
        assert_eq!((then.rows.len(), then.writes.len(), then.events.len()), (1, 1, 1));
        assert_eq!(then.events[0].event_type, "notes.note.changed");

        let closed = closed(home).await;
        let replayed = again(given.clone(), async |cx| ok(everything(&closed, &cx, note).await)).await;
        assert_eq!(replayed.missing, None);
        assert_eq!((&replayed.answer, &replayed.then), (&recording.answer, then));
        // Nothing of it is to be seen.
        assert_eq!(db.view(&cx()).load::<Note>(note).await.unwrap().unwrap().version, 2);
    }

    pub async fn what_was_decided_anew_is_not_told(home: &Home) {
        let (db, other) = (home.db("notes").await, home.handle("notes").await);
        let note = write(&db, id(), "first").await.unwrap();
        let recording = recorded(async |cx| {
            for attempt in 0..2 {
                let mut uow = db.begin(&cx).await.unwrap();
                let there = uow.peek::<Note>(note.id).await.unwrap().unwrap();
                uow.new_id();
                if attempt == 0 {
                    // On SQLite there is one writer: what is in its way is in its own unit of work.
                    uow.save(&note.next("theirs"));
                    uow.flush().await.unwrap();
                    uow.save(&note.next("mine, too late"));
                    let error = uow.commit().await.unwrap_err();
                    assert!(matches!(error, StoreError::Conflict(_)), "{error}");
                    continue;
                }
                uow.save(&there.next("mine"));
                uow.commit().await.unwrap();
            }
        })
        .await;
        assert_eq!((recording.given.units.len(), recording.given.ids.len()), (1, 1));
        assert_eq!(recording.then.rows.len(), 1);
        assert_eq!(recording.then.rows[0].state["text"], "mine");
        // One that ends with the conflict cannot be compared.
        let wants = Arc::new(Kept::default());
        let taping = wants.begin(Subject::Command(0)).expect("it is wanted");
        let on_tape = taping.cx(&cx());
        let mut uow = db.begin(&on_tape).await.unwrap();
        uow.save(&note.next("stale"));
        drop(other);
        assert!(uow.commit().await.is_err());
        taping.done(&cx(), || Ok((asked(), Value::Null)));
        assert_eq!(wants.all.lock().unwrap().pop(), Some(Err(Skip::LiveFailed)));
    }

    pub async fn what_was_not_loaded_is_named(home: &Home) {
        let db = home.db("notes").await;
        let note = id();
        let recording = recorded(async |cx| ok(everything(&db, &cx, note).await)).await;
        let other = id();
        let replayed = again(
            recording.given.clone(),
            async |cx| ok(everything(&db, &cx, other).await),
        )
        .await;
        assert_eq!(replayed.missing, Some(format!("row note {other}")));
        let replayed = again(recording.given.clone(), async |cx| {
            let mut uow = db.begin(&cx).await.unwrap();
            uow.find(CountNotes { text: "others".into() }).await.unwrap()
        })
        .await;
        assert_eq!(replayed.missing.as_deref(), Some("query count-notes"));
        let replayed = again(recording.given, async |cx| {
            drop(db.begin(&cx).await);
            drop(db.begin(&cx).await);
        })
        .await;
        assert_eq!(replayed.missing.as_deref(), Some("unit"));
        // A lock and a row that were asked for were not had.
        assert_eq!(db.view(&cx()).load::<Note>(other).await.unwrap(), None);
    }

    pub async fn views_and_snapshots_are_recorded(home: &Home) {
        let db = home.db("notes").await;
        let note = write(&db, id(), "seen").await.unwrap();
        let look = async |db: &Db, cx: &Cx| {
            let view = db.view(cx);
            let snapshot = view.snapshot().await.unwrap();
            let seen = snapshot.load::<Note>(note.id).await.unwrap();
            let count = snapshot.find(CountNotes { text: "seen".into() }).await.unwrap();
            let again = view.load::<Note>(note.id).await.unwrap();
            (view.now(), seen, count, again)
        };
        let recording = recorded(async |cx| look(&db, &cx).await).await;
        let views = &recording.given.views;
        assert_eq!((views.rows.len(), views.queries.len()), (1, 1));
        let closed = closed(home).await;
        let replayed = again(recording.given.clone(), async |cx| look(&closed, &cx).await).await;
        assert_eq!((replayed.answer, replayed.missing), (recording.answer, None));
    }

    pub async fn sagas_and_inboxes_are_recorded(home: &Home) {
        let db = home.db("notes").await;
        let world = Arc::new(World::default());
        let (saga, note) = (id(), id());
        let state = State {
            note,
            answered: Vec::new(),
        };
        let key = StepKey {
            saga,
            step: "hold".to_owned(),
            deed: Deed::Do,
        };
        let run = async |db: &Db, cx: Cx| {
            let sagas = sagas(db, &world);
            let mut uow = db.begin(&cx).await.unwrap();
            sagas.start(&mut uow, "purchase", saga, &state, None).await.unwrap();
            let receipt = Inbox::receive(&mut uow, &key).await.unwrap();
            Inbox::answer(&mut uow, &key, json!("done")).await.unwrap();
            uow.commit().await.unwrap();
            let mut uow = db.begin(&cx).await.unwrap();
            let cancelled = sagas.cancel(&mut uow, saga, json!("by request")).await.unwrap();
            uow.commit().await.unwrap();
            let snapshot = db.view(&cx).snapshot().await.unwrap();
            let (found, steps) = sagas.look(&snapshot, saga).await.unwrap().unwrap();
            (receipt, format!("{cancelled:?}"), found.status, steps)
        };
        let recording = recorded(async |cx| run(&db, cx).await).await;
        let names: Vec<_> = recording.then.writes.iter().map(|write| write.name.as_str()).collect();
        assert_eq!(names, ["begin-saga", "answer-step", "move-saga"]);
        let closed = closed(home).await;
        let replayed = again(recording.given.clone(), async |cx| run(&closed, cx).await).await;
        assert_eq!(replayed.missing, None);
        assert_eq!((replayed.answer, replayed.then), (recording.answer, recording.then));
        let found = sagas(&db, &world).find(saga).await.unwrap().unwrap();
        assert_eq!((found.status, found.version), (SagaStatus::Compensating, 2));
    }

    pub async fn steps_are_recorded_and_done_again(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        world.plan("authorise:do", [Fault::Before]);
        let wants = Arc::new(Kept::default());
        let sagas = sagas(&db, &world).with_deck(wants.deck());
        let saga = begin(&db, &sagas, None).await;
        working(&sagas, reaches(&sagas, saga, SagaStatus::Done)).await;
        let recordings = wants.take();
        assert_eq!(recordings.len(), 6, "five steps, and one once more");
        let answers: Vec<_> = recordings.iter().filter_map(|r| r.answer.get("retry")).collect();
        assert_eq!(answers, ["before"]);
        let replaying = Sagas::new(closed(home).await);
        for recording in &recordings {
            let When::Step(step) = &recording.when else {
                panic!("{recording:?}")
            };
            assert!(replaying.replay(&cx(), step, recording.given.clone()).await.is_err());
            let replayed = sagas.replay(&cx(), step, recording.given.clone()).await.unwrap();
            let found = compared(recording, replayed, differences);
            // One that was to be tried again is done when it is tried again.
            let expected: &[Cow<'_, str>] = match recording.answer.get("retry") {
                Some(_) => &["/answer".into()],
                None => &[],
            };
            let found: Vec<Cow<'_, str>> = found.into_iter().map(|one| one.path.into()).collect();
            assert_eq!(found, expected);
        }
    }

    /// Writes down what is not called `poison`.
    struct Choosy;

    impl Handler for Choosy {
        fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
            Box::pin(async move {
                match event.data["text"].as_str() {
                    Some("poison") => Err(HandlerError::failed("it is poison")),
                    _ => WriteDown.handle(uow, event).await,
                }
            })
        }
    }

    pub async fn handlers_are_recorded_when_they_have_committed(home: &Home) {
        let (notes, db) = (home.db("notes").await, home.db("readers").await);
        for text in ["one", "poison", "two"] {
            write(&notes, id(), text).await.unwrap();
        }
        while notes.relay().pass().await.unwrap() > 0 {}
        let wants = Arc::new(Kept::default());
        let subscription = Subscription::new("readers.notes", db.clone(), notes.log(), Filter::All, Arc::new(Choosy))
            .with_deck(wants.deck());
        let hearing = subscription.hearing();
        eventually(
            "everything is heard",
            async || {
                subscription.step().await.unwrap();
                subscription.position().await.unwrap()
            },
            |position| *position == 3,
        )
        .await;
        let recordings = wants.take();
        let failed: Vec<_> = recordings.iter().map(|r| r.answer.get("failed").is_some()).collect();
        assert_eq!(failed.iter().filter(|failed| !**failed).count(), 2, "{recordings:?}");
        assert!(failed.iter().any(|failed| *failed));
        for recording in &recordings {
            let When::Event(heard) = &recording.when else {
                panic!("{recording:?}")
            };
            assert_eq!(
                recording.then == Then::default(),
                recording.answer.get("failed").is_some()
            );
            let replayed = hearing.replay(heard, recording.given.clone()).await.unwrap();
            assert_eq!(compared(recording, replayed, differences), []);
        }
    }

    /// A faithful candidate with ids and a clock of its own.
    async fn faithful(db: &Db, given: &Given, note: Uuid, later: TimeDelta, rng: &mut StdRng) -> Replayed {
        let mut own = given.clone();
        own.ids = given.ids.iter().map(|_| Uuid::from_u128(rng.random())).collect();
        for unit in &mut own.units {
            unit.now += later;
        }
        let (ids, now) = (own.ids.clone(), own.units.first().map(|unit| unit.now));
        let replayed = again(own, async |cx| ok(tellers(db, &cx, note).await)).await;
        Replayed {
            ids: Some(ids),
            now,
            ..replayed
        }
    }

    /// A command whose answer and effects are full of ids and times.
    async fn tellers(db: &Db, cx: &Cx, note: Uuid) -> Result<Value, StoreError> {
        let mut uow = db.begin(cx).await?;
        let there = uow.load::<Note>(note).await?;
        let (first, second) = (uow.new_id(), uow.new_id());
        let until: DateTime<Utc> = uow.now() + TimeDelta::minutes(10);
        let text = format!("{first} and {second}");
        let next = there.map_or_else(|| Note::first(note, &text), |there| there.next(&text));
        uow.save(&next);
        uow.save(&Note::first(first, "drawn"));
        uow.emit(next.id, next.version, &changed(&next));
        uow.commit().await?;
        Ok(
            json!({"note": next, "drawn": [first, second], "until": until, "at": {"start": until - TimeDelta::hours(1)}}),
        )
    }

    pub async fn own_ids_and_times_make_no_difference(home: &Home) {
        let mut rng = StdRng::seed_from_u64(seed());
        home.db("notes").await;
        let clock = ManualClock::new(DateTime::from_timestamp(1_780_000_000, 0).unwrap());
        let options = DbOptions {
            clock: Arc::new(clock.clone()),
            ..DbOptions::default()
        };
        let db = Db::open(&home.url("notes").await, "notes", options).await.unwrap();
        let closed = closed(home).await;
        let mut compared_so_far = 0;
        for _ in 0..500 {
            clock.advance(TimeDelta::microseconds(rng.random_range(1..1_000_000)));
            // Several at a time, some of them of the same note.
            let notes: Vec<_> = (0..8).map(|_| Uuid::from_u128(rng.random_range(1..12))).collect();
            let runs = notes.iter().map(|&note| {
                let db = &db;
                async move { (note, recorded(async |cx| ok(tellers(db, &cx, note).await)).await) }
            });
            for (note, recording) in futures_util::future::join_all(runs).await {
                let later = TimeDelta::microseconds(rng.random_range(-1_000_000_000..1_000_000_000));
                let mut replayed = faithful(&closed, &recording.given, note, later, &mut rng).await;
                assert_eq!(compared(&recording, replayed.clone(), differences), [], "{recording:?}");
                compared_so_far += 1;
                // It could have failed: one id of the wrong thing is found.
                replayed.answer["body"]["drawn"][1] = replayed.answer["body"]["drawn"][0].clone();
                assert_eq!(compared(&recording, replayed, differences).len(), 1);
            }
        }
        println!("{compared_so_far} comparisons");
    }
}
