//! What a module writes: the steps of a saga, what they do, and who wants to know.

use std::{collections::HashSet, fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use strangler::{BoxFuture, Cx};

use super::{Saga, StepKey};
use crate::{Retry, StoreError, Uow};

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<S> {
    /// It is done (or undone, or there was nothing to undo). The saga's state from now on.
    Done(S),
    /// It was not done, and will not be however often it is asked: the answer to this key stays the same. The reason is
    /// kept with the saga.
    Refused(Value),
    /// Nobody knows, or not yet. It is repeated with the same key.
    Retry(String),
}

/// What a step does. It runs outside of any transaction, under the deadline of `cx`, whose idempotency key is `key`; the
/// same key may come more than once and, after its undo, too late. All a step needs to know is in `saga`: keep nothing in
/// memory.
pub trait Act<S>: Send + Sync {
    /// Does it.
    fn act<'a>(&'a self, cx: &'a Cx, key: &'a StepKey, saga: &'a S) -> BoxFuture<'a, Outcome<S>>;
}

impl<S, F> Act<S> for F
where
    F: for<'a> Fn(&'a Cx, &'a StepKey, &'a S) -> BoxFuture<'a, Outcome<S>> + Send + Sync,
{
    fn act<'a>(&'a self, cx: &'a Cx, key: &'a StepKey, saga: &'a S) -> BoxFuture<'a, Outcome<S>> {
        self(cx, key, saga)
    }
}

/// Who wants to know of a saga's progress: usually the module, whose aggregate shows it.
pub trait Watch: Send + Sync {
    /// The saga has begun, moved on to another step, turned round, ended, got stuck, was resumed or given up, or is overdue. Runs in the
    /// transaction that changes it, before its row is locked: so load the aggregate first, save and emit as ever. Must not
    /// start, cancel or resume the same saga.
    fn changed<'a>(&'a self, uow: &'a mut Uow, saga: &'a Saga) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Can be undone.
    Compensatable,
    /// From here only forward.
    Pivot,
    /// Repeated until it succeeds.
    Retriable,
}

/// One step.
pub struct Step<S> {
    name: String,
    kind: Kind,
    retry: Retry,
    most: Option<usize>,
    act: Arc<dyn Act<S>>,
    undo: Option<Arc<dyn Act<S>>>,
}

impl<S> Step<S> {
    /// A step that can be undone. Its undo also runs when nobody knows whether it happened, and after it was refused
    /// (an earlier attempt may still be on its way): it answers `Done` when there is nothing to undo.
    pub fn compensatable(name: &str, act: impl Act<S> + 'static, undo: impl Act<S> + 'static) -> Self {
        Self::new(name, Kind::Compensatable, Arc::new(act), Some(Arc::new(undo)))
    }

    /// The step after which there is no way back. When it is refused, what came before it is undone.
    pub fn pivot(name: &str, act: impl Act<S> + 'static) -> Self {
        Self::new(name, Kind::Pivot, Arc::new(act), None)
    }

    /// A step that is repeated until it succeeds. When it is refused, which it should never be, the saga is stuck.
    pub fn retriable(name: &str, act: impl Act<S> + 'static) -> Self {
        Self::new(name, Kind::Retriable, Arc::new(act), None)
    }

    /// How it, and its undo, are repeated. After so many attempts a compensatable step is given up and undone, and an undo
    /// is stuck. A pivot, which may have happened, and the retriable steps are repeated until there is an answer.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// At most so many sagas are at this step, or at its undo, at a time in each worker: for a step that asks somebody who may
    /// be slow. The others wait where they are, due but not started, and are none of those that are
    /// [in flight](super::Sagas::with_in_flight); so sagas at other steps go on.
    pub fn with_most(mut self, sagas: usize) -> Self {
        self.most = Some(sagas.max(1));
        self
    }

    fn new(name: &str, kind: Kind, act: Arc<dyn Act<S>>, undo: Option<Arc<dyn Act<S>>>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            retry: Retry::default(),
            most: None,
            act,
            undo,
        }
    }
}

/// A kind of saga. Its name and those of its steps stand in the database: keep them, and keep old steps as long as there
/// are sagas that may have to undo them.
pub struct Definition<S> {
    name: String,
    steps: Vec<Step<S>>,
    watch: Option<Arc<dyn Watch>>,
    abandonable: bool,
}

impl<S: Serialize + DeserializeOwned + Send + Sync + 'static> Definition<S> {
    /// These steps, in this order.
    pub fn new(name: &str, steps: impl IntoIterator<Item = Step<S>>) -> Self {
        Self {
            name: name.to_owned(),
            steps: steps.into_iter().collect(),
            watch: None,
            abandonable: false,
        }
    }

    /// Tells `watch` of every change.
    pub fn with_watch(mut self, watch: Arc<dyn Watch>) -> Self {
        self.watch = Some(watch);
        self
    }

    /// One that is stuck past the point of no return may be given up ([`Sagas::abandon`](super::Sagas::abandon)). Its watch is
    /// told that it is [`Abandoned`](super::SagaStatus::Abandoned), and begins what takes it back, in the same transaction: a
    /// saga of another kind, as a rule. What was tried last may have happened or not, and may yet be on its way.
    pub fn abandonable(mut self) -> Self {
        self.abandonable = true;
        self
    }

    pub(super) fn check(self) -> Result<Shape, ShapeError> {
        let wrong = |cause: String| {
            Err(ShapeError(format!(
                "the saga {} cannot be registered: {cause}",
                self.name
            )))
        };
        if self.name.is_empty() || self.name.contains(':') {
            return wrong("its name must not be empty nor contain a colon".into());
        }
        if self.steps.is_empty() {
            return wrong("it has no steps".into());
        }
        if self.abandonable && self.watch.is_none() {
            return wrong("it is abandonable, but there is no watch that would take it back".into());
        }
        let mut names = HashSet::new();
        let mut behind: Option<&Step<S>> = None;
        for step in &self.steps {
            let name = &step.name;
            if name.is_empty() || name.contains(':') {
                return wrong(format!(
                    "the name of step `{name}` must not be empty nor contain a colon"
                ));
            }
            if !names.insert(name) {
                return wrong(format!("two of its steps are called {name}"));
            }
            if step.retry.attempts == 0 {
                return wrong(format!("step {name} must be allowed at least one attempt"));
            }
            match (step.kind, behind.map(|b| (&b.name, b.kind))) {
                (Kind::Compensatable, Some((no_return, _))) => {
                    return wrong(format!(
                        "{name} is compensatable but comes after {no_return}, from which there is no way back; put it before"
                    ));
                }
                (Kind::Pivot, Some((pivot, Kind::Pivot))) => {
                    return wrong(format!(
                        "both {pivot} and {name} are pivots; there is one point of no return at most"
                    ));
                }
                (Kind::Pivot, Some((retriable, _))) => {
                    return wrong(format!(
                        "the pivot {name} comes after the retriable step {retriable}; put it before"
                    ));
                }
                (Kind::Pivot, None) => behind = Some(step),
                // The pivot stays the one to be named.
                (Kind::Retriable, None) => behind = Some(step),
                (Kind::Retriable, Some(_)) | (Kind::Compensatable, None) => {}
            }
        }
        let steps = self.steps.into_iter().map(ShapeStep::new).collect();
        Ok(Shape {
            name: self.name,
            steps,
            watch: self.watch,
            abandonable: self.abandonable,
        })
    }
}

/// Why a definition is refused, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeError(pub(super) String);

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.0)
    }
}

impl std::error::Error for ShapeError {}

/// A checked definition, with the state as JSON.
pub(super) struct Shape {
    pub(super) name: String,
    pub(super) steps: Vec<ShapeStep>,
    pub(super) watch: Option<Arc<dyn Watch>>,
    pub(super) abandonable: bool,
}

impl Shape {
    pub(super) fn index(&self, step: &str) -> Option<usize> {
        self.steps.iter().position(|s| s.name == step)
    }
}

pub(super) struct ShapeStep {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) retry: Retry,
    pub(super) most: Option<usize>,
    pub(super) act: Box<dyn Plain>,
    pub(super) undo: Option<Box<dyn Plain>>,
}

impl ShapeStep {
    fn new<S: Serialize + DeserializeOwned + Send + Sync + 'static>(step: Step<S>) -> Self {
        Self {
            name: step.name,
            kind: step.kind,
            retry: step.retry,
            most: step.most,
            act: Box::new(step.act),
            undo: step.undo.map(|undo| Box::new(undo) as Box<dyn Plain>),
        }
    }
}

/// What came of a step, with the state as JSON.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Done(Value),
    Refused(Value),
    Retry(String),
    /// The state cannot be decoded or encoded: only a person can help.
    Unreadable(String),
}

/// An [`Act`] whose state is JSON.
pub(super) trait Plain: Send + Sync {
    fn act<'a>(&'a self, cx: &'a Cx, key: &'a StepKey, state: &'a Value) -> BoxFuture<'a, Answer>;
}

impl<S: Serialize + DeserializeOwned + Send + Sync + 'static> Plain for Arc<dyn Act<S>> {
    fn act<'a>(&'a self, cx: &'a Cx, key: &'a StepKey, state: &'a Value) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            let state = match S::deserialize(state) {
                Ok(state) => state,
                Err(error) => return Answer::Unreadable(format!("its state cannot be decoded: {error}")),
            };
            match (**self).act(cx, key, &state).await {
                Outcome::Done(state) => match serde_json::to_value(state) {
                    Ok(state) => Answer::Done(state),
                    Err(error) => Answer::Unreadable(format!("its state cannot be encoded: {error}")),
                },
                Outcome::Refused(reason) => Answer::Refused(reason),
                Outcome::Retry(cause) => Answer::Retry(cause),
            }
        })
    }
}
