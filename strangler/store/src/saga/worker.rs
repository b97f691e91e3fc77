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
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use strangler::{
    Trace,
    parallel::Skip,
    tape::{StepTaken, Subject, When},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    Deed, Saga, SagaStatus, Sagas, StepKey, StepRecord,
    definition::{Answer, Shape},
    machine::Sheet,
    places::{Bounds, Place, Places},
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
pub(super) const NAME: &str = "sagas";

/// What those who work at the same time have in common.
struct Shift {
    /// No other steps may be begun.
    stopping: AtomicBool,
    /// Somebody found that there is a newer route.
    outdated: AtomicBool,
    /// How many may be at each step.
    bounds: Bounds,
}

/// What is known after a saga was changed.
enum Next {
    /// It goes on at once.
    Work(Box<Work>),
    /// It goes on then; never, or as somebody else says.
    Due(Option<DateTime<Utc>>),
    /// It goes on when there is a place at its step.
    Full(Arc<Places>),
}

/// What is done next, with the place for it if one is needed and the route it is done for; or the step that is full.
type Claim = Option<Result<(usize, Deed, Option<Place>, i64), Arc<Places>>>;

/// One step of one saga, started and not answered yet.
struct Work {
    saga: Saga,
    records: Vec<StepRecord>,
    index: usize,
    deed: Deed,
    /// Where it has one: until it is answered.
    place: Option<Place>,
    /// The route for which it was claimed.
    route: i64,
}

impl Sagas {
    /// Works on the sagas of this schema until `stop` is ready; then the steps that are running are waited for, and no
    /// others begun. Any number of these may run at once. A database that is away is waited for.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let mut stop = pin!(stop);
        let shift = Arc::new(Shift {
            stopping: AtomicBool::default(),
            outdated: AtomicBool::default(),
            bounds: Bounds::new(&self.shapes),
        });
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
                let mut begun = self.db.take_begun(room);
                begun.retain(|id| !held.contains(id));
                begun.sort_unstable();
                begun.dedup();
                let room = room - begun.len();
                let mut due: Vec<_> = begun.iter().map(|id| (*id, None)).collect();
                if room > 0 && look <= Instant::now() {
                    let (mut found, pause) = self.due(room, &held, &shift.bounds).await?;
                    look = Instant::now() + pause;
                    found.retain(|(id, _)| !begun.contains(id));
                    due.append(&mut found);
                }
                Ok::<_, StoreError>((due, look.saturating_duration_since(Instant::now()), route))
            };
            let pause = match due.await {
                Ok((due, pause, route)) => {
                    let failures = backoff.succeeded();
                    if failures > 0 {
                        tracing::info!(schema = self.db.schema(), failures, "sagas can be worked on again");
                    }
                    for (id, place) in due {
                        held.insert(id);
                        let (sagas, shift) = (self.clone(), shift.clone());
                        working.spawn(async move {
                            let drive = AssertUnwindSafe(sagas.drive(id, route, &shift, place));
                            let next = match drive.catch_unwind().await {
                                Ok(next) => next,
                                Err(_) => {
                                    tracing::error!(saga = %id, "what watches a saga panicked; trying again later");
                                    tokio::time::sleep(AWAY).await;
                                    Next::Due(Some(sagas.db.now()))
                                }
                            };
                            (id, next)
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
                Some(Ok((id, next))) = working.join_next() => {
                    held.remove(&id);
                    match next {
                        Next::Due(Some(due)) => {
                            let pause = (due - self.db.now()).to_std().unwrap_or_default();
                            look = look.min(Instant::now() + pause);
                        }
                        // One was freed meanwhile.
                        Next::Full(places) if places.any() => look = Instant::now(),
                        _ => {}
                    }
                }
                () = shift.bounds.freed.notified() => look = Instant::now(),
                () = turn.changed() => {}
                _ = wakes.changed(), if room => {}
                () = tokio::time::sleep(pause), if room || working.is_empty() => {}
            }
        }
        shift.stopping.store(true, Ordering::Relaxed);
        while working.join_next().await.is_some() {}
    }

    /// What is due, with a place where one is needed, and how long nothing else is.
    async fn due(
        &self,
        limit: usize,
        held: &HashSet<Uuid>,
        bounds: &Bounds,
    ) -> Result<(Vec<(Uuid, Option<Place>)>, Duration), StoreError> {
        let now = self.db.now();
        use sagas::Column as C;
        let full: Vec<_> = bounds.full().collect();
        // Whoever waits for a place notices its deadline all the same.
        let late = || {
            let running = C::Status.eq(SagaStatus::Running.as_str());
            Condition::all()
                .add(C::Deadline.lte(now))
                .add(C::Overdue.eq(false))
                .add(running)
        };
        let there_is_room = full.iter().fold(Condition::all(), |all, full| {
            let elsewhere = Condition::any()
                .add(C::Kind.ne(&*full.kind))
                .add(C::Step.ne(&*full.step));
            all.add(elsewhere.add(late()))
        });
        let open = || {
            sagas::Entity::find()
                .select_only()
                .filter(sagas::Column::Kind.is_in(self.shapes.keys()))
                .order_by_asc(sagas::Column::DueAt)
        };
        let fail = |e| self.db.place().error("looking for sagas that are due", &e);
        let found = open()
            .columns([C::Id, C::Kind, C::Step])
            .filter(C::DueAt.lte(now))
            .filter(there_is_room)
            // Those that are held are mostly due later, when their workers would be given up; some are not claimed yet.
            .limit(u64::try_from(limit + held.len()).unwrap_or(u64::MAX))
            .into_tuple::<(Uuid, String, String)>()
            .all(&Reader { db: &self.db })
            .await
            .map_err(fail)?;
        let (mut due, mut seen) = (Vec::new(), 0);
        for (id, kind, step) in found.into_iter().filter(|(id, ..)| !held.contains(id)).take(limit) {
            seen += 1;
            let index = self.shapes.get(&kind).and_then(|shape| shape.index(&step));
            match index.and_then(|index| bounds.at(&kind, index)) {
                Some(places) if !full.iter().any(|full| Arc::ptr_eq(full, places)) => {
                    due.extend(places.take().map(|place| (id, Some(place))));
                }
                _ => due.push((id, None)),
            }
        }
        // If some of them found no place, the others are behind them.
        if seen >= limit {
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
    async fn drive(&self, id: Uuid, route: i64, shift: &Shift, place: Option<Place>) -> Next {
        let mut next = match self.claim(id, route, shift, place).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(saga = %id, %error, "a saga could not be taken up; trying again");
                tokio::time::sleep(AWAY).await;
                return Next::Due(Some(self.db.now()));
            }
        };
        loop {
            let mut started = match next {
                Next::Work(started) => started,
                rest => return rest,
            };
            let Some(shape) = self.shapes.get(&started.saga.kind) else {
                return Next::Due(None);
            };
            let answer = self.act(shape, &started).await;
            started.place = None;
            next = match self.note(&started, answer, shift).await {
                Ok(next) => next,
                Err(error) => {
                    // It stays `started`: when this worker is given up, it is repeated with the same key.
                    let step = &started.saga.step;
                    tracing::warn!(saga = %id, step, %error, "a step's outcome could not be written down");
                    return Next::Due(None);
                }
            };
        }
    }

    async fn act(&self, shape: &Shape, work: &Work) -> Answer {
        let step = &shape.steps[work.index];
        let Some(act) = shape.plain(work.index, work.deed) else {
            return Answer::Unreadable("its definition has no undo for this step any more".into());
        };
        let key = StepKey {
            saga: work.saga.id,
            step: step.name.clone(),
            deed: work.deed,
        };
        let trace = Trace::parse(&work.saga.traceparent).map_or_else(Trace::start, |t| t.child());
        let cx = shape.cx(&key).with_trace(trace).with_budget(self.step_timeout);
        let taping = self.deck.begin(Subject::Step {
            saga: &shape.name,
            step: &step.name,
            deed: work.deed.as_str(),
        });
        let on_tape = taping.as_ref().map(|taping| taping.cx(&cx));
        // A step that panics must not end the worker: nobody knows what it did.
        let own = on_tape.as_ref().unwrap_or(&cx);
        let acting = AssertUnwindSafe(act.act(own, &key, &work.saga.state)).catch_unwind();
        let (answer, whole) = match tokio::time::timeout(self.step_timeout, acting).await {
            Ok(Ok(answer)) => (answer, true),
            Ok(Err(_)) => (Answer::Retry("it panicked".into()), true),
            Err(_) => {
                let why = format!("it was not answered within {:?}", self.step_timeout);
                (Answer::Retry(why), false)
            }
        };
        match taping {
            Some(taping) if whole => {
                let taken = StepTaken {
                    saga: shape.name.clone(),
                    step: key.step.clone(),
                    deed: work.deed.as_str().to_owned(),
                    id: key.saga,
                    key: key.to_string(),
                    state: work.saga.state.clone(),
                };
                let told = answer.told();
                taping.done(&cx, move || Ok((When::Step(taken), told)));
            }
            // Where it would have been by then on the other side, nobody knows.
            Some(taping) => taping.skip(Skip::LiveFailed),
            None => {}
        }
        answer
    }

    /// Takes up a saga that is due, unless somebody else was first, or there is nothing to be done.
    async fn claim(&self, id: Uuid, route: i64, shift: &Shift, place: Option<Place>) -> Result<Next, StoreError> {
        let mut uow = self.begin().await?;
        if !self.db.leases().is_newest(uow.connection()?, NAME, route).await? {
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
        // A stuck saga is due only when somebody asked for it to be resumed. That is written by itself: who watches it is told
        // that it goes on before anything of it is tried.
        let next = match sheet.resume(now) {
            true => None,
            false => self.take_up(&mut sheet, &shape, now, route, shift, place),
        };
        if let Some(Err(full)) = &next
            && sheet.saga == before
        {
            return Ok(Next::Full(full.clone()));
        }
        let next = self.finish(uow, &shape, &before, sheet, next, None).await?;
        Ok(next.unwrap_or(Next::Due(None)))
    }

    /// Decides what is done next and, where there is a place for it, notes that it has started. Where there is none, it
    /// stays due.
    fn take_up(
        &self,
        sheet: &mut Sheet,
        shape: &Shape,
        now: DateTime<Utc>,
        route: i64,
        shift: &Shift,
        place: Option<Place>,
    ) -> Claim {
        let (index, deed) = sheet.next(shape, now)?;
        let place = shift.bounds.place(&shape.name, index, place);
        if place.is_ok() {
            sheet.start(&shape.steps[index], deed, now, self.hold());
        }
        Some(place.map(|place| (index, deed, place, route)))
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
        let may = self.turn.now() == Some(work.route) && !shift.stopping.load(Ordering::Relaxed);
        if may && let Some(next) = self.note_down(work, answer.clone(), Some(work.route), shift).await? {
            return Ok(next);
        }
        // The turn is over: what the step came to is written down all the same. Or somebody else moved the saga.
        let next = self.note_down(work, answer, None, shift).await?;
        Ok(next.unwrap_or(Next::Due(None)))
    }

    /// The next step is claimed for `route`. `None` when that is not the newest any more, or somebody else moved the saga.
    async fn note_down(
        &self,
        work: &Work,
        answer: Answer,
        route: Option<i64>,
        shift: &Shift,
    ) -> Result<Option<Next>, StoreError> {
        let uow = self.begin().await?;
        let Some(shape) = self.shapes.get(&work.saga.kind) else {
            return Ok(None);
        };
        // It is as it was when the step was started. If it is not, it has another version, and nothing is written.
        let mut sheet = Sheet::new(work.saga.clone(), work.records.clone());
        let (now, before) = (uow.now(), &work.saga);
        sheet.record(shape, now, work.index, work.deed, answer);
        let at_once = sheet.saga.due_at.is_some_and(|due| due <= now);
        let next = match route {
            Some(route) if at_once => self.take_up(&mut sheet, shape, now, route, shift, None),
            _ => None,
        };
        self.finish(uow, shape, before, sheet, next, route).await
    }

    /// Writes what was decided, if the saga is as it was `before` and `newest`, if given, still is the newest route.
    async fn finish(
        &self,
        mut uow: Uow,
        shape: &Shape,
        before: &Saga,
        mut sheet: Sheet,
        next: Claim,
        newest: Option<i64>,
    ) -> Result<Option<Next>, StoreError> {
        uow.follow(&before.traceparent);
        let begun = matches!(next, Some(Ok(_)));
        sheet.saga.worker = self.db.worker().filter(|_| begun).map(str::to_owned);
        if !self.write(&mut uow, shape, before, &mut sheet, newest).await? {
            if newest.is_none() {
                tracing::info!(saga = %before.id, step = before.step, "somebody else moved a saga first");
            }
            return Ok(None);
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
        Ok(Some(match next {
            Some(Ok((index, deed, place, route))) => Next::Work(Box::new(Work {
                saga,
                records,
                index,
                deed,
                place,
                route,
            })),
            Some(Err(full)) => Next::Full(full),
            None => Next::Due(saga.due_at),
        }))
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
