//! Cancelling an order, at every point of its way.

on_both!(
    cancelled_before_anything_is_done,
    cancelled_at_every_step,
    cancelled_once_confirmed,
    a_refused_capture_of_a_cancelled_order,
);

mod tests {
    use ordering_contract::{OrderStatus, OrderingError, OrderingEvent};
    use serde_json::{Value, json};
    use strangler::Failure;

    use crate::{
        faults::Fault,
        support::{Office, all, draft, euros_of},
    };

    async fn assert_cancelled_event(office: &Office, id: ordering_contract::OrderId, refunded: Value) {
        let events = office.events(id).await;
        let cancelled = events.iter().filter(|(of, _)| of == OrderingEvent::CANCELLED);
        let told: Vec<_> = cancelled.map(|(_, data)| data["refunded"].clone()).collect();
        assert_eq!(told, [refunded], "{events:?}");
        assert_eq!(events.last().unwrap().0, OrderingEvent::CANCELLED);
    }

    pub async fn cancelled_before_anything_is_done(office: &Office) {
        let id = office.place().await;
        let asked = office.ordering.cancel(&office.cx, id).await.unwrap();
        assert_eq!(asked.location, format!("/orders/{id}"));
        assert_eq!(asked.value.status, OrderStatus::Placed);
        assert_eq!(
            office.ordering.cancel(&office.cx, id).await.unwrap(),
            asked,
            "the same again"
        );
        let cancelled = office.working(office.reaches(id, OrderStatus::Cancelled)).await;
        office.assert_settled(&cancelled);
        assert_eq!(office.faults.called(id.0), Vec::<&str>::new());
        assert_eq!(office.ordering.cancel(&office.cx, id).await.unwrap().value, cancelled);
        assert_cancelled_event(office, id, Value::Null).await;
        let unknown = office.id();
        let refused = office.ordering.cancel(&office.cx, unknown).await;
        assert_eq!(
            refused,
            Err(Failure::Module(OrderingError::NoSuchOrder { id: unknown }))
        );
    }

    /// Asked while a step is on its way, whatever becomes of that step.
    pub async fn cancelled_at_every_step(office: &Office) {
        let steps = ["hold", "authorise", "commit", "capture", "assign"];
        let faults = [Fault::Before, Fault::LostBefore, Fault::LostAfter, Fault::Late];
        let cases: Vec<_> = steps
            .iter()
            .flat_map(|step| faults.map(|fault| (*step, fault)))
            .collect();
        let follow = cases.iter().map(|&(step, fault)| async move {
            let id = office.id();
            office.faults.plan(id.0, step, [fault]);
            office.place_with(id, draft(id, "tok_ok")).await;
            office.until_called(id, step).await;
            let asked = office.ordering.cancel(&office.cx, id).await.unwrap().value;
            assert_ne!(asked.status, OrderStatus::Refused);
            let cancelled = office.reaches(id, OrderStatus::Cancelled).await;
            office.assert_settled(&cancelled);
            (id, step, cancelled)
        });
        let ended = office.working(all(follow)).await;
        office.faults.release().await;
        for (id, step, cancelled) in ended {
            office.assert_settled(&office.order(id).await);
            // Once the money may have been taken there is no other way than forward, and then back.
            if ["capture", "assign"].contains(&step) {
                assert_cancelled_event(office, id, json!(euros_of(2))).await;
                assert!(cancelled.steps.iter().any(|s| s.step == "refund"), "{cancelled:?}");
                assert_eq!(office.events(id).await.len(), 3, "confirmed, then cancelled");
            } else if !office
                .events(id)
                .await
                .iter()
                .any(|(of, _)| of == OrderingEvent::CONFIRMED)
            {
                assert_cancelled_event(office, id, Value::Null).await;
                assert!(office.seating.has_tombstone(id.0));
                assert!(step == "hold" || office.payments.has_tombstone(id.0));
            }
        }
    }

    pub async fn cancelled_once_confirmed(office: &Office) {
        let follow = async {
            let id = office.place().await;
            let confirmed = office.reaches(id, OrderStatus::Confirmed).await;
            let many = (0..8).map(|_| office.ordering.cancel(&office.cx, id));
            for asked in futures_util::future::join_all(many).await {
                assert!(asked.unwrap().value.version > confirmed.version);
            }
            let cancelled = office.reaches(id, OrderStatus::Cancelled).await;
            office.assert_settled(&cancelled);
            let steps: Vec<&str> = cancelled.steps.iter().map(|s| s.step.as_str()).collect();
            assert_eq!(steps[5..], ["unassign", "refund"]);
            assert_eq!(office.faults.called(id.0), steps, "each once");
            assert_cancelled_event(office, id, json!(euros_of(2))).await;
            // The seats are free: somebody else has them.
            let next = office.id();
            office.place_with(next, draft(id, "tok_ok")).await;
            office.assert_settled(&office.reaches(next, OrderStatus::Confirmed).await);
            // What was refused cannot be cancelled.
            let refused = office.id();
            office.place_with(refused, draft(refused, "tok_declined")).await;
            office.reaches(refused, OrderStatus::Refused).await;
            let (id, standing) = (refused, OrderStatus::Refused);
            let answer = office.ordering.cancel(&office.cx, id).await;
            assert_eq!(
                answer,
                Err(Failure::Module(OrderingError::NotCancellable { id, standing }))
            );
        };
        office.working(follow).await;
    }

    /// The promise holds even when the money turns out not to have been taken.
    pub async fn a_refused_capture_of_a_cancelled_order(office: &Office) {
        let id = office.id();
        office.faults.plan(id.0, "capture", [Fault::LostBefore, Fault::Refused]);
        let follow = async {
            office.place_with(id, draft(id, "tok_ok")).await;
            office.until_called(id, "capture").await;
            office.ordering.cancel(&office.cx, id).await.unwrap();
            let cancelled = office.reaches(id, OrderStatus::Cancelled).await;
            office.assert_settled(&cancelled);
        };
        office.working(follow).await;
        assert_cancelled_event(office, id, Value::Null).await;
    }
}
