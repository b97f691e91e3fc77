//! What all pages share: the frame, and the page that says one sentence.

use std::sync::LazyLock;

use askama::Template;
use axum::{
    extract::rejection::QueryRejection,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use strangler::{Clock, SystemClock};

use super::{assets, screen::clock_time, session::SignedIn};
use crate::control::misread;

/// The console's pages, as its navigation has them.
pub(super) const NAV: [(&str, &str); 6] = [
    ("/console", "Map"),
    ("/console/requests", "Requests"),
    ("/console/parallel-run", "Parallel run"),
    ("/console/messages", "Messages"),
    ("/console/sagas", "Sagas"),
    ("/console/audit", "Audit"),
];

/// This process, as a page that outlives it tells it from the next one.
pub(super) struct Server {
    /// Drawn at its start.
    pub(super) id: String,
    /// When that was.
    pub(super) at: String,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| Server {
    id: format!("{:016x}", rand::random::<u64>()),
    at: clock_time(SystemClock.now()),
});

/// This process. The console asks at its start, so that this is when the process began to show pages.
pub(super) fn server() -> &'static Server {
    &SERVER
}

/// What surrounds a page.
pub(super) struct Frame {
    pub(super) css: &'static str,
    pub(super) js: &'static str,
    pub(super) signed_in: bool,
    /// Which server answered.
    pub(super) server: &'static str,
    /// The address in the navigation that it belongs to.
    pub(super) here: &'static str,
    /// Whether it is that page itself, and not one below it.
    pub(super) exactly: bool,
    /// As of when its figures are, when they are kept up to date.
    pub(super) at: Option<String>,
}

impl Frame {
    pub(super) fn signed_in() -> Self {
        Self {
            css: assets::css(),
            js: assets::js(),
            signed_in: true,
            server: &server().id,
            here: "",
            exactly: false,
            at: None,
        }
    }

    pub(super) fn signed_out() -> Self {
        Self {
            signed_in: false,
            ..Self::signed_in()
        }
    }

    /// Of the page at this address of the navigation.
    pub(super) fn at(here: &'static str) -> Self {
        Self {
            here,
            exactly: true,
            ..Self::signed_in()
        }
    }

    /// Of a page below it.
    pub(super) fn below(here: &'static str) -> Self {
        Self {
            here,
            ..Self::signed_in()
        }
    }

    /// Whose figures are kept up to date from now on.
    pub(super) fn live(self, now: DateTime<Utc>) -> Self {
        Self {
            at: Some(clock_time(now)),
            ..self
        }
    }
}

#[derive(Template)]
#[template(path = "console/message.html")]
struct MessagePage<'a> {
    frame: Frame,
    title: &'a str,
    sentence: &'a str,
}

/// A template as text. Writing into memory does not fail; should it all the same, that is said.
pub(super) fn render(template: &impl Template) -> String {
    template.render().unwrap_or_else(|error| {
        tracing::error!(%error, "a page cannot be rendered");
        "This part cannot be shown; the log says why.".to_owned()
    })
}

/// A page as an answer.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
        render(template),
    )
        .into_response()
}

/// A page that says one sentence.
pub(super) fn message(status: StatusCode, title: &str, sentence: &str) -> Response {
    page(
        status,
        &MessagePage {
            frame: Frame::signed_out(),
            title,
            sentence,
        },
    )
}

/// The page that says that an address cannot be read: what it filters by is not dropped without a word.
pub(super) fn unread(address: &QueryRejection) -> Response {
    let wrong = misread(&address.body_text());
    message(
        StatusCode::BAD_REQUEST,
        "Not understood",
        &format!("What this address asks for cannot be read: {wrong}. Open the page from the console and ask there."),
    )
}

/// Any path under `/console` that is none; those who are not signed in do not learn which those are.
pub(super) async fn nothing_here(_: SignedIn) -> Response {
    nothing()
}

/// The page that says that nothing is there.
pub(super) fn nothing() -> Response {
    message(
        StatusCode::NOT_FOUND,
        "Nothing is here",
        "There is no page at this address.",
    )
}

/// A page asked in a way that it does not answer to.
pub(super) async fn wrong_method() -> Response {
    message(
        StatusCode::METHOD_NOT_ALLOWED,
        "Not like this",
        "This address does not answer to this method.",
    )
}
