//! One saga: its timeline, what it works on, and what can be done about it.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{
        Path, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::StatusCode,
    response::{Redirect, Response},
};
use serde::Deserialize;
use strangler::routes::Refusal;
use uuid::Uuid;

use super::{
    Console,
    json::{self, Line},
    letter::trace_id,
    page::{self, Frame, page},
    sagas::words,
    said::{Said, reason},
    screen::Moment,
    session::SignedIn,
};
use crate::control::{CancelSaga, Chosen, SagaLine, SagaSheet, SagaStep};

#[derive(Template)]
#[template(path = "console/saga.html")]
struct SagaPage {
    frame: Frame,
    line: SagaLine,
    state: &'static str,
    tone: &'static str,
    undoing: bool,
    began: Moment,
    changed: Moment,
    deadline: Option<Moment>,
    due: Option<Moment>,
    trace: Option<String>,
    reason: Vec<Line>,
    steps: Vec<StepView>,
    works_on: Vec<Line>,
    /// Why it cannot be resumed, or given up, as it is.
    off: Option<String>,
    outcome: Option<Said>,
}

/// One entry of the timeline.
struct StepView {
    at: Moment,
    step: String,
    undo: bool,
    state: &'static str,
    tone: &'static str,
    attempts: u32,
    outcome: Option<String>,
}

impl StepView {
    fn new(step: SagaStep) -> Self {
        let undo = step.deed == "undo";
        let (state, tone) = match (step.state.as_str(), undo) {
            ("recorded", _) => ("noted, in case the saga turns round", ""),
            ("started", false) => ("started: it may have happened", "warn"),
            ("started", true) => ("undo started: it may have happened", "warn"),
            ("refused", _) => ("refused", "bad"),
            ("undone", _) => ("undone", ""),
            (_, true) => ("undone", ""),
            _ => ("done", "good"),
        };
        Self {
            at: Moment(step.at),
            step: step.step,
            undo,
            state,
            tone,
            attempts: step.attempts,
            outcome: step.outcome.map(|outcome| outcome.to_string()),
        }
    }
}

fn at(module: &str, id: Uuid) -> String {
    format!("/console/sagas/{module}/{id}")
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    said: String,
}

/// `GET /console/sagas/{module}/{id}`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    Path((module, id)): Path<(String, String)>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let sheet = match console.control.saga(&format!("{module}/{id}")).await {
        Ok(Some(sheet)) => sheet,
        Ok(None) | Err(Refusal::Wrong(_)) => {
            return page::message(
                StatusCode::NOT_FOUND,
                "No such saga",
                "There is no such saga, or no longer: those that are over are kept for a while only.",
            );
        }
        Err(error) => {
            return page::message(StatusCode::INTERNAL_SERVER_ERROR, "Not read", &error.to_string());
        }
    };
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let outcome = Said::of(&console, Some(&asked.said));
    page(StatusCode::OK, &view(sheet, outcome))
}

fn view(sheet: SagaSheet, outcome: Option<Said>) -> SagaPage {
    let SagaSheet {
        line,
        undoing,
        due_at,
        traceparent,
        state: works_on,
        steps,
    } = sheet;
    let (state, tone) = words(&line.status);
    let asked = line.status == "stuck" && due_at.is_some();
    let off = match line.status.as_str() {
        "stuck" if asked => Some("it was asked to go on, and its worker is about to".to_owned()),
        "stuck" => None,
        "running" | "compensating" => Some("it goes on by itself; only a stuck saga is resumed or given up".to_owned()),
        _ => Some(format!("it is over ({state})")),
    };
    SagaPage {
        frame: Frame::below("/console/sagas"),
        state,
        tone,
        undoing,
        began: Moment(line.began_at),
        changed: Moment(line.changed_at),
        deadline: line.deadline.map(Moment),
        due: due_at.map(Moment),
        trace: trace_id(&traceparent),
        reason: line.reason.as_ref().map(json::plain).unwrap_or_default(),
        steps: steps.into_iter().map(StepView::new).collect(),
        works_on: json::plain(&works_on),
        off,
        outcome,
        line,
    }
}

/// Addresses from which one is sent to the saga.
pub(super) async fn here(Path((module, id)): Path<(String, Uuid)>) -> Redirect {
    let module = percent_encoding::utf8_percent_encode(&module, percent_encoding::NON_ALPHANUMERIC);
    Redirect::to(&at(&module.to_string(), id))
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Why {
    why: String,
}

/// `POST /console/sagas/{module}/{id}/resume`.
pub(super) async fn resume(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path((module, id)): Path<(String, Uuid)>,
    form: Result<Form<Why>, FormRejection>,
) -> Response {
    if console.control.schema(&module).is_err() {
        return page::nothing();
    }
    let why = match form {
        Ok(Form(Why { why })) => why,
        Err(unread) => return Said::unread(&unread).on(&console, &at(&module, id), &[]),
    };
    let chosen = Chosen {
        ids: vec![format!("{module}/{id}")],
        why: reason(&why),
        ..Chosen::default()
    };
    let said = match console.control.resume_sagas(&chosen, &by).await {
        Ok(resumed) if resumed.resumed == 1 => Said::done(
            "The saga goes on, as soon as its module’s worker sees it. Load the page again to see how far it came.",
        ),
        Ok(_) => Said::refused("Not done: it is not stuck any more."),
        Err(refusal) => Said::refusal(&refusal),
    };
    said.on(&console, &at(&module, id), &[])
}

/// `POST /console/sagas/{module}/{id}/cancel`.
pub(super) async fn cancel(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path((module, id)): Path<(String, Uuid)>,
    form: Result<Form<Why>, FormRejection>,
) -> Response {
    if console.control.schema(&module).is_err() {
        return page::nothing();
    }
    let why = match form {
        Ok(Form(Why { why })) => why,
        Err(unread) => return Said::unread(&unread).on(&console, &at(&module, id), &[]),
    };
    let asked = CancelSaga {
        id: format!("{module}/{id}"),
        why,
    };
    let said = match console.control.cancel_saga(&asked, &by).await {
        Ok(cancelled) if cancelled.status == "abandoned" => {
            Said::done("The saga is given up; what takes it back has begun.")
        }
        Ok(_) => Said::done("The saga turns round; what it has done is being undone."),
        Err(refusal) => Said::refusal(&refusal),
    };
    said.on(&console, &at(&module, id), &[])
}
