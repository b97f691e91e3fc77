//! Dead letters of every schema: looking at them, and deciding about them. What is in an event may be personal: it is
//! answered to the operator and written nowhere.

mod decide;

use std::{str::FromStr, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strangler::routes::Refusal;
use strangler_store::{
    After, Db, DeadLetter, Envelope, LetterFilter, LetterId, LetterState, MOST_COUNTED, Same, StoreError,
};
use uuid::Uuid;

use super::{
    ChosenLetters, Control,
    api::{Asked, At, Body, ControlProblem, MOST, Operator, unknown},
    cursor,
    text::searchable,
};

/// How many of what waits behind a letter are shown.
const BEHIND: u64 = 20;

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
    /// `parked`, `retried` or `discarded`.
    #[serde(default)]
    pub state: String,
}

/// A dead letter with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letter {
    /// The letter in short.
    #[serde(flatten)]
    pub line: LetterLine,
    /// The whole event, its trace included.
    pub envelope: Option<Envelope>,
    /// Every attempt and every decision: objects with `at`, and `error`, `retried_by`, `discarded_by` or `restored_by`.
    pub tried: Value,
    /// The first of what waits behind it, in order.
    #[serde(default)]
    pub behind: Vec<Behind>,
    /// Who decided, unless it is parked.
    pub resolved_by: Option<String>,
    /// When that was.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// What waits behind a letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Its position in its log.
    pub position: i64,
    /// What happened.
    pub event: Option<String>,
    /// Since when it has waited.
    pub since: DateTime<Utc>,
}

/// Which letters are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LetterQuery {
    /// Those of a module, or of one subscription of it (`<module>/<subscription>`).
    pub of: Option<String>,
    /// `parked` unless told otherwise, `retried` or `discarded`.
    pub state: Option<String>,
    /// Those of this subject.
    pub subject: Option<Uuid>,
    /// Those of this type of event.
    pub event: Option<String>,
    /// Those that were parked then or later.
    pub since: Option<DateTime<Utc>>,
    /// Those that were parked then or earlier.
    pub until: Option<DateTime<Utc>>,
    /// How many at most.
    pub limit: Option<u64>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

impl LetterQuery {
    fn filter(&self, subscription: Option<&str>) -> Result<LetterFilter, String> {
        searchable("event", self.event.as_deref())?;
        let state = self.state.as_deref().unwrap_or(LetterState::Parked.as_str());
        let state = LetterState::ALL
            .into_iter()
            .find(|s| s.as_str() == state)
            .ok_or_else(|| {
                let all = LetterState::ALL.map(LetterState::as_str).join(", ");
                format!("`{state}` is no state of a dead letter; there are: {all}")
            })?;
        Ok(LetterFilter {
            state,
            subscription: subscription.map(str::to_owned),
            subject: self.subject,
            event_type: self.event.clone(),
            since: self.since,
            until: self.until,
        })
    }
}

/// Dead letters, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Letters {
    /// The letters.
    pub dead_letters: Vec<LetterLine>,
    /// Modules that could not be asked, as sentences.
    pub not_read: Vec<String>,
    /// The cursor of the next page; `null` on the last one.
    #[serde(default)]
    pub next: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// How many letters were retried, discarded or restored.
    pub done: usize,
    /// Whether there are more that were asked for; ask again.
    pub more: bool,
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
        searchable("name of a dead letter", Some(text))?;
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
        state: letter.resolved.as_ref().map_or("parked", |r| &r.how).to_owned(),
    }
}

/// The last letter of a page: when it was parked, in microseconds, and its name.
type Place = (i64, String, String, i64);

fn place(line: &LetterLine) -> Place {
    let at = line.parked_at.timestamp_micros();
    (at, line.module.clone(), line.subscription.clone(), line.position)
}

/// What is left of a schema after this letter.
fn after((at, module, subscription, position): &Place, schema: &str) -> Result<After<LetterId>, String> {
    searchable("cursor", Some(subscription))?;
    let at = DateTime::from_timestamp_micros(*at).ok_or("the cursor is of no time; begin without")?;
    let same = match schema.cmp(module.as_str()) {
        std::cmp::Ordering::Less => Same::None,
        std::cmp::Ordering::Greater => Same::All,
        std::cmp::Ordering::Equal => Same::Beyond(LetterId {
            subscription: subscription.clone(),
            position: *position,
        }),
    };
    Ok(After { at, same })
}

/// The schemas that `of` names, and the subscription in it.
fn scope<'a>(control: &'a Control, of: Option<&'a str>) -> Result<(Vec<&'a Db>, Option<&'a str>), String> {
    let Some(of) = of else {
        return Ok((control.schemas().collect(), None));
    };
    searchable("module or subscription", Some(of))?;
    let (module, subscription) = match of.split_once('/') {
        Some((module, subscription)) => (module, Some(subscription)),
        None => (of, None),
    };
    Ok((vec![control.schema(module)?], subscription))
}

impl Control {
    /// A page of dead letters, the one that was parked first first.
    ///
    /// # Errors
    /// A sentence, when there is no such module, state or cursor. A module that cannot be asked is named in the answer.
    pub async fn dead_letters(&self, query: &LetterQuery) -> Result<Letters, String> {
        let (schemas, subscription) = scope(self, query.of.as_deref())?;
        let filter = &query.filter(subscription)?;
        let limit = query.limit.unwrap_or(100).clamp(1, MOST);
        let last: Option<Place> = cursor::decode(query.cursor.as_deref())?;
        let mut reads = Vec::with_capacity(schemas.len());
        for db in schemas {
            let after = last.as_ref().map(|last| after(last, db.schema())).transpose()?;
            reads.push(async move {
                let letters = db.dead_letters().page(filter, after.as_ref(), limit + 1).await;
                letters.map(|all| all.iter().map(|l| line(db.schema(), l)).collect::<Vec<_>>())
            });
        }
        let mut found = Letters {
            dead_letters: Vec::new(),
            not_read: Vec::new(),
            next: None,
        };
        for read in futures_util::future::join_all(reads).await {
            match read {
                Ok(lines) => found.dead_letters.extend(lines),
                Err(error) => found.not_read.push(error.to_string()),
            }
        }
        // Stable: of one moment and module, the database's own order stays.
        found
            .dead_letters
            .sort_by(|a, b| (a.parked_at, &a.module).cmp(&(b.parked_at, &b.module)));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if found.dead_letters.len() > limit {
            found.dead_letters.truncate(limit);
            found.next = found.dead_letters.last().map(|l| cursor::encode(&place(l)));
        }
        Ok(found)
    }

    /// How many letters a query is about, counted up to a bound; `None` when a module does not say.
    ///
    /// # Errors
    /// As [`dead_letters`](Self::dead_letters).
    pub async fn count_letters(&self, query: &LetterQuery) -> Result<Option<u64>, String> {
        let (schemas, subscription) = scope(self, query.of.as_deref())?;
        let filter = &query.filter(subscription)?;
        let counts = schemas
            .into_iter()
            .map(|db| async move { db.dead_letters().count(filter, MOST_COUNTED).await.ok() });
        let counts = futures_util::future::join_all(counts).await;
        Ok(counts.into_iter().sum())
    }

    /// One dead letter, parked or resolved; `None` when there is none of this name.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn dead_letter(&self, id: &str) -> Result<Option<Letter>, Refusal> {
        let address: Address = id.parse().map_err(Refusal::Wrong)?;
        let db = self.schema(&address.module).map_err(Refusal::Wrong)?;
        let found = db.dead_letters().show(&address.id).await.map_err(stored)?;
        let Some(letter) = found else { return Ok(None) };
        let behind = db.dead_letters().behind(&letter, BEHIND).await.map_err(stored)?;
        let behind = behind.into_iter().map(|b| Behind {
            position: b.position,
            event: b.event_type,
            since: b.aside_at,
        });
        let (line, resolved) = (line(db.schema(), &letter), letter.resolved);
        Ok(Some(Letter {
            line,
            envelope: letter.event,
            tried: letter.tried,
            behind: behind.collect(),
            resolved_by: resolved.as_ref().and_then(|r| r.by.clone()),
            resolved_at: resolved.map(|r| r.at),
        }))
    }
}

fn stored(error: StoreError) -> Refusal {
    Refusal::Failed(error.to_string())
}

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/control/v1/dead-letters", get(list))
        .route("/control/v1/dead-letters/retry", post(retry))
        .route("/control/v1/dead-letters/discard", post(discard))
        .route("/control/v1/dead-letters/restore", post(restore))
        .route("/control/v1/dead-letters/{module}/{subscription}/{position}", get(show))
}

async fn list(
    _: Operator,
    State(control): State<Arc<Control>>,
    Asked(query): Asked<LetterQuery>,
) -> Result<Json<Letters>, ControlProblem> {
    control.dead_letters(&query).await.map(Json).map_err(unknown)
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
    Body(asked): Body<ChosenLetters>,
) -> Result<Json<Decided>, ControlProblem> {
    Ok(Json(control.retry_letters(&asked, &by).await?))
}

async fn discard(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    Body(asked): Body<ChosenLetters>,
) -> Result<Json<Decided>, ControlProblem> {
    Ok(Json(control.discard_letters(&asked, &by).await?))
}

async fn restore(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    Body(asked): Body<ChosenLetters>,
) -> Result<Json<Decided>, ControlProblem> {
    Ok(Json(control.restore_letters(&asked, &by).await?))
}
