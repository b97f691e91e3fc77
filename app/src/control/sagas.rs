//! Sagas of every schema: which are under way, which are late or stuck, and putting stuck ones back to work, or giving them
//! up. What a saga works on may be personal: it is answered to the operator, for one saga at a time, and written nowhere.

mod cancel;
mod list;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use strangler::{
    Cx, Principal,
    routes::{Refusal, check_reason},
};
use strangler_store::{Db, Saga, SagaStatus, Sagas, StepRecord, StoreError};
use uuid::Uuid;

pub use cancel::{CancelSaga, SagaCancelled};
pub use list::SagaQuery;

use super::{
    Chosen, Control,
    api::{Asked, At, Body, ControlProblem, Operator, unknown},
    to_its_end,
};

/// The most sagas that are resumed at once.
const AT_ONCE: u64 = 10_000;

/// A saga in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SagaLine {
    /// Its id, unique in its module.
    pub id: Uuid,
    /// The module it belongs to.
    pub module: String,
    /// The name of its definition.
    pub kind: String,
    /// `running`, `compensating`, `done`, `undone`, `stuck` or `abandoned`.
    pub status: String,
    /// Whether its deadline passed after the point of no return.
    pub overdue: bool,
    /// The step it is at.
    pub step: String,
    /// Attempts at that step.
    pub attempts: u32,
    /// Until when it should be done.
    pub deadline: Option<DateTime<Utc>>,
    /// Why it turned round or is stuck.
    pub reason: Option<Value>,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When it last changed.
    pub changed_at: DateTime<Utc>,
}

/// A saga with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SagaSheet {
    /// The saga in short.
    #[serde(flatten)]
    pub line: SagaLine,
    /// Whether it has turned round.
    pub undoing: bool,
    /// When a worker looks at it next.
    pub due_at: Option<DateTime<Utc>>,
    /// The trace of what began it.
    pub traceparent: String,
    /// What its steps work on.
    pub state: Value,
    /// What is known of its steps, oldest change first.
    pub steps: Vec<SagaStep>,
}

/// One direction of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SagaStep {
    /// The step.
    pub step: String,
    /// `do` or `undo`.
    pub deed: String,
    /// `recorded`, `started`, `done`, `refused` or `undone`.
    pub state: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When this last changed.
    pub at: DateTime<Utc>,
    /// What its last attempt came to, where that is known.
    pub outcome: Option<Value>,
}

/// Sagas: stuck ones first, then late ones, then the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SagaList {
    /// The sagas.
    pub sagas: Vec<SagaLine>,
    /// Modules that could not be asked, as sentences.
    pub not_read: Vec<String>,
    /// The cursor of the next page; `null` on the last one.
    #[serde(default)]
    pub next: Option<String>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// How many sagas go on, as soon as their module's worker sees it.
    pub resumed: usize,
    /// Whether there are more that were asked for; ask again.
    pub more: bool,
}

fn line(module: &str, saga: &Saga) -> SagaLine {
    SagaLine {
        id: saga.id,
        module: module.to_owned(),
        kind: saga.kind.clone(),
        status: saga.status.as_str().to_owned(),
        overdue: saga.overdue && (saga.is_active() || saga.status == SagaStatus::Stuck),
        step: saga.step.clone(),
        attempts: saga.attempts,
        deadline: saga.deadline,
        reason: saga.reason.clone(),
        began_at: saga.began_at,
        changed_at: saga.changed_at,
    }
}

fn step(record: StepRecord) -> SagaStep {
    SagaStep {
        step: record.step,
        deed: record.deed.as_str().to_owned(),
        state: record.state.as_str().to_owned(),
        attempts: record.attempts,
        at: record.at,
        outcome: record.outcome,
    }
}

impl Control {
    /// One saga: `<id>` or `<module>/<id>`; `None` when there is none.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn saga(&self, name: &str) -> Result<Option<SagaSheet>, Refusal> {
        let Some((db, saga)) = self.find_saga(name).await? else {
            return Ok(None);
        };
        let steps = Sagas::new(db.clone()).steps(saga.id).await.map_err(stored)?;
        Ok(Some(SagaSheet {
            line: line(db.schema(), &saga),
            undoing: saga.undoing,
            due_at: saga.due_at,
            traceparent: saga.traceparent,
            state: saga.state,
            steps: steps.into_iter().map(step).collect(),
        }))
    }

    async fn find_saga(&self, name: &str) -> Result<Option<(&Db, Saga)>, Refusal> {
        let (module, id) = match name.split_once('/') {
            Some((module, id)) => (Some(module), id),
            None => (None, name),
        };
        let id: Uuid = id.parse().map_err(|_| {
            Refusal::Wrong(format!(
                "`{name}` names no saga: one is called <id> or <module>/<id>, as `banyan sagas list` shows"
            ))
        })?;
        let schemas = match module {
            Some(module) => vec![self.schema(module).map_err(Refusal::Wrong)?],
            None => self.schemas().collect(),
        };
        for db in schemas {
            if let Some(saga) = Sagas::new(db.clone()).find(id).await.map_err(stored)? {
                return Ok(Some((db, saga)));
            }
        }
        Ok(None)
    }

    /// Has stuck sagas go on, in the direction each was going and with all attempts again. Audited first, and done to its
    /// end even when whoever asked goes away.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn resume_sagas(self: &Arc<Self>, asked: &Chosen, by: &Principal) -> Result<Resumed, Refusal> {
        check_reason(asked.why.as_deref())?;
        let (control, asked, by) = (self.clone(), asked.clone(), by.clone());
        to_its_end(async move {
            // What is found to be decided is still so when it is written down and done.
            let _deciding = control.deciding.lock().await;
            let (chosen, more) = control.stuck(&asked).await?;
            let cx = Cx::system(by.subject.as_deref().unwrap_or("unknown"));
            let mut resumed = 0;
            for (module, ids) in chosen {
                let (target, from) = match &ids[..] {
                    [one] => (format!("saga {module}/{one}"), "stuck".to_owned()),
                    many => (format!("sagas {module}"), format!("{} stuck", many.len())),
                };
                control.audit(&by, target, (from, "resumed"), asked.why.clone()).await?;
                let db = control.schema(&module).map_err(Refusal::Wrong)?;
                let sagas = Sagas::new(db.clone());
                for id in ids {
                    let mut uow = db.begin(&cx).await.map_err(stored)?;
                    if sagas.ask_to_resume(&mut uow, id).await.map_err(stored)? {
                        uow.commit().await.map_err(stored)?;
                        resumed += 1;
                    }
                }
            }
            Ok(Resumed { resumed, more })
        })
        .await
    }

    /// The stuck sagas that are meant, by module, and whether there are more.
    async fn stuck(&self, asked: &Chosen) -> Result<(Vec<(String, Vec<Uuid>)>, bool), Refusal> {
        if !asked.is_one_choice() {
            let why = "say which sagas: their ids, or the stuck ones of a module, or all that are stuck";
            return Err(Refusal::Wrong(why.to_owned()));
        }
        let mut chosen = Vec::<(String, Vec<Uuid>)>::new();
        for name in &asked.ids {
            let Some((db, saga)) = self.find_saga(name).await? else {
                return Err(Refusal::Wrong(no_such(name)));
            };
            if saga.status != SagaStatus::Stuck {
                let why = format!(
                    "saga {name} is {}, and only a stuck one is resumed",
                    saga.status.as_str()
                );
                return Err(Refusal::Refused(format!(
                    "{why}; `banyan sagas show {name}` says how it stands"
                )));
            }
            if saga.due_at.is_some() {
                return Err(Refusal::Refused(format!(
                    "saga {name} was asked to go on already, and its worker is about to; `banyan sagas show {name}` says how it stands"
                )));
            }
            chosen.push((db.schema().to_owned(), vec![saga.id]));
        }
        if !chosen.is_empty() {
            return Ok((chosen, false));
        }
        let schemas = match &asked.of {
            Some(module) => vec![self.schema(module).map_err(Refusal::Wrong)?],
            None => self.schemas().collect(),
        };
        let mut more = false;
        for db in schemas {
            let mut ids = Sagas::new(db.clone()).stuck(AT_ONCE + 1).await.map_err(stored)?;
            more |= ids.len() as u64 > AT_ONCE;
            ids.truncate(usize::try_from(AT_ONCE).unwrap_or(usize::MAX));
            if !ids.is_empty() {
                chosen.push((db.schema().to_owned(), ids));
            }
        }
        if chosen.is_empty() {
            let of = asked.of.as_ref().map_or_else(String::new, |of| format!(" of {of}"));
            let why = format!("no saga{of} is stuck; `banyan sagas list` shows which are under way");
            return Err(Refusal::Refused(why));
        }
        Ok((chosen, more))
    }
}

fn no_such(name: &str) -> String {
    format!("there is no saga {name}; `banyan sagas list` shows those that are not over")
}

fn stored(error: StoreError) -> Refusal {
    Refusal::Failed(error.to_string())
}

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/control/v1/sagas", get(list))
        .route("/control/v1/sagas/resume", post(resume))
        .route("/control/v1/sagas/cancel", post(cancel::cancel))
        .route("/control/v1/sagas/{id}", get(show))
        .route("/control/v1/sagas/{module}/{id}", get(show_of))
}

async fn list(
    _: Operator,
    State(control): State<Arc<Control>>,
    Asked(query): Asked<SagaQuery>,
) -> Result<Json<SagaList>, ControlProblem> {
    control.sagas(&query).await.map(Json).map_err(unknown)
}

async fn show(
    _: Operator,
    State(control): State<Arc<Control>>,
    At(id): At<String>,
) -> Result<Json<SagaSheet>, ControlProblem> {
    sheet(&control, &id).await
}

async fn show_of(
    _: Operator,
    State(control): State<Arc<Control>>,
    At((module, id)): At<(String, String)>,
) -> Result<Json<SagaSheet>, ControlProblem> {
    sheet(&control, &format!("{module}/{id}")).await
}

async fn sheet(control: &Control, name: &str) -> Result<Json<SagaSheet>, ControlProblem> {
    let found = control.saga(name).await?;
    found
        .map(Json)
        .ok_or_else(|| ControlProblem::new(StatusCode::NOT_FOUND, no_such(name)))
}

async fn resume(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    Body(asked): Body<Chosen>,
) -> Result<Json<Resumed>, ControlProblem> {
    Ok(Json(control.resume_sagas(&asked, &by).await?))
}
