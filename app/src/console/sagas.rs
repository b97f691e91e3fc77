//! Sagas in pages: what failed and what is stuck first.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use strangler::Clock;

use super::{
    Console,
    fragment::Fragment,
    page::{self, Frame, page},
    screen::{Moment, clock_time},
    session::SignedIn,
    waiting::Everything,
    window::{ROWS, address, given},
};
use crate::control::{SagaLine, SagaQuery};

const PATH: &str = "/console/sagas";

/// What can be asked for, and how it is called.
pub(super) const STATES: [(&str, &str); 9] = [
    ("", "all"),
    ("open", "not over"),
    ("stuck", "stuck"),
    ("late", "late"),
    ("compensating", "going back"),
    ("running", "going forward"),
    ("abandoned", "given up"),
    ("undone", "undone"),
    ("done", "done"),
];

#[derive(Template)]
#[template(path = "console/sagas.html")]
struct SagasPage {
    frame: Frame,
    total: Fragment,
    module: String,
    state: String,
    modules: Vec<&'static str>,
    sagas: Vec<Row>,
    not_read: Vec<String>,
    as_of: String,
    first: Option<String>,
    next: Option<String>,
    empty: &'static str,
    problem: Option<String>,
}

/// One saga of the list.
struct Row {
    href: String,
    line: SagaLine,
    state: &'static str,
    tone: &'static str,
    deadline: Option<Moment>,
    changed: Moment,
    reason: String,
}

impl Row {
    fn new(line: SagaLine) -> Self {
        let reason = line.reason.as_ref().map(ToString::to_string).unwrap_or_default();
        let (state, tone) = words(&line.status);
        Self {
            href: format!("{PATH}/{}/{}", line.module, line.id),
            state,
            tone,
            deadline: line.deadline.map(Moment),
            changed: Moment(line.changed_at),
            reason: match reason.char_indices().nth(160) {
                Some((end, _)) => format!("{}…", &reason[..end]),
                None => reason,
            },
            line,
        }
    }
}

/// A status in words, and what it is worth.
pub(super) fn words(status: &str) -> (&'static str, &'static str) {
    match status {
        "stuck" => ("stuck", "bad"),
        "compensating" => ("going back", "warn"),
        "running" => ("going forward", ""),
        "abandoned" => ("given up", "warn"),
        "undone" => ("undone", ""),
        _ => ("done", "good"),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    state: String,
    module: String,
    cursor: String,
}

/// `GET /console/sagas`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Asked { state, module, cursor } = match asked {
        Ok(Query(asked)) => asked,
        Err(unread) => return page::unread(&unread),
    };
    let control = &console.control;
    let now = control.clock().now();
    let query = SagaQuery {
        module: given(&module),
        status: Some(given(&state).unwrap_or_else(|| "all".to_owned())),
        limit: Some(ROWS),
        cursor: given(&cursor),
    };
    let (all, list) = tokio::join!(Everything::sums(control), control.sagas(&query));
    let problem = list.as_ref().err().cloned();
    let (sagas, not_read, next) = match list {
        Ok(list) => (list.sagas, list.not_read, list.next),
        Err(_) => (Vec::new(), Vec::new(), None),
    };
    let more = |cursor: &str| address(PATH, &[("state", &state), ("module", &module), ("cursor", cursor)]);
    let (next, first) = (next.as_deref().map(more), (!cursor.is_empty()).then(|| more("")));
    let status = match problem {
        Some(_) => StatusCode::BAD_REQUEST,
        None => StatusCode::OK,
    };
    page(
        status,
        &SagasPage {
            frame: Frame::at(PATH).live(now),
            total: all.sagas(),
            modules: control.modules.iter().map(|m| m.contract.name).collect(),
            sagas: sagas.into_iter().map(Row::new).collect(),
            not_read,
            as_of: clock_time(now),
            first,
            next,
            empty: match (state.as_str(), module.as_str()) {
                ("", "") => {
                    "There are no sagas. An order that is placed begins one, say with PUT /api/v1/ordering/orders/{id}."
                }
                _ => "There is no such saga. Ask for all of them, or place an order.",
            },
            problem,
            module,
            state,
        },
    )
}
