//! What a person does to a module: flips its stages and takes that back, starts and ends its processes.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State, rejection::FormRejection},
    http::{HeaderMap, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use strangler::routes::{AuditEntry, Refusal};
use url::Url;

use super::{
    super::{
        Console, map,
        module_view::grouped,
        said::{Said, ended, reason},
        session::SignedIn,
        window::address,
    },
    at, back_to, last_change, no_such,
};
use crate::control::misread;

/// `POST /console/stage`, which the map and the pages of modules send: whoever flips something is shown the outcome on the
/// page that the form was on.
pub(in crate::console) async fn flip(
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
        Err(refusal) => Said::refused(format!("Not changed: {}.", ended(&refusal.to_string()))).on(console, page, &[]),
    }
}

/// The module whose page a form was on. Browsers say so to the same origin; without it, it was the map.
fn came_from(headers: &HeaderMap) -> Option<String> {
    let page = Url::parse(headers.get(header::REFERER)?.to_str().ok()?).ok()?;
    let module = page.path().strip_prefix("/console/modules/")?;
    (!module.is_empty() && !module.contains('/')).then(|| module.to_owned())
}

#[derive(Deserialize)]
pub(in crate::console) struct Back {
    target: String,
    at: i64,
    #[serde(default)]
    why: String,
}

/// `POST /console/modules/{module}/undo`.
pub(in crate::console) async fn undo(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    form: Result<Form<Back>, FormRejection>,
) -> Response {
    if console.control.module(&module).is_err() {
        return no_such(&module);
    }
    let done = async {
        let Form(back) =
            form.map_err(|e| Refusal::Wrong(format!("the form was not understood: {}", misread(&e.body_text()))))?;
        // Whoever undoes the same at the same moment finds it undone.
        let _deciding = console.control.deciding.lock().await;
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
pub(in crate::console) struct Why {
    why: String,
}

/// `POST /console/modules/{module}/extract`.
pub(in crate::console) async fn extract(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    form: Result<Form<Why>, FormRejection>,
) -> Response {
    if console.control.module(&module).is_err() {
        return no_such(&module);
    }
    let why = match form {
        Ok(Form(Why { why })) => reason(&why),
        Err(unread) => return Said::unread(&unread).on(&console, &at(&module), &[]),
    };
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
pub(in crate::console) async fn merge_back(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    Path(module): Path<String>,
    form: Result<Form<Why>, FormRejection>,
) -> Response {
    if console.control.module(&module).is_err() {
        return no_such(&module);
    }
    let why = match form {
        Ok(Form(Why { why })) => reason(&why),
        Err(unread) => return Said::unread(&unread).on(&console, &at(&module), &[]),
    };
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
    use super::*;

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
