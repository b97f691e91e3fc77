//! Processes killed (-9) at random under load.

use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::{Value, json};
use system_tests::{Bear, Database, Load, Options, Service, System, holds_soon, seed};

/// How often something is killed. The everyday run is short; the whole run asks for a hundred.
#[expect(clippy::disallowed_methods, reason = "a test's own settings")]
fn kills() -> u32 {
    std::env::var("BANYAN_TEST_KILLS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(12)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_nothing_is_lost() {
    killed(Options::default(), kills()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_nothing_is_lost_on_postgres() {
    let Some(database) = Database::make("killed at random").await else {
        return;
    };
    killed(
        Options {
            database: Some(database.url()),
            ..Options::default()
        },
        kills().div_ceil(4),
    )
    .await;
    database.drop().await;
}

async fn killed(mut options: Options, kills: u32) {
    let mut random = seed("killed_at_random_nothing_is_lost");
    let fast = [
        ("BANYAN_INSTANCES__HEARTBEAT_MS", "100"),
        ("BANYAN_INSTANCES__LOST_AFTER_MS", "1000"),
    ];
    options.env.extend(fast.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let mut system = System::with(options).await;
    let mut service = Service::start(&system, "catalog", &[]).await;
    system.stage("catalog", "remote").await;
    let mut operations = json!({});
    let load = Load::start(&system, 2, 3, Bear::Losses, &mut random).await;
    let began = Instant::now();
    let mut victims = [0; 3];
    for round in 0..kills {
        load.goes_on(5, 5).await;
        // The moment is what is drawn; nothing is waited for.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
        let victim: usize = random.random_range(0..3);
        victims[victim] += 1;
        if victim != 1 {
            service.kill_and_restart(&system);
        }
        if victim != 0 {
            system.kill();
            system.start_again().await;
        }
        service.ready(&system).await;
        let map = system.on_map("catalog").await;
        let left = (map["stage"].clone(), map["operations"].clone());
        assert_eq!(
            left,
            ("remote".into(), operations.clone()),
            "round {round}: toggles are as they were left"
        );
        load.promises().are_kept(&system, true).await;
        // Another toggle for the next round.
        let (stage, expected): (_, Value) = match random.random_bool(0.5) {
            true => (
                Some("local"),
                json!({"catalog.shows": {"stage": "local", "percent": null}}),
            ),
            false => (None, json!({})),
        };
        assert_eq!(system.flip("catalog.shows", stage).await, 200);
        operations = expected;
    }
    let took = began.elapsed();
    println!(
        "{kills} kills in {took:.1?}: service {}, monolith {}, both {}",
        victims[0], victims[1], victims[2]
    );
    load.goes_on(5, 5).await;
    let promises = load.end().await;
    promises.are_kept(&system, false).await;
    promises.are_logged(&system).await;
    holds_soon("it is ready", Duration::from_secs(20), || async {
        system.get("/readyz").await.status == 200
    })
    .await;
    assert!(!system.log().contains("panicked"), "nothing panicked");
}
