//! Steps on a tape.

use serde_json::{Value, json};
use strangler::{
    Cx,
    shadow::replay,
    tape::{Given, Replayed, StepTaken},
};

use super::{
    Deed, Sagas, StepKey,
    definition::{Answer, Plain, Shape},
};

impl Shape {
    /// What does, or undoes, the step with this index.
    pub(super) fn plain(&self, index: usize, deed: Deed) -> Option<&dyn Plain> {
        let step = self.steps.get(index)?;
        match deed {
            Deed::Do => Some(&*step.act),
            Deed::Undo => step.undo.as_deref(),
        }
    }

    /// The context of a step: it may do everything, and is known by its key.
    pub(super) fn cx(&self, key: &StepKey) -> Cx {
        Cx::system(&format!("saga:{}", self.name))
            // In a canary a saga's steps stay on one side.
            .on_behalf_of_name(&key.saga.to_string())
            .with_idempotency_key(&key.to_string())
    }
}

impl Answer {
    /// As it is compared.
    pub(super) fn told(&self) -> Value {
        match self {
            Self::Done(state) => json!({ "done": state }),
            Self::Refused(reason) => json!({ "refused": reason }),
            Self::Retry(why) | Self::Unreadable(why) => json!({ "retry": why }),
        }
    }
}

impl Sagas {
    /// Does a step again, only to be compared: what it is told was recorded, and nobody is called. `cx` has its time and its
    /// trace.
    ///
    /// # Errors
    /// A sentence, when there is no such saga or step.
    pub async fn replay(&self, cx: &Cx, step: &StepTaken, given: Given) -> Result<Replayed, String> {
        let none = || format!("no saga {} with a step {} is registered", step.saga, step.step);
        let deed: Deed = step.deed.parse()?;
        let shape = self.shapes.get(&step.saga).ok_or_else(none)?;
        let index = shape.index(&step.step).ok_or_else(none)?;
        let act = shape.plain(index, deed).ok_or_else(none)?;
        let key = StepKey {
            saga: step.id,
            step: step.step.clone(),
            deed,
        };
        let mut own = shape.cx(&key).with_trace(cx.trace().clone()).shadow();
        if let Some(left) = cx.time_left() {
            own = own.with_budget(left);
        }
        let run = |tape| {
            let own = own.with_tape(tape);
            let key = &key;
            async move { act.act(&own, key, &step.state).await.told() }
        };
        Ok(replay(given, run, |_| Answer::Retry("it panicked".into()).told()).await)
    }
}
