//! Who may pass where, and that no token leaks.

use std::{fs, path::Path};

use http::Method;
use serde_json::json;
use system_tests::{Asked, Behaviour, Candidate, Database, Options, Service, System, office};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_asks_for_the_operators_token() {
    let system = System::start().await;
    let (operator, join) = (system.token(), system.join_token());
    let id = office::id();
    let registration = json!({"id": id, "module": "catalog", "contract": 1, "url": "http://127.0.0.1:9", "pid": 1});
    let stage = json!({"target": "catalog", "stage": "local"});
    let asks = [
        (Method::GET, "/control/v1/status".to_owned(), json!(null), false),
        (Method::GET, "/control/v1/audit".to_owned(), json!(null), false),
        (Method::GET, "/control/v1/events/catalog".to_owned(), json!(null), false),
        (
            Method::GET,
            "/control/v1/modules/catalog/diffs".to_owned(),
            json!(null),
            false,
        ),
        (Method::GET, "/control/v1/dead-letters".to_owned(), json!(null), false),
        (Method::GET, "/control/v1/sagas".to_owned(), json!(null), false),
        (Method::POST, "/control/v1/stage".to_owned(), stage, false),
        (Method::POST, "/control/v1/keys/rotate".to_owned(), json!({}), false),
        (
            Method::POST,
            "/control/v1/modules/catalog/merge-back".to_owned(),
            json!({}),
            false,
        ),
        (Method::PUT, format!("/control/v1/instances/{id}"), registration, true),
        (Method::DELETE, format!("/control/v1/instances/{id}"), json!(null), true),
        (Method::GET, "/.well-known/jwks.json".to_owned(), json!(null), true),
    ];
    for (method, path, body, joined) in &asks {
        let ask = async |token: Option<&str>| {
            let answer = system
                .inside(method.clone(), path, token, body.to_string())
                .await
                .expect("an answer");
            assert!(
                answer.status < 400 || answer.is_problem(),
                "{method} {path}: {answer:?}"
            );
            answer.status
        };
        assert_eq!(ask(None).await, 401, "{method} {path} without a token");
        assert_eq!(ask(Some("")).await, 401, "{method} {path} with an empty token");
        assert_eq!(
            ask(Some(&operator[..operator.len() - 1])).await,
            401,
            "{method} {path} with most of the token"
        );
        let status = ask(Some(&join)).await;
        assert_eq!(status < 300, *joined, "{method} {path} with the join token: {status}");
        assert!(
            *joined || status == 403,
            "{method} {path} with the join token: {status}"
        );
        assert!(
            ask(Some(&operator)).await < 300,
            "{method} {path} with the operator's token"
        );
    }
    // The control plane is on the internal address alone.
    for path in ["/control/v1/status", "/.well-known/jwks.json", "/metrics"] {
        let bearer = format!("Bearer {operator}");
        let answer = system
            .send(Method::GET, path, &[("authorization", bearer.as_str())], "")
            .await
            .expect("an answer");
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_internal_address_answers_nobody_without_a_token() {
    let system = System::start().await;
    let act = format!("/api/v1/catalog/acts/{}", office::id());
    let paths = [
        "/",
        "/docs/",
        "/console",
        "/control/v1/status",
        "/.well-known/jwks.json",
        "/api/v1/catalog/shows",
        &act,
        "/x",
    ];
    for path in paths {
        for (method, token) in [(Method::GET, None), (Method::PUT, None), (Method::GET, Some("banyan"))] {
            let answer = system.inside(method, path, token, "{}").await.expect("an answer");
            assert!(matches!(answer.status, 401 | 405), "{path}: {answer:?}");
            assert!(answer.is_problem(), "{path}: {answer:?}");
        }
    }
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(
            system
                .inside(Method::GET, path, None, "")
                .await
                .expect("an answer")
                .status,
            200,
            "{path}"
        );
    }
    // The join token reads the contracts and writes nothing.
    let join = system.join_token();
    let read = system
        .inside(Method::GET, "/api/v1/catalog/shows", Some(&join), "")
        .await
        .expect("an answer");
    let write = system
        .inside(Method::PUT, &act, Some(&join), office::act("Joined").to_string())
        .await
        .expect("an answer");
    assert_eq!((read.status, write.status), (200, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_asks_who_you_are() {
    let system = System::start().await;
    let join = format!("Bearer {}", system.join_token());
    for headers in [
        vec![],
        vec![("authorization", join.as_str())],
        vec![("cookie", "session=1; banyan=1; console=1")],
    ] {
        for path in ["/console", "/console/modules/catalog", "/console/events"] {
            let answer = system.send(Method::GET, path, &headers, "").await.expect("an answer");
            assert!(
                matches!(answer.status, 302 | 303 | 307 | 401 | 403 | 404),
                "{path} {headers:?}: {answer:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_caller_cannot_pass_for_a_comparison_or_for_somebody_else() {
    let system = System::start().await;
    let act = format!("/api/v1/catalog/acts/{}", office::id());
    let bearer = format!("Bearer {}", system.token());
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("strangler-run", "shadow"),
    ];
    let answer = system
        .send(Method::PUT, &act, &headers, office::act("Live").to_string())
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, system.get(&act).await.status),
        (201, 200),
        "it was written, whatever it claimed"
    );

    let (heads, seen) = std::sync::mpsc::sync_channel::<Asked>(64);
    let heads = std::sync::Mutex::new(heads);
    let candidate = Candidate::start(&system, 1, false, move |asked| {
        _ = heads.lock().expect("the list").send(asked.clone());
        Behaviour::Json(200, json!({"items": [], "next": null}))
    })
    .await;
    system.stage("catalog", "remote").await;
    let given = [
        ("authorization", bearer.as_str()),
        ("strangler-run", "shadow"),
        ("cookie", "session=abc"),
        ("connection", "x-secret"),
        ("x-secret", "1"),
    ];
    let answer = system
        .send(Method::GET, "/api/v1/catalog/shows?limit=3", &given, "")
        .await
        .expect("an answer");
    assert_eq!((answer.status, answer.served("catalog")), (200, "remote"));
    let asked = seen.recv().expect("the candidate was asked");
    assert_eq!(asked.path, "/api/v1/catalog/shows?limit=3");
    assert_eq!(asked.header("strangler-run"), Some("live"));
    assert!(
        !asked.head.contains(&system.token()) && !asked.head.contains("session="),
        "{}",
        asked.head
    );
    assert_eq!(asked.header("x-secret"), None, "{}", asked.head);
    assert!(
        asked
            .header("authorization")
            .is_some_and(|a| a.starts_with("Bearer eyJ")),
        "{}",
        asked.head
    );
    assert!(asked.header("request-timeout").is_some(), "{}", asked.head);
    drop(candidate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_ever_logged() {
    silent(Options::default(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_ever_logged_on_postgres() {
    let Some(database) = Database::make("no token is ever logged").await else {
        return;
    };
    silent(
        Options {
            database: Some(database.url()),
            ..Options::default()
        },
        Some(database.name()),
    )
    .await;
    database.drop().await;
}

async fn silent(mut options: Options, database: Option<&str>) {
    options.env.push(("BANYAN_LOG__LEVEL".to_owned(), "trace".to_owned()));
    let mut system = System::with(options).await;
    system.run(&["extract", "catalog"]).await;
    let _service = Service::start(&system, "catalog", &[]).await;
    for stage in ["shadow", "remote"] {
        system.stage("catalog", stage).await;
        system.announce().await;
        assert_eq!(system.get("/api/v1/catalog/shows").await.status, 200);
    }
    let wrong = [
        ("authorization", "Bearer banyan_wrong_secret"),
        ("cookie", "session=cookie_secret"),
    ];
    let answer = system
        .send(Method::GET, "/api/v1/catalog/shows", &wrong, "")
        .await
        .expect("an answer");
    assert_eq!(answer.status, 401);
    system.run(&["keys", "rotate"]).await;
    let extracted = system.data().join("logs/catalog.log");
    let logs = format!("{}{}", system.log(), fs::read_to_string(extracted).expect("a log"));
    assert!(logs.len() > 1000);
    let mut secrets = vec![
        system.token(),
        system.join_token(),
        "Bearer ".to_owned(),
        "eyJ".to_owned(),
    ];
    secrets.extend([
        "banyan_wrong_secret".to_owned(),
        "cookie_secret".to_owned(),
        "PRIVATE KEY".to_owned(),
    ]);
    for secret in secrets {
        let line = logs
            .lines()
            .find(|l| l.contains(&secret))
            .map(|l| l.replace(&secret, "…"));
        assert_eq!(line, None, "a secret was logged");
    }
    if let Some(name) = database {
        // The roles' passwords: postgres://<database>_catalog:<password>@…
        let line = logs
            .lines()
            .find(|l| l.contains(&format!("{name}_catalog:")) || l.contains("PASSWORD '"));
        assert_eq!(line, None, "a password was logged");
    }
    for secret in ["operator-token", "join-token"] {
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(file(&system.data(), secret)).expect("there").permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    assert!(system.stop().success());
}

fn file(folder: &Path, name: &str) -> std::path::PathBuf {
    folder.join(name)
}
