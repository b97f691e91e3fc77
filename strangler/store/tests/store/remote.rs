//! Following a log from another process, over real sockets: it is the same log, and whatever is wrong with the other side is
//! an error in time.

on_both!(
    a_log_is_the_same_over_http,
    a_subscription_follows_over_http,
    answers_are_bounded,
    another_incarnation_is_noticed,
);

mod tests {
    use std::{sync::Arc, time::Duration};

    use strangler_store::{EventLog, Filter, LogDesk, LogError, Subscription, SubscriptionError};

    use crate::{
        notes::{Effects, WriteDown, cx, id, write},
        peer::{Peer, log_at},
        support::{Home, eventually},
    };

    pub async fn a_log_is_the_same_over_http(home: &Home) {
        let db = home.db("notes").await;
        for _ in 0..150 {
            write(&db, id(), "x").await.unwrap();
        }
        db.relay().pass().await.unwrap();
        let peer = Peer::serving(LogDesk::new([db.log()])).await;
        let (local, remote) = (db.log(), peer.log("notes"));
        assert_eq!(remote.source(), "notes");
        assert_eq!(remote.head().await.unwrap(), local.head().await.unwrap());
        for (after, limit) in [(0, 10), (0, 1000), (100, 100), (149, 5), (150, 5), (400, 5)] {
            let (here, there) = (
                local.read(after, limit).await.unwrap(),
                remote.read(after, limit).await.unwrap(),
            );
            assert_eq!(
                (here.incarnation, here.events),
                (there.incarnation, there.events),
                "{after} {limit}"
            );
        }
        for (reader, position) in [("search/index", 7), ("odd/näme %/..", 9), ("search/index", 50)] {
            remote.report(reader, position).await.unwrap();
        }
        let readers = db.retention().readers().await.unwrap();
        let readers: Vec<_> = readers.iter().map(|r| (r.name.as_str(), r.position)).collect();
        assert_eq!(readers, [("odd/näme %/..", 9), ("search/index", 50)]);
        // What is gone here is gone there.
        db.retention().forget("odd/näme %/..").await.unwrap();
        db.retention().prune(chrono::TimeDelta::zero()).await.unwrap();
        let (here, there) = (
            local.read(3, 10).await.unwrap_err(),
            remote.read(3, 10).await.unwrap_err(),
        );
        assert!(
            matches!(
                there,
                LogError::Gone {
                    after: 3,
                    floor: 50,
                    ..
                }
            ),
            "{there}"
        );
        assert_eq!(here.to_string(), there.to_string());
        let unknown = peer.log("nobody").head().await.unwrap_err().to_string();
        assert!(unknown.contains("there are: notes"), "{unknown}");
        let stranger = log_at("notes", &peer.base, "Bearer other")
            .head()
            .await
            .unwrap_err()
            .to_string();
        assert!(stranger.contains("does not accept our token"), "{stranger}");
    }

    pub async fn a_subscription_follows_over_http(home: &Home) {
        let (db, reader) = (home.db("notes").await, home.db("reader").await);
        let peer = Peer::serving(LogDesk::new([db.log()])).await;
        let log = Arc::new(peer.log("notes"));
        // Many wait, one asks: and all of them are woken, each time.
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let ended = async move |mut stopped: tokio::sync::watch::Receiver<bool>| drop(stopped.wait_for(|s| *s).await);
        let relay = db.relay();
        let stop_relay = ended(stopped.clone());
        let mut tasks = vec![tokio::spawn(async move { relay.run(stop_relay).await })];
        for n in 0..4 {
            let name = format!("s{n}");
            let s = Subscription::new(&name, reader.clone(), log.clone(), Filter::All, Arc::new(WriteDown));
            let stop = ended(stopped.clone());
            tasks.push(tokio::spawn(async move { s.run(stop).await }));
        }
        for round in 1..=10 {
            write(&db, id(), "x").await.unwrap();
            let effects = async || reader.view(&cx()).find(Effects).await.unwrap().len();
            eventually("the effects", effects, |n| *n == round * 4).await;
        }
        // The other process goes away and comes back.
        let base = peer.base.clone();
        peer.end().await;
        write(&db, id(), "x").await.unwrap();
        assert!(matches!(log.head().await, Err(LogError::Away { .. })));
        let _again = Peer::serving_at(&base, LogDesk::new([db.log()])).await;
        let effects = async || reader.view(&cx()).find(Effects).await.unwrap().len();
        eventually("the rest", effects, |n| *n == 44).await;
        let mut effects: Vec<_> = reader
            .view(&cx())
            .find(Effects)
            .await
            .unwrap()
            .iter()
            .map(|e| e.0)
            .collect();
        effects.sort_unstable();
        assert_eq!(effects, (1..=11).flat_map(|p| [p; 4]).collect::<Vec<_>>());
        stop.send(true).unwrap();
        for task in tasks {
            task.await.unwrap();
        }
    }

    pub async fn answers_are_bounded(home: &Home) {
        let db = home.db("notes").await;
        let big = "x".repeat(700 << 10);
        for text in ["a", &big, &big, "b", "c"] {
            write(&db, id(), text).await.unwrap();
        }
        db.relay().pass().await.unwrap();
        let peer = Peer::serving(LogDesk::new([db.log()])).await;
        let log = peer.log("notes");
        let mut sizes = Vec::new();
        let mut after = 0;
        while after < 5 {
            let batch = log.read(after, 100).await.unwrap();
            after = batch.events.last().unwrap().position;
            sizes.push(batch.events.len());
        }
        // One and a big one fit; two big ones do not.
        assert_eq!(sizes, [2, 3]);
        write(&db, id(), &"y".repeat(3 << 20)).await.unwrap();
        db.relay().pass().await.unwrap();
        assert_eq!(log.read(4, 100).await.unwrap().events.len(), 1);
        assert_eq!(log.read(5, 100).await.unwrap().events.len(), 1);
        // What can never pass is said, with where it is.
        write(&db, id(), &"z".repeat(17 << 20)).await.unwrap();
        db.relay().pass().await.unwrap();
        assert_eq!(log.read(5, 100).await.unwrap().events.len(), 1);
        let error = log.read(6, 100).await.unwrap_err().to_string();
        assert!(error.contains("the event at position 7 has 17"), "{error}");
    }

    pub async fn another_incarnation_is_noticed(home: &Home) {
        let (db, other, reader) = (home.db("notes").await, home.db("other").await, home.db("reader").await);
        for db in [&db, &other] {
            write(db, id(), "x").await.unwrap();
            db.relay().pass().await.unwrap();
        }
        let peer = Peer::serving(LogDesk::new([db.log()])).await;
        let log = Arc::new(peer.log("notes"));
        let s = Subscription::new("s", reader.clone(), log.clone(), Filter::All, Arc::new(WriteDown));
        assert_eq!(s.step().await.unwrap(), 1);
        // Somebody waits on the old one while another log comes in its place, which is further.
        let waiting = tokio::spawn({
            let log = log.clone();
            async move { log.wait(1).await }
        });
        let base = peer.base.clone();
        peer.end().await;
        assert!(
            tokio::time::timeout(Duration::from_secs(20), waiting)
                .await
                .unwrap()
                .unwrap()
                .is_err()
        );
        for _ in 0..3 {
            write(&other, id(), "x").await.unwrap();
        }
        other.relay().pass().await.unwrap();
        let _again = Peer::serving_at(&base, LogDesk::new([crate::peer::renamed("notes", other.log())])).await;
        eventually("the other log", async || log.wait(1).await.is_ok(), |ok| *ok).await;
        assert_eq!(log.head().await.unwrap(), other.log().head().await.unwrap());
        let error = s.step().await.unwrap_err();
        assert!(matches!(error, SubscriptionError::OtherLog { .. }), "{error}");
    }
}

mod bad_peers {
    use std::time::{Duration, Instant};

    use strangler_store::{EventLog, LogError, RemoteLog};

    use crate::peer::{Bad, bad_peer, log_at};

    async fn fails(log: &RemoteLog, says: &str) {
        let began = Instant::now();
        let errors = [
            log.read(0, 10).await.map(drop).unwrap_err(),
            log.head().await.map(drop).unwrap_err(),
            log.wait(0).await.unwrap_err(),
            log.report("r", 1).await.map(|()| panic!("taken")).unwrap_err(),
        ];
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        for error in errors {
            assert!(
                matches!(error, LogError::Away { .. }) && error.to_string().contains(says),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn nobody_is_there() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        fails(&log_at("notes", &base, "Bearer t"), "could not be asked").await;
    }

    #[tokio::test]
    async fn it_says_nothing() {
        let base = bad_peer(Bad::Silent).await;
        fails(
            &log_at("notes", &base, "Bearer t").with_deadline(Duration::from_millis(200)),
            "did not answer in",
        )
        .await;
    }

    #[tokio::test]
    async fn it_never_ends_or_is_huge() {
        let base = bad_peer(Bad::Trickle).await;
        fails(
            &log_at("notes", &base, "Bearer t").with_deadline(Duration::from_millis(300)),
            "did not answer in",
        )
        .await;
        let base = bad_peer(Bad::Endless).await;
        fails(
            &log_at("notes", &base, "Bearer t").with_deadline(Duration::from_secs(60)),
            "too long",
        )
        .await;
    }

    #[tokio::test]
    async fn it_talks_nonsense() {
        for (body, says) in [
            ("<html>", "cannot be understood"),
            ("{}", "cannot be understood"),
            (
                r#"{"incarnation": 7, "position": 1, "floor": 0, "events": []}"#,
                "cannot be understood",
            ),
        ] {
            let base = bad_peer(Bad::Answer("200 OK", body.to_owned())).await;
            let log = log_at("notes", &base, "Bearer t");
            assert!(log.read(0, 1).await.unwrap_err().to_string().contains(says));
            assert!(log.head().await.unwrap_err().to_string().contains(says));
        }
        let base = bad_peer(Bad::Answer("410 Gone", "{}".to_owned())).await;
        fails(&log_at("notes", &base, "Bearer t"), "410").await;
        let base = bad_peer(Bad::Answer("503 Service Unavailable", String::new())).await;
        fails(&log_at("notes", &base, "Bearer t"), "503").await;
    }

    /// A gap, a repeat, another module's event, more than was asked for: none of it gets through.
    #[tokio::test]
    async fn it_answers_other_events() {
        let event = |position: i64, source: &str| {
            serde_json::json!({
                "specversion": "1.0", "id": uuid::Uuid::nil(), "source": source, "type": "notes.note.changed",
                "dataversion": 1, "subject": uuid::Uuid::nil(), "aggregateversion": 1, "time": "2026-01-01T00:00:00Z",
                "traceparent": "", "datacontenttype": "application/json", "data": {}, "position": position,
                "unknown": "is ignored",
            })
        };
        let answers = async |events: Vec<serde_json::Value>| {
            let body = serde_json::json!({"incarnation": uuid::Uuid::nil(), "events": events}).to_string();
            let base = bad_peer(Bad::Answer("200 OK", body)).await;
            log_at("notes", &base, "Bearer t")
                .read(4, 2)
                .await
                .map(|batch| batch.events.len())
        };
        assert_eq!(answers(vec![event(5, "notes"), event(6, "notes")]).await.unwrap(), 2);
        for wrong in [
            vec![event(6, "notes")],
            vec![event(4, "notes")],
            vec![event(5, "notes"), event(5, "notes")],
            vec![event(5, "others")],
            vec![event(5, "notes"), event(6, "notes"), event(7, "notes")],
        ] {
            answers(wrong).await.unwrap_err();
        }
    }
}
