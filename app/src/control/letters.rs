//! Dead letters of every schema: looking at them, and deciding about them. What is in an event may be personal: it is
//! answered to the operator and written nowhere.

use std::{collections::BTreeMap, str::FromStr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strangler::{Cx, Principal, routes::Refusal};
use strangler_store::{Db, DeadLetter, Envelope, LetterId, StoreError};

use super::{
    Chosen, Control,
    api::{Asked, At, Body, ControlProblem, MOST, Operator, unknown},
    to_its_end,
};

/// The most letters that are decided about at once.
const AT_ONCE: u64 = 10_000;

/// A dead letter in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LetterLine {
    /// How the commands name it: `<module>/<subscription>/<position>`.
    pub id: String,
    /// The module whose subscription could not handle the event; `strangler` is the control plane.
    pub module: String,
    /// The subscription.
    pub subscription: String,
    /// The event's position in its log.
    pub position: i64,
    /// What happened, such as `catalog.show.announced`; `null` when what is stored is no event.
    pub event: Option<String>,
    /// Whose event it is.
    pub source: Option<String>,
    /// The id of what it happened to.
    pub subject: Option<String>,
    /// Why it failed last.
    pub error: String,
    /// How often it was tried.
    pub attempts: usize,
    /// When it was first tried.
    pub first_at: Option<DateTime<Utc>>,
    /// When it was last tried.
    pub last_at: Option<DateTime<Utc>>,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
    /// How many later events of its subject wait behind it.
    pub waiting: u64,
}

/// A dead letter with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// The letter in short.
    #[serde(flatten)]
    pub line: LetterLine,
    /// The whole event, its trace included.
    pub envelope: Option<Envelope>,
    /// Every attempt and every decision: objects with `at`, and `error`, `retried_by` or `discarded_by`.
    pub tried: Value,
    /// `parked`, `retried` or `discarded`.
    pub state: String,
    /// Who decided, unless it is parked.
    pub resolved_by: Option<String>,
    /// When that was.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// Dead letters, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letters {
    /// The letters.
    pub dead_letters: Vec<LetterLine>,
    /// Modules that could not be asked, as sentences.
    pub not_read: Vec<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// How many letters were retried or discarded.
    pub done: usize,
    /// Whether there are more that were asked for; ask again.
    pub more: bool,
}

/// What can be decided.
#[derive(Clone, Copy)]
enum Decision {
    Retry,
    Discard,
}

impl Decision {
    fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Discard => "discarded",
        }
    }
}

/// A letter of some schema.
struct Address {
    module: String,
    id: LetterId,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` names no dead letter: one is called <module>/<subscription>/<position>, as `banyan dead-letters list` shows"
            )
        };
        let (module, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (subscription, position) = rest.rsplit_once('/').ok_or_else(wrong)?;
        Ok(Self {
            module: module.to_owned(),
            id: LetterId {
                subscription: subscription.to_owned(),
                position: position.parse().map_err(|_| wrong())?,
            },
        })
    }
}

fn line(module: &str, letter: &DeadLetter) -> LetterLine {
    let attempts: Vec<&Value> = letter
        .tried
        .as_array()
        .into_iter()
        .flatten()
        .filter(|tried| !tried["error"].is_null())
        .collect();
    let at = |tried: Option<&&Value>| tried.and_then(|t| serde_json::from_value(t["at"].clone()).ok());
    let LetterId { subscription, position } = letter.id.clone();
    let event = letter.event.as_ref();
    LetterLine {
        id: format!("{module}/{subscription}/{position}"),
        module: module.to_owned(),
        subscription,
        position,
        event: event.map(|e| e.event_type.clone()),
        source: event.map(|e| e.source.clone()),
        subject: event.map(|e| e.subject.to_string()),
        error: letter.error.clone(),
        attempts: attempts.len(),
        first_at: at(attempts.first()),
        last_at: at(attempts.last()),
        parked_at: letter.parked_at,
        waiting: letter.waiting,
    }
}

/// The schemas that `of` names, and the subscription in it.
fn scope<'a>(control: &'a Control, of: Option<&'a str>) -> Result<(Vec<&'a Db>, Option<&'a str>), String> {
    let Some(of) = of else {
        return Ok((control.schemas().collect(), None));
    };
    let (module, subscription) = match of.split_once('/') {
        Some((module, subscription)) => (module, Some(subscription)),
        None => (of, None),
    };
    Ok((vec![control.schema(module)?], subscription))
}

impl Control {
    /// Dead letters, oldest first, at most `limit`: of a module, of a subscription (`<module>/<subscription>`), or all.
    ///
    /// # Errors
    /// A sentence, when there is no such module. One that cannot be asked is named in the answer.
    pub async fn dead_letters(&self, of: Option<&str>, limit: u64) -> Result<Letters, String> {
        let (schemas, subscription) = scope(self, of)?;
        let reads = schemas.into_iter().map(|db| async move {
            let letters = db.dead_letters().list_of(subscription, limit).await;
            letters.map(|all| all.iter().map(|l| line(db.schema(), l)).collect::<Vec<_>>())
        });
        let mut found = Letters {
            dead_letters: Vec::new(),
            not_read: Vec::new(),
        };
        for read in futures_util::future::join_all(reads).await {
            match read {
                Ok(lines) => found.dead_letters.extend(lines),
                Err(error) => found.not_read.push(error.to_string()),
            }
        }
        found.dead_letters.sort_by_key(|l| l.parked_at);
        found
            .dead_letters
            .truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// One dead letter, parked or resolved; `None` when there is none of this name.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn dead_letter(&self, id: &str) -> Result<Option<Letter>, Refusal> {
        let address: Address = id.parse().map_err(Refusal::Wrong)?;
        let db = self.schema(&address.module).map_err(Refusal::Wrong)?;
        let found = db.dead_letters().show(&address.id).await.map_err(stored)?;
        Ok(found.map(|letter| {
            let resolved = letter.resolved.clone();
            Letter {
                line: line(db.schema(), &letter),
                envelope: letter.event,
                tried: letter.tried,
                state: resolved.as_ref().map_or_else(|| "parked".to_owned(), |r| r.how.clone()),
                resolved_by: resolved.as_ref().and_then(|r| r.by.clone()),
                resolved_at: resolved.map(|r| r.at),
            }
        }))
    }

    /// Has letters handled again, each with all its attempts; what waits behind it follows. Audited first, and done to its
    /// end even when whoever asked goes away.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn retry_letters(self: &Arc<Self>, asked: &Chosen, by: &Principal) -> Result<Decided, Refusal> {
        self.decide(asked, by, Decision::Retry).await
    }

    /// Gives letters up for good; what waits behind each follows without it. Otherwise as
    /// [`retry_letters`](Self::retry_letters).
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn discard_letters(self: &Arc<Self>, asked: &Chosen, by: &Principal) -> Result<Decided, Refusal> {
        self.decide(asked, by, Decision::Discard).await
    }

    async fn decide(self: &Arc<Self>, asked: &Chosen, by: &Principal, decision: Decision) -> Result<Decided, Refusal> {
        let (control, asked, by) = (self.clone(), asked.clone(), by.clone());
        to_its_end(async move {
            let (chosen, more) = control.choose(&asked).await?;
            let cx = Cx::system(by.subject.as_deref().unwrap_or("unknown"));
            let mut done = 0;
            for (module, ids) in chosen {
                for (subscription, ids) in by_subscription(ids) {
                    let (target, from) = match &ids[..] {
                        [one] => (
                            format!("dead-letter {module}/{subscription}/{}", one.position),
                            "parked".to_owned(),
                        ),
                        many => (
                            format!("dead-letters {module}/{subscription}"),
                            format!("{} parked", many.len()),
                        ),
                    };
                    control
                        .audit(&by, target, (from, decision.done()), asked.why.clone())
                        .await?;
                    let letters = control.schema(&module).map_err(Refusal::Wrong)?.dead_letters();
                    let resolved = match decision {
                        Decision::Retry => letters.retry(&cx, &ids).await,
                        Decision::Discard => letters.discard(&cx, &ids).await,
                    };
                    done += resolved.map_err(stored)?;
                }
            }
            Ok(Decided { done, more })
        })
        .await
    }

    /// The parked letters that are meant, by schema, and whether there are more.
    async fn choose(&self, asked: &Chosen) -> Result<(BTreeMap<String, Vec<LetterId>>, bool), Refusal> {
        if !asked.is_one_choice() {
            let why = "say which dead letters: their ids, or those of a module or subscription, or all of them";
            return Err(Refusal::Wrong(why.to_owned()));
        }
        let mut chosen = BTreeMap::<String, Vec<LetterId>>::new();
        if !asked.ids.is_empty() {
            for text in &asked.ids {
                let Some(letter) = self.dead_letter(text).await? else {
                    return Err(Refusal::Wrong(format!(
                        "there is no dead letter {text}; `banyan dead-letters list` shows those there are"
                    )));
                };
                if letter.state != "parked" {
                    let by = letter.resolved_by.as_deref().unwrap_or("somebody");
                    return Err(Refusal::Refused(format!(
                        "{text} was {} by {by} already; `banyan dead-letters show {text}` says when",
                        letter.state
                    )));
                }
                let LetterLine {
                    module,
                    subscription,
                    position,
                    ..
                } = letter.line;
                let ids = chosen.entry(module).or_default();
                let id = LetterId { subscription, position };
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            return Ok((chosen, false));
        }
        let (schemas, subscription) = scope(self, asked.of.as_deref()).map_err(Refusal::Wrong)?;
        let mut left = AT_ONCE;
        let mut more = false;
        for db in schemas {
            let mut ids = db.dead_letters().ids_of(subscription, left + 1).await.map_err(stored)?;
            more |= ids.len() as u64 > left;
            ids.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= ids.len() as u64;
            if !ids.is_empty() {
                chosen.insert(db.schema().to_owned(), ids);
            }
        }
        if chosen.is_empty() {
            let of = asked.of.as_ref().map_or_else(String::new, |of| format!(" of {of}"));
            return Err(Refusal::Refused(format!(
                "there are no dead letters{of}; `banyan status` shows what waits where"
            )));
        }
        Ok((chosen, more))
    }
}

fn by_subscription(ids: Vec<LetterId>) -> BTreeMap<String, Vec<LetterId>> {
    let mut all = BTreeMap::<String, Vec<LetterId>>::new();
    for id in ids {
        all.entry(id.subscription.clone()).or_default().push(id);
    }
    all
}

fn stored(error: StoreError) -> Refusal {
    Refusal::Failed(error.to_string())
}

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/control/v1/dead-letters", get(list))
        .route("/control/v1/dead-letters/retry", post(retry))
        .route("/control/v1/dead-letters/discard", post(discard))
        .route("/control/v1/dead-letters/{module}/{subscription}/{position}", get(show))
}

#[derive(Deserialize)]
struct Which {
    of: Option<String>,
    limit: Option<u64>,
}

async fn list(
    _: Operator,
    State(control): State<Arc<Control>>,
    Asked(which): Asked<Which>,
) -> Result<Json<Letters>, ControlProblem> {
    let limit = which.limit.unwrap_or(100).clamp(1, MOST);
    let letters = control.dead_letters(which.of.as_deref(), limit).await;
    letters.map(Json).map_err(unknown)
}

async fn show(
    _: Operator,
    State(control): State<Arc<Control>>,
    At((module, subscription, position)): At<(String, String, String)>,
) -> Result<Json<Letter>, ControlProblem> {
    let id = format!("{module}/{subscription}/{position}");
    let letter = control.dead_letter(&id).await?;
    letter.map(Json).ok_or_else(|| {
        let why = format!("there is no dead letter {id}; `banyan dead-letters list` shows those there are");
        ControlProblem::new(StatusCode::NOT_FOUND, why)
    })
}

async fn retry(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    Body(asked): Body<Chosen>,
) -> Result<Json<Decided>, ControlProblem> {
    Ok(Json(control.retry_letters(&asked, &by).await?))
}

async fn discard(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    Body(asked): Body<Chosen>,
) -> Result<Json<Decided>, ControlProblem> {
    Ok(Json(control.discard_letters(&asked, &by).await?))
}
