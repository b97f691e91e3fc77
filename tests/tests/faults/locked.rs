//! A database that somebody else holds.

use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database};
use system_tests::{Options, Service, System, holds_soon, office};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_makes_writes_wait_and_reads_go_on() {
    let system = System::start().await;
    let show = office::show_path(&system.shows(1).await[0]);
    let path = || format!("/api/v1/catalog/acts/{}", office::id());
    let url = format!("sqlite:{}", system.data().join("catalog.db").display());
    let other = Database::connect(url).await.expect("opened");

    other.execute_unprepared("BEGIN IMMEDIATE").await.expect("the lock");
    let began = Instant::now();
    let (first, second) = (path(), path());
    let act = office::act("Waiting");
    let reads = async {
        let mut n = 0;
        while began.elapsed() < Duration::from_secs(4) {
            let asked = Instant::now();
            assert_eq!(system.get(&show).await.status, 200);
            assert!(asked.elapsed() < Duration::from_secs(2), "reads do not wait");
            n += 1;
        }
        n
    };
    let (a, b, n) = tokio::join!(system.try_put(&first, &act), system.try_put(&second, &act), reads);
    assert!(n > 100, "{n} reads");
    for answer in [a, b] {
        let answer = answer.expect("an answer");
        assert!(answer.status == 503 && answer.is_problem(), "{answer:?}");
        assert!(
            answer.json()["detail"].as_str().is_some_and(|d| d.contains("busy")),
            "{answer:?}"
        );
    }
    assert!(began.elapsed() >= Duration::from_secs(4), "they waited");
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "and not for ever: {:?}",
        began.elapsed()
    );
    assert_eq!(system.get("/readyz").await.status, 200);

    other.execute_unprepared("ROLLBACK").await.expect("released");
    holds_soon("writes work again", Duration::from_secs(10), || async {
        system.put(&path(), &act).await.status == 201
    })
    .await;
    for path in [&first, &second] {
        assert_eq!(system.get(path).await.status, 404, "what was refused is not there");
    }
    // A short lock is waited for.
    other.execute_unprepared("BEGIN IMMEDIATE").await.expect("the lock");
    let release = async {
        holds_soon("reads are answered meanwhile", Duration::from_secs(5), || async {
            system.get(&show).await.status == 200
        })
        .await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.execute_unprepared("COMMIT").await.expect("released");
    };
    let (answer, ()) = tokio::join!(system.try_put(&first, &act), release);
    assert_eq!(answer.expect("an answer").status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_write_one_file() {
    // One in `remote`, the other through the operations that stayed: both take the same lock.
    let system = System::with(Options::default()).await;
    let _service = Service::start(&system, "catalog", &[]).await;
    system.stage("catalog.announce_act", "remote").await;
    let mut writes = Vec::new();
    for n in 0..40 {
        let (system, act, venue) = (
            &system,
            format!("/api/v1/catalog/acts/{}", office::id()),
            format!("/api/v1/catalog/venues/{}", office::id()),
        );
        writes.push(async move {
            let name = format!("Both {n}");
            let (a, v) = (office::act(&name), office::venue(1, 1));
            let (a, v) = tokio::join!(system.put(&act, &a), system.put(&venue, &v));
            assert_eq!((a.status, a.served("catalog")), (201, "remote"), "{a:?}");
            assert_eq!((v.status, v.served("catalog")), (201, "local"), "{v:?}");
        });
    }
    futures_util::future::join_all(writes).await;
}
