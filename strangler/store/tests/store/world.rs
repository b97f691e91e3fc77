//! Somebody else's world, which the steps of a saga act upon. It does each thing once, as its keys say, and fails when it
//! is told to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strangler::{BoxFuture, Cx};
use strangler_store::{Act, Db, Deed, Definition, Outcome, Retry, Saga, SagaStatus, Sagas, Step, StepKey, Uow, Watch};
use uuid::Uuid;

use crate::{
    notes::{Note, changed, cx, id},
    support::eventually,
};

/// What happens to one attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// It fails before its effect.
    Before,
    /// It fails after its effect.
    After,
    /// It is refused.
    Refuse,
    /// It panics after its effect.
    Panic,
    /// It never answers, and has no effect.
    Hang,
    /// It has its effect, and answers when it is released.
    Late,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Done {
    pub did: u32,
    pub undid: u32,
    pub tombstone: bool,
}

#[derive(Default)]
pub struct World {
    pub done: Mutex<HashMap<(Uuid, String), Done>>,
    /// Effects in the order in which they happened.
    pub log: Mutex<Vec<(Uuid, String)>>,
    faults: Mutex<HashMap<String, Vec<Fault>>>,
    /// Fails at random, this often out of a hundred.
    pub chance: Mutex<u32>,
    pub calls: Mutex<u32>,
    pub release: tokio::sync::Notify,
}

impl World {
    /// The next attempts of a step (such as `hold:do`) of any saga go like this.
    pub fn plan(&self, deed: &str, faults: impl IntoIterator<Item = Fault>) {
        self.faults
            .lock()
            .unwrap()
            .insert(deed.to_owned(), faults.into_iter().collect());
    }

    fn next(&self, key: &StepKey) -> Option<Fault> {
        *self.calls.lock().unwrap() += 1;
        let mut faults = self.faults.lock().unwrap();
        if let Some(faults) = faults.get_mut(&format!("{}:{}", key.step, key.deed.as_str()))
            && !faults.is_empty()
        {
            return Some(faults.remove(0));
        }
        let chance = *self.chance.lock().unwrap();
        match rand::random_range(0..100) {
            n if n < chance => Some([Fault::Before, Fault::After, Fault::Panic][n as usize % 3]),
            _ => None,
        }
    }

    /// What the other side does, whatever becomes of its answer. `false` when it refuses a do whose undo it has seen.
    pub fn effect(&self, key: &StepKey) -> bool {
        let mut done = self.done.lock().unwrap();
        let entry = done.entry((key.saga, key.step.clone())).or_default();
        let effective = match key.deed {
            Deed::Do if entry.tombstone => return false,
            Deed::Do => entry.did == 0,
            Deed::Undo => entry.did > entry.undid,
        };
        match key.deed {
            Deed::Do if effective => entry.did += 1,
            Deed::Undo if effective => entry.undid += 1,
            _ => {}
        }
        entry.tombstone |= key.deed == Deed::Undo;
        if effective {
            let what = format!("{}:{}", key.step, key.deed.as_str());
            self.log.lock().unwrap().push((key.saga, what));
        }
        true
    }

    pub fn log_of(&self, saga: Uuid) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|(id, _)| *id == saga)
            .map(|(_, what)| what.clone())
            .collect()
    }

    pub fn of(&self, saga: Uuid, step: &str) -> Done {
        let done = self.done.lock().unwrap();
        done.get(&(saga, step.to_owned())).copied().unwrap_or_default()
    }
}

/// What the saga works on: the note that shows its progress, and the steps that answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub note: Uuid,
    pub answered: Vec<String>,
}

#[derive(Clone)]
pub struct Call(pub Arc<World>);

impl Act<State> for Call {
    fn act<'a>(&'a self, cx: &'a Cx, key: &'a StepKey, state: &'a State) -> BoxFuture<'a, Outcome<State>> {
        Box::pin(async move {
            assert_eq!(cx.idempotency_key(), Some(key.to_string().as_str()));
            let fault = self.0.next(key);
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..3))).await;
            match fault {
                Some(Fault::Before) => return Outcome::Retry("before".into()),
                Some(Fault::Refuse) => return Outcome::Refused("refused as told".into()),
                Some(Fault::Hang) => std::future::pending().await,
                _ => {}
            }
            if !self.0.effect(key) {
                return Outcome::Refused("too late".into());
            }
            match fault {
                Some(Fault::After) => return Outcome::Retry("after".into()),
                Some(Fault::Panic) => panic!("as told"),
                Some(Fault::Late) => self.0.release.notified().await,
                _ => {}
            }
            let mut state = state.clone();
            state.answered.push(format!("{}:{}", key.step, key.deed.as_str()));
            Outcome::Done(state)
        })
    }
}

/// The note shows where its saga stands.
pub struct ShowOnNote;

impl Watch for ShowOnNote {
    fn changed<'a>(
        &'a self,
        uow: &'a mut Uow,
        saga: &'a Saga,
    ) -> BoxFuture<'a, Result<(), strangler_store::StoreError>> {
        Box::pin(async move {
            let state: State = saga.state_as()?;
            let text = format!("{} {}", saga.status.as_str(), saga.step);
            let note = match uow.load::<Note>(state.note).await? {
                Some(note) => note.next(&text),
                None => Note::first(state.note, &text),
            };
            uow.save(&note);
            uow.emit(note.id, note.version, &changed(&note));
            Ok(())
        })
    }
}

pub const STEPS: [&str; 5] = ["hold", "authorise", "capture", "assign", "confirm"];
pub const PIVOT: usize = 2;

pub const QUICK: Retry = Retry {
    first: Duration::from_millis(4),
    longest: Duration::from_millis(20),
    attempts: 4,
};

pub fn purchase(world: &Arc<World>, retry: Retry) -> Definition<State> {
    let call = || Call(world.clone());
    let steps = STEPS.iter().enumerate().map(|(n, name)| {
        let step = match n {
            n if n < PIVOT => Step::compensatable(name, call(), call()),
            PIVOT => Step::pivot(name, call()),
            _ => Step::retriable(name, call()),
        };
        step.with_retry(retry)
    });
    Definition::new("purchase", steps).with_watch(Arc::new(ShowOnNote))
}

pub fn sagas(db: &Db, world: &Arc<World>) -> Sagas {
    let mut sagas = Sagas::new(db.clone()).with_step_timeout(Duration::from_millis(500));
    sagas.register(purchase(world, QUICK)).unwrap();
    sagas
}

/// Begins a saga, with its note.
pub async fn begin(db: &Db, sagas: &Sagas, deadline: Option<DateTime<Utc>>) -> Uuid {
    let (saga, note) = (id(), id());
    let state = State {
        note,
        answered: Vec::new(),
    };
    let mut uow = db.begin(&cx()).await.unwrap();
    sagas.start(&mut uow, "purchase", saga, &state, deadline).await.unwrap();
    uow.commit().await.unwrap();
    saga
}

/// Waits until the saga has this status, and answers it.
pub async fn reaches(sagas: &Sagas, id: Uuid, status: SagaStatus) -> Saga {
    let look = async || sagas.find(id).await.unwrap().unwrap();
    eventually(&format!("{status:?}"), look, |saga| saga.status == status).await
}

/// Runs a worker while `during` runs.
pub async fn working<T>(sagas: &Sagas, during: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = sagas.run(async {
        let _ = stopped.await;
    });
    let during = async {
        let answer = during.await;
        let _ = stop.send(());
        answer
    };
    tokio::join!(worker, during).1
}
