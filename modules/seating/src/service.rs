//! Seating's desk: load, decide, save.

use std::time::Duration;

use kernel::Time;
use seating_contract::{Hold, HoldDraft, HoldId, SeatMap, SeatState, SeatingError, SeatingService, ShowId};
use strangler::{Cx, Done, Put};
use strangler_store::{Db, StoreError, Uow};

use crate::{
    domain::{HoldState, Plan},
    store::{Claim, FactsOf, Forget, Keep, TakenBy, TakenIn, TakenSeats, time},
};

/// How long a hold lasts unless told otherwise.
const LASTS: Duration = Duration::from_secs(10 * 60);
/// How often a decision is made anew when somebody else was faster.
const ATTEMPTS: u32 = 10;

/// Seating over its own schema.
#[derive(Clone)]
pub struct SeatingModule {
    db: Db,
    lasts: Duration,
}

impl SeatingModule {
    /// Seating whose data `db` is. A hold lasts ten minutes.
    pub fn new(db: Db) -> Self {
        Self { db, lasts: LASTS }
    }

    /// The same, with holds that last this long.
    pub fn with_holds_of(mut self, lasts: Duration) -> Self {
        self.lasts = lasts;
        self
    }

    async fn take(&self, cx: &Cx, id: HoldId, draft: &HoldDraft) -> Result<Put<Hold>, Trouble> {
        let mut uow = self.db.begin(cx).await?;
        let now = time(uow.now())?;
        if let Some(there) = uow.load::<HoldState>(id.0).await? {
            return Ok(Put::Kept(there.repeat(draft, now)?));
        }
        let show = draft.show();
        let facts = uow.find(FactsOf(show)).await?;
        let facts = facts.ok_or(SeatingError::UnknownShow { show })?;
        if facts.cancelled {
            return Err(SeatingError::ShowCancelled { id: show }.into());
        }
        let plan: Plan = facts.plan().ok_or(SeatingError::UnknownShow { show })?;
        let seats = draft.seats().to_vec();
        let taken = uow.find(TakenSeats { show, seats }).await?;
        let end = end(now, self.lasts);
        let hold = HoldState::take(id, draft, &plan, &taken, (now, end))?;
        let stale = taken.into_iter().filter(|t| t.state(now) == SeatState::Free);
        uow.save(&hold);
        uow.put(Claim {
            show,
            hold: id,
            seats: draft.seats().to_vec(),
            expires_at: end,
            stale: stale.map(|t| t.seat).collect(),
        });
        uow.commit().await?;
        Ok(Put::Created(hold.look(now)?))
    }

    /// Commits the hold, or sells its seats.
    async fn keep(&self, cx: &Cx, id: HoldId, sold: bool) -> Result<Hold, Trouble> {
        let mut uow = self.db.begin(cx).await?;
        let now = time(uow.now())?;
        let there = uow.load::<HoldState>(id.0).await?;
        let there = there.ok_or(SeatingError::NoSuchHold { id })?;
        let kept = uow.find(TakenBy(vec![id])).await?.len();
        let next = if sold {
            there.assign(kept, now)?
        } else {
            self.open(&mut uow, &there).await?;
            there.commit(kept, now)?
        };
        let Some(next) = next else {
            return Ok(there.look(now)?);
        };
        uow.save(&next);
        uow.put(Keep { hold: id, sold });
        uow.commit().await?;
        Ok(next.look(now)?)
    }

    /// Refuses what is for a show that was cancelled since: nobody should pay for it.
    async fn open(&self, uow: &mut Uow, hold: &HoldState) -> Result<(), Trouble> {
        let Some(show) = hold.takings.as_ref().map(|t| t.show) else {
            return Ok(());
        };
        match uow.find(FactsOf(show)).await? {
            Some(facts) if facts.cancelled => Err(SeatingError::ShowCancelled { id: show }.into()),
            _ => Ok(()),
        }
    }

    /// Ends the hold: `end` says what is left of it.
    async fn end(
        &self,
        cx: &Cx,
        id: HoldId,
        end: impl Fn(&HoldState) -> Result<Option<HoldState>, SeatingError>,
    ) -> Result<Done, Trouble> {
        let mut uow = self.db.begin(cx).await?;
        match uow.load::<HoldState>(id.0).await? {
            // The tombstone: should the hold come after its release, it comes too late.
            None => uow.save(&HoldState::never(id)),
            Some(there) => {
                let Some(over) = end(&there)? else {
                    return Ok(Done);
                };
                uow.find(TakenBy(vec![id])).await?;
                uow.save(&over);
                uow.put(Forget(vec![id]));
            }
        }
        uow.commit().await?;
        Ok(Done)
    }
}

/// When a hold that begins now ends.
fn end(now: Time, lasts: Duration) -> Time {
    let lasts = i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX);
    Time::from_micros(now.micros().saturating_add(lasts)).unwrap_or(now)
}

/// Why a decision was not made.
enum Trouble {
    /// It is refused.
    Refused(SeatingError),
    /// The store failed; perhaps somebody else was faster.
    Store(StoreError),
}

impl From<SeatingError> for Trouble {
    fn from(error: SeatingError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A decision that is made anew when somebody else was faster.
#[derive(Default)]
struct Tries(u32);

impl Tries {
    /// The answer; `None` when the decision has to be made anew.
    fn answer<T>(&mut self, outcome: Result<T, Trouble>) -> Option<Result<T, SeatingError>> {
        self.0 += 1;
        match outcome {
            Ok(value) => Some(Ok(value)),
            Err(Trouble::Refused(error)) => Some(Err(error)),
            Err(Trouble::Store(StoreError::Conflict(_))) if self.0 < ATTEMPTS => None,
            Err(Trouble::Store(error)) => Some(Err(unavailable(error))),
        }
    }
}

/// What the database said is for the log; the caller learns what it means for them.
fn unavailable(error: StoreError) -> SeatingError {
    tracing::error!(%error, "seating's store");
    SeatingError::Unavailable {
        cause: error.outward().to_owned(),
    }
}

impl SeatingService for SeatingModule {
    async fn seats(&self, cx: &Cx, id: ShowId) -> Result<SeatMap, SeatingError> {
        let view = self.db.view(cx);
        let now = time(view.now()).map_err(unavailable)?;
        let facts = view.find(FactsOf(id)).await.map_err(unavailable)?;
        let facts = facts.ok_or(SeatingError::NoSuchShow { id })?;
        if facts.cancelled {
            return Err(SeatingError::ShowCancelled { id });
        }
        let plan = facts.plan().ok_or(SeatingError::NoSuchShow { id })?;
        let taken = view.find(TakenIn(id)).await.map_err(unavailable)?;
        Ok(SeatMap {
            show: id,
            seats: plan.seats(&taken, now),
        })
    }

    async fn held(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        let view = self.db.view(cx);
        let now = time(view.now()).map_err(unavailable)?;
        let hold = view.load::<HoldState>(id.0).await.map_err(unavailable)?;
        hold.ok_or(SeatingError::NoSuchHold { id })?.look(now)
    }

    async fn hold(&self, cx: &Cx, id: HoldId, draft: HoldDraft) -> Result<Put<Hold>, SeatingError> {
        let mut tries = Tries::default();
        loop {
            if let Some(answer) = tries.answer(self.take(cx, id, &draft).await) {
                return answer;
            }
        }
    }

    async fn release(&self, cx: &Cx, id: HoldId) -> Result<Done, SeatingError> {
        let mut tries = Tries::default();
        loop {
            if let Some(answer) = tries.answer(self.end(cx, id, HoldState::release).await) {
                return answer;
            }
        }
    }

    async fn commit(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        let mut tries = Tries::default();
        loop {
            if let Some(answer) = tries.answer(self.keep(cx, id, false).await) {
                return answer;
            }
        }
    }

    async fn assign(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        let mut tries = Tries::default();
        loop {
            if let Some(answer) = tries.answer(self.keep(cx, id, true).await) {
                return answer;
            }
        }
    }

    async fn unassign(&self, cx: &Cx, id: HoldId) -> Result<Done, SeatingError> {
        let mut tries = Tries::default();
        loop {
            if let Some(answer) = tries.answer(self.end(cx, id, |hold| Ok(hold.unassign())).await) {
                return answer;
            }
        }
    }
}
