//! Events that fail: set aside, parked, retried, discarded; in order per subject, none lost, none doubled.

on_both!(
    a_subject_waits_behind_its_failure,
    what_cannot_be_decoded_is_parked_at_once,
    whatever_fails_order_is_kept,
    what_was_discarded_is_restored_and_goes_first,
    letters_are_listed_in_pages,
);

mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
    use strangler::{BoxFuture, Cx};
    use strangler_store::{
        After, Db, Envelope, Filter, Handler, HandlerError, LetterFilter, LetterId, LetterState, Retry, Same,
        StoreError, Subscription, Uow,
    };
    use uuid::Uuid;

    use crate::{
        notes::{Effects, WriteDown, cx, id, write},
        support::{Home, eventually, seed},
    };

    const QUICK: Retry = Retry {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(3),
        attempts: 3,
    };

    /// Fails where it is told to, after it has left an effect.
    #[derive(Default)]
    struct Moody {
        broken: Mutex<BTreeSet<i64>>,
        undecodable: AtomicBool,
        /// Fails at random, this often out of a hundred.
        chance: Mutex<u32>,
    }

    impl Handler for Moody {
        fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
            Box::pin(async move {
                WriteDown.handle(uow, event).await?;
                uow.flush().await?;
                if self.undecodable.load(Ordering::SeqCst) {
                    serde_json::from_value::<u32>(event.data.clone())?;
                }
                if self.broken.lock().unwrap().contains(&event.position) {
                    return Err(HandlerError::failed("broken"));
                }
                let chance = *self.chance.lock().unwrap();
                match rand::random_range(0..100) {
                    n if n >= chance => Ok(()),
                    n if n % 3 == 0 => panic!("as told"),
                    n if n % 3 == 1 => Err(StoreError::corrupt_row("odd").into()),
                    _ => Err(HandlerError::failed("moody")),
                }
            })
        }
    }

    async fn positions(db: &Db) -> Vec<i64> {
        let effects = db.view(&cx()).find(Effects).await.unwrap();
        effects.iter().map(|e| e.0).collect()
    }

    fn subscribe(db: &Db, moody: &Arc<Moody>) -> Subscription {
        Subscription::new("s", db.clone(), db.log(), Filter::All, moody.clone()).with_retry(QUICK)
    }

    fn letter(position: i64) -> LetterId {
        LetterId {
            subscription: "s".into(),
            position,
        }
    }

    pub async fn a_subject_waits_behind_its_failure(home: &Home) {
        let db = home.db("notes").await;
        let (a, b) = (id(), id());
        for subject in [a, b, a, b, a] {
            write(&db, subject, "x").await.unwrap();
        }
        db.relay().pass().await.unwrap();
        let moody = Arc::new(Moody::default());
        *moody.broken.lock().unwrap() = BTreeSet::from([1, 3]);
        let subscription = subscribe(&db, &moody);
        let dead = db.dead_letters();
        let parked = async || {
            subscription.step().await.unwrap();
            dead.list(10).await.unwrap()
        };
        let list = eventually("the dead letter", parked, |list| list.len() == 1).await;
        assert_eq!(positions(&db).await, [2, 4]);
        let one = &list[0];
        assert_eq!(
            (one.id.clone(), one.waiting, one.error.as_str()),
            (letter(1), 2, "broken")
        );
        assert_eq!(one.tried.as_array().unwrap().len(), 3);
        assert!(
            one.event
                .as_ref()
                .is_some_and(|e| e.subject == a && !e.traceparent.is_empty())
        );
        let depth = dead.depth().await.unwrap();
        assert_eq!((depth.retrying, depth.waiting, depth.parked), (0, 2, 1));
        assert_eq!(depth.oldest_parked, Some(one.parked_at));
        let backlog = db.backlog().await.unwrap();
        let letters = &backlog.dead_letters;
        assert_eq!(
            (letters.parked, letters.oldest, letters.set_aside),
            (1, Some(one.parked_at), 2)
        );
        assert_eq!(backlog.complaints("notes").len(), 1, "{backlog:?}");
        assert_eq!((backlog.log.head, backlog.subscriptions[0].position), (5, 5));
        assert_eq!(dead.ids_of(Some("s"), 10).await.unwrap(), [letter(1)]);
        assert!(
            dead.ids_of(Some("t"), 10).await.unwrap().is_empty()
                && dead.list_of(Some("t"), 10).await.unwrap().is_empty()
        );
        // Repaired and retried: it is handled, and the next one of its subject fails.
        moody.broken.lock().unwrap().remove(&1);
        let operator = Cx::system("olga");
        assert_eq!(dead.retry(&operator, &[letter(1), letter(9)]).await.unwrap(), 1);
        assert_eq!(dead.retry(&operator, &[letter(1)]).await.unwrap(), 0);
        let list = eventually("the next", parked, |list| list.iter().any(|l| l.id == letter(3))).await;
        assert_eq!((list.len(), list[0].waiting), (1, 1));
        assert_eq!(positions(&db).await, [2, 4, 1]);
        let resolved = dead.show(&letter(1)).await.unwrap().unwrap().resolved.unwrap();
        assert_eq!(
            (resolved.how.as_str(), resolved.by.as_deref()),
            ("retried", Some("olga"))
        );
        // Meanwhile more of the same subject come, and wait.
        write(&db, a, "x").await.unwrap();
        let outbox = db.backlog().await.unwrap().outbox;
        assert!(outbox.depth == 1 && outbox.oldest.is_some(), "{outbox:?}");
        db.relay().pass().await.unwrap();
        assert_eq!(subscription.step().await.unwrap(), 1);
        assert_eq!(positions(&db).await, [2, 4, 1]);
        assert_eq!(dead.discard(&operator, &[letter(3)]).await.unwrap(), 1);
        let effects = async || {
            subscription.step().await.unwrap();
            positions(&db).await
        };
        eventually("the rest", effects, |p| p == &[2, 4, 1, 5, 6]).await;
        assert_eq!(dead.depth().await.unwrap(), strangler_store::Depth::default());
        let backlog = db.backlog().await.unwrap();
        assert_eq!(
            (backlog.dead_letters, backlog.outbox, backlog.log.head),
            (Default::default(), Default::default(), 6)
        );
        assert_eq!(subscription.step().await.unwrap(), 0);
    }

    pub async fn what_cannot_be_decoded_is_parked_at_once(home: &Home) {
        let db = home.db("notes").await;
        write(&db, id(), "x").await.unwrap();
        db.relay().pass().await.unwrap();
        let moody = Arc::new(Moody::default());
        moody.undecodable.store(true, Ordering::SeqCst);
        let subscription = subscribe(&db, &moody);
        assert_eq!(subscription.step().await.unwrap(), 1);
        let list = db.dead_letters().list(10).await.unwrap();
        assert_eq!(list[0].tried.as_array().unwrap().len(), 1);
        assert!(list[0].error.contains("cannot be decoded"), "{}", list[0].error);
        assert!(positions(&db).await.is_empty());
    }

    /// Steps until what is parked is this.
    async fn until_parked(db: &Db, subscription: &Subscription, positions: &[i64]) {
        let parked = async || {
            subscription.step().await.unwrap();
            let ids = db.dead_letters().ids_of(None, 10).await.unwrap();
            ids.iter().map(|id| id.position).collect::<BTreeSet<_>>()
        };
        let wanted: BTreeSet<i64> = positions.iter().copied().collect();
        eventually("the dead letters", parked, |found| *found == wanted).await;
    }

    pub async fn what_was_discarded_is_restored_and_goes_first(home: &Home) {
        let db = home.db("notes").await;
        let a = id();
        for _ in 0..4 {
            write(&db, a, "x").await.unwrap();
        }
        db.relay().pass().await.unwrap();
        let moody = Arc::new(Moody::default());
        *moody.broken.lock().unwrap() = BTreeSet::from([1, 3]);
        let subscription = subscribe(&db, &moody);
        let (dead, operator) = (db.dead_letters(), Cx::system("olga"));
        until_parked(&db, &subscription, &[1]).await;
        let first = dead.show(&letter(1)).await.unwrap().unwrap();
        assert_eq!(
            dead.restore(&operator, &[letter(1), letter(7)]).await.unwrap(),
            0,
            "it is parked"
        );
        assert_eq!(dead.discard(&operator, &[letter(1)]).await.unwrap(), 1);
        let given_up = LetterFilter {
            state: LetterState::Discarded,
            ..LetterFilter::default()
        };
        assert_eq!(dead.ids(&given_up, 10).await.unwrap(), [letter(1)], "it is kept");
        // The second one is handled meanwhile, and stays handled; the third is parked in its turn.
        until_parked(&db, &subscription, &[3]).await;
        assert_eq!(dead.restore(&operator, &[letter(1)]).await.unwrap(), 1);
        let again = dead.show(&letter(1)).await.unwrap().unwrap();
        assert!(
            again.resolved.is_none() && again.parked_at > first.parked_at,
            "{again:?}"
        );
        assert_eq!(again.tried.as_array().unwrap().last().unwrap()["restored_by"], "olga");
        // Of the two that are parked the second waits for the first, whichever is retried first.
        *moody.broken.lock().unwrap() = BTreeSet::from([1]);
        assert_eq!(dead.retry(&operator, &[letter(3)]).await.unwrap(), 1);
        assert_eq!(subscription.step().await.unwrap(), 0);
        assert_eq!(positions(&db).await, [2]);
        assert_eq!(dead.retry(&operator, &[letter(1)]).await.unwrap(), 1);
        until_parked(&db, &subscription, &[1]).await;
        moody.broken.lock().unwrap().clear();
        assert_eq!(dead.retry(&operator, &[letter(1)]).await.unwrap(), 1);
        let effects = async || {
            subscription.step().await.unwrap();
            positions(&db).await
        };
        eventually("all of them", effects, |p| p == &[2, 1, 3, 4]).await;
        assert_eq!(dead.depth().await.unwrap(), strangler_store::Depth::default());
    }

    pub async fn letters_are_listed_in_pages(home: &Home) {
        let db = home.db("notes").await;
        let subjects: Vec<Uuid> = (0..5).map(|_| id()).collect();
        for subject in &subjects {
            write(&db, *subject, "x").await.unwrap();
        }
        write(&db, subjects[4], "x").await.unwrap();
        db.relay().pass().await.unwrap();
        let moody = Arc::new(Moody::default());
        moody.undecodable.store(true, Ordering::SeqCst);
        let subscription = subscribe(&db, &moody);
        until_parked(&db, &subscription, &[1, 2, 3, 4, 5]).await;
        while subscription.step().await.unwrap() > 0 {}
        let (dead, all) = (db.dead_letters(), LetterFilter::default());
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = dead.page(&all, after.as_ref(), 2).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(After {
                at: last.parked_at,
                same: Same::Beyond(last.id.clone()),
            });
            seen.extend(page.into_iter().map(|l| (l.id.position, l.waiting)));
        }
        assert_eq!(seen, [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1)]);
        let of = async |filter: LetterFilter| {
            let ids = dead.ids(&filter, 10).await.unwrap();
            assert_eq!(dead.count(&filter, 10).await.unwrap(), ids.len() as u64);
            ids.iter().map(|id| id.position).collect::<Vec<_>>()
        };
        let third = dead.show(&letter(3)).await.unwrap().unwrap();
        let event_type = third.event.as_ref().unwrap().event_type.clone();
        let (subject, at) = (Some(third.subject), Some(third.parked_at));
        assert_eq!(of(LetterFilter { subject, ..all.clone() }).await, [3]);
        assert_eq!(
            of(LetterFilter {
                since: at,
                ..all.clone()
            })
            .await,
            [3, 4, 5]
        );
        assert_eq!(
            of(LetterFilter {
                until: at,
                ..all.clone()
            })
            .await,
            [1, 2, 3]
        );
        let typed = |event_type: &str| LetterFilter {
            event_type: Some(event_type.to_owned()),
            ..all.clone()
        };
        assert_eq!(of(typed(&event_type)).await.len(), 5);
        assert!(of(typed("it's something else")).await.is_empty());
        assert_eq!(dead.count(&all, 3).await.unwrap(), 3);
        let last = dead.show(&letter(5)).await.unwrap().unwrap();
        let behind = dead.behind(&last, 10).await.unwrap();
        assert_eq!((behind.len(), behind[0].position), (1, 6));
        let waiting = db.waiting().await.unwrap();
        let of_s = |n| vec![("s".to_owned(), n)];
        assert_eq!((waiting.set_aside, waiting.parked), (of_s(1), of_s(5)));
        let tables = db.tables().await.unwrap();
        let rows = |name: &str| tables.iter().find(|t| t.name == name).map(|t| t.rows);
        assert_eq!(
            (rows("dead_letters"), rows("event_log"), rows("nothing")),
            (Some(5), Some(6), None)
        );
    }

    pub async fn whatever_fails_order_is_kept(home: &Home) {
        let mut random = StdRng::seed_from_u64(seed());
        let (db, other) = (home.db("notes").await, home.handle("notes").await);
        let moody = Arc::new(Moody::default());
        *moody.chance.lock().unwrap() = 30;
        let subjects: Vec<Uuid> = (0..8).map(|_| id()).collect();
        let mut versions: Vec<Uuid> = subjects.iter().flat_map(|s| [*s; 12]).collect();
        versions.shuffle(&mut random);
        let all = versions.len() as i64;
        for _ in 0..5 {
            moody.broken.lock().unwrap().insert(random.random_range(1..=all));
        }
        let (first, second) = (
            subscribe(&db, &moody).with_batch(7),
            subscribe(&other, &moody).with_batch(5),
        );
        // Steps without a lease, so that the two really meet.
        let work = async |subscription: &Subscription| loop {
            match subscription.step().await {
                Ok(0) => tokio::time::sleep(Duration::from_millis(1)).await,
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let mut discarded = BTreeSet::new();
        let operate = async {
            for (n, subject) in versions.iter().enumerate() {
                write(&db, *subject, "x").await.unwrap();
                if n % 9 == 0 {
                    db.relay().pass().await.unwrap();
                }
            }
            db.relay().pass().await.unwrap();
            let dead = db.dead_letters();
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            loop {
                let letters = dead.list(100).await.unwrap();
                for letter in letters {
                    // Some are repaired, some are beyond repair.
                    moody.broken.lock().unwrap().remove(&letter.id.position);
                    if random.random_bool(0.2) {
                        assert_eq!(dead.discard(&cx(), std::slice::from_ref(&letter.id)).await.unwrap(), 1);
                        discarded.insert(letter.id.position);
                    } else {
                        assert_eq!(dead.retry(&cx(), &[letter.id]).await.unwrap(), 1);
                    }
                }
                let depth = dead.depth().await.unwrap();
                let behind = all - first.position().await.unwrap();
                if behind == 0 && depth.retrying + depth.waiting + depth.parked == 0 {
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "{depth:?}, {behind} behind");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            () = operate => {}
            () = work(&first) => {}
            () = work(&second) => {}
        }
        let effects = db.view(&cx()).find(Effects).await.unwrap();
        let mut per_subject: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
        for (position, subject, _) in &effects {
            per_subject.entry(*subject).or_default().push(*position);
        }
        for (subject, positions) in per_subject {
            assert!(positions.is_sorted_by(|a, b| a < b), "{subject}: {positions:?}");
        }
        let mut positions: Vec<i64> = effects.iter().map(|e| e.0).collect();
        positions.sort_unstable();
        let expected: Vec<i64> = (1..=all).filter(|p| !discarded.contains(p)).collect();
        assert_eq!(positions, expected);
    }
}
