//! One group of mismatches: the two answers side by side, with the place that differs marked.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use strangler::{compare::DifferenceKind, parallel::Answer};

use super::{
    Console,
    compared::ComparedPart,
    fragment::Fragment,
    json::{self, Line},
    module_view::grouped,
    page::{self, Frame, page},
    parallel_run::place,
    screen::Moment,
    session::SignedIn,
    window::address,
};
use crate::control::{DiffQuery, Status};

#[derive(Template)]
#[template(path = "console/mismatch.html")]
struct MismatchPage {
    frame: Frame,
    module: &'static str,
    operation: String,
    path: String,
    kind: &'static str,
    /// What the kind means, in a sentence.
    meaning: &'static str,
    count: String,
    first: Moment,
    last: Moment,
    trace: String,
    sides: [Side; 2],
    /// Whether the sides are whole answers, and not the place alone.
    whole: bool,
    compared: Fragment,
    others: String,
}

/// One side's answer.
struct Side {
    id: &'static str,
    name: &'static str,
    status: Option<u16>,
    status_differs: bool,
    lines: Vec<Line>,
}

fn meaning(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Value => "The service has another value there.",
        DifferenceKind::Type => "The service has a value of another type there.",
        DifferenceKind::Missing => "The service lacks what the monolith has there.",
        DifferenceKind::Extra => "The service has there what the monolith lacks.",
        DifferenceKind::Order => "The service has the same elements there, in another order.",
        DifferenceKind::Length => "The service has another number of elements there.",
        DifferenceKind::Status => "The service answers with another HTTP status.",
        DifferenceKind::Effect => "The service would do something else there: a row, an event, a change or a call.",
    }
}

fn whole(id: &'static str, name: &'static str, answer: &Answer, path: &str, kind: DifferenceKind) -> Side {
    let status_differs = kind == DifferenceKind::Status;
    Side {
        id,
        name,
        status: Some(answer.status),
        status_differs,
        lines: match status_differs {
            true => json::plain(&answer.body),
            false => json::marked(&answer.body, path),
        },
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    operation: String,
    path: String,
    kind: String,
}

/// `GET /console/parallel-run/{module}`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Asked { operation, path, kind } = match asked {
        Ok(Query(asked)) => asked,
        Err(unread) => return page::unread(&unread),
    };
    let query = DiffQuery {
        operation: Some(operation),
        path: Some(path),
        kind: Some(kind),
    };
    let control = &console.control;
    let found = control.module(&module).ok().zip(control.diffs(&module, &query).ok());
    let Some((running, group)) = found.and_then(|(r, diffs)| Some((r, diffs.groups.into_iter().next()?))) else {
        return page::message(
            StatusCode::NOT_FOUND,
            "No such mismatch",
            "There is no such group of mismatches, or no longer: they are counted anew when the system starts. \
             “Parallel run” shows those there are.",
        );
    };
    let example = &group.example;
    let (monolith, service) = ("The monolith", "The service");
    let sides = match example.answers.as_deref() {
        Some(both) => [
            whole("local", monolith, &both.local, &group.path, group.kind),
            whole("remote", service, &both.remote, &group.path, group.kind),
        ],
        None => [
            ("local", monolith, &example.local),
            ("remote", service, &example.remote),
        ]
        .map(|(id, name, value)| Side {
            id,
            name,
            status: None,
            status_differs: false,
            lines: json::marked(value, ""),
        }),
    };
    let status = Status::of(control);
    let status = status.modules.iter().find(|m| m.module == module);
    let name = running.contract.name;
    page(
        StatusCode::OK,
        &MismatchPage {
            frame: Frame::below("/console/parallel-run"),
            module: name,
            operation: group.operation.to_string(),
            path: place(&group.path),
            kind: group.kind.name(),
            meaning: meaning(group.kind),
            count: grouped(group.count),
            first: Moment(group.first_seen),
            last: Moment(group.last_seen),
            trace: example.trace_id.clone(),
            whole: example.answers.is_some(),
            sides,
            compared: match status {
                Some(status) => Fragment::new(format!("compared-{name}"), &ComparedPart::new(status)),
                None => Fragment::list("compared", Vec::new(), &super::screen::EmptyRow { sentence: "" }),
            },
            others: address(
                "/console/parallel-run",
                &[("module", name), ("operation", &group.operation)],
            ),
        },
    )
}
