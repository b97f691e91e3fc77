//! Toggles: flipped for a module or an operation, refused when they cannot work, kept over a restart.

use http::Method;
use serde_json::{Value, json};
use system_tests::{Behaviour, Candidate, Database, Options, Service, System, office};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_has_a_stage_of_its_own_and_inherits_again() {
    let system = System::start().await;
    let _service = Service::start(&system, "catalog", &[]).await;
    let show = office::show_path(&system.shows(1).await[0]);
    let served = async |path: &str| system.get(path).await.served("catalog").to_owned();

    system.stage("catalog.show", "remote").await;
    assert_eq!(
        (served(&show).await, served("/api/v1/catalog/shows").await),
        ("remote".into(), "local".into())
    );
    assert_eq!(
        system.status("catalog").await["operations"]["catalog.show"]["stage"],
        "remote"
    );

    system.stage("catalog", "remote").await;
    system.stage("catalog.show", "local").await;
    assert_eq!(
        (served(&show).await, served("/api/v1/catalog/shows").await),
        ("local".into(), "remote".into())
    );
    let (_, made) = system.announce().await;
    assert_eq!(made.each_ref().map(|a| a.served("catalog")), ["remote"; 3]);

    system.stage("catalog.show", "inherit").await;
    assert_eq!(served(&show).await, "remote");
    assert_eq!(system.status("catalog").await["operations"], json!({}));

    for (args, said) in [
        (["stage", "catalog", "inherit"], "name an operation"),
        (["stage", "catalog.sing", "local"], "catalog.show"),
        (["stage", "opera", "local"], "catalog"),
        (
            ["stage", "catalog", "sideways"],
            "local, shadow, canary, remote, verify",
        ),
    ] {
        let out = system.cli(&args).await;
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{args:?}: {told}");
        assert!(told.contains(said), "{args:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_cannot_work_is_refused() {
    let system = System::start().await;
    let refused = async |stage: &str, said: &str| {
        let out = system.cli(&["stage", "catalog", stage]).await;
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(3), "{told}");
        assert!(told.contains(said) && told.len() > 40, "{told}");
        assert_eq!(system.status("catalog").await["stage"], "local");
    };
    refused("shadow", "banyan extract catalog").await;
    refused("remote", "banyan extract catalog").await;

    let other = Candidate::start(&system, 2, false, |_| Behaviour::Hang).await;
    refused("remote", "version 2").await;
    refused("shadow", &other.url).await;
    assert_eq!(other.asked(), 0);

    // A good one beside it is enough, and only that one is asked.
    let mut service = Service::start(&system, "catalog", &[]).await;
    system.stage("catalog", "remote").await;
    for show in system.shows(20).await {
        let answer = system.get(&office::show_path(show)).await;
        assert_eq!((answer.status, answer.served("catalog")), (200, "remote"));
    }
    assert_eq!(other.asked(), 0);
    system.stage("catalog", "local").await;
    assert!(service.stop().success());
    refused("remote", "version 2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_when_the_service_is_gone() {
    gone(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_when_the_service_is_gone_on_postgres() {
    let Some(database) = Database::make("what happens when the service is gone").await else {
        return;
    };
    gone(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    database.drop().await;
}

async fn gone(options: Options) {
    let system = System::with(options).await;
    let mut service = Service::start(&system, "catalog", &[]).await;
    let show = office::show_path(&system.shows(1).await[0]);
    let act = || format!("/api/v1/catalog/acts/{}", office::id());
    system.stage("catalog", "remote").await;
    assert_eq!(system.get(&show).await.served("catalog"), "remote");
    service.kill();

    // The monolith answers: a query always, a command because nobody took it.
    for _ in 0..20 {
        let answer = system.get(&show).await;
        assert_eq!(
            (answer.status, answer.served("catalog")),
            (200, "fallback"),
            "{answer:?}"
        );
        let answer = system.put(&act(), &office::act("Nobody Took It")).await;
        assert_eq!(
            (answer.status, answer.served("catalog")),
            (201, "fallback"),
            "{answer:?}"
        );
    }
    assert!(system.status("catalog").await["answered"]["fallback"].as_u64() >= Some(40));

    // Without a fallback the caller learns it. The stage itself needs a service to be set, as ever.
    service.kill_and_restart(&system);
    service.ready(&system).await;
    system.run(&["stage", "catalog", "remote", "--fallback", "none"]).await;
    assert_eq!(system.status("catalog").await["fallback"], "none");
    service.kill();
    for _ in 0..20 {
        for answer in [system.get(&show).await, system.put(&act(), &office::act("Lost")).await] {
            assert!(matches!(answer.status, 502 | 503) && answer.is_problem(), "{answer:?}");
            assert_eq!(answer.served("catalog"), "remote");
        }
    }
    // It comes back by itself.
    service.kill_and_restart(&system);
    service.ready(&system).await;
    assert_eq!(system.get(&show).await.served("catalog"), "remote");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_whose_effect_is_uncertain_is_not_repeated() {
    let system = System::start().await;
    let show = office::show_path(&system.shows(1).await[0]);
    let act = format!("/api/v1/catalog/acts/{}", office::id());
    let _candidate = Candidate::start(&system, 1, false, |_| Behaviour::Close).await;
    system.stage("catalog", "remote").await;
    let answer = system.put(&act, &office::act("Perhaps")).await;
    assert!(answer.status == 502 && answer.is_problem(), "{answer:?}");
    assert_eq!(
        system.get(&act).await.status,
        404,
        "the monolith did not do it a second time"
    );
    let answer = system.get(&show).await;
    assert_eq!((answer.status, answer.served("catalog")), (200, "fallback"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_the_service_fails_is_answered_by_the_monolith() {
    let system = System::start().await;
    let show = office::show_path(&system.shows(1).await[0]);
    let truth = system.get(&show).await.json();
    let candidate = Candidate::start(&system, 1, false, |_| Behaviour::Json(500, json!({"oh": "no"}))).await;
    system.stage("catalog", "remote").await;
    let answer = system.get(&show).await;
    assert_eq!(
        (answer.status, answer.served("catalog"), answer.json()),
        (200, "fallback", truth)
    );
    assert_eq!(candidate.asked(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn toggles_and_their_audit_survive_a_restart() {
    toggles(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn toggles_and_their_audit_survive_a_restart_on_postgres() {
    let Some(database) = Database::make("toggles survive a restart").await else {
        return;
    };
    toggles(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    database.drop().await;
}

async fn toggles(options: Options) {
    let mut system = System::with(options).await;
    let service = Service::start(&system, "catalog", &[]).await;
    system
        .run(&[
            "stage",
            "catalog",
            "remote",
            "--fallback",
            "none",
            "--why",
            "it is \"ready\" – oui ✓",
        ])
        .await;
    system
        .run(&["stage", "catalog.show", "shadow", "--fallback", "local"])
        .await;
    system.run(&["stage", "catalog.act", "local"]).await;
    system.run(&["stage", "catalog.act", "inherit", "--why", "no"]).await;
    let toggles = |map: &Value| (map["stage"].clone(), map["fallback"].clone(), map["operations"].clone());
    let before = (
        toggles(&system.status("catalog").await),
        system.run(&["audit", "--json"]).await,
    );
    assert_eq!(
        before.0,
        (
            "remote".into(),
            "none".into(),
            json!({"catalog.show": {"stage": "shadow", "percent": null}})
        )
    );
    let audit: Value = serde_json::from_str(&before.1).expect("JSON");
    let line = |n: usize, key: &str| audit["entries"][n][key].as_str().unwrap_or_default().to_owned();
    assert_eq!(audit["entries"].as_array().map(Vec::len), Some(4), "{audit}");
    assert_eq!(
        (line(0, "from"), line(0, "to"), line(0, "by")),
        ("local".into(), "remote (no fallback)".into(), "operator".into())
    );
    assert_eq!(line(0, "why"), "it is \"ready\" – oui ✓");
    assert_eq!(
        (line(1, "target"), line(1, "from"), line(1, "to")),
        ("catalog.show".into(), "inherit".into(), "shadow".into())
    );
    assert_eq!((line(3, "from"), line(3, "to")), ("local".into(), "inherit".into()));

    for killed in [false, true] {
        if killed {
            system.kill()
        } else {
            assert!(system.stop().success())
        }
        system.start_again().await;
        assert_eq!(toggles(&system.status("catalog").await), before.0);
        assert_eq!(system.run(&["audit", "--json"]).await, before.1);
    }
    service.ready(&system).await;
    assert_eq!(system.get("/api/v1/catalog/shows").await.served("catalog"), "remote");
    let limited: Value = serde_json::from_str(&system.run(&["audit", "--json", "--limit", "1"]).await).expect("JSON");
    assert_eq!(limited["entries"], json!([audit["entries"][3]]));

    // What makes no sense leaves no line.
    let wrong = json!({"target": "catalog", "stage": "remotely"}).to_string();
    let answer = system
        .inside(Method::POST, "/control/v1/stage", Some(&system.token()), wrong)
        .await
        .expect("an answer");
    assert!((400..500).contains(&answer.status) && answer.is_problem(), "{answer:?}");
    assert_eq!(system.run(&["audit", "--json"]).await, before.1);
}
