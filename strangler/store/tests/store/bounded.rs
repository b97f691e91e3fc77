//! Steps that ask somebody slow: whoever waits there keeps nobody else waiting.

on_both!(
    a_full_step_stops_no_other,
    a_full_undo_stops_no_other,
    every_place_is_given_back
);

mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
        time::Duration,
    };

    use serde_json::{Value, json};
    use strangler::{BoxFuture, Clock, Cx, SystemClock};
    use strangler_store::{Act, Cancelled, Db, Deed, Definition, Outcome, SagaStatus, Sagas, Step, StepKey, StepState};
    use tokio::sync::Semaphore;
    use uuid::Uuid;

    use crate::{
        notes::{cx, id},
        support::{Home, eventually},
        world::{QUICK, reaches, working},
    };

    /// At most so many may be at the till.
    const MOST: usize = 2;
    /// As many as are worked on at a time.
    const IN_FLIGHT: usize = 4;

    /// Somebody who takes as long as the gate of that direction is shut.
    struct Till {
        open: [Semaphore; 2],
        there: AtomicUsize,
        /// How many were there at the same time.
        crowd: AtomicUsize,
    }

    impl Default for Till {
        fn default() -> Self {
            Self {
                open: [Semaphore::new(0), Semaphore::new(0)],
                there: AtomicUsize::default(),
                crowd: AtomicUsize::default(),
            }
        }
    }

    impl Till {
        fn gate(&self, deed: Deed) -> &Semaphore {
            &self.open[usize::from(deed == Deed::Undo)]
        }

        fn open(&self, deed: Deed) {
            self.gate(deed).add_permits(1);
        }
    }

    #[derive(Clone)]
    struct AtTill(Arc<Till>);

    impl Act<Value> for AtTill {
        fn act<'a>(&'a self, _: &'a Cx, key: &'a StepKey, state: &'a Value) -> BoxFuture<'a, Outcome<Value>> {
            Box::pin(async move {
                let there = self.0.there.fetch_add(1, SeqCst) + 1;
                self.0.crowd.fetch_max(there, SeqCst);
                let _pass = self.0.gate(key.deed).acquire().await.unwrap();
                self.0.there.fetch_sub(1, SeqCst);
                Outcome::Done(state.clone())
            })
        }
    }

    /// Done at once, and counted; a pivot that is told `refuse` is refused.
    #[derive(Clone, Default)]
    struct Counted(Arc<AtomicUsize>);

    impl Act<Value> for Counted {
        fn act<'a>(&'a self, _: &'a Cx, key: &'a StepKey, state: &'a Value) -> BoxFuture<'a, Outcome<Value>> {
            self.0.fetch_add(1, SeqCst);
            let refused = key.step == "ship" && state == "refuse";
            Box::pin(std::future::ready(match refused {
                true => Outcome::Refused("as told".into()),
                false => Outcome::Done(state.clone()),
            }))
        }
    }

    struct Shop {
        db: Db,
        sagas: Sagas,
        till: Arc<Till>,
        held: Counted,
        released: Counted,
    }

    impl Shop {
        async fn open(home: &Home) -> Self {
            let db = home.db("orders").await;
            let (till, held, released) = (Arc::<Till>::default(), Counted::default(), Counted::default());
            let mut sagas = Sagas::new(db.clone())
                .with_in_flight(IN_FLIGHT)
                .with_step_timeout(Duration::from_secs(60));
            let at_till = || AtTill(till.clone());
            let steps = [
                Step::compensatable("hold", held.clone(), released.clone()),
                Step::compensatable("pay", at_till(), at_till()).with_most(MOST),
                Step::pivot("ship", Counted::default()),
            ];
            let steps = steps.map(|step| step.with_retry(QUICK));
            sagas.register(Definition::new("purchase", steps)).unwrap();
            let quick = Step::retriable("pay", Counted::default());
            sagas.register(Definition::new("gift", [quick])).unwrap();
            Self {
                db,
                sagas,
                till,
                held,
                released,
            }
        }

        async fn begin(&self, kind: &str, state: Value, lasts: Option<Duration>) -> Uuid {
            let (id, mut uow) = (id(), self.db.begin(&cx()).await.unwrap());
            let deadline = lasts.map(|lasts| SystemClock.now() + lasts);
            self.sagas.start(&mut uow, kind, id, &state, deadline).await.unwrap();
            uow.commit().await.unwrap();
            id
        }

        async fn counts(&self, what: &str, counted: &Counted, all: usize) {
            eventually(what, async || counted.0.load(SeqCst), |n| *n == all).await;
        }

        /// How many of these have begun this step in this direction.
        async fn started(&self, sagas: &[Uuid], step: &str, deed: Deed) -> usize {
            let mut started = 0;
            for saga in sagas {
                let steps = self.sagas.steps(*saga).await.unwrap();
                let begun = |s: &&strangler_store::StepRecord| s.step == step && s.deed == deed;
                let record = steps.iter().find(begun);
                started += usize::from(record.is_some_and(|s| s.state == StepState::Started));
            }
            started
        }
    }

    pub async fn a_full_step_stops_no_other(home: &Home) {
        let shop = Shop::open(home).await;
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(shop.begin("purchase", json!("sell"), None).await);
        }
        working(&shop.sagas, async {
            // More than are worked on at a time.
            shop.counts("all are held", &shop.held, all.len()).await;
            let look = async || shop.started(&all, "pay", Deed::Do).await;
            eventually("the till is full", look, |n| *n == MOST).await;
            // The others have not begun, and no worker is at them.
            let mut waiting = 0;
            for saga in &all {
                let saga = shop.sagas.find(*saga).await.unwrap().unwrap();
                let due = saga.due_at.is_some_and(|due| due <= SystemClock.now());
                assert_eq!((saga.status, saga.step.as_str()), (SagaStatus::Running, "pay"));
                assert_eq!(saga.attempts, u32::from(!due), "{saga:?}");
                waiting += usize::from(due);
            }
            assert_eq!(waiting, all.len() - MOST);
            // Another kind, with a step of the same name.
            for _ in 0..2 * IN_FLIGHT {
                let gift = shop.begin("gift", json!("give"), None).await;
                reaches(&shop.sagas, gift, SagaStatus::Done).await;
            }
            // Who waits in front of a full step notices its deadline.
            let late = shop
                .begin("purchase", json!("sell"), Some(Duration::from_millis(300)))
                .await;
            reaches(&shop.sagas, late, SagaStatus::Undone).await;
            assert_eq!(shop.released.0.load(SeqCst), 1);
            shop.till.open(Deed::Do);
            for saga in &all {
                reaches(&shop.sagas, *saga, SagaStatus::Done).await;
            }
        })
        .await;
        assert_eq!(shop.till.crowd.load(SeqCst), MOST);
    }

    pub async fn a_full_undo_stops_no_other(home: &Home) {
        let shop = Shop::open(home).await;
        shop.till.open(Deed::Do);
        let mut all = Vec::new();
        for _ in 0..10 {
            all.push(shop.begin("purchase", json!("refuse"), None).await);
        }
        working(&shop.sagas, async {
            let look = async || shop.started(&all, "pay", Deed::Undo).await;
            eventually("the till is full of those who want their money back", look, |n| {
                *n == MOST
            })
            .await;
            assert_eq!(shop.released.0.load(SeqCst), 0);
            let gift = shop.begin("gift", json!("give"), None).await;
            reaches(&shop.sagas, gift, SagaStatus::Done).await;
            // Who has not been at the till goes past it, for it has nothing to undo there.
            let early = shop.begin("purchase", json!("sell"), None).await;
            shop.counts("it is held too", &shop.held, all.len() + 1).await;
            // What its first step came to may be written down at the same time.
            loop {
                let mut uow = shop.db.begin(&cx()).await.unwrap();
                match shop.sagas.cancel(&mut uow, early, json!("bored")).await {
                    Err(error) if error.retryable() => {}
                    result => {
                        assert_eq!(result.unwrap(), Cancelled::Undoing);
                        break uow.commit().await.unwrap();
                    }
                }
            }
            reaches(&shop.sagas, early, SagaStatus::Undone).await;
            shop.till.open(Deed::Undo);
            for saga in &all {
                reaches(&shop.sagas, *saga, SagaStatus::Undone).await;
            }
        })
        .await;
        assert_eq!(shop.till.crowd.load(SeqCst), MOST);
    }

    /// Many more than there are places, with two workers, who have places of their own.
    pub async fn every_place_is_given_back(home: &Home) {
        let shop = Shop::open(home).await;
        for deed in [Deed::Do, Deed::Undo] {
            shop.till.open(deed);
        }
        let mut all = Vec::new();
        for n in 0..60 {
            let (state, ends) = match n % 3 {
                0 => ("refuse", SagaStatus::Undone),
                _ => ("sell", SagaStatus::Done),
            };
            all.push((shop.begin("purchase", json!(state), None).await, ends));
        }
        let end = async {
            for (saga, ends) in all {
                reaches(&shop.sagas, saga, ends).await;
            }
        };
        working(&shop.sagas, working(&shop.sagas, end)).await;
        assert!(shop.till.crowd.load(SeqCst) <= 2 * MOST);
    }
}
