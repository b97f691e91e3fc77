//! What is on its way between the modules, and what could not be handled: dead letters in pages, and what is decided about
//! many of them at once.

mod decide;

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{Redirect, Response},
};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Deserialize;
use strangler::Clock;

use super::{
    Console,
    fragment::Fragment,
    module_view::grouped,
    page::{self, Frame, page},
    said::Said,
    screen::{Moment, clock_time},
    session::SignedIn,
    waiting::{self, Everything},
    window::{ROWS, address, given, time},
};
use crate::control::{LetterLine, LetterQuery};

pub(super) use decide::{discard, restore, retry};

const PATH: &str = "/console/messages";

#[derive(Template)]
#[template(path = "console/messages.html")]
struct MessagesPage {
    frame: Frame,
    backlogs: Vec<Fragment>,
    total: Fragment,
    asked: Asked,
    schemas: Vec<&'static str>,
    letters: Vec<Row>,
    not_read: Vec<String>,
    /// How many letters the filter means, in words; the moment after which none is meant any more.
    meant: String,
    any: bool,
    frozen: String,
    as_of: String,
    first: Option<String>,
    next: Option<String>,
    filtered: bool,
    outcome: Option<Said>,
    problem: Option<String>,
}

impl MessagesPage {
    fn parked(&self) -> bool {
        self.asked.state == "parked"
    }

    fn discarded(&self) -> bool {
        self.asked.state == "discarded"
    }
}

/// One letter of the list.
struct Row {
    href: String,
    line: LetterLine,
    event: String,
    parked: Moment,
    waiting: String,
}

impl Row {
    fn new(line: LetterLine) -> Self {
        Self {
            href: href(&line.module, &line.subscription, line.position),
            event: line.event.clone().unwrap_or_else(|| "no event".to_owned()),
            parked: Moment(line.parked_at),
            waiting: grouped(line.waiting),
            line,
        }
    }
}

/// The address of a letter's page.
pub(super) fn href(module: &str, subscription: &str, position: i64) -> String {
    let part = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    format!("{PATH}/{}/{}/{position}", part(module), part(subscription))
}

/// What is looked for: the address of the page, and the hidden fields of its forms.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) module: String,
    pub(super) subscription: String,
    pub(super) subject: String,
    #[serde(rename = "type")]
    pub(super) event: String,
    pub(super) since: String,
    pub(super) until: String,
    pub(super) state: String,
    cursor: String,
    said: String,
}

/// What is looked for, understood.
struct Meant {
    of: Option<String>,
    subject: Option<uuid::Uuid>,
    event: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

impl Asked {
    /// # Errors
    /// A sentence that says which field is not understood.
    fn understood(&self) -> Result<Meant, String> {
        let subject = given(&self.subject).map(|text| {
            text.parse().map_err(|_| {
                format!("“{text}” is no subject; it is an id such as 0190f2d4-5c1e-7a3b-8f00-3c2a1b0d9e8f")
            })
        });
        let of = match (given(&self.module), given(&self.subscription)) {
            (Some(module), Some(subscription)) => Some(format!("{module}/{subscription}")),
            (Some(module), None) => Some(module),
            (None, None) => None,
            (None, Some(_)) => return Err("A subscription belongs to a module: choose that too".to_owned()),
        };
        Ok(Meant {
            of,
            subject: subject.transpose()?,
            event: given(&self.event),
            since: time(&self.since)?,
            until: time(&self.until)?,
        })
    }

    /// The parts of the address, without the place in the list.
    fn query(&self) -> [(&str, &str); 7] {
        let state = if self.state == "parked" { "" } else { &self.state };
        [
            ("module", &self.module),
            ("subscription", &self.subscription),
            ("subject", &self.subject),
            ("type", &self.event),
            ("since", &self.since),
            ("until", &self.until),
            ("state", state),
        ]
    }
}

/// `GET /console/messages`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let mut asked = match asked {
        Ok(Query(asked)) => asked,
        Err(unread) => return page::unread(&unread),
    };
    if !["retried", "discarded"].contains(&asked.state.as_str()) {
        asked.state = "parked".to_owned();
    }
    let control = &console.control;
    // Taken before the list is read: what comes while it is read is not meant.
    let now = control.clock().now();
    let list = async {
        let meant = asked.understood()?;
        let frozen = meant.until.map_or(now, |until| until.min(now));
        let query = LetterQuery {
            of: meant.of,
            state: Some(asked.state.clone()),
            subject: meant.subject,
            event: meant.event,
            since: meant.since,
            until: Some(frozen),
            limit: Some(ROWS),
            cursor: given(&asked.cursor),
        };
        let (letters, count) = tokio::join!(control.dead_letters(&query), control.count_letters(&query));
        Ok::<_, String>((letters?, count?, frozen))
    };
    let (all, list) = tokio::join!(Everything::of(control), list);
    let problem = list.as_ref().err().cloned();
    let (letters, not_read, next, count, frozen) = match list {
        Ok((list, count, frozen)) => (list.dead_letters, list.not_read, list.next, count, frozen),
        Err(_) => (Vec::new(), Vec::new(), None, Some(0), now),
    };
    let filter = asked.query();
    let more = |cursor: &str| {
        let query: Vec<_> = filter.into_iter().chain([("cursor", cursor)]).collect();
        format!("{}#letters", address(PATH, &query))
    };
    let filtered = filter.iter().any(|(name, value)| *name != "state" && !value.is_empty());
    let (next, first) = (next.as_deref().map(more), (!asked.cursor.is_empty()).then(|| more("")));
    let outcome = Said::of(&console, Some(&asked.said));
    let status = match problem {
        Some(_) => StatusCode::BAD_REQUEST,
        None => StatusCode::OK,
    };
    page(
        status,
        &MessagesPage {
            frame: Frame::at(PATH).live(now),
            backlogs: control.schemas().map(|db| all.row(db.schema())).collect(),
            total: all.letters(),
            schemas: control.schemas().map(|db| schema_name(control, db.schema())).collect(),
            letters: letters.into_iter().map(Row::new).collect(),
            not_read,
            meant: count.map_or_else(|| "an unknown number of".to_owned(), waiting::counted),
            any: count != Some(0),
            frozen: frozen.to_rfc3339_opts(SecondsFormat::Micros, true),
            as_of: clock_time(now),
            first,
            next,
            filtered,
            outcome,
            problem,
            asked,
        },
    )
}

/// The name of a schema, which lives as long as the program.
fn schema_name(control: &crate::control::Control, schema: &str) -> &'static str {
    let module = control
        .modules
        .iter()
        .map(|m| m.contract.name)
        .find(|name| *name == schema);
    module.unwrap_or(crate::databases::CONTROL)
}

/// Addresses from which one is sent to the list.
pub(super) async fn here() -> Redirect {
    Redirect::to(PATH)
}
