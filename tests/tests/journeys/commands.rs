//! The command line where nothing runs, and its documents.

use std::fs;

use serde_json::Value;
use system_tests::{Database, Options, System};

#[tokio::test]
async fn nobody_runs() {
    let mut system = System::prepare(Options::default());
    // Before the first start there is not even a token; after it, there is.
    for started in [false, true] {
        if started {
            system.start_again().await;
            assert!(system.stop().success());
        }
        for args in [
            &["status"][..],
            &["stage", "catalog", "local"],
            &["extract", "catalog"],
            &["merge-back", "catalog"],
            &["audit", "--json"],
            &["diffs", "catalog"],
            &["events", "tail", "--once"],
            &["keys", "rotate"],
            &["dead-letters", "list"],
            &["dead-letters", "retry", "--all"],
            &["sagas", "list", "--json"],
            &["sagas", "resume", "--all"],
            &[
                "sagas",
                "cancel",
                "ordering/0190f2d4-5c1e-7a3b-8f00-3c2a1b0d9e8f",
                "--why",
                "x",
            ],
        ] {
            let out = system.cli(args).await;
            let told = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(4), "{args:?}: {told}");
            assert!(out.stdout.is_empty() && told.len() > 30, "{args:?}: {told}");
            let helps = if started { "start one with `banyan`" } else { "--data" };
            assert!(told.contains(helps), "{args:?}: {told}");
        }
    }
}

#[tokio::test]
async fn all_mistakes_of_the_settings_are_told_at_once() {
    let system = System::prepare(Options::default());
    let file = "[public]\nlisten = \"nowhere\"\nbudget_ms = -5\nspeed = \"high\"\n\n[log]\nformat = \"xml\"\n\n[moduls]\nx = 1\n";
    fs::write(system.folder().join("banyan.toml"), file).expect("written");
    for args in [&["config", "check"][..], &["serve"], &["status"]] {
        let mut command = system.command(args);
        command
            .env_remove("BANYAN_PUBLIC__LISTEN")
            .env("BANYAN_INTERNAL__CONNECTIONS", "many")
            .env("BANYAN_SPEEED", "1");
        let out = tokio::task::spawn_blocking(move || command.output().expect("it runs"))
            .await
            .expect("joined");
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{told}");
        for said in [
            "banyan.toml:2",
            "banyan.toml:3",
            "banyan.toml:4",
            "banyan.toml:7",
            "moduls",
            "BANYAN_INTERNAL__CONNECTIONS",
            "BANYAN_SPEEED",
        ] {
            assert!(told.contains(said), "{args:?}: {said} is missing in:\n{told}");
        }
    }
    assert!(!system.data().exists(), "nothing was started");
    fs::write(system.folder().join("banyan.toml"), "[log]\nformat = \"json\"\n").expect("written");
    assert!(system.run(&["config", "check"]).await.contains("right"));
    let shown: Value = serde_json::from_str(&system.run(&["config", "show", "--json"]).await).expect("JSON");
    assert!(shown.to_string().contains("banyan.toml"), "{shown}");
}

#[tokio::test]
async fn wrong_usage_exits_2() {
    let system = System::prepare(Options::default());
    for args in [
        &["status", "--jsn"][..],
        &["serve", "--only", "catalog"],
        &["serve", "--only", "opera", "--join", "http://127.0.0.1:1"],
        &["serve", "--only", "catalog", "--join", "somewhere"],
        &[
            "serve",
            "--only",
            "catalog",
            "--join",
            "http://127.0.0.1:1",
            "--advertise",
            "ftp://x",
        ],
        &["openapi", "opera"],
        &["stage", "catalog", "local", "--fallback", "perhaps"],
        &["audit", "--limit", "0"],
    ] {
        let out = system.cli(args).await;
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.len() > 20, "{args:?}: {told}");
    }
}

#[tokio::test]
async fn documents_and_events_are_there() {
    let system = System::start().await;
    let document: Value = serde_json::from_str(&system.run(&["openapi", "catalog"]).await).expect("JSON");
    assert!(
        document["openapi"].as_str().is_some_and(|v| v.starts_with("3.")),
        "{}",
        document["openapi"]
    );
    assert!(
        document["paths"]["/api/v1/catalog/shows/{id}"]["put"].is_object(),
        "{}",
        document["paths"]
    );

    let (show, _) = system.announce().await;
    let lines = async || -> Vec<Value> {
        let said = system.run(&["events", "tail", "--once", "--json", "--last", "3"]).await;
        said.lines()
            .map(|l| serde_json::from_str(l).expect("a line of JSON"))
            .collect()
    };
    system_tests::holds_soon(
        "the relay has caught up",
        std::time::Duration::from_secs(10),
        || async { lines().await.last().is_some_and(|e| e["subject"] == show.to_string()) },
    )
    .await;
    let lines = lines().await;
    let types: Vec<_> = lines.iter().map(|e| e["type"].as_str().unwrap_or_default()).collect();
    assert_eq!(
        types,
        [
            "catalog.act.announced",
            "catalog.venue.registered",
            "catalog.show.announced"
        ]
    );
    for event in &lines {
        assert_eq!(
            (&event["specversion"], &event["source"]),
            (&"1.0".into(), &"catalog".into())
        );
        assert!(event["traceparent"].as_str().is_some_and(|t| t.len() == 55), "{event}");
    }
    let said = system.run(&["events", "tail", "--once"]).await;
    assert_eq!(said.lines().count(), 10, "{said}");
    assert!(system.run(&["status"]).await.contains("catalog"));
}

#[tokio::test]
async fn migrating_twice_is_migrating_once() {
    migrate(Options::default()).await;
}

#[tokio::test]
async fn migrating_twice_is_migrating_once_on_postgres() {
    let Some(database) = Database::make("migrating twice").await else {
        return;
    };
    migrate(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    database.drop().await;
}

async fn migrate(options: Options) {
    let mut system = System::prepare(options);
    let applied = async || -> Vec<(String, u64)> {
        let said: Value = serde_json::from_str(&system.run(&["migrate", "--json"]).await).expect("JSON");
        let row = |s: &Value| {
            (
                s["schema"].as_str().expect("a name").to_owned(),
                s["applied"].as_u64().expect("a number"),
            )
        };
        assert!(!said.to_string().contains("password"), "{said}");
        said["schemas"].as_array().expect("schemas").iter().map(row).collect()
    };
    let first = applied().await;
    assert!(first.len() >= 2 && first.iter().all(|(_, n)| *n > 0), "{first:?}");
    assert!(applied().await.iter().all(|(_, n)| *n == 0));
    system.start_again().await;
    assert!(system.shows(100).await.len() >= 40);
    let none = system.run(&["migrate", "--json"]).await;
    assert!(!none.contains("\"applied\":1"), "also while it runs: {none}");
    assert!(system.stop().success());
}
