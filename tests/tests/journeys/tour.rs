//! One module in one process; then in a process of its own, compared, in charge, and back.

use std::time::Duration;

use system_tests::{Database, Options, System, eventually, holds_soon, office};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour() {
    tour(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tour_on_postgres() {
    let Some(database) = Database::make("the tour").await else {
        return;
    };
    tour(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    database.drop().await;
}

async fn tour(options: Options) {
    let mut system = System::with(options).await;
    let shows = system.shows(100).await;
    assert!(shows.len() >= 40, "sample shows: {}", shows.len());
    let (early, made) = system.announce().await;
    assert_eq!(
        made.each_ref().map(|a| (a.status, a.served("catalog"))),
        [(201, "local"); 3]
    );

    // Extracted, and nothing changes for callers.
    system.run(&["extract", "catalog"]).await;
    let map = system.status("catalog").await;
    assert_eq!(map["stage"], "local");
    assert_eq!(map["instances"][0]["healthy"], true, "{map}");
    let pid = map["instances"][0]["pid"].as_u64().expect("a pid");
    assert_ne!(pid, u64::from(system.pid()));

    // Compared, and alike.
    system.stage("catalog", "shadow").await;
    for show in shows.iter().cycle().take(100) {
        let answer = system.get(&office::show_path(show)).await;
        assert_eq!((answer.status, answer.served("catalog")), (200, "local"));
    }
    let run = eventually("a hundred comparisons", SOON, || async {
        let run = system.on_map("catalog").await["parallel_run"].clone();
        (run["eligible"] == 100 && run["compared"] == 100).then_some(run)
    })
    .await;
    assert_eq!((&run["matched"], &run["mismatched"]), (&100.into(), &0.into()), "{run}");
    assert!(system.run(&["diffs", "catalog"]).await.is_empty());

    // In charge.
    system.stage("catalog", "remote").await;
    let answer = system.get(&office::show_path(&shows[0])).await;
    assert_eq!((answer.status, answer.served("catalog")), (200, "remote"));
    let (late, made) = system.announce().await;
    assert_eq!(
        made.each_ref().map(|a| (a.status, a.served("catalog"))),
        [(201, "remote"); 3]
    );

    // A second instance takes its turn; a restart of the monolith changes nothing.
    system.run(&["extract", "catalog"]).await;
    let pids = system.healthy_pids("catalog").await;
    assert_eq!(pids.len(), 2, "{pids:?}");
    assert!(system.stop().success());
    system.start_again().await;
    holds_soon("both register again", SOON, || async {
        system.healthy_pids("catalog").await.len() == 2
    })
    .await;
    assert_eq!(system.get(&office::show_path(late)).await.served("catalog"), "remote");

    // And back.
    system
        .run(&["merge-back", "catalog", "--why", "the tour is over"])
        .await;
    let map = system.status("catalog").await;
    assert_eq!(
        (map["stage"].as_str(), map["instances"].as_array().map(Vec::len)),
        (Some("local"), Some(0)),
        "{map}"
    );
    holds_soon("its processes have ended", SOON, || async {
        !pids.iter().any(|&p| office::runs(p))
    })
    .await;
    for show in [early, late] {
        let answer = system.get(&office::show_path(show)).await;
        assert_eq!((answer.status, answer.served("catalog")), (200, "local"));
    }
    assert_eq!(system.shows(100).await.len(), shows.len() + 2);
    holds_soon("the log has the later show", SOON, || async {
        system
            .events("catalog")
            .await
            .iter()
            .any(|e| e["subject"] == late.to_string())
    })
    .await;
    let happened = system.events("catalog").await;
    for show in [early, late] {
        let of: Vec<_> = happened.iter().filter(|e| e["subject"] == show.to_string()).collect();
        assert_eq!(of.len(), 1, "{of:?}");
        assert_eq!(of[0]["type"], "catalog.show.announced");
    }
    let audit = system.run(&["audit", "--json"]).await;
    assert!(audit.contains("the tour is over"), "{audit}");
    assert!(system.stop().success());
}
