//! The contract as it is on the wire: statuses, and who may do what.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use payments_contract::{PAYMENTS, PaymentsServer, PaymentsService};
use serde_json::{Value, json};
use strangler::{Cx, ModuleStats, Principal, Scopes, Serve, wire::Asked};

use crate::support::{Running, id, on_sqlite};

async fn ask(server: &dyn Serve, cx: &Cx, operation: &str, n: u128, body: &Value) -> (u16, Value) {
    let index = PAYMENTS.operations.iter().position(|o| o.name == operation).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let (id, body) = (id(n).to_string(), Bytes::from(body.to_string()));
    let asked = Asked {
        params: &[&id],
        query: None,
        headers: &headers,
        body: &body,
    };
    let answered = server.serve(index, cx, asked).await;
    (
        answered.status.as_u16(),
        serde_json::from_slice(&answered.body).unwrap_or_default(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_see() {
    on_sqlite(async |till| {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Running::start(folder.path()).await;
        let stats = Arc::new(ModuleStats::new(PAYMENTS.operations.len()));
        let server = PaymentsServer::new(till.payments(&sandbox.url).guarded(stats));
        let (cx, none) = (&till.cx, &Value::Null);
        let body = |amount: i64, token: &str| json!({"amount": {"amount": amount, "currency": "EUR"}, "token": token});
        let paid = json!({
            "id": id(1), "amount": {"amount": 100, "currency": "EUR"}, "status": "authorised", "reference": "pi_000001",
        });
        assert_eq!(
            ask(&server, cx, "authorise", 1, &body(100, "tok_ok")).await,
            (201, paid.clone())
        );
        assert_eq!(
            ask(&server, cx, "authorise", 1, &body(100, "tok_ok")).await,
            (200, paid.clone())
        );
        assert_eq!(ask(&server, cx, "payment", 1, none).await, (200, paid));
        assert_eq!(ask(&server, cx, "authorise", 1, &body(101, "tok_ok")).await.0, 422);
        assert_eq!(ask(&server, cx, "authorise", 2, &body(-1, "tok_ok")).await.0, 422);
        assert_eq!(ask(&server, cx, "authorise", 2, &body(1, "tok_declined")).await.0, 402);
        assert_eq!(ask(&server, cx, "payment", 3, none).await.0, 404);
        let (status, refused) = ask(&server, cx, "refund", 1, none).await;
        assert_eq!((status, &refused["standing"]), (409, &json!("authorised")));
        assert_eq!(ask(&server, cx, "capture", 1, none).await.1["status"], "captured");
        assert_eq!(ask(&server, cx, "void", 1, none).await.0, 409);
        assert_eq!(ask(&server, cx, "refund", 1, none).await.1["status"], "refunded");
        assert_eq!(ask(&server, cx, "void", 4, none).await.1["status"], "voided");
        assert_eq!(ask(&server, cx, "authorise", 4, &body(1, "tok_ok")).await.0, 410);
        sandbox.stop().await;
        assert_eq!(ask(&server, cx, "authorise", 5, &body(1, "tok_ok")).await.0, 503);

        let other = Cx::new(Principal::known("desk", Scopes::Some(["seating:hold".into()].into())));
        for operation in PAYMENTS.operations.iter() {
            let body = &body(1, "tok_ok");
            assert_eq!(
                ask(&server, &other, operation.name, 1, body).await.0,
                403,
                "{}",
                operation.name
            );
            let anybody = Cx::new(Principal::ANYBODY);
            assert_eq!(
                ask(&server, &anybody, operation.name, 1, body).await.0,
                401,
                "{}",
                operation.name
            );
        }
    })
    .await;
}
