//! Orders that cannot be done, and those that somebody has to look at.

on_both!(
    every_refusal_leaves_nothing,
    what_is_anothers_stays,
    a_stuck_order_is_helped_on,
    an_order_that_an_operator_resumes_is_not_shown_as_stuck,
);

mod tests {
    use kernel::Uuid;
    use ordering_contract::{OrderStatus, OrderingError, OrderingEvent, StepState};
    use payments_contract::PaymentStatus;
    use seating_contract::{HoldDraft, HoldId, HoldStatus, SeatingService};
    use serde_json::json;
    use strangler::Failure;
    use strangler_store::SagaStatus;

    use crate::{
        faults::Fault,
        support::{Office, SHOW, draft, draft_of, eventually, seat},
    };

    pub async fn every_refusal_leaves_nothing(office: &Office) {
        let first = office.place().await;
        let seats = office.order(first).await.seats;
        let taken = office.id();
        let (declined, unknown, cancelled_show) = (office.id(), office.id(), office.id());
        let (expired, void) = (office.id(), office.id());
        let gone = Uuid::from_u128(99);
        office
            .seating
            .cancelled
            .lock()
            .unwrap()
            .insert(seating_contract::ShowId(gone));
        office
            .faults
            .plan(expired.0, "authorise", [Fault::Before, Fault::Before]);
        office.faults.plan(void.0, "capture", [Fault::Refused]);
        let follow = async {
            office.reaches(first, OrderStatus::Confirmed).await;
            let names: Vec<&str> = seats.iter().map(|s| s.as_str()).collect();
            let elsewhere = json!({"show": gone, "seats": ["A-1"], "email": "a@b", "payment_token": "t"});
            let cases = [
                (taken, draft_of(&names[..1], "tok_ok"), 409, "seats-taken", "hold"),
                (declined, draft(declined, "tok_declined"), 402, "declined", "authorise"),
                (unknown, draft_of(&["Nowhere"], "tok_ok"), 422, "unknown-seats", "hold"),
                (
                    cancelled_show,
                    serde_json::from_value(elsewhere).unwrap(),
                    410,
                    "show-cancelled",
                    "hold",
                ),
                (expired, draft(expired, "tok_ok"), 410, "hold-over", "commit"),
                (void, draft(void, "tok_ok"), 402, "declined", "capture"),
            ];
            for (id, draft, status, kind, step) in cases {
                office.place_with(id, draft).await;
                if id == expired {
                    office.until_called(id, "authorise").await;
                    office.seating.expire(id.0);
                }
                let refused = office.reaches(id, OrderStatus::Refused).await;
                office.assert_settled(&refused);
                let reason = refused.reason.clone().unwrap();
                assert_eq!(reason.status, status, "{reason:?}");
                assert!(reason.kind.ends_with(&format!(":{kind}")), "{reason:?}");
                let last = refused.steps.last().unwrap();
                let state = if step == "capture" {
                    StepState::Refused
                } else {
                    StepState::Undone
                };
                assert_eq!((last.step.as_str(), last.state), (step, state));
                assert_eq!(office.seating.stands(id.0), None);
                // Whatever of it is still on its way comes too late.
                assert!(office.seating.has_tombstone(id.0), "{step}");
                let events = office.events(id).await;
                assert_eq!(events.len(), 2);
                assert_eq!(
                    (events[1].0.as_str(), &events[1].1["reason"]),
                    (OrderingEvent::REFUSED, &json!(reason))
                );
            }
            assert_eq!(office.order(first).await.status, OrderStatus::Confirmed);
        };
        office.working(follow).await;
    }

    /// An id is anybody's to choose: an order under the id of somebody's hold must not end that hold.
    pub async fn what_is_anothers_stays(office: &Office) {
        let desk = office.cx.clone();
        let (other_seats, same_seats) = (office.id(), office.id());
        for id in [other_seats, same_seats] {
            let theirs = HoldDraft::new(SHOW, vec![seat(&format!("Box-{id}"))]).unwrap();
            office.seating.hold(&desk, HoldId(id.0), theirs).await.unwrap();
        }
        office.seating.assign(&desk, HoldId(same_seats.0)).await.unwrap();
        let follow = async {
            office.place_with(other_seats, draft(other_seats, "tok_ok")).await;
            office
                .place_with(same_seats, draft_of(&[&format!("Box-{same_seats}")], "tok_ok"))
                .await;
            for (id, stands) in [(other_seats, HoldStatus::Held), (same_seats, HoldStatus::Sold)] {
                let refused = office.reaches(id, OrderStatus::Refused).await;
                assert_eq!(refused.reason.unwrap().status, 422);
                assert_eq!(office.seating.stands(id.0), Some(stands));
                assert_eq!(office.payments.moves(id.0), []);
            }
        };
        office.working(follow).await;
    }

    pub async fn a_stuck_order_is_helped_on(office: &Office) {
        let (forward, back, again) = (office.id(), office.id(), office.id());
        let sagas = office.sagas(&office.db);
        office.faults.plan(forward.0, "assign", [Fault::Refused]);
        office.faults.plan(back.0, "capture", [Fault::Refused]);
        office.faults.plan(back.0, "void", [Fault::Refused]);
        office.faults.plan(again.0, "refund", [Fault::Refused]);
        let follow = async {
            for id in [forward, back, again] {
                office.place_with(id, draft(id, "tok_ok")).await;
            }
            office.reaches(again, OrderStatus::Confirmed).await;
            office.ordering.cancel(&office.cx, again).await.unwrap();
            for id in [forward, back, again] {
                let stuck = office.reaches(id, OrderStatus::Stuck).await;
                let reason = stuck.reason.unwrap();
                assert_eq!(&*reason.kind, "urn:problem-type:ordering:stuck");
                assert!(reason.extra["cause"]["status"].is_u64(), "{reason:?}");
                let refused = office.ordering.cancel(&office.cx, id).await;
                let standing = OrderStatus::Stuck;
                assert_eq!(
                    refused,
                    Err(Failure::Module(OrderingError::NotCancellable { id, standing }))
                );
            }
            assert_eq!(
                office.payments.moves(forward.0),
                [PaymentStatus::Authorised, PaymentStatus::Captured]
            );
            let stuck = sagas.list(SagaStatus::Stuck, 10).await.unwrap();
            assert_eq!(stuck.len(), 3);
            for saga in stuck {
                let mut uow = office.db.begin(&office.cx).await.unwrap();
                assert!(sagas.resume(&mut uow, saga.id).await.unwrap());
                uow.commit().await.unwrap();
            }
            let ends = [
                (forward, OrderStatus::Confirmed),
                (back, OrderStatus::Refused),
                (again, OrderStatus::Cancelled),
            ];
            for (id, status) in ends {
                office.assert_settled(&office.reaches(id, status).await);
            }
            // Why it turned round is not forgotten over its being stuck.
            assert_eq!(office.order(back).await.reason.unwrap().status, 402);
        };
        office.working(follow).await;
    }

    /// From the first attempt on, however long that takes.
    pub async fn an_order_that_an_operator_resumes_is_not_shown_as_stuck(office: &Office) {
        let id = office.id();
        let lost = [Fault::Refused, Fault::LostBefore, Fault::LostBefore, Fault::LostBefore];
        office.faults.plan(id.0, "assign", lost);
        office.place_with(id, draft(id, "tok_ok")).await;
        let follow = async {
            office.reaches(id, OrderStatus::Stuck).await;
            let mut uow = office.db.begin(&office.cx).await.unwrap();
            // As the control plane does, which leaves the rest to the worker.
            let desk = strangler_store::Sagas::new(office.db.clone());
            assert!(desk.ask_to_resume(&mut uow, id.0).await.unwrap());
            uow.commit().await.unwrap();
            let tries = async || office.faults.called(id.0).iter().filter(|c| **c == "assign").count();
            eventually("it is tried again", tries, |n| *n > 1).await;
            assert_eq!(office.order(id).await.status, OrderStatus::Placed);
            office.assert_settled(&office.reaches(id, OrderStatus::Confirmed).await);
        };
        office.working(follow).await;
    }
}
