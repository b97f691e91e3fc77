//! What the parallel run found: per module how much was compared, and the mismatches in groups.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use strangler::{Clock, parallel::Group};

use super::{
    Console,
    compared::ComparedPart,
    fragment::Fragment,
    module_view::grouped,
    page::{self, Frame, page},
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
    /// Why there is no group, when there is none.
    empty: &'static str,
    problem: Option<String>,
}

/// How much of a module was compared.
struct Summary {
    module: &'static str,
    stage: String,
    compared: Fragment,
}

/// One group.
struct GroupRow {
    operation: &'static str,
    path: String,
    kind: &'static str,
    count: String,
    first: Moment,
    last: Moment,
    href: String,
}

impl GroupRow {
    fn new(module: &'static str, group: &Group) -> Self {
        let kind = group.kind.name();
        Self {
            operation: group.operation,
            path: place(&group.path),
            kind,
            count: grouped(group.count),
            first: Moment(group.first_seen),
            last: Moment(group.last_seen),
            // The path is part of the name even when it is empty: then it is the whole answer.
            href: {
                let base = format!("/console/parallel-run/{module}");
                let query = [("operation", group.operation), ("path", &group.path), ("kind", kind)];
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
}

/// `GET /console/parallel-run`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Asked { module, operation } = match asked {
        Ok(Query(asked)) => asked,
        Err(unread) => return page::unread(&unread),
    };
    let (module, operation) = (given(&module), given(&operation));
    let control = &console.control;
    let status = Status::of(control);
    let of_operation = operation.as_ref().and_then(|o| o.split('.').next());
    let meant = |name: &str| module.as_deref().is_none_or(|m| m == name) && of_operation.is_none_or(|m| m == name);
    let (mut summaries, mut rows) = (Vec::new(), Vec::<(u64, GroupRow)>::new());
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
        let groups = control
            .diffs(name, &query)
            .map(|diffs| diffs.groups)
            .unwrap_or_default();
        rows.extend(groups.iter().map(|group| (group.count, GroupRow::new(name, group))));
    }
    rows.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
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
            groups: rows.into_iter().map(|(_, row)| row).collect(),
            empty: match (begun, comparing) {
                (true, _) => "No mismatch so far. The figures above say of how much that speaks.",
                (false, true) => "Nothing was compared yet: the next query in shadow is.",
                (false, false) => {
                    "Nothing is compared. Put a module in shadow, on its page or on the map, and every query is asked of its service too."
                }
            },
            problem,
        },
    )
}
