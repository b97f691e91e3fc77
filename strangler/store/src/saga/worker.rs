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
    time::Duration,
};

use chrono::TimeDelta;
use futures_util::FutureExt;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use strangler::{Cx, Trace};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Deed, Saga, Sagas, StepKey,
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

/// One step of one saga, started and not answered yet.
struct Work {
    saga: Saga,
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
                entered = Some(route);
                let (due, pause) = self.due(self.in_flight - working.len(), &held).await?;
                Ok::<_, StoreError>((due, pause, route))
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
                            if AssertUnwindSafe(sagas.drive(id, route, &shift))
                                .catch_unwind()
                                .await
                                .is_err()
                            {
                                tracing::error!(saga = %id, "what watches a saga panicked; trying again later");
                                tokio::time::sleep(AWAY).await;
                            }
                            id
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
                Some(Ok(id)) = working.join_next() => { held.remove(&id); }
                () = turn.changed() => {}
                _ = wakes.changed(), if room => {}
                () = tokio::time::sleep(pause), if room || working.is_empty() => {}
            }
        }
        shift.stopping.store(true, Ordering::Relaxed);
        while working.join_next().await.is_some() {}
    }

    /// What is due, and how long to sleep when nothing else happens.
    async fn due(&self, limit: usize, held: &HashSet<Uuid>) -> Result<(Vec<Uuid>, Duration), StoreError> {
        if limit == 0 {
            return Ok((Vec::new(), POLL));
        }
        let now = self.db.now();
        let rows = sagas::Entity::find()
            .select_only()
            .columns([sagas::Column::Id, sagas::Column::DueAt])
            .filter(sagas::Column::DueAt.is_not_null())
            .filter(sagas::Column::Kind.is_in(self.shapes.keys()))
            .order_by_asc(sagas::Column::DueAt)
            // Those that are held are mostly due later, when their workers would be given up.
            .limit(u64::try_from(limit + held.len()).unwrap_or(u64::MAX))
            .into_tuple::<(Uuid, chrono::DateTime<chrono::Utc>)>()
            .all(&Reader { db: &self.db })
            .await
            .map_err(|e| self.db.place().error("looking for sagas that are due", &e))?;
        let mut pause = POLL;
        let mut due = Vec::new();
        for (id, at) in rows {
            if held.contains(&id) {
                continue;
            }
            if at <= now {
                due.push(id);
            } else {
                pause = (at - now)
                    .to_std()
                    .unwrap_or_default()
                    .clamp(Duration::from_millis(1), POLL);
                break;
            }
        }
        due.truncate(limit);
        Ok((due, pause))
    }

    /// Takes one saga as far as it goes without waiting.
    async fn drive(&self, id: Uuid, route: i64, shift: &Shift) {
        let mut work = match self.claim(id, route, shift).await {
            Ok(work) => work,
            Err(error) => {
                tracing::warn!(saga = %id, %error, "a saga could not be taken up; trying again");
                return tokio::time::sleep(AWAY).await;
            }
        };
        while let Some(started) = work {
            let Some(shape) = self.shapes.get(&started.saga.kind) else {
                return;
            };
            let answer = self.act(shape, &started).await;
            work = match self.note(&started, answer, shift).await {
                Ok(next) => next,
                Err(error) => {
                    // It stays `started`: when this worker is given up, it is repeated with the same key.
                    let step = &started.saga.step;
                    return tracing::warn!(saga = %id, step, %error, "a step's outcome could not be written down");
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

    /// Takes up a saga that is due. `None` when somebody else was first, or there is nothing to be done.
    async fn claim(&self, id: Uuid, route: i64, shift: &Shift) -> Result<Option<Work>, StoreError> {
        let mut uow = self.begin().await?;
        if !self.db.leases().is_newest(uow.connection(), NAME, route).await? {
            shift.outdated.store(true, Ordering::Relaxed);
            return Ok(None);
        }
        let Some((mut sheet, shape)) = self.open(&mut uow, id).await? else {
            return Ok(None);
        };
        let now = uow.now();
        if sheet.saga.due_at.is_none_or(|due| due > now) {
            return Ok(None);
        }
        let before = sheet.saga.clone();
        // A stuck saga is due only when somebody asked for it to be resumed.
        sheet.resume(now);
        let next = sheet.claim(&shape, now, self.hold());
        self.finish(uow, &shape, &before, sheet, route, next).await
    }

    /// Writes down what came of a step and, unless it has to stop, that the next one has started.
    async fn note(&self, work: &Work, answer: Answer, shift: &Shift) -> Result<Option<Work>, StoreError> {
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

    async fn note_once(&self, work: &Work, answer: Answer, shift: &Shift) -> Result<Option<Work>, StoreError> {
        let mut uow = self.begin().await?;
        let my_turn = self.turn.now() == Some(work.route)
            && self.db.leases().is_newest(uow.connection(), NAME, work.route).await?;
        let Some((mut sheet, shape)) = self.open(&mut uow, work.saga.id).await? else {
            return Ok(None);
        };
        if sheet.saga.version != work.saga.version {
            tracing::info!(saga = %work.saga.id, step = work.saga.step, "a step was answered too late to count");
            return Ok(None);
        }
        let (now, before) = (uow.now(), sheet.saga.clone());
        sheet.record(&shape, now, work.index, work.deed, answer);
        let may = my_turn && !shift.stopping.load(Ordering::Relaxed);
        let at_once = may && sheet.saga.due_at.is_some_and(|due| due <= now);
        let next = if at_once {
            sheet.claim(&shape, now, self.hold())
        } else {
            None
        };
        self.finish(uow, &shape, &before, sheet, work.route, next).await
    }

    async fn finish(
        &self,
        mut uow: Uow,
        shape: &Shape,
        before: &Saga,
        mut sheet: Sheet,
        route: i64,
        next: Option<(usize, Deed)>,
    ) -> Result<Option<Work>, StoreError> {
        uow.follow(&before.traceparent);
        if !self.write(&mut uow, shape, before, &mut sheet).await? {
            return Ok(None);
        }
        uow.commit().await?;
        if before.status != sheet.saga.status {
            let Saga { id, kind, reason, .. } = &sheet.saga;
            tracing::info!(saga = %id, kind, status = sheet.saga.status.as_str(), reason = ?reason, "a saga moved");
        }
        let saga = sheet.saga;
        Ok(next.map(|(index, deed)| Work {
            saga,
            index,
            deed,
            route,
        }))
    }

    async fn begin(&self) -> Result<Uow, StoreError> {
        let tx = self.db.begin_raw("working on a saga").await?;
        Ok(Uow::new(self.db.clone(), tx, String::new(), Some("saga".to_owned())))
    }

    /// How long a started step is left to its worker.
    fn hold(&self) -> TimeDelta {
        TimeDelta::from_std(self.step_timeout.saturating_mul(2)).unwrap_or(TimeDelta::MAX)
    }
}
