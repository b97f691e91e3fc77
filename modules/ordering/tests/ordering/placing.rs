//! Placing and following orders.

on_both!(
    an_order_goes_forward,
    the_same_order_is_placed_once,
    many_at_once_place_one,
    another_process_works_on_it,
    what_takes_too_long_is_refused,
);

mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use kernel::Uuid;
    use ordering_contract::{OrderStatus, OrderingError, OrderingEvent, StepState};
    use serde_json::json;
    use strangler::{Clock, Failure, ManualClock, SystemClock};

    use crate::{
        faults::Fault,
        support::{Office, body, draft, draft_of, euros_of, eventually, working},
    };

    pub async fn an_order_goes_forward(office: &Office) {
        let id = office.id();
        let placed = office.place_with(id, draft(id, "tok_ok")).await;
        assert_eq!(
            (placed.id, placed.status, placed.total),
            (id, OrderStatus::Placed, None)
        );
        assert!(placed.steps.is_empty() && placed.tickets.is_empty());
        assert_eq!(office.order(id).await, placed);
        let confirmed = office.working(office.reaches(id, OrderStatus::Confirmed)).await;
        office.assert_settled(&confirmed);
        assert_eq!(confirmed.total, Some(euros_of(2)));
        let steps: Vec<&str> = confirmed.steps.iter().map(|s| s.step.as_str()).collect();
        assert_eq!(steps, ["hold", "authorise", "commit", "capture", "assign"]);
        assert!(confirmed.version > placed.version);
        assert_eq!(office.faults.called(id.0), steps, "each once, and nothing else");
        let events = office.events(id).await;
        let types: Vec<&str> = events.iter().map(|(of, _)| of.as_str()).collect();
        assert_eq!(types, [OrderingEvent::PLACED, OrderingEvent::CONFIRMED]);
        let told = &events[1].1;
        assert_eq!(
            (&told["order"], &told["email"]),
            (&json!(id), &json!("ada@example.org"))
        );
        assert_eq!(
            (&told["total"], &told["seats"]),
            (&json!(euros_of(2)), &json!(confirmed.seats))
        );
        assert_eq!(
            (&told["show"], &told["tickets"]),
            (&json!(confirmed.show), &json!(confirmed.tickets))
        );
    }

    pub async fn the_same_order_is_placed_once(office: &Office) {
        let id = office.id();
        let first = office.place_with(id, draft(id, "tok_ok")).await;
        assert_eq!(office.place_with(id, draft(id, "tok_ok")).await, first);
        let mut another_mail = body(&["Stalls-A-1", "Stalls-B-1"], "tok_ok");
        another_mail["email"] = json!("bob@example.org");
        let mut another_show = body(&["Stalls-A-1", "Stalls-B-1"], "tok_ok");
        another_show["show"] = json!(Uuid::from_u128(9));
        for other in [
            draft(id, "tok_declined"),
            draft_of(&["Stalls-A-1"], "tok_ok"),
            draft_of(&["Stalls-A-1", "Stalls-C-1"], "tok_ok"),
            serde_json::from_value(another_mail).unwrap(),
            serde_json::from_value(another_show).unwrap(),
        ] {
            let refused = office.ordering.place(&office.cx, id, other).await;
            assert_eq!(refused, Err(Failure::Module(OrderingError::OtherOrder { id })));
        }
        let confirmed = office.working(office.reaches(id, OrderStatus::Confirmed)).await;
        assert_eq!(
            office.place_with(id, draft(id, "tok_ok")).await,
            confirmed,
            "however late"
        );
        let unknown = office.id();
        let refused = office.ordering.order(&office.cx, unknown).await;
        assert_eq!(
            refused,
            Err(Failure::Module(OrderingError::NoSuchOrder { id: unknown }))
        );
    }

    pub async fn many_at_once_place_one(office: &Office) {
        let id = office.id();
        let place = |n: u64| async move {
            // Half of them want something else under the same id.
            let seat = if n.is_multiple_of(2) {
                "Stalls-A-1"
            } else {
                "Stalls-A-2"
            };
            office.ordering.place(&office.cx, id, draft_of(&[seat], "tok_ok")).await
        };
        let answers = futures_util::future::join_all((0..16).map(place)).await;
        let placed: Vec<_> = answers.iter().filter_map(|a| a.as_ref().ok()).collect();
        assert_eq!(placed.len(), 8, "one kind of them: {answers:?}");
        assert!(placed.iter().all(|p| p.value == placed[0].value));
        let other = Err(Failure::Module(OrderingError::OtherOrder { id }));
        assert_eq!(answers.iter().filter(|a| **a == other).count(), 8);
        let confirmed = office.working(office.reaches(id, OrderStatus::Confirmed)).await;
        assert_eq!(office.faults.called(id.0).len(), 5);
        assert_eq!(confirmed.seats, placed[0].value.seats);
        assert_eq!(office.events(id).await.len(), 2);
    }

    pub async fn another_process_works_on_it(office: &Office) {
        let elsewhere = office.handle(None).await;
        let (placed, cancelled) = (office.id(), office.id());
        office.faults.plan(cancelled.0, "authorise", [Fault::Before; 20]);
        let follow = async {
            office.place_with(placed, draft(placed, "tok_ok")).await;
            office.place_with(cancelled, draft(cancelled, "tok_ok")).await;
            office.assert_settled(&office.reaches(placed, OrderStatus::Confirmed).await);
            office.until_called(cancelled, "authorise").await;
            for id in [placed, cancelled] {
                office.ordering.cancel(&office.cx, id).await.unwrap();
                office.assert_settled(&office.reaches(id, OrderStatus::Cancelled).await);
            }
        };
        working(&office.sagas(&elsewhere), follow).await;
        elsewhere.close().await;
    }

    pub async fn what_takes_too_long_is_refused(office: &Office) {
        let clock = ManualClock::new(SystemClock.now());
        let db = office.handle(Some(Arc::new(clock.clone()))).await;
        let ordering = office.module(&db);
        let (late, captured) = (office.id(), office.id());
        // One is never answered before its money is taken, and one never after that.
        office.faults.plan(late.0, "commit", [Fault::Before; 500]);
        office.faults.plan(captured.0, "assign", [Fault::Before]);
        for id in [late, captured] {
            ordering.place(&office.cx, id, draft(id, "tok_ok")).await.unwrap();
        }
        let follow = async {
            office.until_called(late, "commit").await;
            office.until_called(captured, "assign").await;
            let ends = eventually(
                "the refusal",
                async || {
                    clock.advance(TimeDelta::seconds(20));
                    ordering.order(&office.cx, late).await.unwrap()
                },
                |order| order.status != OrderStatus::Placed,
            );
            let refused = ends.await;
            office.assert_settled(&refused);
            let reason = refused.reason.unwrap();
            assert_eq!(
                (reason.status, &*reason.kind),
                (504, "urn:problem-type:ordering:too-late")
            );
            let commit = refused.steps.iter().find(|s| s.step == "commit").unwrap();
            assert_eq!(commit.state, StepState::Undone);
            office.assert_settled(&office.reaches(captured, OrderStatus::Confirmed).await);
        };
        working(&office.sagas(&db), follow).await;
        db.close().await;
    }
}
