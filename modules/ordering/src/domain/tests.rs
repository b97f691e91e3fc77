//! The rules without a database.

use kernel::Uuid;
use ordering_contract::{OrderDraft, OrderId, OrderStatus, OrderingError};
use serde_json::json;

use super::{Cancelling, OrderState, refusal, stuck, was_cancelled};

fn draft(token: &str) -> OrderDraft {
    let show = Uuid::from_u128(8);
    let body = json!({"show": show, "seats": ["A-1"], "email": "ada@example.org", "payment_token": token});
    serde_json::from_value(body).expect("a draft")
}

fn order() -> OrderState {
    OrderState::place(OrderId(Uuid::from_u128(1)), &draft("tok_ok"))
}

#[test]
fn the_token_is_not_kept() {
    let order = order();
    assert!(order.is_for(&draft("tok_ok")) && !order.is_for(&draft("tok_other")));
    let kept = serde_json::to_string(&order).expect("text");
    assert!(!kept.contains("tok_ok"), "{kept}");
    let other = OrderState::place(OrderId(Uuid::from_u128(2)), &draft("tok_ok"));
    assert_ne!(
        order.token_digest, other.token_digest,
        "nor can two orders be told to be one buyer's"
    );
    assert!(!format!("{order:?}").contains("ada@"));
}

#[test]
fn who_may_be_cancelled() {
    let saga = Uuid::from_u128(3);
    let Ok(Cancelling::TurnRound(asked)) = order().cancel(saga) else {
        panic!("a placed order can be cancelled")
    };
    assert_eq!((asked.status, asked.version), (OrderStatus::Placed, 2));
    assert_eq!(asked.cancel(saga), Ok(Cancelling::Already));
    let problem = refusal(&json!({"deadline": "now"}));
    // The promise is kept even if it was refused for another reason meanwhile.
    assert_eq!(asked.undone(problem.clone(), false).0.status, OrderStatus::Cancelled);
    let refused = order().undone(problem.clone(), false).0;
    let standing = refused.status;
    assert_eq!(standing, OrderStatus::Refused);
    let id = refused.id;
    assert_eq!(
        refused.cancel(saga),
        Err(OrderingError::NotCancellable { id, standing })
    );
    let (stuck, _) = asked.stuck(problem);
    assert!(stuck.cancel(saga).is_err());
    let resumed = stuck.resumed().expect("it was stuck");
    assert_eq!(
        (resumed.status, resumed.reason, resumed.cancel_asked),
        (OrderStatus::Placed, None, true)
    );
    assert!(order().resumed().is_none());
}

#[test]
fn reasons_are_told_without_their_causes() {
    let problem = json!({"type": "urn:x", "title": "No", "status": 402, "detail": "declined"});
    assert_eq!(refusal(&json!({"step": "authorise", "refused": problem})).status, 402);
    assert_eq!(refusal(&json!({"deadline": "2027-01-01T00:00:00Z"})).status, 504);
    let gave_up = refusal(&json!({"step": "hold", "gave_up": "10.0.0.7 refused"}));
    assert_eq!(gave_up.status, 503);
    assert!(!format!("{gave_up:?}").contains("10.0.0.7"));
    let both =
        json!({"stuck": {"step": "void", "gave_up": "10.0.0.7"}, "undoing": {"step": "authorise", "refused": problem}});
    assert_eq!(refusal(&both).status, 402);
    assert!(!format!("{:?}", stuck(&both)).contains("10.0.0.7"));
    assert!(was_cancelled(&json!({"cancelled": "by request"})) && !was_cancelled(&both));
}
