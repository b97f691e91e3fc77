//! Sagas on a tape: what is looked up is a query, and what is written a change, although neither is one of the module's.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Saga, StepRecord};
use crate::{StoreError, Uow, taped::Taped};

/// A saga is looked up, with its steps.
const LOOK: &str = "saga";
/// A saga begins.
pub(super) const BEGIN: &str = "begin-saga";
/// A saga is moved.
pub(super) const MOVE: &str = "move-saga";

/// A saga with all that is known of its steps.
#[derive(Serialize, Deserialize)]
pub(super) struct SagaFile {
    pub(super) saga: Saga,
    pub(super) steps: Vec<StepRecord>,
}

/// What was found when it was recorded; `None` where it is not only done again.
pub(super) async fn recorded(taped: Option<&Taped>, id: Uuid) -> Option<Option<SagaFile>> {
    taped?.query(LOOK, &json!({ "id": id })).await
}

/// This was found.
pub(super) fn note(taped: Option<&Taped>, id: Uuid, found: &Result<Option<SagaFile>, StoreError>) {
    let Some(taped) = taped else { return };
    match found {
        Ok(found) => taped.note_query(LOOK, taped.question(&json!({ "id": id })), found),
        Err(error) => taped.failed(error),
    }
}

/// The saga is left like this, with these steps changed. Whether that is all there is to do, as it is only done again.
pub(super) fn moves(uow: &Uow, how: &'static str, saga: &Saga, steps: &[&StepRecord]) -> bool {
    let Some(taped) = &uow.taped else { return false };
    let mut left = json!({ "saga": saga, "steps": steps });
    // Who works on it, and in which trace, is nobody's business.
    if let Some(Value::Object(saga)) = left.get_mut("saga") {
        saga.remove("traceparent");
        saga.remove("worker");
    }
    taped.put(how, &left);
    taped.replays()
}
