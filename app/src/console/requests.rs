//! The last requests, and one of them with every call that it caused.

use std::{collections::BTreeMap, sync::Arc};

use askama::Template;
use axum::{
    extract::{Path, Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::Response,
};
use strangler::{
    calls::{Call, CallSide},
    routes::Refusal,
};

use super::{
    Console,
    module_view::{grouped, milliseconds},
    page::{Frame, page, render},
    said::ended,
    session::SignedIn,
};
use crate::control::{RequestLine, RequestList, RequestSheet, Wanted, misread};

/// So many are on one page.
const PAGE: u64 = 50;
/// So many calls of one request are shown.
const CALLS: usize = 500;
/// The width of a bar, in its own units.
const BAR: f64 = 1000.0;

#[derive(Template)]
#[template(path = "console/requests.html")]
struct RequestsPage {
    frame: Frame,
    wanted: Wanted,
    mistake: Option<String>,
    modules: Vec<Choice>,
    operations: Vec<Choice>,
    outcomes: Vec<Choice>,
    list: RequestList,
    lines: Vec<Line>,
    /// The address of the next page.
    older: Option<String>,
    filtered: bool,
}

/// One of several that can be chosen.
struct Choice {
    value: String,
    name: String,
    chosen: bool,
}

impl Choice {
    fn new(value: &str, name: &str, chosen: &Option<String>) -> Self {
        Self {
            value: value.to_owned(),
            name: name.to_owned(),
            chosen: chosen.as_deref() == Some(value),
        }
    }
}

/// A request as the list shows it.
struct Line {
    line: RequestLine,
    day: String,
    time: String,
    exact: String,
    took: String,
    calls: String,
    outcome: Outcome,
    who: &'static str,
}

/// What came of a call, in words and as a tone.
struct Outcome {
    words: String,
    tone: &'static str,
}

impl Outcome {
    fn of(status: u16, fault: Option<&str>) -> Self {
        let tone = match status {
            500.. => "bad",
            400.. => "warn",
            _ => "good",
        };
        let words = match (fault, status) {
            (_, strangler::calls::CALLER_GONE) => "the caller went away".to_owned(),
            (Some(fault), status) => format!("{status} {}", fault.replace('-', " ")),
            (None, status) => status.to_string(),
        };
        Self { words, tone }
    }
}

fn who(side: CallSide) -> &'static str {
    match side {
        CallSide::Local => "the monolith",
        CallSide::Remote => "the service",
        CallSide::Fallback => "the monolith, in the service’s place",
        CallSide::Shadow => "asked only to be compared",
    }
}

impl From<RequestLine> for Line {
    fn from(line: RequestLine) -> Self {
        Self {
            day: line.at.format("%Y-%m-%d").to_string(),
            time: line.at.format("%H:%M:%S%.3f").to_string(),
            exact: line.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
            took: milliseconds(Some(line.took_ms)),
            calls: grouped(line.calls as u64),
            outcome: Outcome::of(line.status, line.fault.as_deref()),
            who: who(line.side),
            line,
        }
    }
}

/// `GET /console/requests`.
pub(super) async fn list(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    asked: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let control = &console.control;
    let (mut wanted, mut mistake) = match asked {
        Ok(Query(wanted)) => (wanted, None),
        Err(rejection) => (Wanted::default(), Some(misread(&rejection.body_text()))),
    };
    wanted.limit = Some(wanted.limit.unwrap_or(PAGE));
    let found = control.requests(&wanted).or_else(|why| {
        mistake = Some(ended(&why).to_owned());
        control.requests(&Wanted {
            limit: Some(PAGE),
            ..Wanted::default()
        })
    });
    let mut list = match found {
        Ok(list) => list,
        Err(why) => return super::page::message(StatusCode::INTERNAL_SERVER_ERROR, "Requests", &why),
    };
    let modules = control.modules.iter().map(|m| m.contract);
    let operations = modules.clone().flat_map(|contract| contract.operations);
    let outcomes = [
        ("error", "failed (5xx)"),
        ("refused", "refused (4xx)"),
        ("slow", "slow (250 ms and more)"),
    ];
    let older = list.next.take().map(|cursor| {
        let next = Wanted {
            cursor: Some(cursor),
            ..wanted.clone()
        };
        format!("/console/requests?{}", next.query())
    });
    let status = if mistake.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let filtered = {
        let Wanted {
            module,
            operation,
            outcome,
            min_ms,
            trace,
            q,
            ..
        } = &wanted;
        [module, operation, outcome, trace, q].iter().any(|part| part.is_some()) || min_ms.is_some()
    };
    let answer = RequestsPage {
        frame: Frame::at("/console/requests"),
        modules: modules.map(|c| Choice::new(c.name, c.name, &wanted.module)).collect(),
        operations: operations.map(|o| Choice::new(o.id, o.id, &wanted.operation)).collect(),
        outcomes: outcomes
            .map(|(value, name)| Choice::new(value, name, &wanted.outcome))
            .into(),
        lines: std::mem::take(&mut list.requests).into_iter().map(Line::from).collect(),
        list,
        older,
        filtered,
        mistake,
        wanted,
    };
    page(status, &answer)
}

#[derive(Template)]
#[template(path = "console/request.html")]
struct RequestPage {
    frame: Frame,
    sheet: RequestSheet,
    title: String,
    exact: String,
    at: String,
    took: String,
    outcome: Option<Outcome>,
    /// Calls, each with those that it made, as text.
    calls: Vec<String>,
    /// How many there are, and how many of them are shown.
    count: usize,
    shown: usize,
    spent: Vec<Spent>,
    processes: Vec<String>,
}

/// What a module spent on a request.
struct Spent {
    module: String,
    calls: usize,
    own: String,
    way: String,
    /// Its share of the whole, for the bar.
    width: f64,
}

#[derive(Template)]
#[template(path = "console/parts/call.html")]
struct CallPart<'a> {
    call: &'a Call,
    who: &'static str,
    process: String,
    outcome: Outcome,
    took: String,
    own: String,
    way: String,
    starts: String,
    /// Where its bar begins and how long it is, and the part of it that is its own.
    bar: (f64, f64, f64),
    below: Vec<String>,
}

/// The process that a call ran in.
fn ran_in(call: &Call) -> String {
    match &call.process {
        None => "a process that nobody knows of: it was not reached, or has forgotten".to_owned(),
        Some(process) => match &process.url {
            None => format!("monolith, pid {}", process.pid),
            Some(url) => format!("{url}, pid {}", process.pid),
        },
    }
}

/// A call and those below it as text, as long as there is room.
fn call_part(call: &Call, whole_ms: f64, room: &mut usize) -> Option<String> {
    *room = room.checked_sub(1)?;
    let below = call
        .calls
        .iter()
        .map_while(|call| call_part(call, whole_ms, room))
        .collect();
    let scale = |ms: f64| (ms / whole_ms.max(0.001) * BAR).clamp(0.0, BAR);
    let (from, width) = (scale(call.starts_ms).min(BAR - 3.0), scale(call.took_ms).max(3.0));
    Some(render(&CallPart {
        who: who(call.side),
        process: ran_in(call),
        outcome: Outcome::of(call.status, call.fault.as_deref()),
        took: milliseconds(Some(call.took_ms)),
        own: milliseconds(Some(call.own_ms)),
        way: milliseconds(Some(call.way_ms)),
        starts: milliseconds(Some(call.starts_ms)),
        bar: (from, width.min(BAR - from), scale(call.own_ms).min(width)),
        call,
        below,
    }))
}

fn spent(sheet: &RequestSheet) -> Vec<Spent> {
    let mut sums: BTreeMap<&str, (usize, f64, f64)> = BTreeMap::new();
    let all = sheet.tree.flat();
    for (_, call) in &all {
        let sum = sums.entry(&call.module).or_default();
        *sum = (sum.0 + 1, sum.1 + call.own_ms, sum.2 + call.way_ms);
    }
    let most = sums.values().map(|sum| sum.1).fold(0.001, f64::max);
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by(|(_, a), (_, b)| b.1.total_cmp(&a.1));
    sums.into_iter()
        .map(|(module, (calls, own, way))| Spent {
            module: module.to_owned(),
            calls,
            own: milliseconds(Some(own)),
            way: milliseconds(Some(way)),
            width: own / most * BAR,
        })
        .collect()
}

/// `GET /console/requests/{trace}`.
pub(super) async fn show(_: SignedIn, State(console): State<Arc<Console>>, Path(trace): Path<String>) -> Response {
    let sheet = match console.control.request(&trace).await {
        Ok(Some(sheet)) => sheet,
        Ok(None) => {
            let why = "Nothing is kept of this trace: it is none of the last requests, or one of another system.";
            return page(StatusCode::NOT_FOUND, &Absent::new(why.to_owned()));
        }
        Err(refusal) => {
            let status = match &refusal {
                Refusal::Wrong(_) => StatusCode::NOT_FOUND,
                _ => StatusCode::CONFLICT,
            };
            return page(status, &Absent::new(refusal.to_string()));
        }
    };
    let mut room = CALLS;
    let whole = sheet.tree.took_ms;
    let calls = sheet
        .tree
        .calls
        .iter()
        .map_while(|call| call_part(call, whole, &mut room));
    let calls: Vec<_> = calls.collect();
    let all = sheet.tree.flat();
    let first = sheet
        .tree
        .calls
        .iter()
        .find(|call| call.request)
        .or(sheet.tree.calls.first());
    let mut processes: Vec<_> = all
        .iter()
        .filter(|(_, c)| c.process.is_some())
        .map(|(_, c)| ran_in(c))
        .collect();
    processes.sort_unstable();
    processes.dedup();
    let answer = RequestPage {
        frame: Frame::below("/console/requests"),
        title: first.map_or_else(|| "A request".to_owned(), |call| call.operation.to_string()),
        exact: sheet.at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        at: sheet.at.format("%Y-%m-%d %H:%M:%S%.3f UTC").to_string(),
        took: milliseconds(first.map(|call| call.took_ms)),
        outcome: first.map(|call| Outcome::of(call.status, call.fault.as_deref())),
        count: all.len(),
        shown: CALLS - room,
        spent: spent(&sheet),
        calls,
        processes,
        sheet,
    };
    page(StatusCode::OK, &answer)
}

#[derive(Template)]
#[template(path = "console/request_absent.html")]
struct Absent {
    frame: Frame,
    why: String,
}

impl Absent {
    fn new(why: String) -> Self {
        Self {
            frame: Frame::below("/console/requests"),
            why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_says_is_escaped_and_bounded() {
        let leaf = Call {
            operation: "<script>".into(),
            module: "catalog".into(),
            caller: "ordering".into(),
            side: CallSide::Remote,
            process: None,
            subject: None,
            starts_ms: 5.0,
            took_ms: 900.0,
            own_ms: 2000.0,
            way_ms: 0.0,
            status: 502,
            fault: Some("timed-out".into()),
            request: false,
            calls: Vec::new(),
        };
        let call = Call {
            calls: vec![leaf.clone(); 10],
            ..leaf
        };
        let mut room = 5;
        let html = call_part(&call, 10.0, &mut room).unwrap();
        assert_eq!((room, html.matches("<li").count()), (0, 5));
        assert!(!html.contains("<script>") && html.contains("502 timed out"), "{html}");
        assert!(!html.contains("width=\"-") && !html.contains("NaN"), "{html}");
    }
}
