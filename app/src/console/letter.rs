//! One dead letter: the event, its error, every attempt, what waits behind it, and what can be decided.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use strangler::routes::Refusal;

use super::{
    Console,
    json::{self, Line},
    module_view::grouped,
    page::{self, Frame, page},
    said::Said,
    screen::Moment,
    session::SignedIn,
    window::address,
};
use crate::control::{Letter, LetterLine};

#[derive(Template)]
#[template(path = "console/letter.html")]
struct LetterPage {
    frame: Frame,
    line: LetterLine,
    parked: Moment,
    resolved: Option<(Moment, String)>,
    event: String,
    version: Option<i64>,
    trace: Option<String>,
    json: Vec<Line>,
    tried: Vec<Tried>,
    behind: Vec<Behind>,
    waiting: String,
    /// How many of those that wait are not shown.
    unshown: Option<String>,
    all_of_subject: String,
    outcome: Option<Said>,
}

/// One attempt, or one decision.
struct Tried {
    at: Option<Moment>,
    what: &'static str,
    said: String,
}

impl Tried {
    fn of(tried: &Value) -> Self {
        let at = tried["at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok());
        let known = [
            ("error", "failed"),
            ("retried_by", "put back to be handled by"),
            ("discarded_by", "discarded by"),
            ("restored_by", "restored by"),
        ];
        let found = known.into_iter().find_map(|(key, what)| {
            let said = tried.get(key)?;
            Some((what, said.as_str().unwrap_or("somebody").to_owned()))
        });
        let (what, said) = found.unwrap_or_else(|| ("", tried.to_string()));
        Self {
            at: at.map(Moment),
            what,
            said,
        }
    }
}

/// An event that waits.
struct Behind {
    position: i64,
    event: String,
    since: Moment,
}

/// The id in a W3C trace context.
pub(super) fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_owned())
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    said: String,
}

/// `GET /console/messages/{module}/{subscription}/{position}`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    Path((module, subscription, position)): Path<(String, String, String)>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let id = format!("{module}/{subscription}/{position}");
    let letter = match console.control.dead_letter(&id).await {
        Ok(Some(letter)) => letter,
        Err(Refusal::Wrong(why)) if id.chars().any(char::is_control) => {
            return page::message(StatusCode::BAD_REQUEST, "Not understood", &why);
        }
        Ok(None) | Err(Refusal::Wrong(_)) => {
            return page::message(
                StatusCode::NOT_FOUND,
                "No such dead letter",
                "There is no such dead letter, or no longer: what was decided about is kept for a while only.",
            );
        }
        Err(error) => {
            return page::message(StatusCode::INTERNAL_SERVER_ERROR, "Not read", &error.to_string());
        }
    };
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let outcome = Said::of(&console, Some(&asked.said));
    page(StatusCode::OK, &sheet(letter, outcome))
}

fn sheet(letter: Letter, outcome: Option<Said>) -> LetterPage {
    let Letter {
        line,
        envelope,
        tried,
        behind,
        resolved_by,
        resolved_at,
    } = letter;
    let behind: Vec<_> = behind
        .into_iter()
        .map(|b| Behind {
            position: b.position,
            event: b.event.unwrap_or_else(|| "no event".to_owned()),
            since: Moment(b.since),
        })
        .collect();
    let unshown = line.waiting.saturating_sub(behind.len() as u64);
    let subject = line.subject.clone().unwrap_or_default();
    LetterPage {
        frame: Frame::below("/console/messages"),
        parked: Moment(line.parked_at),
        resolved: resolved_at.map(|at| (Moment(at), resolved_by.unwrap_or_else(|| "somebody".to_owned()))),
        event: line
            .event
            .clone()
            .unwrap_or_else(|| "What is stored is no event".to_owned()),
        version: envelope.as_ref().map(|e| e.aggregateversion),
        trace: envelope.as_ref().and_then(|e| trace_id(&e.traceparent)),
        json: envelope
            .and_then(|e| serde_json::to_value(e).ok())
            .map(|e| json::plain(&e))
            .unwrap_or_default(),
        tried: tried.as_array().into_iter().flatten().map(Tried::of).collect(),
        behind,
        waiting: grouped(line.waiting),
        unshown: (unshown > 0).then(|| grouped(unshown)),
        all_of_subject: address(
            "/console/messages",
            &[
                ("module", &line.module),
                ("subscription", &line.subscription),
                ("subject", &subject),
            ],
        ),
        outcome,
        line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attempts_and_decisions_are_told() {
        let tried = Tried::of(&json!({"at": "2026-11-21T17:30:00Z", "error": "<b>broken</b>"}));
        assert_eq!((tried.what, tried.said.as_str()), ("failed", "<b>broken</b>"));
        assert!(tried.at.is_some());
        let tried = Tried::of(&json!({"at": "?", "restored_by": null}));
        assert_eq!((tried.what, tried.said.as_str()), ("restored by", "somebody"));
        assert!(tried.at.is_none());
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(trace_id(trace).as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        assert_eq!(trace_id("00-1-2-01"), None);
    }
}
