//! One module: its contract, who serves it, what it tells and hears, its tables; and the flips of its stages, which can be
//! undone.

mod deeds;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{Redirect, Response},
};
use serde::Deserialize;
use strangler::{
    Auth, Clock, Contract, EventInfo, instances,
    routes::{AuditEntry, Change, Refusal, Route, Stage},
};

use super::{
    Console,
    fragment::Fragment,
    map,
    module_view::{ModuleView, OperationView},
    page::{self, Frame, page},
    said::Said,
    screen,
    session::SignedIn,
    waiting::{self, Everything},
    window::address,
};
use crate::{
    control::{AuditQuery, Control, Running, Status},
    modules::{self, ModuleKind},
};

pub(super) use deeds::{extract, flip, merge_back, undo};

#[derive(Template)]
#[template(path = "console/module.html")]
struct ModulePage {
    frame: Frame,
    name: &'static str,
    kind: Option<ModuleKind>,
    paragraphs: Vec<String>,
    view: ModuleView,
    operations: Vec<OperationRow>,
    actions: Fragment,
    emits: &'static [EventInfo],
    hears: Fragment,
    tables: Result<Vec<Table>, String>,
    outcome: Option<Said>,
    undo: Option<Undo>,
}

/// An operation with what its contract says of it.
struct OperationRow {
    view: OperationView,
    doc: &'static str,
    auth: String,
}

/// A table, and about how many rows it has.
struct Table {
    name: String,
    rows: String,
}

/// A flip that can be taken back: the last one of its target.
struct Undo {
    target: String,
    /// What it would go back to, in words.
    to: String,
    /// Which line of the audit trail is meant.
    at: i64,
}

impl Undo {
    fn of(entry: &AuditEntry) -> Option<Self> {
        back_to(entry).ok()?;
        (entry.from != entry.to).then(|| Self {
            target: entry.target.clone(),
            to: match entry.from.as_str() {
                "inherit" => "its module’s stage".to_owned(),
                stage => stage.to_owned(),
            },
            at: entry.at.timestamp_micros(),
        })
    }
}

/// The change that takes a flip back.
fn back_to(entry: &AuditEntry) -> Result<Change, Refusal> {
    let back = Change {
        target: entry.target.clone(),
        ..Change::default()
    };
    if entry.from == "inherit" {
        return Ok(back);
    }
    let route: Route = entry.from.parse().map_err(Refusal::Wrong)?;
    let canary = route.stage == Stage::Canary;
    Ok(Change {
        stage: Some(route.stage),
        fallback: Some(route.fallback),
        percent: canary.then_some(route.percent),
        sample: route.stage.compares().then_some(route.sample),
        cohorts: canary.then(|| route.cohorts.to_vec()),
        ..back
    })
}

/// Who may call an operation, in words.
fn who(auth: Auth) -> String {
    match auth {
        Auth::Public => "anybody".to_owned(),
        Auth::SignedIn => "anybody who is known".to_owned(),
        Auth::Scope(scope) => format!("scope {scope}"),
    }
}

/// The address of a module's page.
fn at(module: &str) -> String {
    format!("/console/modules/{module}")
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    changed: Option<String>,
    said: Option<String>,
}

/// `GET /console/modules/{module}`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let asked = asked.map(|Query(asked)| asked).unwrap_or_default();
    let control = &console.control;
    let Ok(running) = control.module(&module) else {
        return no_such(&module);
    };
    let own = |target: &str| target.split('.').next() == Some(running.contract.name);
    let changed = match asked.changed.filter(|target| own(target)) {
        Some(target) => last_change(control, target).await.ok().flatten(),
        None => None,
    };
    let outcome = changed
        .as_ref()
        .and_then(|entry| map::Outcome::of(&entry.target, std::slice::from_ref(entry)))
        .map(|outcome| Said::done(outcome.sentence))
        .or_else(|| Said::of(&console, asked.said.as_deref()));
    let undo = changed.as_ref().and_then(Undo::of);
    let (all, tables) = tokio::join!(Everything::of(control), running.db.tables());
    let tables = match tables {
        Ok(tables) => Ok(tables
            .into_iter()
            .map(|table| Table {
                rows: waiting::counted(table.rows),
                name: table.name,
            })
            .collect()),
        Err(error) => Err(error.to_string()),
    };
    let mut view = view(control, running);
    let operations = std::mem::take(&mut view.operations);
    let operations = operations.into_iter().zip(running.contract.operations);
    let Contract { name, doc, events, .. } = *running.contract;
    page(
        StatusCode::OK,
        &ModulePage {
            frame: Frame::below("/console").live(control.clock().now()),
            name,
            kind: modules::declared(name).kind,
            paragraphs: doc
                .split("\n\n")
                .map(|p| p.trim().to_owned())
                .filter(|p| !p.is_empty())
                .collect(),
            view,
            operations: operations
                .map(|(view, o)| OperationRow {
                    view,
                    doc: o.doc,
                    auth: who(o.auth),
                })
                .collect(),
            actions: waiting::actions(control, running),
            emits: events,
            hears: all.hears(control, name),
            tables,
            outcome,
            undo,
        },
    )
}

fn view(control: &Control, running: &Running) -> ModuleView {
    let contract = running.contract;
    let ready = instances::ready(&control.registry, contract.name, contract.version);
    let status = Status::of(control);
    let place = control.modules.iter().position(|m| m.contract.name == contract.name);
    // Statuses and modules come in the same order, and `running` is one of them.
    let status = &status.modules[place.unwrap_or_default()];
    ModuleView::new(status, contract.doc, &ready, &screen::operations(running), None)
}

fn no_such(module: &str) -> Response {
    page::message(
        StatusCode::NOT_FOUND,
        "No such module",
        &format!("There is no module “{module}”. The map shows those there are."),
    )
}

/// Addresses from which one is sent to the module.
pub(super) async fn here(Path(module): Path<String>) -> Redirect {
    Redirect::to(&address(&at(&percent(&module)), &[]))
}

/// A name as a part of a path.
fn percent(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn last_change(control: &Control, target: String) -> Result<Option<AuditEntry>, String> {
    let query = AuditQuery {
        exactly: Some(target),
        limit: Some(1),
        ..AuditQuery::default()
    };
    let page = control.store.audit_page(&query).await.map_err(|e| e.to_string())?;
    Ok(page.entries.into_iter().last())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use strangler::routes::Fallback;

    use super::*;

    fn entry(from: &str, to: &str) -> AuditEntry {
        let [by, target, from, to] = ["operator", "catalog.show", from, to].map(ToOwned::to_owned);
        AuditEntry {
            at: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            by,
            target,
            from,
            to,
            why: None,
        }
    }

    #[test]
    fn a_flip_is_taken_back_to_what_it_was() {
        let back = |from: &str| back_to(&entry(from, "local")).map(|c| (c.stage, c.fallback));
        assert_eq!(back("inherit"), Ok((None, None)));
        assert_eq!(back("shadow"), Ok((Some(Stage::Shadow), Some(Fallback::Local))));
        assert_eq!(
            back("remote (no fallback)"),
            Ok((Some(Stage::Remote), Some(Fallback::None)))
        );
        let canary = back_to(&entry("canary 5.5%, cohorts b=principal:ada", "remote")).unwrap();
        assert_eq!(canary.percent.map(|p| p.to_string()).as_deref(), Some("5.5%"));
        assert_eq!(
            canary.cohorts.map(|c| c[0].to_string()).as_deref(),
            Some("b=principal:ada")
        );
        let sampled = back_to(&entry("verify, sample 10%", "remote")).unwrap();
        assert_eq!(sampled.sample.map(|s| s.to_string()).as_deref(), Some("10%"));
        assert!(back("1 process").is_err());
        assert!(Undo::of(&entry("shadow", "shadow")).is_none(), "nothing was changed");
        assert_eq!(Undo::of(&entry("inherit", "local")).unwrap().to, "its module’s stage");
    }
}
