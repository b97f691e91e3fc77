//! What is refused because it cannot be read, looked for or written down; and what two who ask the same at once get.

use std::os::unix::fs::PermissionsExt;

use http::Method;
use serde_json::{Value, json};
use system_tests::{Answer, Database, Options, System};

use crate::{
    console::{field, outcome, park, see, send, signed_in, text},
    letters::{Schema, json_of, refused},
};

/// Asks the control plane.
async fn ask(system: &System, method: Method, path: &str, body: Value) -> Answer {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let answer = system.inside(method, path, Some(&system.token()), body).await;
    answer.expect("an answer")
}

async fn control_characters(system: &System) {
    let cookie = signed_in(system).await;
    let form = [
        ("cookie", cookie.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    for why in ["%00", "a%0ab", "%00%0a%1b[31m"] {
        let body = format!("target=catalog.show&stage=local&why={why}");
        let answer = system.send(Method::POST, "/console/stage", &form, body).await;
        let answer = answer.expect("an answer");
        assert!(
            answer.status == 400 && text(&answer).contains("a reason is one line of text"),
            "{why}: {}",
            text(&answer)
        );
    }
    for (path, mut body) in [
        ("/control/v1/stage", json!({"target": "catalog.show", "stage": "local"})),
        ("/control/v1/modules/catalog/extract", json!({})),
        ("/control/v1/modules/catalog/merge-back", json!({})),
        ("/control/v1/dead-letters/discard", json!({"all": true})),
        ("/control/v1/sagas/resume", json!({"all": true})),
        (
            "/control/v1/sagas/cancel",
            json!({"id": "0190f2d4-5c1e-7a3b-8f00-3c2a1b0d9e8f"}),
        ),
    ] {
        body["why"] = json!("a\0b");
        let answer = ask(system, Method::POST, path, body).await;
        assert!(
            answer.status == 400 && text(&answer).contains("a reason is one line of text"),
            "{path}: {} {}",
            answer.status,
            text(&answer)
        );
    }
    for query in [
        "audit?by=%00",
        "audit?target=%00",
        "audit?exactly=a%0a",
        "dead-letters/ordering/%00/1",
        "dead-letters?of=ordering/%00",
        "dead-letters?event=%00",
        "sagas?module=%00",
        "requests?q=a%00",
    ] {
        let answer = ask(system, Method::GET, &format!("/control/v1/{query}"), Value::Null).await;
        assert!(
            answer.status == 400 && text(&answer).contains("control characters"),
            "{query}: {} {}",
            answer.status,
            text(&answer)
        );
    }
    for path in [
        "audit?by=a%00",
        "audit?target=a%00",
        "messages/ordering/%00/1",
        "messages?module=ordering&subscription=a%00",
        "messages?type=a%00",
        "sagas?module=a%00",
        "requests?q=a%00",
    ] {
        let answer = see(system, &cookie, &format!("/console/{path}")).await;
        assert!(
            answer.status == 400 && text(&answer).contains("control characters"),
            "{path}: {} {}",
            answer.status,
            text(&answer)
        );
    }
    assert_eq!(json_of(system, &["audit", "--json"]).await["entries"], json!([]));
}

async fn the_same_at_once(system: &System, database: Option<&Database>) {
    let cookie = signed_in(system).await;
    let schema = Schema::of(system, database, "strangler").await;
    schema.break_it().await;
    let [id] = &park(system, &schema, 1, 1).await[..] else {
        panic!("one letter");
    };
    let lines = async |target: &str| {
        let audit = json_of(system, &["audit", "--target", target, "--json"]).await;
        audit["entries"].as_array().map_or(0, Vec::len)
    };
    for (n, (verb, body)) in [
        ("discard", json!({"ids": [id]})),
        ("restore", json!({"ids": [id]})),
        ("discard", json!({"all": true})),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/control/v1/dead-letters/{verb}");
        let once = || ask(system, Method::POST, &path, body.clone());
        let (a, b, c) = tokio::join!(once(), once(), once());
        let mut all = [a.status, b.status, c.status];
        all.sort_unstable();
        assert_eq!(all, [200, 409, 409], "{verb}");
        assert_eq!(lines("dead-letter").await, n + 1, "{verb}");
    }

    system.run(&["stage", "catalog.show", "local"]).await;
    system.run(&["stage", "catalog.show", "local", "--why", "again"]).await;
    assert_eq!(lines("catalog.show").await, 1, "it was so already");
    let page = text(&see(system, &cookie, "/console/modules/catalog?changed=catalog.show").await);
    let at = field(&page, "at");
    let undo = [("target", "catalog.show"), ("at", at.as_str()), ("why", "")];
    let once = || send(system, &cookie, "/console/modules/catalog/undo", &undo);
    let (a, b, c) = tokio::join!(once(), once(), once());
    let refused = [a, b, c]
        .iter()
        .filter(|page| outcome(page).contains("somebody changed catalog.show since"))
        .count();
    assert_eq!((refused, lines("catalog.show").await), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_characters_are_refused_and_what_is_done_once_is_written_down_once() {
    let system = System::start().await;
    control_characters(&system).await;
    the_same_at_once(&system, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_characters_are_refused_and_what_is_done_once_is_written_down_once_on_postgres() {
    let Some(database) = Database::make("refusals").await else {
        return;
    };
    let system = System::with(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    control_characters(&system).await;
    the_same_at_once(&system, Some(&database)).await;
    drop(system);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_said_and_nothing_is_done() {
    let system = System::start().await;
    let cookie = signed_in(&system).await;
    let saga = "/console/sagas/ordering/0190f2d4-5c1e-7a3b-8f00-3c2a1b0d9e8f";
    for path in [
        "/console/modules/catalog/extract".to_owned(),
        "/console/modules/catalog/merge-back".to_owned(),
        "/console/modules/catalog/undo".to_owned(),
        "/console/messages/discard".to_owned(),
        format!("{saga}/cancel"),
    ] {
        for (media, body) in [
            ("text/plain", "why=a"),
            ("application/x-www-form-urlencoded", "why=a&why=b"),
        ] {
            let headers = [("cookie", cookie.as_str()), ("content-type", media)];
            let answer = system.send(Method::POST, &path, &headers, body).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 303, "{path}");
            if path.starts_with(saga) {
                continue;
            }
            let to = answer
                .header("location")
                .split('#')
                .next()
                .unwrap_or_default()
                .to_owned();
            let page = text(&see(&system, &cookie, &to).await);
            assert!(outcome(&page).contains("the form was not understood"), "{path}: {page}");
        }
    }
    assert_eq!(json_of(&system, &["audit", "--json"]).await["entries"], json!([]));

    for (path, said) in [
        ("messages?module=catalog&module=seating", "duplicate field"),
        ("sagas?state=stuck&state=done", "duplicate field"),
        ("audit?by=a&by=b", "duplicate field"),
        ("parallel-run?module=catalog&module=seating", "duplicate field"),
        ("messages?since=yesterday", "is no time"),
        ("audit?since=yesterday", "is no time"),
        ("sagas?state=odd", "is no status of a saga"),
        ("requests?min_ms=x", "is no number of milliseconds such as 100"),
    ] {
        let answer = see(&system, &cookie, &format!("/console/{path}")).await;
        let page = text(&answer);
        assert!(
            answer.status == 400 && page.contains(said) && !page.contains("deserialize") && !page.contains("..</p>"),
            "{path}: {} {page}",
            answer.status
        );
    }

    // The public address says where the pages are, in the words of whoever asks.
    for (accept, media) in [("text/html", "text/html"), ("*/*", "text/plain")] {
        let answer = system
            .send(Method::GET, "/nothing/here", &[("accept", accept)], "")
            .await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 404);
        assert!(answer.header("content-type").starts_with(media), "{answer:?}");
        assert!(
            answer
                .header("content-security-policy")
                .starts_with("default-src 'none'")
        );
        assert!(text(&answer).contains("/console"), "{answer:?}");
    }

    // The command line says what is wrong with how it was asked.
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().display().to_string();
    let (code, told) = refused(&system, &["status", "--data", &format!("{data}/none")]).await;
    assert!(code == Some(2) && told.contains("--data"), "{code:?} {told}");
    let token = folder.path().join("operator-token");
    std::fs::write(&token, "nonsense\n").expect("written");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).expect("set");
    let (code, told) = refused(&system, &["status", "--data", &data]).await;
    assert!(
        code == Some(2) && told.contains("BANYAN_OPERATOR_TOKEN"),
        "{code:?} {told}"
    );
    let (code, told) = refused(&system, &["status", "--control", &system.public()]).await;
    assert!(
        code == Some(2) && told.contains("is this the internal address?"),
        "{code:?} {told}"
    );
}
