//! The audit trail in pages: who changed what, when and why.

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
    screen::{EmptyRow, audit_row, clock_time},
    session::SignedIn,
    window::{ROWS, address, given, time},
};
use crate::control::{AuditError, AuditQuery};

const PATH: &str = "/console/audit";

#[derive(Template)]
#[template(path = "console/audit.html")]
struct AuditPage {
    frame: Frame,
    asked: Asked,
    lines: Fragment,
    /// Whether new lines are added as they come: on the first page, when all are meant.
    follows: bool,
    as_of: String,
    first: Option<String>,
    next: Option<String>,
    problem: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    target: String,
    by: String,
    since: String,
    until: String,
    cursor: String,
}

impl Asked {
    fn understood(&self) -> Result<AuditQuery, String> {
        Ok(AuditQuery {
            target: given(&self.target),
            exactly: None,
            by: given(&self.by),
            since: time(&self.since)?,
            until: time(&self.until)?,
            limit: Some(ROWS),
            cursor: given(&self.cursor),
        })
    }

    fn query(&self) -> [(&str, &str); 4] {
        [
            ("target", &self.target),
            ("by", &self.by),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }
}

/// `GET /console/audit`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let asked = match asked {
        Ok(Query(asked)) => asked,
        Err(unread) => return page::unread(&unread),
    };
    let control = &console.control;
    let now = control.clock().now();
    let read = async {
        let query = asked.understood().map_err(|why| (StatusCode::BAD_REQUEST, why))?;
        control.store.audit_page(&query).await.map_err(|error| match error {
            AuditError::Wrong(why) => (StatusCode::BAD_REQUEST, why),
            AuditError::Failed(error) => (
                StatusCode::SERVICE_UNAVAILABLE,
                format!("The audit trail cannot be read at present: {error}"),
            ),
        })
    };
    let read = read.await;
    let (status, problem) = match &read {
        Ok(_) => (StatusCode::OK, None),
        Err((status, why)) => (*status, Some(why.clone())),
    };
    let (entries, next) = read.map_or_else(|_| (Vec::new(), None), |page| (page.entries, page.next));
    let filter = asked.query();
    let all = filter.iter().all(|(_, value)| value.is_empty());
    let follows = all && asked.cursor.is_empty();
    let empty = match all {
        true => {
            "Nobody has changed anything yet. Every flip, extraction and decision is written down here, with who and why."
        }
        false => "There is no such line. Ask for less, or for all.",
    };
    let id = if follows { "audit" } else { "lines" };
    let rows = entries.iter().rev().map(audit_row).collect();
    let lines = Fragment::list(id, rows, &EmptyRow { sentence: empty });
    let more = |cursor: &str| {
        let query: Vec<_> = filter.into_iter().chain([("cursor", cursor)]).collect();
        address(PATH, &query)
    };
    let (next, first) = (next.as_deref().map(more), (!asked.cursor.is_empty()).then(|| more("")));
    page(
        status,
        &AuditPage {
            frame: Frame::at(PATH).live(now),
            lines,
            follows,
            as_of: clock_time(now),
            first,
            next,
            problem,
            asked,
        },
    )
}
