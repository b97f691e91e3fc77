//! Giving up a stuck saga. Other than resuming it, which its worker does, this is decided here and at once: whoever gives it
//! up learns whether that can be.

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use serde_json::json;
use strangler::{
    Cx, Principal,
    routes::{Refusal, check_reason},
};
use strangler_store::{Abandoned, SagaStatus, StoreError};

use super::{
    super::{
        Control,
        api::{Body, ControlProblem, Operator},
        to_its_end,
    },
    no_such, stored,
};

/// Which saga is given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelSaga {
    /// `<id>`, or `<module>/<id>`.
    pub id: String,
    /// Why, for the audit trail; it is kept with the saga too.
    pub why: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaCancelled {
    /// `<module>/<id>`.
    pub saga: String,
    /// `compensating`: what it has done is being undone. `abandoned`: it is over, and what takes it back has begun.
    pub status: String,
}

impl Control {
    /// Gives up a stuck saga. Audited, and done to its end even when whoever asked goes away.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn cancel_saga(self: &Arc<Self>, asked: &CancelSaga, by: &Principal) -> Result<SagaCancelled, Refusal> {
        let (control, asked, by) = (self.clone(), asked.clone(), by.clone());
        to_its_end(async move { control.abandon(&asked, &by).await }).await
    }

    async fn abandon(&self, asked: &CancelSaga, by: &Principal) -> Result<SagaCancelled, Refusal> {
        let CancelSaga { id: name, why } = asked;
        if why.trim().is_empty() {
            return Err(Refusal::Wrong(
                "say why: it is audited, and kept with the saga".to_owned(),
            ));
        }
        check_reason(Some(why))?;
        let _deciding = self.deciding.lock().await;
        let Some((db, saga)) = self.find_saga(name).await? else {
            return Err(Refusal::Wrong(no_such(name)));
        };
        let refused = |why: &str| {
            let look = format!("`banyan sagas show {name}` says how it stands");
            Refusal::Refused(format!("saga {name} is not given up: {why}; {look}"))
        };
        let schema = db.schema();
        let sagas = self.modules.iter().find(|m| m.contract.name == schema);
        let Some(sagas) = sagas.and_then(|running| running.sagas.as_ref()) else {
            return Err(refused(&format!("{schema} defines no sagas here")));
        };
        let cx = Cx::system(by.subject.as_deref().unwrap_or("unknown"));
        let mut uow = db.begin(&cx).await.map_err(stored)?;
        let status = match sagas.abandon(&mut uow, saga.id, json!(why)).await {
            Ok(Abandoned::Over) => SagaStatus::Abandoned,
            Ok(Abandoned::Undoing) => SagaStatus::Compensating,
            Ok(Abandoned::Refused(why)) => return Err(refused(&why)),
            Ok(Abandoned::Unknown) => return Err(Refusal::Wrong(no_such(name))),
            Err(StoreError::Conflict(_)) => return Err(refused("somebody else changed it at this moment")),
            Err(error) => return Err(stored(error)),
        };
        // Decided, and nothing is done of it yet.
        let (full, change) = (format!("{schema}/{}", saga.id), ("stuck".to_owned(), "cancelled"));
        self.audit(by, format!("saga {full}"), change, Some(why.clone()))
            .await?;
        match uow.commit().await {
            Ok(()) => Ok(SagaCancelled {
                saga: full,
                status: status.as_str().to_owned(),
            }),
            Err(StoreError::Conflict(_)) => Err(refused("somebody else changed it at this moment")),
            Err(error) => Err(stored(error)),
        }
    }
}

pub(super) async fn cancel(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    Body(asked): Body<CancelSaga>,
) -> Result<Json<SagaCancelled>, ControlProblem> {
    Ok(Json(control.cancel_saga(&asked, &by).await?))
}
