//! An order that is stuck after its money was taken, as an operator meets it: given up, taken back, audited.

use http::Method;
use serde_json::{Value, json};
use system_tests::{Database, Options, System, eventually, sales::Placed};

use crate::letters::{SOON, Schema, json_of, refused};

async fn given_up(system: &System, database: Option<&Database>) {
    let hall = system.hall(1, 2).await;
    let order = Placed::new(&hall, &hall.seats, "tok_ok");
    assert_eq!(system.place(&order).await.status, 202);
    assert_eq!(system.settled(order.id).await["status"], "confirmed");
    let (named, id) = (format!("ordering/{}", order.id), order.id.to_string());
    let (code, told) = refused(system, &["sagas", "cancel", &named, "--why", "no"]).await;
    assert!(code == Some(3) && told.contains("it is done"), "{code:?} {told}");

    // As it stands when the seats are refused to who has paid for them.
    let schema = Schema::of(system, database, "ordering").await;
    let stuck = json!({"stuck": {"step": "assign", "refused": {"title": "as told"}}});
    for sql in [
        "UPDATE SCHEMA.sagas SET status = 'stuck', step = 'assign', reason = $2 WHERE id = $1",
        "UPDATE SCHEMA.orders SET status = 'stuck', amount = NULL, currency = NULL, tickets = '[]', reason = $2 WHERE id = $1",
    ] {
        let reason = match sql.contains("sagas") {
            true => stuck.clone().into(),
            false => json!({"type": "urn:x", "title": "as told", "status": 500})
                .to_string()
                .into(),
        };
        schema.bind(sql, vec![order.id.into(), reason]).await;
    }
    let step = "UPDATE SCHEMA.saga_steps SET state = 'refused' WHERE saga = $1 AND step = 'assign'";
    schema.bind(step, vec![order.id.into()]).await;
    let bearer = format!("Bearer {}", system.token());
    let headers = [("authorization", bearer.as_str())];
    let asked = system.send(Method::DELETE, &order.path(), &headers, "").await;
    assert_eq!(
        asked.expect("an answer").status,
        409,
        "it is given up by its saga alone"
    );

    let path = "/control/v1/sagas/cancel";
    let body = json!({"id": named, "why": "the hall has no such row"}).to_string();
    for (token, status) in [(None, 401), (Some(system.join_token()), 403)] {
        let answer = system.inside(Method::POST, path, token.as_deref(), body.clone()).await;
        assert_eq!(answer.expect("an answer").status, status);
    }
    for (args, code) in [
        (&["sagas", "cancel", &named][..], 2),
        (&["sagas", "cancel", &named, "--why", " "], 2),
        (&["sagas", "cancel", "nonsense", "--why", "x"], 2),
        (&["sagas", "cancel", &format!("catalog/{id}"), "--why", "x"], 2),
    ] {
        let (exit, told) = refused(system, args).await;
        assert!(exit == Some(code) && told.len() > 30, "{args:?}: {exit:?} {told}");
    }
    let shown = json_of(system, &["sagas", "show", &named, "--json"]).await;
    assert_eq!(shown["status"], "stuck", "{shown}");

    let done = system
        .inside(Method::POST, path, Some(&system.token()), body)
        .await
        .expect("an answer");
    assert_eq!(
        (done.status, done.json()),
        (200, json!({"saga": named, "status": "abandoned"}))
    );
    let cancelled = eventually("the order is taken back", SOON, || async {
        let order = system.order(order.id).await;
        (order["status"] == "cancelled").then_some(order)
    })
    .await;
    assert_eq!(
        (&cancelled["tickets"], &cancelled["reason"]),
        (&json!([]), &Value::Null)
    );
    assert!(system.seats(hall.show).await.values().all(|state| state == "free"));
    let ledger = system.ledger().await;
    // So the ledger calls what was given back.
    assert!(ledger.len() == 1 && ledger[0]["state"] == "voided", "{ledger:?}");
    let audit = json_of(system, &["audit", "--json"]).await;
    let last = audit["entries"].as_array().and_then(|e| e.last()).expect("an entry");
    let line = ["by", "target", "from", "to", "why"].map(|key| last[key].as_str().unwrap_or_default().to_owned());
    let target = format!("saga {named}");
    assert_eq!(
        line,
        ["operator", &target, "stuck", "cancelled", "the hall has no such row"]
    );
    let (code, told) = refused(system, &["sagas", "cancel", &named, "--why", "again"]).await;
    assert!(code == Some(3) && told.contains("it is abandoned"), "{code:?} {told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_gives_up_a_stuck_order() {
    let system = System::start().await;
    given_up(&system, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_gives_up_a_stuck_order_on_postgres() {
    let Some(database) = Database::make("giving up").await else {
        return;
    };
    let system = System::with(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    given_up(&system, Some(&database)).await;
    drop(system);
    database.drop().await;
}
