//! The contract as it is on the wire: statuses, problems, what is never shown, and who may do what.

on_both!(what_callers_see);

mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, header};
    use ordering_contract::{CANCEL, ORDERING, OrderStatus, OrderingServer};
    use serde_json::{Value, json};
    use strangler::{
        Cx, Principal, Scopes, Serve,
        wire::{Answered, Asked},
    };

    use crate::support::{Office, body};

    async fn ask(server: &dyn Serve, cx: &Cx, operation: &str, id: &str, tag: Option<&str>, body: &Value) -> Answered {
        let index = ORDERING.operations.iter().position(|o| o.name == operation).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(tag) = tag {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap());
        }
        let body = Bytes::from(body.to_string());
        let asked = Asked {
            params: &[id],
            query: None,
            headers: &headers,
            body: &body,
        };
        server.serve(index, cx, asked).await
    }

    fn read(answer: &Answered) -> (u16, Value) {
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(!text.contains("ada@example.org") && !text.contains("tok_"), "{text}");
        (answer.status.as_u16(), serde_json::from_str(text).unwrap_or_default())
    }

    pub async fn what_callers_see(office: &Office) {
        let server = OrderingServer::new(office.ordering.clone());
        let anybody = Cx::new(Principal::ANYBODY);
        let (id, none) = (office.id(), &Value::Null);
        let path = id.to_string();
        let good = body(&["Stalls-A-1", "Stalls-A-2"], "tok_ok");
        let mut bad = Vec::new();
        for (field, value) in [
            ("seats", json!([])),
            ("seats", json!((0..21).map(|n| format!("A-{n}")).collect::<Vec<_>>())),
            ("seats", json!(["A-1", "A-1"])),
            ("seats", json!([" "])),
            ("email", json!("ada")),
            ("email", json!("ada@example.org\nbcc: x@y")),
            ("payment_token", json!("")),
            ("payment_token", json!("x".repeat(201))),
        ] {
            let mut body = good.clone();
            body[field] = value;
            bad.push(body);
        }
        for body in &bad {
            assert_eq!(
                ask(&server, &anybody, "place", &path, None, body).await.status,
                422,
                "{body}"
            );
        }
        let array = json!([good["show"], good["seats"], good["email"], good["payment_token"]]);
        let (status, problem) = read(&ask(&server, &anybody, "place", &path, None, &array).await);
        let told = problem["detail"].as_str().unwrap();
        assert!(status == 422 && told.contains("expected an object"), "{problem}");
        assert_eq!(read(&ask(&server, &anybody, "order", &path, None, none).await).0, 404);
        for form in [
            id.0.simple().to_string(),
            id.0.braced().to_string(),
            id.0.urn().to_string(),
        ] {
            let answer = ask(&server, &anybody, "place", &form, None, &good).await;
            assert_eq!(read(&answer).0, 400, "{form}");
        }

        let placed = ask(&server, &anybody, "place", &path, None, &good).await;
        assert_eq!(
            placed.headers[header::LOCATION],
            format!("/api/v1/ordering/orders/{id}")
        );
        let (status, first) = read(&placed);
        assert_eq!((status, &first["status"]), (202, &json!("placed")));
        assert_eq!((&first["reason"], &first["total"]), (none, none));
        assert_eq!(
            read(&ask(&server, &anybody, "place", &path, None, &good).await),
            (202, first)
        );
        let other = body(&["Stalls-A-1"], "tok_ok");
        assert_eq!(read(&ask(&server, &anybody, "place", &path, None, &other).await).0, 422);

        office.working(office.reaches(id, OrderStatus::Confirmed)).await;
        let answer = ask(&server, &anybody, "order", &path, None, none).await;
        let tag = answer.headers[header::ETAG].to_str().unwrap().to_owned();
        let (status, order) = read(&answer);
        assert_eq!((status, &order["status"]), (200, &json!("confirmed")));
        assert_eq!(order["total"], json!({"amount": 9000, "currency": "EUR"}));
        assert_eq!(order["steps"][0]["step"], "hold");
        assert_eq!(order["steps"][0]["state"], "done");
        assert!(order["steps"][0]["at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(order["tickets"][1]["seat"], "Stalls-A-2");
        let mut fields: Vec<&String> = order.as_object().unwrap().keys().collect();
        fields.sort();
        let all = [
            "id", "reason", "seats", "show", "status", "steps", "tickets", "total", "version",
        ];
        assert_eq!(fields, all);
        assert_eq!(
            ask(&server, &anybody, "order", &path, Some(&tag), none).await.status,
            304
        );

        let teller = Cx::new(Principal::known("desk", Scopes::Some([CANCEL.into()].into())));
        let stranger = Cx::new(Principal::known("desk", Scopes::Some(["seating:hold".into()].into())));
        assert_eq!(ask(&server, &anybody, "cancel", &path, None, none).await.status, 401);
        assert_eq!(ask(&server, &stranger, "cancel", &path, None, none).await.status, 403);
        let cancelling = ask(&server, &teller, "cancel", &path, None, none).await;
        assert_eq!(
            cancelling.headers[header::LOCATION],
            format!("/api/v1/ordering/orders/{id}")
        );
        assert_eq!(read(&cancelling).0, 202);
        office.working(office.reaches(id, OrderStatus::Cancelled)).await;
        let (status, order) = read(&ask(&server, &anybody, "order", &path, Some(&tag), none).await);
        assert_eq!(
            (status, &order["status"], &order["tickets"]),
            (200, &json!("cancelled"), &json!([]))
        );
        assert_eq!(read(&ask(&server, &teller, "cancel", &path, None, none).await).0, 202);

        // The document can be made, and names no schema twice.
        let document = serde_json::to_value((ORDERING.openapi)()).unwrap();
        let draft = &document["components"]["schemas"]["OrderDraft"]["properties"];
        assert_eq!(draft["seats"]["maxItems"], 20);
        assert!(document["components"]["schemas"]["Problem"].is_object(), "{document:#}");
    }
}
