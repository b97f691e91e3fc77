//! Deciding about dead letters: one by its name, or all that a filter means and that were there when the page was made.

use std::sync::Arc;

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::Response,
};
use serde::Deserialize;
use strangler::{Principal, routes::Refusal};

use super::{
    super::{
        Console,
        module_view::grouped,
        said::{Said, reason},
        session::SignedIn,
        window::given,
    },
    Asked, Meant, PATH, href,
};
use crate::control::{ChosenLetters, Decided};

/// A decision: about one letter (`id`), or about all that a filter means.
#[derive(Deserialize)]
pub(in crate::console) struct Decision {
    #[serde(default)]
    id: String,
    /// The filter; `until` is the moment after which no letter is meant.
    #[serde(default)]
    module: String,
    #[serde(default)]
    subscription: String,
    #[serde(default)]
    subject: String,
    #[serde(default, rename = "type")]
    event: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    /// The filter's own `until`, for the page that is shown then.
    #[serde(default)]
    shown_until: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    why: String,
}

impl Decision {
    fn chosen(&self) -> Result<ChosenLetters, Refusal> {
        let why = reason(&self.why);
        if let Some(id) = given(&self.id) {
            return Ok(ChosenLetters {
                ids: vec![id],
                why,
                ..ChosenLetters::default()
            });
        }
        let asked = self.asked(&self.until);
        let Meant {
            of,
            subject,
            event,
            since,
            until,
        } = asked.understood().map_err(Refusal::Wrong)?;
        if until.is_none() {
            return Err(Refusal::Wrong(
                "the form does not say up to when letters are meant; load the page again".to_owned(),
            ));
        }
        Ok(ChosenLetters {
            ids: Vec::new(),
            all: of.is_none(),
            of,
            subject,
            event,
            since,
            until,
            why,
        })
    }

    fn asked(&self, until: &str) -> Asked {
        Asked {
            module: self.module.clone(),
            subscription: self.subscription.clone(),
            subject: self.subject.clone(),
            event: self.event.clone(),
            since: self.since.clone(),
            until: until.to_owned(),
            state: self.state.clone(),
            ..Asked::default()
        }
    }

    /// Says what became of it, on the page that the form was on.
    fn said(&self, console: &Console, said: Said) -> Response {
        let parts: Vec<_> = self.id.splitn(2, '/').collect();
        let letter = match &parts[..] {
            [module, rest] => rest
                .rsplit_once('/')
                .and_then(|(subscription, position)| Some(href(module, subscription, position.parse().ok()?))),
            _ => None,
        };
        match letter {
            Some(letter) => said.on(console, &letter, &[]),
            None => said.on(console, PATH, &self.asked(&self.shown_until).query()),
        }
    }
}

/// What became of it, in a sentence.
fn outcome(decided: Decided, done: &str, then: &str) -> Said {
    let letters = match decided.done {
        1 => "1 dead letter was".to_owned(),
        n => format!("{} dead letters were", grouped(n as u64)),
    };
    let more = match decided.more {
        true => " There are more: do it again.",
        false => "",
    };
    Said::done(format!("{letters} {done}.{then}{more}"))
}

/// What can be decided.
#[derive(Clone, Copy)]
enum Verb {
    Retry,
    Discard,
    Restore,
}

/// `POST /console/messages/retry`.
pub(in crate::console) async fn retry(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    form: Result<Form<Decision>, FormRejection>,
) -> Response {
    decide(&console, &by, form, Verb::Retry).await
}

/// `POST /console/messages/discard`.
pub(in crate::console) async fn discard(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    form: Result<Form<Decision>, FormRejection>,
) -> Response {
    decide(&console, &by, form, Verb::Discard).await
}

/// `POST /console/messages/restore`.
pub(in crate::console) async fn restore(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    form: Result<Form<Decision>, FormRejection>,
) -> Response {
    decide(&console, &by, form, Verb::Restore).await
}

async fn decide(
    console: &Console,
    by: &Principal,
    form: Result<Form<Decision>, FormRejection>,
    verb: Verb,
) -> Response {
    let decision = match form {
        Ok(Form(decision)) => decision,
        Err(unread) => return Said::unread(&unread).on(console, PATH, &[]),
    };
    let done = async {
        let (control, chosen) = (&console.control, decision.chosen()?);
        Ok(match verb {
            Verb::Retry => outcome(
                control.retry_letters(&chosen, by).await?,
                "put back to be handled",
                " What fails again comes back to the list, and so does what comes meanwhile.",
            ),
            Verb::Discard => outcome(
                control.discard_letters(&chosen, by).await?,
                "discarded",
                " What waited behind goes on without it. It is kept for a while among the discarded, and can be restored.",
            ),
            Verb::Restore => outcome(
                control.restore_letters(&chosen, by).await?,
                "restored",
                " What of the same subjects was handled meanwhile stays handled; what was not waits again.",
            ),
        })
    };
    let said = done.await.unwrap_or_else(|refusal: Refusal| Said::refusal(&refusal));
    decision.said(console, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(fields: &str) -> Decision {
        serde_json::from_str(fields).unwrap()
    }

    #[test]
    fn a_form_means_one_letter_or_a_frozen_set() {
        let one = decision(r#"{"id": "seating/s/17", "why": " mended "}"#)
            .chosen()
            .unwrap();
        assert_eq!(
            (one.ids, one.all, one.why.as_deref()),
            (vec!["seating/s/17".to_owned()], false, Some("mended"))
        );
        let all = decision(r#"{"until": "2026-11-21T17:30:00.123456Z"}"#)
            .chosen()
            .unwrap();
        assert!(
            all.all && all.until.is_some_and(|at| at.timestamp_subsec_micros() == 123_456),
            "{all:?}"
        );
        let of =
            decision(r#"{"module": "seating", "subscription": "s", "type": "a.b.c", "until": "2026-11-21T17:30"}"#);
        let of = of.chosen().unwrap();
        assert_eq!(
            (of.of.as_deref(), of.event.as_deref(), of.all),
            (Some("seating/s"), Some("a.b.c"), false)
        );
        for wrong in [
            r#"{}"#,
            r#"{"subject": "x", "until": "2026-11-21T17:30"}"#,
            r#"{"subscription": "s", "until": "2026-11-21T17:30"}"#,
        ] {
            assert!(matches!(decision(wrong).chosen(), Err(Refusal::Wrong(_))), "{wrong}");
        }
        assert_eq!(href("a", "queue:b c", 3), "/console/messages/a/queue%3Ab%20c/3");
    }
}
