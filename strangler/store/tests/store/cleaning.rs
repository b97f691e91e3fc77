//! The janitor: what is old goes, at the edge of its time and not before; what somebody may still need stays.

on_both!(
    ended_sagas_go_and_stuck_ones_stay,
    receipts_stay_as_long_as_their_sagas_may_ask,
    resolved_letters_and_ended_commands_go,
    a_sweep_is_bounded_and_goes_on_where_it_was,
    it_sweeps_when_it_is_its_turn,
);

mod tests {
    use std::{sync::Arc, time::Duration};

    use chrono::TimeDelta;
    use serde_json::{Value, json};
    use strangler::{BoxFuture, Cx, ManualClock};
    use strangler_store::{
        Consumer, Db, DbOptions, Deed, HandlerError, Inbox, Keep, Message, QueueCommand, Receipt, Retry, StepKey,
        Swept, Turn, Unfinished, Uow,
    };
    use tokio::sync::watch;

    use crate::{
        notes::{cx, id},
        support::{Home, eventually},
        world::{World, begin, sagas},
    };

    const DAY: TimeDelta = TimeDelta::days(1);
    const MOMENT: TimeDelta = TimeDelta::milliseconds(1);

    async fn with_clock(home: &Home, schema: &str, clock: &ManualClock) -> Db {
        home.db(schema).await.close().await;
        let options = DbOptions {
            clock: Arc::new(clock.clone()),
            ..DbOptions::default()
        };
        Db::open(&home.url(schema).await, schema, options).await.unwrap()
    }

    fn clock() -> ManualClock {
        ManualClock::new(chrono::Utc::now())
    }

    pub async fn ended_sagas_go_and_stuck_ones_stay(home: &Home) {
        let clock = clock();
        let db = with_clock(home, "notes", &clock).await;
        let raw = home.raw("notes").await;
        let sagas = sagas(&db, &Arc::new(World::default()));
        let mut ids = Vec::new();
        for status in ["done", "undone", "stuck", "running", "compensating"] {
            ids.push(begin(&db, &sagas, None).await);
            raw.run(&format!(
                "UPDATE sagas SET status = '{status}' WHERE status = 'running' AND step = 'hold'"
            ))
            .await;
            raw.run(&format!("UPDATE sagas SET step = '{status}' WHERE status = '{status}'"))
                .await;
        }
        raw.run(
            "INSERT INTO saga_steps (saga, step, deed, state, attempts, at) \
             SELECT id, 'hold', 'do', 'done', 1, changed_at FROM sagas",
        )
        .await;
        let janitor = db.janitor();
        clock.advance(Keep::default().sagas);
        assert_eq!(janitor.sweep().await.unwrap().sagas, 0);
        clock.advance(MOMENT);
        assert_eq!(janitor.sweep().await.unwrap().sagas, 2);
        clock.advance(DAY * 1000);
        assert_eq!(janitor.sweep().await.unwrap(), Swept::default());
        for (n, id) in ids.into_iter().enumerate() {
            let there = sagas.find(id).await.unwrap().is_some();
            assert_eq!(there, n >= 2, "{n}");
            assert_eq!(sagas.steps(id).await.unwrap().is_empty(), !there, "{n}");
        }
    }

    async fn ask(db: &Db, key: &StepKey) -> Receipt {
        let mut uow = db.begin(&cx()).await.unwrap();
        let receipt = Inbox::receive(&mut uow, key).await.unwrap();
        if receipt == Receipt::First {
            Inbox::answer(&mut uow, key, json!("done")).await.unwrap();
        }
        uow.commit().await.unwrap();
        receipt
    }

    pub async fn receipts_stay_as_long_as_their_sagas_may_ask(home: &Home) {
        let clock = clock();
        let (db, caller) = (
            with_clock(home, "called", &clock).await,
            with_clock(home, "caller", &clock).await,
        );
        let raw = home.raw("caller").await;
        let sagas = sagas(&caller, &Arc::new(World::default()));
        let key = |saga, deed| StepKey {
            saga,
            step: "hold".into(),
            deed,
        };
        // An old saga that ended, with the tombstone of its undo; then one that is stuck after it has asked.
        let ended = begin(&caller, &sagas, None).await;
        raw.run("UPDATE sagas SET status = 'undone'").await;
        assert_eq!(ask(&db, &key(ended, Deed::Undo)).await, Receipt::NeverHappened);
        clock.advance(TimeDelta::hours(2));
        let stuck = begin(&caller, &sagas, None).await;
        raw.run("UPDATE sagas SET status = 'stuck' WHERE status = 'running'")
            .await;
        assert_eq!(ask(&db, &key(stuck, Deed::Do)).await, Receipt::First);

        let (keep, mute) = (Keep::default(), db.janitor());
        let callers = || vec![Arc::new(caller.clone()) as Arc<dyn Unfinished>];
        let janitor = db.janitor().with_callers(callers());
        clock.advance(keep.receipts - TimeDelta::hours(2));
        assert_eq!(janitor.sweep().await.unwrap().receipts, 0);
        clock.advance(MOMENT);
        // Who does not know who calls keeps them all, and so does who cannot ask.
        assert_eq!(mute.sweep().await.unwrap().receipts, 0);
        let away = home.handle("caller").await;
        away.clone().close().await;
        let cannot_ask = db.janitor().with_callers([Arc::new(away) as Arc<dyn Unfinished>]);
        assert_eq!(cannot_ask.sweep().await.unwrap().receipts, 0);
        assert_eq!(janitor.sweep().await.unwrap().receipts, 1);
        // Years later the stuck one is resumed, and asks again: nothing is done twice.
        clock.advance(DAY * 1000);
        assert_eq!(janitor.sweep().await.unwrap().receipts, 0);
        assert_eq!(ask(&db, &key(stuck, Deed::Do)).await, Receipt::Repeated(json!("done")));
        // Time alone would have thrown it away, and the same request would have had its effect again.
        let by_time_alone = db.janitor().with_callers([]);
        assert_eq!(by_time_alone.sweep().await.unwrap().receipts, 1);
        assert_eq!(ask(&db, &key(stuck, Deed::Do)).await, Receipt::First);
        // Once it has ended, what it asked is of no use any more.
        raw.run("UPDATE sagas SET status = 'done'").await;
        assert_eq!(janitor.sweep().await.unwrap().receipts, 0);
        clock.advance(keep.receipts + MOMENT);
        assert_eq!(janitor.sweep().await.unwrap().receipts, 1);
    }

    struct Odd;

    impl Consumer for Odd {
        fn consume<'a>(&'a self, _: &'a mut Uow, message: &'a Message) -> BoxFuture<'a, Result<Value, HandlerError>> {
            Box::pin(async move {
                match message.body.as_bool() {
                    Some(true) => Ok(Value::Null),
                    _ => Err(HandlerError::Undecodable("as told".into())),
                }
            })
        }
    }

    async fn send(db: &Db, good: bool, count: usize) {
        let mut uow = db.begin(&cx()).await.unwrap();
        for _ in 0..count {
            db.queues()
                .send(&mut uow, "q", QueueCommand::new(id(), "test", json!(good)));
        }
        uow.commit().await.unwrap();
    }

    pub async fn resolved_letters_and_ended_commands_go(home: &Home) {
        let clock = clock();
        let db = with_clock(home, "notes", &clock).await;
        let retry = Retry::default();
        let worker = db.queues().worker("q", Arc::new(Odd)).with_retry(retry);
        send(&db, true, 3).await;
        send(&db, false, 3).await;
        assert_eq!(worker.step().await.unwrap(), 6);
        // One is not carried out, three are parked, one of those is resolved.
        let later = QueueCommand::new(id(), "test", json!(true)).with_not_before(clock_now(&db) + DAY * 2000);
        let mut uow = db.begin(&cx()).await.unwrap();
        db.queues().send(&mut uow, "q", later);
        uow.commit().await.unwrap();
        let dead = db.dead_letters();
        let list = dead.list(10).await.unwrap();
        assert_eq!(
            dead.discard(&Cx::system("olga"), &[list[0].id.clone()]).await.unwrap(),
            1
        );
        let (janitor, keep) = (db.janitor(), Keep::default());
        clock.advance(keep.commands);
        assert_eq!(janitor.sweep().await.unwrap(), Swept::default());
        clock.advance(MOMENT);
        // The discarded one has ended too.
        let swept = janitor.sweep().await.unwrap();
        assert_eq!((swept.commands, swept.letters), (4, 0));
        clock.advance(keep.letters - keep.commands - MOMENT);
        assert_eq!(janitor.sweep().await.unwrap(), Swept::default());
        clock.advance(MOMENT);
        assert_eq!(janitor.sweep().await.unwrap().letters, 1);
        clock.advance(DAY * 1000);
        assert_eq!(janitor.sweep().await.unwrap(), Swept::default());
        assert_eq!(dead.list(10).await.unwrap().len(), 2);
        // What is still parked can be put back to work.
        let list = dead.list(10).await.unwrap();
        assert_eq!(dead.retry(&Cx::system("olga"), &[list[0].id.clone()]).await.unwrap(), 1);
        assert_eq!(worker.step().await.unwrap(), 1);
    }

    fn clock_now(db: &Db) -> chrono::DateTime<chrono::Utc> {
        db.view(&cx()).now()
    }

    pub async fn a_sweep_is_bounded_and_goes_on_where_it_was(home: &Home) {
        let clock = clock();
        let db = with_clock(home, "notes", &clock).await;
        for _ in 0..48 {
            send(&db, true, 250).await;
            clock.advance(MOMENT);
        }
        let raw = home.raw("notes").await;
        raw.run("UPDATE queue_messages SET ended_at = sent_at, due_at = NULL")
            .await;
        clock.advance(DAY * 30);
        let janitor = db.janitor();
        let swept = janitor.sweep().await.unwrap();
        assert_eq!((swept.commands, swept.more), (10_000, true));
        let left = raw.pairs("SELECT min(id), max(id) FROM queue_messages").await;
        assert_eq!(left, [(10_001, 12_000)]);
        let swept = janitor.sweep().await.unwrap();
        assert_eq!((swept.commands, swept.more), (2_000, false));
        assert_eq!(janitor.sweep().await.unwrap(), Swept::default());
    }

    pub async fn it_sweeps_when_it_is_its_turn(home: &Home) {
        let clock = clock();
        let db = with_clock(home, "notes", &clock).await;
        let worker = db.queues().worker("q", Arc::new(Odd));
        send(&db, true, 2).await;
        worker.step().await.unwrap();
        clock.advance(DAY * 30);
        let raw = home.raw("notes").await;
        let left = async || raw.number("SELECT count(*) FROM queue_messages").await;
        let route = watch::Sender::new(None);
        let janitor = db
            .janitor()
            .with_turn(Turn::following(route.subscribe()))
            .with_every(Duration::from_millis(20));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(async move { janitor.run(async { drop(stopped.await) }).await });
        let ours = async || {
            db.leases()
                .list()
                .await
                .unwrap()
                .iter()
                .any(|l| l.name == "janitor" && !l.holder.is_empty())
        };
        assert_eq!((left().await, ours().await), (2, false));
        route.send(Some(3)).unwrap();
        eventually("the sweep", left, |n| *n == 0).await;
        assert!(ours().await);
        stop.send(()).unwrap();
        running.await.unwrap();
        assert!(!ours().await);
    }
}
