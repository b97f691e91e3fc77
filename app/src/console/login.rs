//! Signing in with the operator's token, and out again.

use std::{sync::Arc, time::Duration};

use askama::Template;
use axum::{
    Form,
    extract::{Query, State, rejection::FormRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    Console,
    page::{self, Frame, page},
};
use crate::control::misread;

/// How long a wrong token takes to be refused.
const DELAY: Duration = Duration::from_millis(400);
/// How many may wait for that at once; more are turned away.
pub(super) const MOST_WAITING: usize = 32;

#[derive(Template)]
#[template(path = "console/login.html")]
struct LoginPage<'a> {
    frame: Frame,
    next: &'a str,
    problem: Option<&'a str>,
}

/// Where to sign in, and come back from to this path when it is one of ours.
pub(super) fn address(back: &str) -> String {
    match local(back) {
        "/console" => "/console/login".to_owned(),
        next => {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("next", next)
                .finish();
            format!("/console/login?{query}")
        }
    }
}

/// The path itself when it is a page of the console, `/console` otherwise.
fn local(path: &str) -> &str {
    let page = path
        .strip_prefix("/console")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '/']));
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') && !path.contains("/.") && path.len() < 512;
    let again = ["/console/log", "/console/live", "/console/stage", "/console/assets"]
        .iter()
        .any(|p| path.starts_with(p));
    if page && plain && !again { path } else { "/console" }
}

fn form_page(status: StatusCode, next: &str, problem: Option<&str>) -> Response {
    page(
        status,
        &LoginPage {
            frame: Frame::signed_out(),
            next: local(next),
            problem,
        },
    )
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

/// `GET /console/login`.
pub(super) async fn form(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    asked: Result<Query<Next>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let next = asked.map_or_else(|_| String::new(), |Query(n)| n.next);
    if console.sessions.lasts(&headers).is_some() {
        return Redirect::to(local(&next)).into_response();
    }
    form_page(StatusCode::OK, &next, None)
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    token: String,
    #[serde(default)]
    next: String,
}

/// `POST /console/login`.
pub(super) async fn login(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
    form: Result<Form<Credentials>, FormRejection>,
) -> Response {
    let Form(Credentials { token, next }) = match form {
        Ok(form) => form,
        Err(rejection) => {
            return page::message(
                rejection.status(),
                "Not understood",
                &format!("The form was not understood: {}.", misread(&rejection.body_text())),
            );
        }
    };
    let (token, next) = (token.trim(), local(&next));
    if console.control.tokens.operator.matches(token) {
        let cookie = [(header::SET_COOKIE, console.sessions.begin(&headers))];
        return (cookie, Redirect::to(next)).into_response();
    }
    let Ok(_place) = console.waiting.try_acquire() else {
        let why = "Too many wrong tokens arrive at once. Wait a moment and try again.";
        let page = form_page(StatusCode::TOO_MANY_REQUESTS, next, Some(why));
        return ([(header::RETRY_AFTER, "1")], page).into_response();
    };
    tokio::select! {
        () = tokio::time::sleep(DELAY) => {}
        () = console.stop.cancelled() => {}
    }
    tracing::warn!("somebody showed a wrong operator token at the console");
    let why = match token {
        "" => "Enter the operator’s token.",
        _ => "This is not the operator’s token. Copy the whole line of the file, and from the right data folder.",
    };
    form_page(StatusCode::UNAUTHORIZED, next, Some(why))
}

/// `POST /console/logout`.
pub(super) async fn logout(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    (
        [(header::SET_COOKIE, console.sessions.end(&headers))],
        Redirect::to("/console/login"),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_the_console_is_come_back_to() {
        for ours in ["/console", "/console?changed=catalog", "/console/more"] {
            assert_eq!(local(ours), ours);
        }
        let theirs = [
            "",
            "//evil.example",
            "https://evil.example/console",
            "/consoles",
            "/console.evil",
            "/console/../api",
            "/api",
            "/console/\\evil",
            "/console/\r\nx",
            "/console/login",
            "/console/logout",
            "/console/live",
            "/console?ü",
        ];
        for theirs in theirs {
            assert_eq!(local(theirs), "/console", "{theirs}");
        }
        assert_eq!(address("/console"), "/console/login");
        assert_eq!(address("//evil.example"), "/console/login");
        assert_eq!(
            address("/console?changed=a&b"),
            "/console/login?next=%2Fconsole%3Fchanged%3Da%26b"
        );
    }

    #[tokio::test]
    async fn the_form_escapes_what_it_was_given() {
        let page = form_page(StatusCode::UNAUTHORIZED, "/console/\"><script>", Some("<b>no</b>"));
        let html = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(!html.contains("\"><script>") && !html.contains("<b>no</b>"), "{html}");
        assert!(
            html.contains(r#"type="password""#) && html.contains(r#"autocomplete="off""#),
            "{html}"
        );
    }
}
