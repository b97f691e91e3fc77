//! What the parallel run found: per module how much was compared, and the mismatches in groups.

use std::{cmp::Reverse, sync::Arc};

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use strangler::{
    Clock,
    parallel::{Group, LearnedNoise},
};

use super::{
    Console,
    compared::ComparedPart,
    fragment::Fragment,
    module_view::grouped,
    page::{self, Frame, page},
    said::Said,
    screen::Moment,
    session::SignedIn,
    window::{address, given},
};
use crate::control::{DiffQuery, Status};

#[derive(Template)]
#[template(path = "console/parallel_run.html")]
struct ParallelRunPage {
    frame: Frame,
    /// What is asked for, and what can be.
    module: String,
    operation: String,
    modules: Vec<&'static str>,
    operations: Vec<&'static str>,
    summaries: Vec<Summary>,
    groups: Vec<GroupRow>,
    noise: Vec<LearnedNoise>,
    /// Why there is no group, when there is none.
    empty: &'static str,
    problem: Option<String>,
    outcome: Option<Said>,
}

/// How much of a module was compared.
struct Summary {
    module: &'static str,
    stage: String,
    compared: Fragment,
}

/// One group.
struct GroupRow {
    operation: String,
    path: String,
    kind: &'static str,
    shape: String,
    count: String,
    known: Option<Moment>,
    first: Moment,
    last: Moment,
    href: String,
}

impl GroupRow {
    fn new(module: &'static str, group: &Group, now: DateTime<Utc>) -> Self {
        let kind = group.kind.name();
        Self {
            operation: group.operation.clone(),
            path: place(&group.path),
            kind,
            shape: group.shape.clone(),
            known: group.known_until(now).map(Moment),
            count: grouped(group.count),
            first: Moment(group.first_seen),
            last: Moment(group.last_seen),
            // The path is part of the name even when it is empty: then it is the whole answer.
            href: {
                let base = format!("/console/parallel-run/{module}");
                let query = [
                    ("operation", group.operation.as_str()),
                    ("path", &group.path),
                    ("kind", kind),
                    ("shape", &group.shape),
                ];
                address(&base, &query)
            },
        }
    }
}

/// A place in an answer, as people read it.
pub(super) fn place(path: &str) -> String {
    match path {
        "" => "the whole answer".to_owned(),
        path => path.to_owned(),
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    module: String,
    operation: String,
    said: String,
}

/// `GET /console/parallel-run`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Asked {
        module,
        operation,
        said,
    } = match asked {
        Ok(Query(asked)) => asked,
        Err(unread) => return page::unread(&unread),
    };
    let (module, operation) = (given(&module), given(&operation));
    let control = &console.control;
    let status = Status::of(control);
    let of_operation = operation.as_ref().and_then(|o| o.split('.').next());
    let meant = |name: &str| module.as_deref().is_none_or(|m| m == name) && of_operation.is_none_or(|m| m == name);
    let now = control.clock().now();
    let (mut summaries, mut noise) = (Vec::new(), Vec::new());
    let mut rows = Vec::<((bool, Reverse<u64>), GroupRow)>::new();
    let (mut begun, mut comparing) = (false, false);
    for (status, running) in status.modules.iter().zip(&control.modules) {
        let name = running.contract.name;
        if !meant(name) {
            continue;
        }
        begun |= status.parallel_run.eligible > 0;
        let compares = |stage: &str| stage == "shadow" || stage == "verify";
        comparing |= compares(&status.stage) || status.operations.values().any(|o| compares(&o.stage));
        summaries.push(Summary {
            module: name,
            stage: status.stage.clone(),
            compared: Fragment::new(format!("compared-{name}"), &ComparedPart::new(status)),
        });
        let query = DiffQuery {
            operation: operation.clone(),
            ..DiffQuery::default()
        };
        let Ok(diffs) = control.diffs(name, &query) else {
            continue;
        };
        noise.extend(diffs.noise);
        let order = |group: &Group| (group.known_until(now).is_some(), Reverse(group.count));
        let groups = diffs.groups.iter();
        rows.extend(groups.map(|group| (order(group), GroupRow::new(name, group, now))));
    }
    rows.sort_by_key(|(order, _)| *order);
    let problem = summaries
        .is_empty()
        .then(|| "There is no such module or operation; choose one below.".to_owned());
    page(
        StatusCode::OK,
        &ParallelRunPage {
            frame: Frame::at("/console/parallel-run").live(control.clock().now()),
            modules: control.modules.iter().map(|m| m.contract.name).collect(),
            operations: control
                .modules
                .iter()
                .filter(|m| module.as_deref().is_none_or(|name| name == m.contract.name))
                .flat_map(|m| m.contract.operations.iter().map(|o| o.id))
                .collect(),
            module: module.unwrap_or_default(),
            operation: operation.unwrap_or_default(),
            summaries,
            noise,
            groups: rows.into_iter().map(|(_, row)| row).collect(),
            empty: match (begun, comparing) {
                (true, _) => "No mismatch so far. The figures above say of how much that speaks.",
                (false, true) => "Nothing was compared yet: the next query in shadow is.",
                (false, false) => {
                    "Nothing is compared. Put a module in shadow, on its page or on the map, and every query is asked of its service too."
                }
            },
            problem,
            outcome: Said::of(&console, Some(&said)),
        },
    )
}
