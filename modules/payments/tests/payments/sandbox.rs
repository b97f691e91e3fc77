//! The sandbox by itself: what its addresses answer, and what is left of it after it was stopped.

use std::{fs, io::Write, time::Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::{Running, call};

async fn put(sandbox: &Running, key: &str, amount: i64, token: &str) -> (u16, Value) {
    let body = json!({"amount": amount, "currency": "EUR", "token": token});
    call(Method::POST, &format!("{}/intents", sandbox.url), Some(key), &body).await
}

async fn act(sandbox: &Running, key: &str, verb: &str) -> (u16, Value) {
    let url = format!("{}/intents/{key}/{verb}", sandbox.url);
    call(Method::POST, &url, Some(&format!("{key}:{verb}")), &Value::Null).await
}

async fn look(sandbox: &Running, key: &str) -> (u16, Value) {
    call(
        Method::GET,
        &format!("{}/intents/{key}", sandbox.url),
        None,
        &Value::Null,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_addresses_answer() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Running::start(folder.path()).await;
    let (status, first) = put(&sandbox, "a", 100, "tok_ok").await;
    let entry = json!({"id": "pi_000001", "key": "a", "amount": 100, "currency": "EUR", "state": "authorized"});
    assert_eq!((status, &first), (201, &entry));
    assert_eq!(put(&sandbox, "a", 100, "tok_ok").await, (200, entry));
    assert_eq!(put(&sandbox, "a", 101, "tok_ok").await.0, 422);
    assert_eq!(put(&sandbox, "b", 100, "tok_declined").await.0, 402);
    assert_eq!(put(&sandbox, "b", 100, "tok_declined").await.0, 402);
    assert_eq!(put(&sandbox, "c", -1, "tok_ok").await.0, 422);
    assert_eq!(put(&sandbox, "c", 1, "tok_other").await.0, 422);
    let body = json!({"amount": 1, "currency": "EUR", "token": "tok_ok"});
    assert_eq!(
        call(Method::POST, &format!("{}/intents", sandbox.url), None, &body)
            .await
            .0,
        400
    );
    for (key, verb, status, state) in [
        ("a", "refund", 409, "authorized"),
        ("a", "capture", 200, "captured"),
        ("a", "capture", 200, "captured"),
        ("a", "void", 409, "captured"),
        ("a", "refund", 200, "refunded"),
        ("a", "capture", 409, "refunded"),
        ("b", "capture", 409, "declined"),
        ("b", "void", 409, "declined"),
        ("late", "void", 200, "voided"),
    ] {
        let (found, body) = act(&sandbox, key, verb).await;
        assert_eq!((found, &body["state"]), (status, &json!(state)), "{verb} {key}");
    }
    assert_eq!(act(&sandbox, "nobody", "capture").await.0, 404);
    assert_eq!(put(&sandbox, "late", 100, "tok_ok").await.0, 409);
    assert_eq!(
        (look(&sandbox, "late").await.0, look(&sandbox, "nobody").await.0),
        (200, 404)
    );
    let states: Vec<_> = sandbox.ledger().await.iter().map(|e| e["state"].clone()).collect();
    assert_eq!(
        states,
        ["voided", "declined"],
        "what was voided before it arrived is no entry"
    );
    let began = Instant::now();
    assert_eq!(put(&sandbox, "slow", 1, "tok_slow").await.0, 201);
    assert!(began.elapsed().as_secs_f64() >= 2.0);
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Running::start(folder.path()).await;
    put(&sandbox, "a", 100, "tok_ok").await;
    put(&sandbox, "b", 200, "tok_ok").await;
    act(&sandbox, "a", "capture").await;
    act(&sandbox, "late", "void").await;
    let before = sandbox.ledger().await;
    sandbox.stop().await;
    // It was killed while it wrote its last line.
    let file = folder.path().join("ledger.jsonl");
    let mut open = fs::OpenOptions::new().append(true).open(&file).unwrap();
    open.write_all(br#"{"key":"b","state":"capt"#).unwrap();
    let sandbox = Running::start(folder.path()).await;
    assert_eq!(sandbox.ledger().await, before);
    assert_eq!(put(&sandbox, "late", 100, "tok_ok").await.0, 409);
    assert_eq!(put(&sandbox, "c", 300, "tok_ok").await.1["id"], "pi_000003");
    assert_eq!(act(&sandbox, "b", "capture").await.0, 200);
    let after = sandbox.ledger().await;
    sandbox.stop().await;
    let sandbox = Running::start(folder.path()).await;
    assert_eq!(sandbox.ledger().await, after);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_ledger_has_one_sandbox_and_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let sandbox = Running::start(folder.path()).await;
    put(&sandbox, "a", 100, "tok_ok").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = payments::sandbox::serve(listener, folder.path(), std::future::pending())
        .await
        .unwrap_err();
    assert!(second.to_string().contains("another sandbox"), "{second}");
    sandbox.stop().await;
    let file = folder.path().join("ledger.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("nonsense\n{text}")).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let damaged = payments::sandbox::serve(listener, folder.path(), std::future::pending())
        .await
        .unwrap_err();
    assert!(damaged.to_string().contains("line 1 is damaged"), "{damaged}");
}
