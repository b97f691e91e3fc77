//! The documents: what the modules tell others, and what browsers are told about the pages.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;
use system_tests::{System, office};

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_what_is_documented() {
    let system = System::start().await;
    let (show, _) = system.announce().await;
    let bearer = format!("Bearer {}", system.token());
    let cancel = [("authorization", bearer.as_str())];
    let answer = system.send(Method::DELETE, &office::show_path(show), &cancel, "").await;
    assert_eq!(answer.expect("an answer").status, 204);
    let act = format!("/api/v1/catalog/acts/{}", office::id());
    for name in ["Before", "After"] {
        assert!(system.put(&act, &office::act(name)).await.status < 300);
    }

    let json = system.get("/docs/events.json").await;
    let document = json.json();
    assert_eq!(
        json.header("content-type"),
        "application/vnd.aai.asyncapi+json;version=3.0.0"
    );
    let printed: Value = serde_json::from_str(&system.run(&["asyncapi"]).await).expect("JSON");
    assert_eq!(printed, document);
    let one: Value = serde_json::from_str(&system.run(&["asyncapi", "catalog"]).await).expect("JSON");
    assert_eq!(one["channels"]["catalog"], document["channels"]["catalog"]);
    let out = system.cli(&["asyncapi", "nowhere"]).await;
    assert_eq!(out.status.code(), Some(2));

    // Whatever stands in the log is a message of its channel, and its data has the fields that are always there.
    let events = system.events("catalog").await;
    let mut types = BTreeSet::new();
    for event in &events {
        let name = format!("{}.v{}", event["type"].as_str().expect("a type"), event["dataversion"]);
        let channel = &document["channels"]["catalog"]["messages"][&name];
        assert!(channel.is_object(), "{name} is not documented");
        let parts = &document["components"]["messages"][&name]["payload"]["allOf"];
        let reference = parts[1]["properties"]["data"]["$ref"].as_str().expect("a reference");
        let schema = document.pointer(&reference[1..]).expect(reference);
        let required = schema["required"].as_array().expect("names");
        for field in required.iter().filter_map(Value::as_str) {
            assert!(!event["data"][field].is_null(), "{name} has no {field}: {event}");
        }
        assert!(
            keys(&event["data"]).is_subset(&keys(&schema["properties"])),
            "{name} tells more: {event}"
        );
        let envelope = &document["components"]["schemas"]["Envelope"];
        assert_eq!(keys(event), keys(&envelope["properties"]), "{event}");
        types.insert(name);
    }
    assert!(events.len() > 40 && types.len() >= 5, "{types:?}");
    assert!(
        types.contains("catalog.show.cancelled.v1") && types.contains("catalog.act.changed.v1"),
        "{types:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_are_a_page_that_needs_nothing() {
    let system = System::start().await;
    let page = system.get("/docs/events").await;
    let html = String::from_utf8(page.body.to_vec()).expect("text");
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, "text/html; charset=utf-8")
    );
    assert_eq!(page.header("vary"), "accept");
    for event in ["catalog.act.announced", "catalog.show.cancelled"] {
        assert!(html.contains(event), "{event}");
    }
    assert!(
        html.contains("<html lang=\"en\">") && html.contains("<h1>") && html.contains("id=\"main\""),
        "{html}"
    );
    assert!(
        !html.contains("<script") && !html.contains("http://") && !html.contains("https://"),
        "nothing from outside"
    );
    let css = system.get("/docs/events.css").await;
    assert_eq!(
        (css.status, css.header("content-type")),
        (200, "text/css; charset=utf-8")
    );
    let accept = [("accept", "application/json")];
    let json = system
        .send(Method::GET, "/docs/events", &accept, "")
        .await
        .expect("an answer");
    assert_eq!((json.status, json.json()["asyncapi"].as_str()), (200, Some("3.0.0")));
    assert_eq!(json.header("vary"), "accept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_the_documents_is_protected() {
    let system = System::start().await;
    for path in [
        "/docs/",
        "/docs/swagger-ui-bundle.js",
        "/docs/openapi/catalog-v1.json",
        "/docs/openapi/nothing.json",
        "/docs/nothing",
        "/docs/events",
        "/docs/events.json",
        "/docs/events.css",
    ] {
        let answer = system.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert!(
            !policy.contains("unsafe-eval") && !policy.contains("script-src 'self' 'unsafe"),
            "{path}: {policy}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
    }
    // Swagger UI's page has no script of its own in it, which the policy would stop.
    let page = String::from_utf8(system.get("/docs/").await.body.to_vec()).expect("text");
    let scripts: Vec<_> = page.split("<script").skip(1).collect();
    assert!(
        !scripts.is_empty() && scripts.iter().all(|s| s.trim_start().starts_with("src=\"./")),
        "{page}"
    );
    assert!(!page.contains("<style") && !page.contains(" onload="), "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_of_the_control_plane_is_answered_with_a_problem() {
    let system = System::start().await;
    let token = system.token();
    let asks = [
        (Method::GET, "/control/v1/modules/%FF/diffs"),
        (Method::GET, "/control/v1/modules/%FF/openapi"),
        (Method::GET, "/control/v1/events/%FF"),
        (Method::GET, "/control/v1/events/catalog?limit=many"),
        (Method::POST, "/control/v1/modules/%FF/extract"),
        (Method::DELETE, "/control/v1/instances/%FF"),
        (Method::GET, "/control/v1/dead-letters?limit=-1"),
        (Method::GET, "/control/v1/dead-letters?of=nowhere"),
        (Method::GET, "/control/v1/dead-letters/a/b/%FF"),
        (Method::GET, "/control/v1/dead-letters/catalog/b/one"),
        (Method::GET, "/control/v1/dead-letters/catalog/b/1"),
        (Method::POST, "/control/v1/dead-letters/retry"),
        (Method::GET, "/control/v1/sagas/%FF"),
        (Method::GET, "/control/v1/sagas/nowhere/1"),
        (Method::GET, "/control/v1/sagas?status=odd"),
        (Method::POST, "/control/v1/sagas/resume"),
        (Method::POST, "/control/v1/sagas/cancel"),
        (Method::PATCH, "/control/v1/sagas"),
        (Method::GET, "/control/v1/nothing"),
    ];
    for (method, path) in asks {
        let answer = system
            .inside(method.clone(), path, Some(&token), "{}")
            .await
            .expect("an answer");
        assert!(
            (400..500).contains(&answer.status) && answer.is_problem(),
            "{method} {path}: {answer:?}"
        );
    }
}
