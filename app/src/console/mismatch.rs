//! One group of mismatches: the two answers side by side, with the place that differs marked.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{
        Path, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::StatusCode,
    response::Response,
};
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::Value;
use strangler::{Clock, compare::DifferenceKind, parallel::Answer};

use super::{
    Console,
    compared::ComparedPart,
    fragment::Fragment,
    json::{self, Line},
    module_view::grouped,
    page::{self, Frame, page},
    parallel_run::place,
    said::{Said, reason},
    screen::Moment,
    session::SignedIn,
    window::{address, given},
};
use crate::control::{DiffQuery, SaidOfDiffs, Status};

#[derive(Template)]
#[template(path = "console/mismatch.html")]
struct MismatchPage {
    frame: Frame,
    module: &'static str,
    operation: String,
    path: String,
    /// The same as it is written.
    pointer: String,
    kind: &'static str,
    shape: String,
    latencies: [Option<String>; 2],
    /// Until when it is known.
    known: Option<Moment>,
    outcome: Option<Said>,
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
        DifferenceKind::Effect => "The service would have done something else there: a row, an event or a call.",
    }
}

/// Where a place is in an answer as it is kept. That of a query is kept as it is; of a unit of work, `answer` and `then` are, and
/// what it did is named by what it is called, not by its place in the list.
fn pointer(body: &Value, path: &str) -> String {
    let Some(then) = body.get("then").filter(|_| body.get("answer").is_some()) else {
        return path.to_owned();
    };
    let Some(effect) = path.strip_prefix("/then/") else {
        return match path.strip_prefix("/answer") {
            Some(_) => path.to_owned(),
            None => format!("/answer{path}"),
        };
    };
    let mut parts = effect.splitn(3, '/');
    let (list, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let name = name.replace("~1", "/").replace("~0", "~");
    let rest = parts.next().map(|rest| format!("/{rest}")).unwrap_or_default();
    let left: &[Value] = then.get(list).and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let called = |one: &Value| ["kind", "name", "type", "port"].iter().any(|key| one[*key] == *name);
    // The last one of several: what is there twice is there once too often.
    let at = left.iter().rposition(called).unwrap_or(left.len());
    format!("/then/{list}/{at}{rest}")
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
            false => json::marked(&answer.body, &pointer(&answer.body, path)),
        },
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    operation: String,
    path: String,
    kind: String,
    shape: String,
    said: String,
}

/// `GET /console/parallel-run/{module}`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Asked {
        operation,
        path,
        kind,
        shape,
        said,
    } = match asked {
        Ok(Query(asked)) => asked,
        Err(unread) => return page::unread(&unread),
    };
    let query = DiffQuery {
        operation: Some(operation),
        path: Some(path),
        kind: Some(kind),
        shape: given(&shape),
    };
    let control = &console.control;
    let found = control.module(&module).ok().zip(control.diffs(&module, &query).ok());
    let Some((running, group)) = found.and_then(|(r, diffs)| Some((r, diffs.groups.into_iter().next()?))) else {
        return page::message(
            StatusCode::NOT_FOUND,
            "No such mismatch",
            "There is no such group of mismatches, or no longer. “Parallel run” shows those there are.",
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
            operation: group.operation.clone(),
            path: place(&group.path),
            pointer: group.path.clone(),
            kind: group.kind.name(),
            shape: group.shape.clone(),
            latencies: [example.latency_ms.local, example.latency_ms.remote]
                .map(|ms| ms.map(|ms| format!("{ms:.1} ms"))),
            known: group.known_until(control.clock().now()).map(Moment),
            outcome: Said::of(&console, Some(&said)),
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

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Word {
    operation: String,
    path: String,
    kind: String,
    shape: String,
    /// A day: known until it begins (UTC).
    until: String,
    /// Or whether it is to be forgotten.
    forget: bool,
    why: String,
}

/// `POST /console/parallel-run/{module}`: somebody acknowledges a group, or forgets it.
pub(super) async fn say(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    form: Result<Form<Word>, FormRejection>,
) -> Response {
    if console.control.module(&module).is_err() {
        return page::nothing();
    }
    let list = "/console/parallel-run";
    let Word {
        operation,
        path,
        kind,
        shape,
        until,
        forget,
        why,
    } = match form {
        Ok(Form(word)) => word,
        Err(unread) => return Said::unread(&unread).on(&console, list, &[]),
    };
    let here = format!("{list}/{module}");
    let query = [
        ("operation", operation.as_str()),
        ("path", &path),
        ("kind", &kind),
        ("shape", &shape),
    ];
    let day = until
        .trim()
        .parse::<NaiveDate>()
        .ok()
        .and_then(|day| day.and_hms_opt(0, 0, 0));
    if !forget && day.is_none() {
        let wrong = Said::refused("Not acknowledged: say until which day, such as 2026-12-24.");
        return wrong.on(&console, &here, &query);
    }
    let said = SaidOfDiffs {
        of: DiffQuery {
            operation: Some(operation.clone()),
            path: Some(path.clone()),
            kind: Some(kind.clone()),
            shape: given(&shape),
        },
        acknowledged_until: day.filter(|_| !forget).map(|day| day.and_utc()),
        forget,
        why: reason(&why),
    };
    match console.control.say_of_diffs(&module, &said, &by).await {
        Ok(_) if forget => {
            Said::done("Forgotten. Should it be seen again, it is counted anew.").on(&console, list, &[])
        }
        Ok(_) => Said::done("Acknowledged; it comes last in the list until then.").on(&console, &here, &query),
        Err(refusal) => Said::refusal(&refusal).on(&console, &here, &query),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_is_found_in_what_is_kept() {
        let read = json!({"a": 1});
        assert_eq!(pointer(&read, "/a"), "/a");
        let write = json!({
            "answer": {"version": 1},
            "then": {
                "rows": [{"kind": "act", "state": {}}, {"kind": "show", "state": {"x": 1}}],
                "writes": [], "calls": [{"port": "provider.capture"}, {"port": "provider.capture"}],
                "events": [{"type": "catalog.show.announced"}],
            },
        });
        for (path, place) in [
            ("/version", "/answer/version"),
            ("", "/answer"),
            ("/answer/done", "/answer/done"),
            ("/then/rows/show/state/x", "/then/rows/1/state/x"),
            ("/then/calls/provider.capture", "/then/calls/1"),
            ("/then/events/catalog.show.changed", "/then/events/1"),
        ] {
            assert_eq!(pointer(&write, path), place);
        }
    }
}
