//! Stuck sagas that a person gives up.

on_both!(
    past_its_pivot_a_saga_is_taken_back,
    what_cannot_be_given_up,
    of_giving_up_and_resuming_one_counts,
);

mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use strangler::BoxFuture;
    use strangler_store::{Abandoned, Db, Definition, Saga, SagaStatus, Sagas, Step, StoreError, Uow, Watch};
    use uuid::Uuid;

    use crate::{
        notes::{cx, id},
        support::Home,
        world::{Call, Fault, QUICK, State, World, begin, purchase, reaches, working},
    };

    /// Has a refund begun when a saga is given up. It touches nothing else, so that nothing else tells two decisions apart.
    struct TakeBack(Sagas);

    /// The saga that takes this one back.
    fn refund_of(saga: Uuid) -> Uuid {
        Uuid::from_u128(saga.as_u128() ^ 1)
    }

    impl Watch for TakeBack {
        fn changed<'a>(&'a self, uow: &'a mut Uow, saga: &'a Saga) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async move {
                if saga.status == SagaStatus::Abandoned {
                    let state: State = saga.state_as()?;
                    self.0.start(uow, "refund", refund_of(saga.id), &state, None).await?;
                }
                Ok(())
            })
        }
    }

    fn sagas(db: &Db, world: &Arc<World>) -> Sagas {
        let mut sagas = Sagas::new(db.clone());
        let refund = Step::retriable("refund", Call(world.clone())).with_retry(QUICK);
        sagas.register(Definition::new("refund", [refund])).unwrap();
        let watch = TakeBack(sagas.clone());
        let purchase = purchase(world, QUICK).with_watch(Arc::new(watch)).abandonable();
        sagas.register(purchase).unwrap();
        sagas
    }

    async fn abandon(db: &Db, sagas: &Sagas, saga: Uuid) -> Result<Abandoned, StoreError> {
        let mut uow = db.begin(&cx()).await?;
        let answer = sagas.abandon(&mut uow, saga, json!("no such row")).await?;
        uow.commit().await?;
        Ok(answer)
    }

    async fn resume(db: &Db, sagas: &Sagas, saga: Uuid) -> Result<bool, StoreError> {
        let mut uow = db.begin(&cx()).await?;
        let answer = sagas.resume(&mut uow, saga).await?;
        uow.commit().await?;
        Ok(answer)
    }

    pub async fn past_its_pivot_a_saga_is_taken_back(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        let sagas = sagas(&db, &world);
        world.plan("assign:do", [Fault::Refuse]);
        let saga = begin(&db, &sagas, None).await;
        let stuck = working(&sagas, reaches(&sagas, saga, SagaStatus::Stuck)).await;
        // Decided and not committed: nothing has happened.
        let mut uow = db.begin(&cx()).await.unwrap();
        let decided = sagas.abandon(&mut uow, saga, json!("no")).await.unwrap();
        assert_eq!(decided, Abandoned::Over);
        drop(uow);
        assert_eq!(sagas.find(saga).await.unwrap().unwrap(), stuck);
        assert_eq!(sagas.find(refund_of(saga)).await.unwrap(), None);

        assert_eq!(abandon(&db, &sagas, saga).await.unwrap(), Abandoned::Over);
        let given_up = sagas.find(saga).await.unwrap().unwrap();
        assert_eq!((given_up.status, given_up.due_at), (SagaStatus::Abandoned, None));
        let reason = json!({ "abandoned": "no such row", "stuck": stuck.reason.unwrap()["stuck"] });
        assert_eq!(given_up.reason, Some(reason));
        // It is over: whoever comes later changes nothing.
        let again = abandon(&db, &sagas, saga).await.unwrap();
        assert!(
            matches!(&again, Abandoned::Refused(why) if why.contains("it is abandoned")),
            "{again:?}"
        );
        assert!(!resume(&db, &sagas, saga).await.unwrap());
        let mut uow = db.begin(&cx()).await.unwrap();
        assert!(!sagas.ask_to_resume(&mut uow, saga).await.unwrap());
        drop(uow);
        working(&sagas, reaches(&sagas, refund_of(saga), SagaStatus::Done)).await;
        assert_eq!(world.log_of(saga), ["hold:do", "authorise:do", "capture:do"]);
        assert_eq!(world.log_of(refund_of(saga)), ["refund:do"]);
        assert_eq!(sagas.find(saga).await.unwrap().unwrap(), given_up);
    }

    pub async fn what_cannot_be_given_up(home: &Home) {
        let db = home.db("orders").await;
        let world = Arc::new(World::default());
        let mut sagas = sagas(&db, &world);
        let call = || Call(world.clone());
        let one_way = Step::retriable("ship", call()).with_retry(QUICK);
        sagas.register(Definition::new("one-way", [one_way])).unwrap();
        let both_ways = Step::compensatable("pack", call(), call()).with_retry(QUICK);
        sagas.register(Definition::new("both-ways", [both_ways])).unwrap();
        let start = async |kind: &str| {
            let (id, mut uow) = (id(), db.begin(&cx()).await.unwrap());
            // No state of theirs: each step is stuck.
            sagas.start(&mut uow, kind, id, &json!(7), None).await.unwrap();
            uow.commit().await.unwrap();
            id
        };
        let refused = async |saga, because: &str| {
            let answer = abandon(&db, &sagas, saga).await.unwrap();
            let Abandoned::Refused(why) = &answer else {
                panic!("{answer:?}")
            };
            assert!(why.contains(because), "{why}");
        };
        assert_eq!(abandon(&db, &sagas, id()).await.unwrap(), Abandoned::Unknown);
        let (there, back) = (start("one-way").await, start("both-ways").await);
        refused(there, "it is running").await;
        working(&sagas, async {
            reaches(&sagas, there, SagaStatus::Stuck).await;
            refused(there, "nothing is defined that takes a one-way back").await;
            assert_eq!(sagas.find(there).await.unwrap().unwrap().status, SagaStatus::Stuck);
            // What can be undone is undone.
            reaches(&sagas, back, SagaStatus::Stuck).await;
            assert_eq!(abandon(&db, &sagas, back).await.unwrap(), Abandoned::Undoing);
            // Its undo cannot read its state either.
            let stuck = reaches(&sagas, back, SagaStatus::Stuck).await;
            assert!(stuck.undoing, "{stuck:?}");
            refused(back, "it is on its way back already").await;
        })
        .await;
        let unwatched = Definition::new("s", [Step::pivot("a", call())]).abandonable();
        let wrong = sagas.register::<State>(unwatched).unwrap_err().to_string();
        assert!(wrong.contains("there is no watch that would take it back"), "{wrong}");
    }

    pub async fn of_giving_up_and_resuming_one_counts(home: &Home) {
        let (db, other) = (home.db("orders").await, home.handle("orders").await);
        let world = Arc::new(World::default());
        let (sagas, others) = (sagas(&db, &world), sagas(&other, &world));
        let mut stuck = Vec::new();
        for _ in 0..12 {
            world.plan("assign:do", [Fault::Refuse]);
            let saga = begin(&db, &sagas, None).await;
            working(&sagas, reaches(&sagas, saga, SagaStatus::Stuck)).await;
            stuck.push(saga);
        }
        for (n, saga) in stuck.iter().copied().enumerate() {
            let (given_up, resumed) = match n % 2 {
                0 => tokio::join!(abandon(&db, &sagas, saga), resume(&other, &others, saga)),
                _ => {
                    let (resumed, given_up) = tokio::join!(resume(&db, &sagas, saga), abandon(&other, &others, saga));
                    (given_up, resumed)
                }
            };
            for failed in [given_up.as_ref().err(), resumed.as_ref().err()].into_iter().flatten() {
                assert!(matches!(failed, StoreError::Conflict(_)), "{failed}");
            }
            let (given_up, resumed) = (matches!(given_up, Ok(Abandoned::Over)), matches!(resumed, Ok(true)));
            assert_ne!(given_up, resumed, "both or neither");
            let ends = if given_up { refund_of(saga) } else { saga };
            working(&sagas, reaches(&sagas, ends, SagaStatus::Done)).await;
            let assigned = world.of(saga, "assign").did == 1;
            let refunded = world.of(refund_of(saga), "refund").did == 1;
            assert_eq!((assigned, refunded), (resumed, given_up));
        }
    }
}
