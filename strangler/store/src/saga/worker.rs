//! Working on sagas: picking what is due, acting, and writing down what came of it.

use std::{
    collections::HashSet,
    future::Future,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use strangler::{Cx, Trace};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Deed, Saga, SagaStatus, Sagas, StepKey, StepRecord,
    definition::{Answer, Shape},
    machine::Sheet,
    row::sagas,
};
use crate::{
    StoreError, Uow,
    backoff::{AWAY, Backoff},
    log::POLL,
    view::Reader,
};

/// How often the outcome of a step is written down again when something else is in the way.
const PERSISTENCE: u32 = 8;

/// What is leased; by all workers of one side together, because each saga is claimed for itself.
const NAME: &str = "sagas";

/// What those who work at the same time have in common.
#[derive(Default)]
struct Shift {
    /// No other steps may be begun.
    stopping: AtomicBool,
    /// Somebody found that there is a newer route.
    outdated: AtomicBool,
}

/// What is known after a saga was changed.
enum Next {
    /// It goes on at once.
    Work(Box<Work>),
    /// It goes on then; never, or as somebody else says.
    Due(Option<DateTime<Utc>>),
}

/// One step of one saga, started and not answered yet.
struct Work {
    saga: Saga,
    records: Vec<StepRecord>,
    index: usize,
    deed: Deed,
    /// The route for which it was claimed.
    route: i64,
}

impl Sagas {
    /// Works on the sagas of this schema until `stop` is ready; then the steps that are running are waited for, and no
    /// others begun. Any number of these may run at once. A database that is away is waited for.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let shift = Arc::new(Shift::default());
        let mut wakes = self.db.watch_sagas();
        // Dropping the set, as dropping this future does, ends them.
        let mut working = JoinSet::new();
        let mut held = HashSet::new();
        let mut backoff = Backoff::default();
        let mut turn = self.turn.clone();
        let mut entered = None;
        // What one of this name had begun before it was killed.
        let mut before = self.db.worker();
        // Until then nothing is due but what is told to be.
        let mut look = Instant::now();
        loop {
            wakes.mark_unchanged();
            let due = async {
                let Some(route) = turn.now() else {
                    return Ok((Vec::new(), POLL, 0));
                };
                if shift.outdated.swap(false, Ordering::Relaxed) {
                    entered = None;
                }
                if entered != Some(route) && !self.db.leases().enter(NAME, route).await? {
                    return Ok((Vec::new(), POLL, route));
                }
                if let Some(worker) = before {
                    let begun = self.give_up(worker).await?;
                    before = None;
                    if begun > 0 {
                        tracing::info!(
                            schema = self.db.schema(),
                            begun,
                            "steps that were begun before are begun again"
                        );
                    }
                }
                if entered.replace(route) != Some(route) {
                    look = Instant::now();
                }
                let room = self.in_flight - working.len();
                let mut due = self.db.take_begun(room);
                due.retain(|id| !held.contains(id));
                due.sort_unstable();
                due.dedup();
                let room = room - due.len();
                if room > 0 && look <= Instant::now() {
                    let (found, pause) = self.due(room, &held).await?;
                    look = Instant::now() + pause;
                    for id in found {
                        if !due.contains(&id) {
                            due.push(id);
                        }
                    }
                }
                Ok::<_, StoreError>((due, look.saturating_duration_since(Instant::now()), route))
            };
            let pause = match due.await {
                Ok((due, pause, route)) => {
                    let failures = backoff.succeeded();
                    if failures > 0 {
                        tracing::info!(schema = self.db.schema(), failures, "sagas can be worked on again");
                    }
                    for id in due {
                        held.insert(id);
                        let (sagas, shift) = (self.clone(), shift.clone());
                        working.spawn(async move {
                            let due = AssertUnwindSafe(sagas.drive(id, route, &shift)).catch_unwind().await;
                            let due = match due {
                                Ok(due) => due,
                                Err(_) => {
                                    tracing::error!(saga = %id, "what watches a saga panicked; trying again later");
                                    tokio::time::sleep(AWAY).await;
                                    Some(sagas.db.now())
                                }
                            };
                            (id, due)
                        });
                    }
                    pause
                }
                Err(error) => {
                    let (pause, news) = backoff.failed(&error, AWAY);
                    if news {
                        tracing::warn!(schema = self.db.schema(), %error, "sagas cannot be worked on; trying again");
                    }
                    pause
                }
            };
            let room = working.len() < self.in_flight && backoff.failures() == 0;
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(Ok((id, due))) = working.join_next() => {
                    held.remove(&id);
                    if let Some(due) = due {
                        let pause = (due - self.db.now()).to_std().unwrap_or_default();
                        look = look.min(Instant::now() + pause);
                    }
                }
                () = turn.changed() => {}
                _ = wakes.changed(), if room => {}
                () = tokio::time::sleep(pause), if room || working.is_empty() => {}
            }
        }
        shift.stopping.store(true, Ordering::Relaxed);
        while working.join_next().await.is_some() {}
    }

    /// What is due, and how long nothing else is.
    async fn due(&self, limit: usize, held: &HashSet<Uuid>) -> Result<(Vec<Uuid>, Duration), StoreError> {
        let now = self.db.now();
        let open = || {
            sagas::Entity::find()
                .select_only()
                .filter(sagas::Column::Kind.is_in(self.shapes.keys()))
                .order_by_asc(sagas::Column::DueAt)
        };
        let fail = |e| self.db.place().error("looking for sagas that are due", &e);
        let mut due = open()
            .column(sagas::Column::Id)
            .filter(sagas::Column::DueAt.lte(now))
            // Those that are held are mostly due later, when their workers would be given up; some are not claimed yet.
            .limit(u64::try_from(limit + held.len()).unwrap_or(u64::MAX))
            .into_tuple::<Uuid>()
            .all(&Reader { db: &self.db })
            .await
            .map_err(fail)?;
        due.retain(|id| !held.contains(id));
        if due.len() >= limit {
            due.truncate(limit);
            return Ok((due, Duration::ZERO));
        }
        let next = open()
            .column(sagas::Column::DueAt)
            .filter(sagas::Column::DueAt.gt(now))
            .limit(1)
            .into_tuple::<DateTime<Utc>>()
            .one(&Reader { db: &self.db })
            .await
            .map_err(fail)?;
        let left = next.and_then(|at| (at - now).to_std().ok());
        Ok((
            due,
            left.map_or(POLL, |left| left.clamp(Duration::from_millis(1), POLL)),
        ))
    }

    /// Takes one saga as far as it goes without waiting. Answers when it goes on, as far as is known.
    async fn drive(&self, id: Uuid, route: i64, shift: &Shift) -> Option<DateTime<Utc>> {
        let mut next = match self.claim(id, route, shift).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(saga = %id, %error, "a saga could not be taken up; trying again");
                tokio::time::sleep(AWAY).await;
                return Some(self.db.now());
            }
        };
        loop {
            let started = match next {
                Next::Work(started) => started,
                Next::Due(due) => return due,
            };
            let shape = self.shapes.get(&started.saga.kind)?;
            let answer = self.act(shape, &started).await;
            next = match self.note(&started, answer, shift).await {
                Ok(next) => next,
                Err(error) => {
                    // It stays `started`: when this worker is given up, it is repeated with the same key.
                    let step = &started.saga.step;
                    tracing::warn!(saga = %id, step, %error, "a step's outcome could not be written down");
                    return None;
                }
            };
        }
    }

    async fn act(&self, shape: &Shape, work: &Work) -> Answer {
        let step = &shape.steps[work.index];
        let act = match work.deed {
            Deed::Do => &step.act,
            Deed::Undo => match &step.undo {
                Some(undo) => undo,
                None => return Answer::Unreadable("its definition has no undo for this step any more".into()),
            },
        };
        let key = StepKey {
            saga: work.saga.id,
            step: step.name.clone(),
            deed: work.deed,
        };
        let trace = Trace::parse(&work.saga.traceparent).map_or_else(Trace::start, |t| t.child());
        let cx = Cx::system(&format!("saga:{}", shape.name))
            .with_trace(trace)
            .with_idempotency_key(&key.to_string())
            .with_budget(self.step_timeout);
        // A step that panics must not end the worker: nobody knows what it did.
        let acting = AssertUnwindSafe(act.act(&cx, &key, &work.saga.state)).catch_unwind();
        match tokio::time::timeout(self.step_timeout, acting).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Answer::Retry("it panicked".into()),
            Err(_) => Answer::Retry(format!("it was not answered within {:?}", self.step_timeout)),
        }
    }

    /// Takes up a saga that is due, unless somebody else was first, or there is nothing to be done.
    async fn claim(&self, id: Uuid, route: i64, shift: &Shift) -> Result<Next, StoreError> {
        let mut uow = self.begin().await?;
        if !self.db.leases().is_newest(uow.connection(), NAME, route).await? {
            shift.outdated.store(true, Ordering::Relaxed);
            return Ok(Next::Due(None));
        }
        let Some((mut sheet, shape)) = self.open(&mut uow, id).await? else {
            return Ok(Next::Due(None));
        };
        let now = uow.now();
        if sheet.saga.due_at.is_none_or(|due| due > now) {
            return Ok(Next::Due(sheet.saga.due_at));
        }
        let before = sheet.saga.clone();
        // A stuck saga is due only when somebody asked for it to be resumed.
        sheet.resume(now);
        let next = sheet.claim(&shape, now, self.hold());
        self.finish(uow, &shape, &before, sheet, route, next).await
    }

    /// Writes down what came of a step and, unless it has to stop, that the next one has started.
    async fn note(&self, work: &Work, answer: Answer, shift: &Shift) -> Result<Next, StoreError> {
        let mut tries = 0;
        loop {
            match self.note_once(work, answer.clone(), shift).await {
                Err(error) if error.retryable() && tries < PERSISTENCE => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(5 << tries)).await;
                }
                result => return result,
            }
        }
    }

    async fn note_once(&self, work: &Work, answer: Answer, shift: &Shift) -> Result<Next, StoreError> {
        let uow = self.begin().await?;
        let my_turn = self.turn.now() == Some(work.route)
            && self.db.leases().is_newest(uow.connection(), NAME, work.route).await?;
        let Some(shape) = self.shapes.get(&work.saga.kind) else {
            return Ok(Next::Due(None));
        };
        // It is as it was when the step was started. If it is not, it has another version, and nothing is written.
        let mut sheet = Sheet::new(work.saga.clone(), work.records.clone());
        let (now, before) = (uow.now(), &work.saga);
        sheet.record(shape, now, work.index, work.deed, answer);
        let may = my_turn && !shift.stopping.load(Ordering::Relaxed);
        let at_once = may && sheet.saga.due_at.is_some_and(|due| due <= now);
        let next = if at_once {
            sheet.claim(shape, now, self.hold())
        } else {
            None
        };
        self.finish(uow, shape, before, sheet, work.route, next).await
    }

    async fn finish(
        &self,
        mut uow: Uow,
        shape: &Shape,
        before: &Saga,
        mut sheet: Sheet,
        route: i64,
        next: Option<(usize, Deed)>,
    ) -> Result<Next, StoreError> {
        uow.follow(&before.traceparent);
        sheet.saga.worker = next.and(self.db.worker()).map(str::to_owned);
        if !self.write(&mut uow, shape, before, &mut sheet).await? {
            tracing::info!(saga = %before.id, step = before.step, "somebody else moved a saga first");
            return Ok(Next::Due(None));
        }
        uow.commit().await?;
        if before.status != sheet.saga.status {
            let Saga { id, kind, status, .. } = &sheet.saga;
            match status {
                // The reason may say what a person wrote; it is kept with the saga.
                SagaStatus::Stuck => tracing::warn!(saga = %id, kind, "a saga is stuck; `banyan sagas show` says why"),
                status => tracing::debug!(saga = %id, kind, status = status.as_str(), "a saga moved"),
            }
        }
        let Sheet { saga, records, .. } = sheet;
        Ok(match next {
            Some((index, deed)) => Next::Work(Box::new(Work {
                saga,
                records,
                index,
                deed,
                route,
            })),
            None => Next::Due(saga.due_at),
        })
    }

    pub(super) async fn begin(&self) -> Result<Uow, StoreError> {
        let tx = self.db.begin_raw("working on a saga").await?;
        Ok(Uow::new(self.db.clone(), tx, String::new(), Some("saga".to_owned())))
    }

    /// How long a started step is left to its worker.
    fn hold(&self) -> TimeDelta {
        TimeDelta::from_std(self.step_timeout.saturating_mul(2)).unwrap_or(TimeDelta::MAX)
    }
}
