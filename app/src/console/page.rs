//! What all pages share: the frame, and the page that says one sentence.

use askama::Template;
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{assets, session::SignedIn};

/// What surrounds a page.
pub(super) struct Frame {
    pub(super) css: &'static str,
    pub(super) js: &'static str,
    pub(super) signed_in: bool,
}

impl Frame {
    pub(super) fn signed_in() -> Self {
        Self {
            css: assets::css(),
            js: assets::js(),
            signed_in: true,
        }
    }

    pub(super) fn signed_out() -> Self {
        Self {
            signed_in: false,
            ..Self::signed_in()
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

/// Any path under `/console` that is none; those who are not signed in do not learn which those are.
pub(super) async fn nothing_here(_: SignedIn) -> Response {
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
