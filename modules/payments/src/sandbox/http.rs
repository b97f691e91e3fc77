//! The sandbox's addresses.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    book::{Entry, Outcome, TOKENS, Verb, Wanted},
    flaky::Mood,
    ledger::Ledger,
};
use crate::domain::IntentState;

/// How long `tok_slow` takes.
const SLOW: Duration = Duration::from_secs(2);

pub(super) fn router(ledger: Ledger) -> Router {
    Router::new()
        .route("/intents", post(authorise))
        .route("/intents/{key}", get(intent))
        .route("/intents/{key}/capture", post(capture))
        .route("/intents/{key}/void", post(void))
        .route("/intents/{key}/refund", post(refund))
        .route("/ledger", get(entries))
        .layer(DefaultBodyLimit::max(64 << 10))
        .with_state(ledger)
}

fn refusal(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({"error": detail}))).into_response()
}

fn show(entry: &Entry) -> Value {
    let mut shown = json!({"key": entry.key, "state": entry.state});
    if let Some(terms) = &entry.terms {
        shown["id"] = json!(terms.id);
        shown["amount"] = json!(terms.amount);
        shown["currency"] = json!(terms.currency);
    }
    shown
}

fn answer(outcome: &Outcome, new: StatusCode) -> Response {
    match outcome {
        Outcome::New(entry) | Outcome::Same(entry) if entry.state == IntentState::Declined => {
            (StatusCode::PAYMENT_REQUIRED, Json(show(entry))).into_response()
        }
        Outcome::New(entry) => (new, Json(show(entry))).into_response(),
        Outcome::Same(entry) => (StatusCode::OK, Json(show(entry))).into_response(),
        Outcome::Otherwise(entry) => (StatusCode::CONFLICT, Json(show(entry))).into_response(),
        Outcome::OtherBody => refusal(StatusCode::UNPROCESSABLE_ENTITY, "another payment has this key"),
        Outcome::Unknown => refusal(StatusCode::NOT_FOUND, "no payment has this key"),
    }
}

/// The answer of a call that is in this mood, once its effect is on the disk.
fn finish(decided: Result<(Mood, Outcome), String>, new: StatusCode) -> Response {
    match decided {
        Ok((Mood::Well, outcome)) => answer(&outcome, new),
        Ok((Mood::Before, _)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "something broke"),
        Ok((Mood::After, _)) => refusal(StatusCode::SERVICE_UNAVAILABLE, "something broke"),
        Err(cause) => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("the ledger cannot be written: {cause}"),
        ),
    }
}

fn written(outcome: &Outcome) -> Option<Entry> {
    match outcome {
        Outcome::New(entry) => Some(entry.clone()),
        _ => None,
    }
}

async fn authorise(State(ledger): State<Ledger>, headers: HeaderMap, Json(wanted): Json<Wanted>) -> Response {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let Some(key) = key.filter(|key| (1..=200).contains(&key.len())) else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "send an `idempotency-key` of 1 to 200 characters",
        );
    };
    let currency = wanted.currency.len() == 3 && wanted.currency.bytes().all(|b| b.is_ascii_uppercase());
    if wanted.amount < 0 || !currency || !TOKENS.contains(&wanted.token.as_str()) {
        let detail = format!(
            "an amount of at least 0, a currency such as EUR, and one of {}",
            TOKENS.join(", ")
        );
        return refusal(StatusCode::UNPROCESSABLE_ENTITY, &detail);
    }
    let decided = ledger.decide(|book, tries| {
        let (mood, outcome) = (
            tries.next(&wanted.token, key, "authorise"),
            book.authorise(key, &wanted),
        );
        let write = written(&outcome).filter(|_| mood != Mood::Before);
        ((mood, outcome), write)
    });
    let decided = decided.await;
    if wanted.token == "tok_slow" {
        tokio::time::sleep(SLOW).await;
    }
    finish(decided, StatusCode::CREATED)
}

async fn change(ledger: &Ledger, key: &str, verb: Verb, name: &'static str) -> Response {
    if key.len() > 200 {
        return refusal(StatusCode::NOT_FOUND, "no payment has this key");
    }
    let decided = ledger.decide(|book, tries| {
        let terms = book.get(key).and_then(|entry| entry.terms);
        let mood = terms.map_or(Mood::Well, |terms| tries.next(&terms.token, key, name));
        let outcome = book.change(key, verb);
        let write = written(&outcome).filter(|_| mood != Mood::Before);
        ((mood, outcome), write)
    });
    finish(decided.await, StatusCode::OK)
}

async fn capture(State(ledger): State<Ledger>, Path(key): Path<String>) -> Response {
    change(&ledger, &key, Verb::Capture, "capture").await
}

async fn void(State(ledger): State<Ledger>, Path(key): Path<String>) -> Response {
    change(&ledger, &key, Verb::Void, "void").await
}

async fn refund(State(ledger): State<Ledger>, Path(key): Path<String>) -> Response {
    change(&ledger, &key, Verb::Refund, "refund").await
}

async fn intent(State(ledger): State<Ledger>, Path(key): Path<String>) -> Response {
    match ledger.decide(|book, _| (book.get(&key).as_ref().map(show), None)).await {
        Ok(Some(shown)) => Json(shown).into_response(),
        Ok(None) => refusal(StatusCode::NOT_FOUND, "no payment has this key"),
        Err(cause) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &cause),
    }
}

/// The ledger as accountants see it: money that was given back is not there any more.
async fn entries(State(ledger): State<Ledger>) -> Response {
    let entries = ledger.decide(|book, _| {
        let shown = book.all().map(|entry| {
            let mut shown = show(&entry);
            if entry.state == IntentState::Refunded {
                shown["state"] = json!(IntentState::Voided);
            }
            shown
        });
        (shown.collect::<Vec<_>>(), None)
    });
    match entries.await {
        Ok(entries) => Json(json!({"entries": entries})).into_response(),
        Err(cause) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &cause),
    }
}
