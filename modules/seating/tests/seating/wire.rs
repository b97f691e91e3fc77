//! The contract as it is on the wire: statuses, problems, and who may do what.

on_both!(what_callers_see);

mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
    use seating_contract::{SEATING, SeatingServer, SeatingService};
    use serde_json::{Value, json};
    use strangler::{Cx, ModuleStats, Principal, Scopes, Serve, wire::Asked};

    use crate::support::{Office, id};

    async fn ask(server: &dyn Serve, cx: &Cx, operation: &str, params: &[&str], body: &Value) -> (u16, Value) {
        let index = SEATING.operations.iter().position(|o| o.name == operation).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(body.to_string());
        let asked = Asked {
            params,
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

    pub async fn what_callers_see(office: &Office) {
        let show = office.show(1, 30).await.to_string();
        let stats = Arc::new(ModuleStats::new(SEATING.operations.len()));
        let server = SeatingServer::new(office.seating.clone().guarded(stats));
        let (one, two) = (id(1).to_string(), id(2).to_string());
        let hold = async |cx: &Cx, hold: &str, seats: &[String]| {
            ask(&server, cx, "hold", &[hold], &json!({"show": show, "seats": seats})).await
        };
        let names = |n: u32| (1..=n).map(|n| format!("Stalls-A-{n}")).collect::<Vec<_>>();
        let cx = &office.cx;
        let (status, held) = hold(cx, &one, &names(2)).await;
        assert_eq!(
            (status, &held["seats"], &held["show"]),
            (201, &json!(names(2)), &json!(show))
        );
        assert_eq!(
            (&held["id"], &held["expires_at"]),
            (&json!(one), &json!("2030-03-17T17:56:40Z"))
        );
        assert_eq!(hold(cx, &one, &names(2)).await, (200, held));
        let (status, taken) = hold(cx, &two, &names(3)).await;
        assert_eq!((status, &taken["seats"]), (409, &json!(names(2))));
        for seats in [
            names(21),
            Vec::new(),
            vec!["Stalls-A-9".to_owned(); 2],
            vec![" ".to_owned()],
            vec!["x".to_owned()],
        ] {
            assert_eq!(hold(cx, &two, &seats).await.0, 422, "{seats:?}");
        }
        assert_eq!(hold(cx, &two, &names(22)[2..]).await.0, 201, "twenty are allowed");
        let (_, map) = ask(&server, cx, "seats", &[&show], &Value::Null).await;
        let third = json!({
            "id": "Stalls-A-3", "section": "Stalls", "row": "A", "number": 3, "state": "held",
            "price": {"amount": 4500, "currency": "EUR"},
        });
        assert_eq!((&map["show"], &map["seats"][2]), (&json!(show), &third));
        assert_eq!(ask(&server, cx, "seats", &[&two], &Value::Null).await.0, 404);
        let none = &Value::Null;
        assert_eq!(
            ask(&server, cx, "commit", &[&one], none).await.1["expires_at"],
            json!(null)
        );
        assert_eq!(ask(&server, cx, "assign", &[&one], none).await.1["status"], "sold");
        assert_eq!(ask(&server, cx, "release", &[&one], none).await.0, 409);
        assert_eq!(ask(&server, cx, "release", &[&two], none).await.0, 204);
        assert_eq!(ask(&server, cx, "held", &[&two], none).await.0, 410);

        // Anybody may look; holding and selling are scopes of their own.
        let anybody = Cx::new(Principal::ANYBODY);
        let holder = Cx::new(Principal::known(
            "desk",
            Scopes::Some([seating_contract::HOLD.into()].into()),
        ));
        assert_eq!(ask(&server, &anybody, "seats", &[&show], none).await.0, 200);
        assert_eq!(hold(&anybody, &two, &names(1)).await.0, 401);
        assert_eq!(ask(&server, &holder, "release", &[&two], none).await.0, 204);
        for operation in ["commit", "assign", "unassign"] {
            assert_eq!(
                ask(&server, &holder, operation, &[&one], none).await.0,
                403,
                "{operation}"
            );
        }
        assert_eq!(ask(&server, cx, "unassign", &[&one], none).await.0, 204);
    }
}
