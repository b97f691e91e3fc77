//! The whole map at one moment: what the page shows and the stream keeps up to date.

use std::sync::atomic::Ordering::Relaxed;

use askama::Template;
use chrono::{DateTime, SecondsFormat, Utc};
use strangler::{Clock, instances, routes::AuditEntry};

use super::{
    fragment::Fragment,
    module_view::{ModuleView, OperationFacts, Typed},
    page::render,
    picture::Picture,
};
use crate::control::{Control, Happened, Running, Status};

/// How many events are listed.
pub(super) const EVENTS: u64 = 50;
/// How many lines of the audit trail are.
pub(super) const AUDIT: u64 = 20;

/// The map, and what happened.
pub(super) struct Screen {
    pub(super) picture: Picture,
    pub(super) modules: Vec<ModuleView>,
    pub(super) events: Fragment,
    pub(super) audit: Fragment,
    /// The last lines of the audit trail, newest first.
    pub(super) changes: Vec<AuditEntry>,
    pub(super) at: String,
}

impl Screen {
    /// As things are now. `typed` is shown again.
    pub(super) async fn of(control: &Control, typed: Option<Typed<'_>>) -> Self {
        let status = Status::of(control);
        let (events, changes, map) = tokio::join!(
            Happened::last(control.store.db(), EVENTS),
            control.store.audit(AUDIT),
            control.map()
        );
        let modules = status.modules.iter().zip(&control.modules).map(|(status, running)| {
            let ready = instances::ready(&control.registry, running.contract.name, running.contract.version);
            ModuleView::new(status, running.contract.doc, &ready, &operations(running), typed)
        });
        let modules = modules.collect();
        let events = match events {
            Ok(events) => Fragment::list(
                "events",
                events.iter().map(event_row).collect(),
                &EmptyRow {
                    sentence: "Nothing has happened yet. Announce a show, say with PUT /api/v1/catalog/shows/{id}, and it is here.",
                },
            ),
            Err(error) => unreadable("events", &error),
        };
        let (audit, changes) = match changes {
            Ok(mut changes) => {
                changes.reverse();
                let rows = changes.iter().map(audit_row).collect();
                let empty = "Nobody has changed a stage yet. Every flip is written down here, with who and why.";
                (Fragment::list("audit", rows, &EmptyRow { sentence: empty }), changes)
            }
            Err(error) => (unreadable("audit", &error), Vec::new()),
        };
        Self {
            picture: Picture::of(&map),
            modules,
            events,
            audit,
            changes,
            at: clock_time(control.clock().now()),
        }
    }

    /// Every part of it.
    pub(super) fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        self.modules
            .iter()
            .flat_map(ModuleView::fragments)
            .chain(self.picture.fragments())
            .chain([&self.events, &self.audit])
    }
}

pub(super) fn operations(running: &Running) -> Vec<OperationFacts> {
    let (routes, stats) = (running.switch.routes().all(), running.switch.stats());
    let facts = |(index, o): (usize, &'static strangler::Operation)| {
        let counted = stats.operation(index);
        OperationFacts {
            id: o.id,
            name: o.name,
            kind: o.kind,
            http: format!("{} {}", o.method, o.path),
            own: routes.operations.get(&index).cloned(),
            answered: [&counted.local, &counted.remote, &counted.fallback].map(|n| n.load(Relaxed)),
        }
    };
    running.contract.operations.iter().enumerate().map(facts).collect()
}

/// `12:03:04 UTC`.
pub(super) fn clock_time(at: DateTime<Utc>) -> String {
    at.format("%H:%M:%S UTC").to_string()
}

/// A moment, for people and for machines.
pub(super) struct Moment(pub(super) DateTime<Utc>);

impl Moment {
    pub(super) fn exact(&self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::Millis, true)
    }

    pub(super) fn day(&self) -> String {
        self.0.format("%Y-%m-%d").to_string()
    }

    pub(super) fn time(&self) -> String {
        self.0.format("%H:%M:%S").to_string()
    }
}

#[derive(Template)]
#[template(path = "console/parts/event.html")]
struct EventRow<'a> {
    at: Moment,
    event: &'a Happened,
}

#[derive(Template)]
#[template(path = "console/parts/audit.html")]
struct AuditRow<'a> {
    at: Moment,
    entry: &'a AuditEntry,
}

#[derive(Template)]
#[template(path = "console/parts/empty.html")]
pub(super) struct EmptyRow<'a> {
    pub(super) sentence: &'a str,
}

fn event_row(event: &Happened) -> (i64, String) {
    (
        event.id,
        render(&EventRow {
            at: Moment(event.at),
            event,
        }),
    )
}

pub(super) fn audit_row(entry: &AuditEntry) -> (i64, String) {
    (
        entry.at.timestamp_micros(),
        render(&AuditRow {
            at: Moment(entry.at),
            entry,
        }),
    )
}

fn unreadable(id: &str, error: &dyn std::fmt::Display) -> Fragment {
    tracing::warn!(%error, list = id, "the console cannot read a list");
    Fragment::list(
        id,
        Vec::new(),
        &EmptyRow {
            sentence: "This list cannot be read at present; the log says why. It is tried again as long as the page is live.",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_wrote_is_escaped_and_finds_its_direction() {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let text = |text: &str| text.to_owned();
        let entry = AuditEntry {
            at,
            by: text("operator"),
            target: text("catalog"),
            from: text("local"),
            to: text("shadow"),
            why: Some(text("<script>alert(1)</script> ניסוי")),
        };
        let (key, html) = audit_row(&entry);
        assert_eq!(key, 1_800_000_000_000_000);
        assert!(
            !html.contains("<script>") && html.contains("&#60;script&#62;"),
            "{html}"
        );
        assert!(
            html.contains("dir=\"auto\"") && html.contains("datetime=\"2027-01-15T08:00:00.000Z\""),
            "{html}"
        );
    }
}
