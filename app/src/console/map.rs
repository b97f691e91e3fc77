//! The first page: the migration map, and the flip of a stage.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Query, State, rejection::FormRejection},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use strangler::{
    routes::{AuditEntry, Change, Refusal, Stage},
    share::Share,
};
use url::form_urlencoded;

use super::{
    Console,
    module_view::Typed,
    page::{Frame, page},
    said::ended,
    screen::Screen,
    session::SignedIn,
};
use crate::control::misread;

#[derive(Template)]
#[template(path = "console/map.html")]
struct MapPage {
    frame: Frame,
    screen: Screen,
    outcome: Option<Outcome>,
}

/// What became of a flip, shown at the module that it was for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    target: String,
    pub(super) sentence: String,
    refused: bool,
}

impl Outcome {
    /// The last change of this target, as the audit trail has it: an address that somebody made up shows nothing that
    /// is not so.
    pub(super) fn of(target: &str, changes: &[AuditEntry]) -> Option<Self> {
        let entry = changes.iter().find(|c| c.target == target)?;
        let (from, to, at) = (&entry.from, &entry.to, entry.at.format("%H:%M:%S UTC"));
        let to = if to == "inherit" { "its module’s stage" } else { to };
        let from = if from == "inherit" {
            "its module’s stage"
        } else {
            from
        };
        let sentence = if from == to {
            format!("{target} stays at {to} since {at}.")
        } else {
            format!("{target} went from {from} to {to} at {at}.")
        };
        Some(Self {
            target: target.to_owned(),
            sentence,
            refused: false,
        })
    }

    fn refusal(target: &str, sentence: String) -> Self {
        Self {
            target: target.to_owned(),
            sentence,
            refused: true,
        }
    }

    /// Whether it is about this module or one of its operations.
    fn about(&self, module: &str) -> bool {
        self.target.split('.').next() == Some(module)
    }

    /// Whether it is about one operation.
    fn about_operation(&self) -> bool {
        self.target.contains('.')
    }
}

impl MapPage {
    /// The outcome, when no module on the page is the one it is about.
    fn outcome_of_nobody(&self) -> Option<&Outcome> {
        self.outcome
            .as_ref()
            .filter(|o| !self.screen.modules.iter().any(|m| o.about(&m.name)))
    }

    fn outcome_of(&self, module: &str) -> Option<&Outcome> {
        self.outcome.as_ref().filter(|o| o.about(module))
    }

    /// Whether the operations of this module are unfolded: something was just done there.
    fn open(&self, module: &str) -> bool {
        self.outcome_of(module).is_some_and(Outcome::about_operation)
    }
}

#[derive(Deserialize)]
pub(super) struct Asked {
    changed: Option<String>,
}

/// `GET /console`.
pub(super) async fn show(
    _: SignedIn,
    State(console): State<Arc<Console>>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let screen = Screen::of(&console.control, None).await;
    let changed = asked.ok().and_then(|Query(a)| a.changed);
    let outcome = changed.and_then(|target| Outcome::of(&target, &screen.changes));
    page(
        StatusCode::OK,
        &MapPage {
            frame: Frame::at("/console"),
            screen,
            outcome,
        },
    )
}

/// Addresses from which one is sent to the map.
pub(super) async fn here() -> Redirect {
    Redirect::to("/console")
}

#[derive(Deserialize)]
pub(super) struct Flip {
    target: String,
    stage: String,
    #[serde(default)]
    why: String,
    #[serde(default)]
    percent: String,
    #[serde(default)]
    sample: String,
}

/// A share as it was typed; none, when nothing was.
fn share(typed: &str) -> Result<Option<Share>, Refusal> {
    let typed = typed.trim();
    let share = (!typed.is_empty()).then(|| typed.parse());
    share.transpose().map_err(Refusal::Wrong)
}

impl Flip {
    /// Every button of the form sends all of its fields; those count that go with its stage.
    pub(super) fn change(&self) -> Result<Change, Refusal> {
        let stage = match self.stage.as_str() {
            "inherit" => None,
            stage => Some(stage.parse::<Stage>().map_err(Refusal::Wrong)?),
        };
        let why = self.why.trim();
        let why = Some(why).filter(|w| !w.is_empty()).map(ToOwned::to_owned);
        let percent = match stage {
            Some(Stage::Canary) => share(&self.percent)?,
            _ => None,
        };
        let sample = match stage.is_some_and(Stage::compares) {
            true => share(&self.sample)?,
            false => None,
        };
        Ok(Change {
            target: self.target.clone(),
            stage,
            percent,
            sample,
            why,
            ..Change::default()
        })
    }
}

/// `POST /console/stage`.
pub(super) async fn flip(
    SignedIn(by): SignedIn,
    State(console): State<Arc<Console>>,
    form: Result<Form<Flip>, FormRejection>,
) -> Response {
    let flip = match form {
        Ok(Form(flip)) => flip,
        Err(rejection) => {
            let refused = Outcome::refusal(
                "",
                format!("The form was not understood: {}.", misread(&rejection.body_text())),
            );
            let screen = Screen::of(&console.control, None).await;
            return page(
                rejection.status(),
                &MapPage {
                    frame: Frame::at("/console"),
                    screen,
                    outcome: Some(refused),
                },
            );
        }
    };
    let done = match flip.change() {
        Ok(change) => console.control.change(&change, &by).await,
        Err(wrong) => Err(wrong),
    };
    let refusal = match done {
        Ok(entry) => return Redirect::to(&changed(&entry.target)).into_response(),
        Err(refusal) => refusal,
    };
    let status = match refusal {
        Refusal::Wrong(_) => StatusCode::BAD_REQUEST,
        Refusal::Refused(_) => StatusCode::CONFLICT,
        Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let outcome = Some(Outcome::refusal(
        &flip.target,
        format!("Not changed: {}.", ended(&refusal.to_string())),
    ));
    let typed = Typed {
        target: &flip.target,
        why: &flip.why,
        percent: &flip.percent,
        sample: &flip.sample,
    };
    let screen = Screen::of(&console.control, Some(typed)).await;
    page(
        status,
        &MapPage {
            frame: Frame::at("/console"),
            screen,
            outcome,
        },
    )
}

/// Where a change is reported.
fn changed(target: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("changed", target)
        .finish();
    format!("/console?{query}#outcome")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn entry(target: &str, from: &str, to: &str) -> AuditEntry {
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let [by, target, from, to] = ["operator", target, from, to].map(ToOwned::to_owned);
        AuditEntry {
            at,
            by,
            target,
            from,
            to,
            why: None,
        }
    }

    #[test]
    fn the_outcome_in_the_address_says_only_what_is_so() {
        let changes = [
            entry("catalog", "local", "shadow"),
            entry("catalog", "remote", "local"),
            entry("catalog.show", "inherit", "local"),
        ];
        let sentence = |target| Outcome::of(target, &changes).map(|o| o.sentence);
        assert_eq!(
            sentence("catalog").unwrap(),
            "catalog went from local to shadow at 08:00:00 UTC."
        );
        assert_eq!(
            sentence("catalog.show").unwrap(),
            "catalog.show went from its module’s stage to local at 08:00:00 UTC."
        );
        assert_eq!(sentence("call 0800 123456"), None);
        assert_eq!(changed("a&b<c>"), "/console?changed=a%26b%3Cc%3E#outcome");
    }

    #[tokio::test]
    async fn a_refusal_is_escaped_wherever_it_is_shown() {
        let nothing = SystemMap {
            recording: true,
            modules: Vec::new(),
            arrows: Vec::new(),
        };
        let screen = Screen {
            picture: Picture::of(&nothing),
            modules: Vec::new(),
            events: Fragment::list("events", Vec::new(), &Nothing),
            audit: Fragment::list("audit", Vec::new(), &Nothing),
            changes: Vec::new(),
            at: "12:00:00 UTC".to_owned(),
        };
        let outcome = Some(Outcome::refusal("<img src=x>", "Not changed: <img src=x>.".to_owned()));
        let answer = page(
            StatusCode::CONFLICT,
            &MapPage {
                frame: Frame::at("/console"),
                screen,
                outcome,
            },
        );
        let html = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let html = String::from_utf8(html.to_vec()).unwrap();
        assert!(
            html.contains("Not changed: &#60;img src=x&#62;.") && !html.contains("<img"),
            "{html}"
        );
    }

    #[test]
    fn a_flip_is_understood_or_refused_with_a_sentence() {
        let flip = |stage: &str, why: &str| Flip {
            target: "catalog.show".to_owned(),
            stage: stage.to_owned(),
            why: why.to_owned(),
            percent: "5.5".to_owned(),
            sample: String::new(),
        };
        let change = flip("inherit", "  ").change().unwrap();
        assert_eq!((change.stage, change.why), (None, None));
        assert_eq!(
            (change.percent, change.sample),
            (None, None),
            "an operation that inherits has no share"
        );
        assert_eq!(flip("canary", "").change().unwrap().percent, "5.5".parse().ok());
        assert_eq!(flip("verify", "").change().unwrap().sample, None);
        let much = Flip {
            percent: "500".to_owned(),
            ..flip("canary", "")
        };
        assert!(matches!(much.change(), Err(Refusal::Wrong(why)) if why.contains("0 to 100")));
        assert_eq!(flip("shadow", " try ").change().unwrap().why.as_deref(), Some("try"));
        assert!(
            matches!(flip("sideways", "").change(), Err(Refusal::Wrong(why)) if why.contains("local, shadow, canary, remote, verify"))
        );
    }

    use crate::{
        console::{fragment::Fragment, picture::Picture},
        control::SystemMap,
    };

    #[derive(Template)]
    #[template(source = "<tr><td>nothing</td></tr>", ext = "html")]
    struct Nothing;
}
