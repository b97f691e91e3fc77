//! Operators who all act at once, under load, and callers who must not notice.

use std::{collections::BTreeSet, time::Duration};

use rand::{Rng, seq::IndexedRandom};
use serde_json::json;
use system_tests::{Bear, Database, Load, Options, Service, System, holds_soon, office, seed};

const FLIPS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_stages_flip() {
    flip(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_stages_flip_on_postgres() {
    let Some(database) = Database::make("stages flip").await else {
        return;
    };
    flip(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    database.drop().await;
}

async fn flip(options: Options) {
    let mut random = seed("no_request_fails_while_stages_flip");
    let system = System::with(options).await;
    let _catalog = Service::start(&system, "catalog", &[]).await;
    let _seating = Service::start(&system, "seating", &[]).await;
    let load = Load::start(&system, 2, 2, Bear::Nothing, &mut random).await;
    let targets = [
        "catalog",
        "catalog",
        "catalog.show",
        "catalog.announce_act",
        "catalog.act",
        "seating",
        "seating.seats",
    ];
    let stages = [
        Some("local"),
        Some("shadow"),
        Some("canary"),
        Some("remote"),
        Some("verify"),
        None,
    ];
    for n in 0..FLIPS {
        let target = *targets.choose(&mut random).expect("targets");
        let stage = *stages.choose(&mut random).expect("stages");
        let mut change = json!({"target": target, "stage": stage, "why": "test"});
        match stage {
            Some("canary") => change["percent"] = json!(f64::from(random.random_range(0..=10_000_u16)) / 100.0),
            Some("shadow" | "verify") if random.random() => change["sample"] = json!(random.random_range(0..=100)),
            _ => {}
        }
        let module = !target.contains('.');
        let status = system.change(change.clone()).await;
        assert_eq!(status, if module && stage.is_none() { 400 } else { 200 }, "{change}");
        if n % 10 == 0 {
            load.goes_on(1, 1).await;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
    }
    let promises = load.end().await;
    promises.are_kept(&system, false).await;
    promises.are_logged(&system).await;
    let map = system.on_map("catalog").await;
    let run = &map["parallel_run"];
    println!("{run}");
    assert_eq!(run["mismatched"], 0, "{}", system.run(&["diffs", "catalog"]).await);
    let answered = &map["answered"];
    assert!(
        answered["local"].as_u64() > Some(0) && answered["remote"].as_u64() > Some(0),
        "{answered}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extracted_twice_at_once_there_are_two() {
    let mut random = seed("extracted_twice_at_once_there_are_two");
    let system = System::start().await;
    let load = Load::start(&system, 1, 1, Bear::Nothing, &mut random).await;
    let (a, b) = tokio::join!(
        system.run(&["extract", "catalog", "--json"]),
        system.run(&["extract", "catalog", "--json"])
    );
    assert_ne!(a, b);
    assert_eq!(system.healthy_pids("catalog").await.len(), 2);
    system.stage("catalog", "remote").await;
    load.goes_on(10, 10).await;
    let said = system.run(&["merge-back", "catalog"]).await;
    assert!(said.contains("2 processes"), "{said}");
    load.goes_on(10, 10).await;
    load.end().await.are_kept(&system, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extracting_and_merging_back_at_once_harms_nobody() {
    let mut random = seed("extracting_and_merging_back_at_once_harms_nobody");
    let system = System::start().await;
    let load = Load::start(&system, 1, 1, Bear::Nothing, &mut random).await;
    let mut all = BTreeSet::new();
    for _ in 0..3 {
        system.run(&["extract", "catalog"]).await;
        system.stage("catalog", "remote").await;
        all.extend(system.healthy_pids("catalog").await);
        let pause = Duration::from_millis(random.random_range(0..200));
        let (extracted, merged) = tokio::join!(system.cli(&["extract", "catalog"]), async {
            tokio::time::sleep(pause).await;
            system.cli(&["merge-back", "catalog"]).await
        });
        let told = String::from_utf8_lossy(&extracted.stderr).into_owned();
        assert!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
        assert!(extracted.status.success() || told.len() > 40, "a sentence: {told}");
        assert_eq!(system.status("catalog").await["stage"], "local");
        load.goes_on(5, 5).await;
        all.extend(system.healthy_pids("catalog").await);
    }
    system.run(&["merge-back", "catalog"]).await;
    holds_soon("nobody is left behind", Duration::from_secs(20), || async {
        system.healthy_pids("catalog").await.is_empty() && !all.iter().any(|&pid| office::runs(pid))
    })
    .await;
    load.end().await.are_kept(&system, false).await;
}
