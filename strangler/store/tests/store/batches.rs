//! Units of work that share a commit on SQLite: what is acknowledged is there, and what one does harms no other.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    panic::AssertUnwindSafe,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;
use strangler_store::{Db, DbOptions, Query, StoreError, Write};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{
    notes::{self, CountNotes, Nonsense, Note, changed, cx, id, write},
    support::{Home, child, on_sqlite, seed},
};

/// What makes COMMIT fail: a reference to nothing, in a table that has it checked at the very end.
#[derive(Serialize)]
struct Orphan;

impl Write for Orphan {
    const NAME: &'static str = "orphan";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let insert = "INSERT INTO children (parent) VALUES (7)";
        connection.execute_unprepared(insert).await.map(drop)
    }
}

/// What is there at the moment, certain or not.
#[derive(Serialize)]
struct Glimpse(String);

impl Query for Glimpse {
    const NAME: &'static str = "glimpse";
    type Answer = u64;
    const ANSWERS: bool = false;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<u64, DbErr> {
        CountNotes { text: self.0 }.run(connection).await
    }
}

async fn with_orphans(home: &Home) -> Db {
    let db = home.db("notes").await;
    let raw = home.raw("notes").await;
    raw.run("CREATE TABLE parents (id INTEGER PRIMARY KEY)").await;
    raw.run("CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)")
        .await;
    db
}

/// Whether there is a note of this text, as everybody sees it.
async fn is_there(db: &Db, text: &str) -> bool {
    let count = CountNotes { text: text.to_owned() };
    db.view(&cx()).find(count).await.unwrap() > 0
}

/// Lets these wait in line, one behind the other, before the first of them may begin.
async fn in_line<T: Send + 'static>(
    db: &Db,
    units: impl IntoIterator<Item = futures_util::future::BoxFuture<'static, T>>,
) -> Vec<T> {
    let first = db.begin(&cx()).await.unwrap();
    // Each is polled once, in order, and is in line then.
    let mut waiting: Vec<_> = units.into_iter().collect();
    for unit in &mut waiting {
        assert!(unit.as_mut().now_or_never().is_none(), "somebody has the writer");
    }
    drop(first);
    futures_util::future::join_all(waiting.into_iter().map(tokio::spawn))
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_wait_share_a_commit() {
    on_sqlite(async |home| {
        let db = home.db("notes").await;
        let before = db.commits();
        let units = (0..20).map(|n| {
            let db = db.clone();
            async move { write(&db, id(), &n.to_string()).await.unwrap() }.boxed()
        });
        in_line(&db, units).await;
        let commits = db.commits() - before;
        assert!(commits < 20, "{commits} commits for 20 units");
        for n in 0..20 {
            assert!(is_there(&db, &n.to_string()).await);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_the_commit_fails_nobody_of_the_batch_is_told_otherwise() {
    on_sqlite(async |home| {
        let db = with_orphans(home).await;
        let mut shared = false;
        for round in 0..200 {
            let units = (0..6).map(|n| {
                let db = db.clone();
                async move {
                    let mut uow = db.begin(&cx()).await.unwrap();
                    uow.save(&Note::first(id(), &format!("{round}/{n}")));
                    if n == 3 {
                        uow.put(Orphan);
                    }
                    uow.commit().await
                }
                .boxed()
            });
            let results = in_line(&db, units).await;
            let error = results[3].as_ref().unwrap_err();
            assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
            for (n, result) in results.iter().enumerate() {
                assert_eq!(
                    result.is_ok(),
                    is_there(&db, &format!("{round}/{n}")).await,
                    "{round}/{n}: {result:?}"
                );
            }
            shared |= results[2].is_err() || results[4].is_err();
            write(&db, id(), "goes on").await.unwrap();
            if shared {
                return;
            }
        }
        panic!("they never shared a commit");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_may_yet_come_to_nothing_is_no_reason_to_say_it_is_done() {
    on_sqlite(async |home| {
        let db = with_orphans(home).await;
        let mut glimpsed = false;
        for round in 0..200 {
            let (shared, text) = (id(), format!("round {round}"));
            let (first, second) = (db.clone(), db.clone());
            let (mine, theirs) = (text.clone(), text.clone());
            let make = async move {
                let mut uow = first.begin(&cx()).await.unwrap();
                uow.save(&Note::first(shared, &mine));
                uow.put(Orphan);
                assert!(uow.commit().await.is_err());
                (false, Ok(false))
            };
            // The same command again, which finds that it was carried out, and so has nothing to commit.
            let repeat = async move {
                let mut uow = second.begin(&cx()).await.unwrap();
                let glimpse = uow.find(Glimpse(theirs)).await.unwrap() > 0;
                (glimpse, uow.load::<Note>(shared).await.map(|note| note.is_some()))
            };
            let answers = in_line(&db, [make.boxed(), repeat.boxed()]).await;
            let (glimpse, found) = &answers[1];
            assert!(!is_there(&db, &text).await);
            match found {
                Ok(found) => assert!(!found, "it was told that what is not there is done"),
                Err(error) => assert!(*glimpse && matches!(error, StoreError::Conflict(_)), "{error}"),
            }
            glimpsed |= glimpse;
            if glimpsed {
                return;
            }
        }
        panic!("they never were in one batch");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_repeat_waits_for_the_first_and_then_finds_it() {
    on_sqlite(async |home| {
        let db = home.db("notes").await;
        let shared = id();
        let first = db.clone();
        let make = async move { write(&first, shared, "once").await.is_ok() };
        let repeats = (0..5).map(|_| {
            let db = db.clone();
            async move {
                let mut uow = db.begin(&cx()).await.unwrap();
                let found = uow.load::<Note>(shared).await.unwrap().is_some();
                // What was found is certain: a reader, who sees only what is committed, finds it too.
                found && is_there(&db, "once").await
            }
            .boxed()
        });
        let units = std::iter::once(make.boxed()).chain(repeats);
        assert_eq!(in_line(&db, units).await, [true; 6]);
    })
    .await;
}

/// Whoever goes away while its first statement is on its way leaves the database to do some of it, or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_hangs_up_at_its_first_words_harms_nobody() {
    on_sqlite(async |home| {
        let db = home.db("notes").await;
        let mut shared = false;
        for round in 0..100 {
            let before = db.commits();
            let units = (0..6).map(|n| {
                let (db, text) = (db.clone(), format!("{round}/{n}"));
                async move {
                    let mut uow = db.begin(&cx()).await?;
                    uow.save(&Note::first(id(), &text));
                    // A change, and a question, asked and not waited for.
                    match n {
                        2 => drop(uow.flush().now_or_never()),
                        4 => drop(uow.load::<Note>(id()).now_or_never()),
                        _ => return uow.commit().await.map(|()| true),
                    }
                    Ok(false)
                }
                .boxed()
            });
            let results: Vec<Result<bool, StoreError>> = in_line(&db, units).await;
            for (n, result) in results.into_iter().enumerate() {
                let done = result.unwrap_or_else(|error| panic!("{round}/{n} was harmed by another one: {error}"));
                assert_eq!(is_there(&db, &format!("{round}/{n}")).await, done, "{round}/{n}");
            }
            shared |= db.commits() - before < 5;
        }
        assert!(shared, "they never shared a commit");
    })
    .await;
}

/// What one unit of work of the property test does.
#[derive(Clone, Copy, Debug)]
enum Way {
    Commit,
    Stale,
    Drop,
    Panic,
    Swallow,
    HangUp(u64),
}

/// How it went, as its caller knows.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    Done,
    NotDone,
    Unknown,
}

async fn go(db: Db, subject: Uuid, text: String, way: Way) -> Known {
    let work = async {
        let mut uow = db.begin(&cx()).await?;
        let there = uow.load::<Note>(subject).await?;
        let mut note = there.map_or_else(|| Note::first(subject, &text), |note| note.next(&text));
        if matches!(way, Way::Stale) {
            note.version += 1;
        }
        uow.save(&note);
        uow.emit(note.id, note.version, &changed(&note));
        if matches!(way, Way::Drop | Way::Panic | Way::Swallow) {
            uow.flush().await?;
        }
        match way {
            Way::Drop => return Ok(false),
            Way::Panic => panic!("as told"),
            Way::Swallow => drop(uow.find(Nonsense).await.unwrap_err()),
            _ => {}
        }
        uow.commit().await?;
        Ok::<_, StoreError>(true)
    };
    let work = AssertUnwindSafe(work).catch_unwind();
    let result = match way {
        Way::HangUp(micros) => match tokio::time::timeout(Duration::from_micros(micros), work).await {
            Ok(result) => result,
            Err(_) => return Known::Unknown,
        },
        _ => work.await,
    };
    match result {
        Ok(Ok(true)) => Known::Done,
        Ok(Ok(false)) | Err(_) => Known::NotDone,
        Ok(Err(error)) => {
            assert!(
                matches!(way, Way::Stale | Way::Swallow),
                "{way:?} was harmed by another one: {error}"
            );
            Known::NotDone
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_others_do_each_is_done_or_not_as_it_was_told() {
    on_sqlite(async |home| {
        let seed = seed();
        let db = home.db("notes").await;
        let subjects: Arc<Vec<Uuid>> = Arc::new((0..12).map(|_| id()).collect());
        let mut running = JoinSet::new();
        for worker in 0..16 {
            let (db, subjects) = (db.clone(), subjects.clone());
            let mut random = StdRng::seed_from_u64(seed.wrapping_add(worker));
            running.spawn(async move {
                let mut story = Vec::new();
                for n in 0..40 {
                    let way = match random.random_range(0..10) {
                        0 => Way::Stale,
                        1 => Way::Drop,
                        2 => Way::Panic,
                        3 => Way::Swallow,
                        4 | 5 => Way::HangUp(random.random_range(0..8000)),
                        _ => Way::Commit,
                    };
                    let subject = subjects[random.random_range(0..subjects.len())];
                    let text = format!("{worker}/{n}");
                    let known = go(db.clone(), subject, text.clone(), way).await;
                    story.push((subject, text, known));
                }
                story
            });
        }
        let story = running.join_all().await.concat();
        // History has one row per version that was committed.
        let raw = home.raw("notes").await;
        while db.relay().pass().await.unwrap() > 0 {}
        let events = db.log().read(0, 10_000).await.unwrap().events;
        let mut told: BTreeMap<Uuid, Vec<(i64, String)>> = BTreeMap::new();
        for event in events {
            let text = event.data["text"].as_str().unwrap().to_owned();
            told.entry(event.subject)
                .or_default()
                .push((event.aggregateversion, text));
        }
        for (subject, text, known) in &story {
            let times = told
                .get(subject)
                .map_or(0, |t| t.iter().filter(|(_, x)| x == text).count());
            match known {
                Known::Done => assert_eq!(times, 1, "{text} was acknowledged"),
                Known::NotDone => assert_eq!(times, 0, "{text} was refused"),
                Known::Unknown => assert!(times <= 1, "{text} happened twice"),
            }
        }
        let mut committed = 0;
        for versions in told.values() {
            committed += versions.len() as i64;
            let expected: Vec<i64> = (1..=versions.len() as i64).collect();
            assert_eq!(versions.iter().map(|(v, _)| *v).collect::<Vec<_>>(), expected);
        }
        assert_eq!(raw.number("SELECT count(*) FROM snapshots").await, committed);
        assert_eq!(raw.number("SELECT sum(version) FROM notes").await, committed);
        let done = story.iter().filter(|(_, _, known)| *known == Known::Done).count() as u64;
        assert!(
            db.commits() < done,
            "{} commits for {done} acknowledged: none were shared",
            db.commits()
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_passed_over() {
    on_sqlite(async |home| {
        const ALL: u64 = 6;
        let db = home.db("notes").await;
        let begun = Arc::new(AtomicU64::new(0));
        let mut running = JoinSet::new();
        for _ in 0..ALL {
            let (db, begun) = (db.clone(), begun.clone());
            running.spawn(async move {
                for _ in 0..10 {
                    let cx = cx();
                    let mut mine = Box::pin(db.begin(&cx));
                    let at_once = mine.as_mut().now_or_never();
                    // In line, at the latest, before this.
                    let before = begun.load(Ordering::Relaxed);
                    let uow = match at_once {
                        Some(uow) => uow.unwrap(),
                        None => mine.await.unwrap(),
                    };
                    let passed = begun.fetch_add(1, Ordering::Relaxed) - before;
                    // All others may have been in line before, and one may have been at its turn without having counted it.
                    assert!(passed <= ALL, "{passed} others went first");
                    // Longer than a batch takes others in: it is the line that decides who is next, not the batch.
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_millis(11) {
                        tokio::task::yield_now().await;
                    }
                    uow.commit().await.unwrap();
                }
            });
        }
        running.join_all().await;
    })
    .await;
}

/// Run by the test below, in a process of its own; by itself there is nothing for it to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writing_process() {
    let Ok(url) = std::env::var("BANYAN_TEST_CHILD_URL") else {
        return;
    };
    let db = Db::open(&url, "notes", DbOptions::default()).await.unwrap();
    db.migrate(notes::migrations()).await.unwrap();
    let mut running = JoinSet::new();
    for _ in 0..16 {
        let db = db.clone();
        running.spawn(async move {
            loop {
                let note = write(&db, id(), "kept").await.unwrap();
                println!("acknowledged {}", note.id);
            }
        });
    }
    running.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_in_the_middle_it_has_lost_nothing_it_acknowledged() {
    on_sqlite(async |home| {
        let mut acknowledged = Vec::new();
        for round in 1..=6 {
            let mut command = child("batches::writing_process");
            command.env("BANYAN_TEST_CHILD_URL", home.url("notes").await);
            let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
            let lines = BufReader::new(process.stdout.take().unwrap()).lines();
            let enough = acknowledged.len() + 50 + 37 * round;
            for line in lines {
                // The last line may be torn.
                let Ok(line) = line else { break };
                let said = line.strip_prefix("acknowledged ").map(str::parse::<Uuid>);
                if let Some(Ok(id)) = said {
                    acknowledged.push(id);
                }
                if acknowledged.len() == enough {
                    // It goes on writing meanwhile; what it still manages to say counts too.
                    process.kill().unwrap();
                }
            }
            process.wait().unwrap();
            assert!(acknowledged.len() >= enough, "it wrote until it was killed");
            let db = home.db("notes").await;
            for id in &acknowledged {
                let note = db.view(&cx()).load::<Note>(*id).await.unwrap();
                assert!(note.is_some(), "{id} was acknowledged and is lost (round {round})");
            }
            db.close().await;
        }
    })
    .await;
}
