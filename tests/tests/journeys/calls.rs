//! What travels with a call: the trace, and who answered.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use system_tests::{Options, Service, System, holds_soon};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn json_log() -> Options {
    let env = [("BANYAN_LOG__FORMAT", "json"), ("BANYAN_LOG__LEVEL", "debug")];
    Options {
        env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_in_through_and_out_and_is_in_every_line() {
    let system = System::with(json_log()).await;
    let service = Service::start(&system, "catalog", &[]).await;
    let given = format!("00-{TRACE}-00f067aa0ba902b7-01");
    for stage in ["local", "remote"] {
        system.stage("catalog", stage).await;
        let headers = [("traceparent", given.as_str()), ("tracestate", "vendor=1")];
        let answer = system
            .send(Method::GET, "/api/v1/catalog/shows?limit=1", &headers, "")
            .await
            .expect("an answer");
        let out: Vec<_> = answer.header("traceparent").split('-').collect();
        assert_eq!((out.len(), out[1]), (4, TRACE), "{stage}: {answer:?}");
        assert_ne!(out[2], "00f067aa0ba902b7", "a span of our own");

        for wrong in [
            "",
            "00-0-0-01",
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            "ff-x",
        ] {
            let answer = system
                .send(Method::GET, "/api/v1/catalog/shows", &[("traceparent", wrong)], "")
                .await;
            let answer = answer.expect("an answer");
            let id = answer
                .header("traceparent")
                .split('-')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            assert!(
                id.len() == 32 && id != TRACE && id != "0".repeat(32),
                "{wrong}: {answer:?}"
            );
        }
    }
    // Both processes write into the one log of this test; each is a line of JSON with the trace.
    holds_soon(
        "both processes have logged the call",
        Duration::from_secs(10),
        || async {
            let lines = parsed(&system.log());
            let ours: Vec<_> = lines
                .iter()
                .filter(|l| l["trace_id"] == TRACE || l["span"]["trace_id"] == TRACE)
                .collect();
            ours.iter().filter(|l| l.to_string().contains("answered")).count() >= 3
        },
    )
    .await;
    drop(service);
}

/// The lines of a log that is JSON throughout.
fn parsed(log: &str) -> Vec<Value> {
    let lines = log.lines().filter(|l| l.starts_with('{'));
    let lines: Vec<Value> = lines
        .map(|l| serde_json::from_str(l).expect("a line of JSON"))
        .collect();
    for line in &lines {
        assert!(line["level"].is_string() || line["severity"].is_string(), "{line}");
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answered_is_hidden_when_asked_so() {
    let env = vec![("BANYAN_PUBLIC__SERVER_TIMING".to_owned(), "false".to_owned())];
    let system = System::with(Options {
        env,
        ..Options::default()
    })
    .await;
    let _service = Service::start(&system, "catalog", &[]).await;
    for stage in ["local", "shadow", "remote"] {
        system.stage("catalog", stage).await;
        let answer = system.get("/api/v1/catalog/shows").await;
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key("server-timing"), "{stage}: {answer:?}");
    }
    let (_, made) = system.announce().await;
    assert_eq!(made.each_ref().map(|a| (a.status, a.served("catalog"))), [(201, ""); 3]);
    assert_eq!(system.status("catalog").await["answered"]["fallback"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_give_the_same_bytes() {
    let system = System::start().await;
    let _service = Service::start(&system, "catalog", &[]).await;
    let (show, _) = system.announce().await;
    let path = format!("/api/v1/catalog/shows/{show}");
    let tag = system.get(&path).await.header("etag").to_owned();
    let missing = format!("/api/v1/catalog/shows/{}", system_tests::office::id());
    let asks = [
        (path.as_str(), vec![]),
        (path.as_str(), vec![("if-none-match", tag.as_str())]),
        (missing.as_str(), vec![]),
        ("/api/v1/catalog/shows/no-id", vec![]),
        ("/api/v1/catalog/shows?limit=5", vec![]),
        ("/api/v1/catalog/shows?limit=0", vec![]),
        ("/api/v1/catalog/shows?cursor=%00", vec![]),
    ];
    let mut sides = Vec::new();
    for stage in ["local", "remote"] {
        system.stage("catalog", stage).await;
        let mut answers = Vec::new();
        for (path, headers) in &asks {
            let answer = system.send(Method::GET, path, headers, "").await.expect("an answer");
            assert_eq!(answer.served("catalog"), stage);
            let kept = [
                "content-type",
                "etag",
                "link",
                "cache-control",
                "vary",
                "content-length",
            ];
            let headers = kept.map(|name| answer.header(name).to_owned());
            answers.push((path.to_owned(), answer.status, headers, answer.body));
        }
        sides.push(answers);
    }
    for (local, remote) in sides[0].iter().zip(&sides[1]) {
        assert_eq!(local, remote);
    }
}
