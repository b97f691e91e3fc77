//! One module: its contract, who serves it, what it tells and hears, its tables; and the flips of its stages, which can be
//! undone.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use strangler::{
    Auth, Clock, Contract, EventInfo, instances,
    routes::{AuditEntry, Change, Fallback, Refusal},
};
use url::Url;

use super::{
    Console,
    fragment::Fragment,
    map,
    module_view::{ModuleView, OperationView, grouped},
    page::{self, Frame, page},
    said::{Said, reason},
    screen,
    session::SignedIn,
    waiting::{self, Everything},
    window::address,
};
use crate::{
    control::{AuditQuery, Control, Running, Status},
    modules::{self, ModuleKind},
};

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
    let (stage, fallback) = match entry.from.strip_suffix(" (no fallback)") {
        Some(stage) => (stage, Fallback::None),
        None => (entry.from.as_str(), Fallback::Local),
    };
    let stage = match stage {
        "inherit" => None,
        stage => Some(stage.parse().map_err(Refusal::Wrong)?),
    };
    Ok(Change {
        target: entry.target.clone(),
        stage,
        fallback: Some(fallback),
        why: None,
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

/// `POST /console/stage`, which the map and the pages of modules send: whoever flips something is shown the outcome on the
/// page that the form was on.
pub(super) async fn flip(
    signed: SignedIn,
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    form: Result<Form<map::Flip>, FormRejection>,
) -> Response {
    let module = came_from(&headers).filter(|module| console.control.module(module).is_ok());
    let (Some(module), Ok(Form(flip))) = (module, &form) else {
        return map::flip(signed, State(console), form).await;
    };
    let done = match flip.change() {
        Ok(change) => console.control.change(&change, &signed.0).await,
        Err(wrong) => Err(wrong),
    };
    changed(&console, &at(&module), done)
}

fn changed(console: &Console, page: &str, done: Result<AuditEntry, Refusal>) -> Response {
    match done {
        Ok(entry) => {
            let address = address(page, &[("changed", &entry.target)]);
            Redirect::to(&format!("{address}#outcome")).into_response()
        }
        Err(refusal) => Said::refused(format!("Not changed: {refusal}.")).on(console, page, &[]),
    }
}

/// The module whose page a form was on. Browsers say so to the same origin; without it, it was the map.
fn came_from(headers: &HeaderMap) -> Option<String> {
    let page = Url::parse(headers.get(header::REFERER)?.to_str().ok()?).ok()?;
    let module = page.path().strip_prefix("/console/modules/")?;
    (!module.is_empty() && !module.contains('/')).then(|| module.to_owned())
}

#[derive(Deserialize)]
pub(super) struct Back {
    target: String,
    at: i64,
    #[serde(default)]
    why: String,
}

/// `POST /console/modules/{module}/undo`.
pub(super) async fn undo(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    form: Result<Form<Back>, FormRejection>,
) -> Response {
    if console.control.module(&module).is_err() {
        return no_such(&module);
    }
    let done = async {
        let Form(back) = form.map_err(|e| Refusal::Wrong(e.body_text()))?;
        let last = last_change(&console.control, back.target.clone()).await;
        let last = last
            .map_err(Refusal::Failed)?
            .filter(|entry| entry.at.timestamp_micros() == back.at);
        let last = last.ok_or_else(|| {
            Refusal::Refused(format!(
                "somebody changed {} since; look at its stage and put it where it should be",
                back.target
            ))
        })?;
        let mut change = back_to(&last)?;
        change.why = reason(&back.why).or_else(|| Some("undone".to_owned()));
        console.control.change(&change, &by).await
    };
    let done = done.await;
    changed(&console, &at(&module), done)
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Why {
    why: String,
}

/// `POST /console/modules/{module}/extract`.
pub(super) async fn extract(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    form: Result<Form<Why>, FormRejection>,
) -> Response {
    if console.control.module(&module).is_err() {
        return no_such(&module);
    }
    let why = form.map(|Form(Why { why })| reason(&why)).unwrap_or_default();
    let said = match console.control.extract(&module, &by, why).await {
        Ok(started) => Said::done(format!(
            "{module} also runs in process {} at {}. Its stage is unchanged.",
            started.pid, started.url
        )),
        Err(refusal) => Said::refusal(&refusal),
    };
    said.on(&console, &at(&module), &[])
}

/// `POST /console/modules/{module}/merge-back`.
pub(super) async fn merge_back(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    form: Result<Form<Why>, FormRejection>,
) -> Response {
    if console.control.module(&module).is_err() {
        return no_such(&module);
    }
    let why = form.map(|Form(Why { why })| reason(&why)).unwrap_or_default();
    let said = match console.control.merge_back(&module, &by, why).await {
        Ok(ended) => {
            let processes = match ended.len() {
                1 => "1 process was".to_owned(),
                n => format!("{} processes were", grouped(n as u64)),
            };
            Said::done(format!("{module} is local again; {processes} ended."))
        }
        Err(refusal) => Said::refusal(&refusal),
    };
    said.on(&console, &at(&module), &[])
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use strangler::routes::Stage;

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
        assert_eq!(back("inherit"), Ok((None, Some(Fallback::Local))));
        assert_eq!(back("shadow"), Ok((Some(Stage::Shadow), Some(Fallback::Local))));
        assert_eq!(
            back("remote (no fallback)"),
            Ok((Some(Stage::Remote), Some(Fallback::None)))
        );
        assert!(back("1 process").is_err());
        assert!(Undo::of(&entry("shadow", "shadow")).is_none(), "nothing was changed");
        assert_eq!(Undo::of(&entry("inherit", "local")).unwrap().to, "its module’s stage");
    }

    #[test]
    fn a_form_says_which_page_it_was_on() {
        let from = |referer: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::REFERER, header::HeaderValue::from_static(referer));
            came_from(&headers)
        };
        assert_eq!(
            from("http://h/console/modules/catalog?changed=x").as_deref(),
            Some("catalog")
        );
        for other in [
            "http://h/console",
            "http://h/console/modules/",
            "http://h/console/modules/a/b",
            "nonsense",
        ] {
            assert_eq!(from(other), None, "{other}");
        }
        assert_eq!(came_from(&HeaderMap::new()), None);
    }
}
