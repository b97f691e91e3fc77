//! How a hold begins, changes and ends.

use std::collections::BTreeSet;

use kernel::{Money, Time};
use seating_contract::{Hold, HoldDraft, HoldId, HoldStatus, SeatId, SeatingError, ShowId};
use serde::{Deserialize, Serialize};

use super::{Plan, Taken};

/// A hold as it is kept. One that is over stays, as the tombstone of its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HoldState {
    pub(crate) id: HoldId,
    pub(crate) version: i64,
    /// `None` when it was released before it was taken.
    pub(crate) takings: Option<Takings>,
    pub(crate) phase: Phase,
}

/// What a hold is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Takings {
    pub(crate) show: ShowId,
    pub(crate) seats: Vec<SeatId>,
    pub(crate) total: Money,
}

/// Where a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Until this time.
    Held(Time),
    /// Until it is sold or released.
    Committed,
    /// Its seats are sold.
    Sold,
    /// It was released, or has expired.
    Over,
}

impl HoldState {
    /// A new hold of the seats in `draft`. `taken` are those of them that have been somebody's so far.
    pub(crate) fn take(
        id: HoldId,
        draft: &HoldDraft,
        plan: &Plan,
        taken: &[Taken],
        (now, end): (Time, Time),
    ) -> Result<Self, SeatingError> {
        let (mut unknown, mut prices) = (Vec::new(), Vec::new());
        for seat in draft.seats() {
            match plan.price(seat) {
                Some(price) => prices.push(price),
                None => unknown.push(seat.clone()),
            }
        }
        let (Some(first), []) = (prices.first(), unknown.as_slice()) else {
            return Err(SeatingError::UnknownSeats { seats: unknown });
        };
        let others = taken
            .iter()
            .filter(|t| t.state(now) != seating_contract::SeatState::Free);
        let others: BTreeSet<&SeatId> = others.map(|t| &t.seat).collect();
        if !others.is_empty() {
            let asked = draft.seats().iter().filter(|seat| others.contains(seat));
            return Err(SeatingError::SeatsTaken {
                seats: asked.cloned().collect(),
            });
        }
        // A show is sold in one currency.
        let total = Money::new(prices.iter().map(|p| p.amount()).sum(), first.currency());
        let takings = Takings {
            show: draft.show(),
            seats: draft.seats().to_vec(),
            total: total.map_err(|cause| SeatingError::Unavailable { cause })?,
        };
        Ok(Self {
            id,
            version: 1,
            takings: Some(takings),
            phase: Phase::Held(end),
        })
    }

    /// The tombstone of a hold that was never taken.
    pub(crate) fn never(id: HoldId) -> Self {
        Self {
            id,
            version: 1,
            takings: None,
            phase: Phase::Over,
        }
    }

    /// How it looks outside at this time; an error when it is over.
    pub(crate) fn look(&self, now: Time) -> Result<Hold, SeatingError> {
        let over = SeatingError::HoldOver { id: self.id };
        let Takings { show, seats, total } = self.takings.clone().ok_or(over.clone())?;
        let (status, expires_at) = match self.phase {
            Phase::Held(end) if now < end => (HoldStatus::Held, Some(end)),
            Phase::Committed => (HoldStatus::Committed, None),
            Phase::Sold => (HoldStatus::Sold, None),
            Phase::Held(_) | Phase::Over => return Err(over),
        };
        Ok(Hold {
            id: self.id,
            show,
            seats,
            status,
            total,
            expires_at,
        })
    }

    /// What a repeated PUT comes to.
    pub(crate) fn repeat(&self, draft: &HoldDraft, now: Time) -> Result<Hold, SeatingError> {
        fn sorted(seats: &[SeatId]) -> BTreeSet<&SeatId> {
            seats.iter().collect()
        }
        let other = self
            .takings
            .as_ref()
            .is_some_and(|t| t.show != draft.show() || sorted(&t.seats) != sorted(draft.seats()));
        if other {
            return Err(SeatingError::OtherHold { id: self.id });
        }
        self.look(now)
    }

    /// The hold without its expiry; `None` when it has none already. `kept` is how many of its seats are still its own.
    pub(crate) fn commit(&self, kept: usize, now: Time) -> Result<Option<Self>, SeatingError> {
        self.look(now)?;
        match self.phase {
            Phase::Held(_) if !self.is_whole(kept) => Err(SeatingError::HoldOver { id: self.id }),
            Phase::Held(_) => Ok(Some(self.next(Phase::Committed))),
            _ => Ok(None),
        }
    }

    /// The hold with its seats sold; `None` when they are already.
    pub(crate) fn assign(&self, kept: usize, now: Time) -> Result<Option<Self>, SeatingError> {
        self.look(now)?;
        match self.phase {
            Phase::Sold => Ok(None),
            Phase::Held(_) if !self.is_whole(kept) => Err(SeatingError::HoldOver { id: self.id }),
            _ => Ok(Some(self.next(Phase::Sold))),
        }
    }

    /// The hold after it was released; `None` when it is over already. What was committed is paid for at this moment, and
    /// only who sells may take it away.
    pub(crate) fn release(&self) -> Result<Option<Self>, SeatingError> {
        match self.phase {
            Phase::Sold => Err(SeatingError::SeatsSold { id: self.id }),
            Phase::Committed => Err(SeatingError::HoldCommitted { id: self.id }),
            _ => Ok(self.unassign()),
        }
    }

    /// The hold after its seats were taken away, committed, sold or not; `None` when it is over already.
    pub(crate) fn unassign(&self) -> Option<Self> {
        (self.phase != Phase::Over).then(|| self.next(Phase::Over))
    }

    /// The hold after its time, if it is up.
    pub(crate) fn expire(&self, now: Time) -> Option<Self> {
        matches!(self.phase, Phase::Held(end) if end <= now).then(|| self.next(Phase::Over))
    }

    /// Whether nobody has taken over one of its seats: clocks differ between processes, rows do not.
    fn is_whole(&self, kept: usize) -> bool {
        self.takings.as_ref().is_some_and(|t| t.seats.len() == kept)
    }

    fn next(&self, phase: Phase) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.phase = phase;
        next
    }
}
