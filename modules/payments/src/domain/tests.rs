use kernel::Uuid;
use payments_contract::{PaymentDraft, PaymentId, PaymentStatus as Status, PaymentsError};
use serde_json::json;

use super::{Decision, Intent, IntentState, PaymentState, Wish};

const ID: PaymentId = PaymentId(Uuid::from_u128(1));

fn draft(amount: i64, token: &str) -> PaymentDraft {
    let body = json!({"amount": {"amount": amount, "currency": "EUR"}, "token": token});
    serde_json::from_value(body).unwrap()
}

fn at(status: Status) -> PaymentState {
    PaymentState::new(ID, status, Some(&draft(1, "tok_ok")))
}

fn said(state: IntentState) -> Intent {
    let reference = Some("pi_1".to_owned());
    Intent { state, reference }
}

const ALL: [Status; 9] = [
    Status::Authorising,
    Status::Authorised,
    Status::Declined,
    Status::Capturing,
    Status::Captured,
    Status::Voiding,
    Status::Voided,
    Status::Refunding,
    Status::Refunded,
];

/// What each wish comes to, in the order of [`ALL`]: a new status, `?` to ask again, `=` for as wished, or the status of
/// the refusal.
#[test]
fn what_may_follow_what() {
    let body = draft(1, "tok_ok");
    let table = [
        (
            Wish::Authorise(&body),
            ["?", "=", "402", "=", "=", "410", "410", "=", "="],
        ),
        (
            Wish::Capture,
            ["409", "capturing", "409", "?", "=", "410", "410", "409", "409"],
        ),
        (
            Wish::Void,
            ["voiding", "voiding", "=", "409", "409", "?", "=", "409", "409"],
        ),
        (
            Wish::Refund,
            ["409", "409", "409", "409", "refunding", "409", "409", "?", "="],
        ),
    ];
    for (wish, row) in table {
        for (status, expected) in ALL.into_iter().zip(row) {
            let there = at(status);
            let found = match wish.decide(ID, Some(&there)) {
                Ok(Decision::Settled(state)) if state == there => "=".to_owned(),
                Ok(Decision::Ask(state)) if state == there => "?".to_owned(),
                Ok(Decision::Begin(state)) if state.version == 2 => state.status.to_string(),
                Err(error) => strangler::ContractError::to_problem(&error).status.to_string(),
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expected, "{wish:?} when {status}");
        }
    }
}

#[test]
fn what_was_never_begun() {
    let body = draft(1, "tok_ok");
    let Ok(Decision::Begin(begun)) = Wish::Authorise(&body).decide(ID, None) else {
        panic!("begun")
    };
    assert_eq!((begun.status, begun.version), (Status::Authorising, 1));
    let Ok(Decision::Settle(tombstone)) = Wish::Void.decide(ID, None) else {
        panic!("a tombstone")
    };
    let void = Err(PaymentsError::Void { id: ID });
    assert_eq!(Wish::Authorise(&body).decide(ID, Some(&tombstone)), void);
    for wish in [Wish::Capture, Wish::Refund] {
        assert_eq!(wish.decide(ID, None), Err(PaymentsError::NoSuchPayment { id: ID }));
    }
}

#[test]
fn another_payment_under_the_same_id_is_refused() {
    let other = Err(PaymentsError::OtherPayment { id: ID });
    for status in ALL {
        for body in [draft(2, "tok_ok"), draft(1, "tok_slow")] {
            assert_eq!(Wish::Authorise(&body).decide(ID, Some(&at(status))), other);
        }
    }
}

/// Whatever late or strange thing the provider says, what is settled stays settled.
#[test]
fn an_old_answer_takes_nothing_back() {
    use IntentState::{Authorized, Captured, Declined, Refunded, Voided};
    for status in ALL {
        for state in [Authorized, Captured, Declined, Refunded, Voided] {
            let heard = at(status).hear(&said(state)).map(|next| next.status);
            let expected = match (status, state) {
                (Status::Authorising, Authorized) => Some(Status::Authorised),
                (Status::Authorising | Status::Voiding | Status::Capturing, Declined) => Some(Status::Declined),
                (Status::Authorising | Status::Voiding | Status::Capturing, Voided) => Some(Status::Voided),
                (Status::Capturing, Captured) => Some(Status::Captured),
                (Status::Refunding, Refunded) => Some(Status::Refunded),
                _ => None,
            };
            assert_eq!(heard, expected, "{status} hears {state:?}");
        }
    }
    let heard = at(Status::Authorising).hear(&said(Authorized)).unwrap();
    assert_eq!((heard.version, heard.reference.as_deref()), (2, Some("pi_1")));
}

#[test]
fn a_token_is_neither_kept_nor_shown() {
    let body = draft(1, "tok_secret");
    let state = PaymentState::new(ID, Status::Authorising, Some(&body));
    let texts = [
        format!("{body:?}"),
        format!("{state:?}"),
        serde_json::to_string(&state).unwrap(),
    ];
    assert!(texts.iter().all(|text| !text.contains("tok_secret")), "{texts:?}");
}
