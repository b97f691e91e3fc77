//! Units of work on tape: what one was given and what it did, so that it can be done again elsewhere, without a database, and
//! compared.
//!
//! A [`Tape`] travels in the call context. While it records, whatever a unit of work is told passes by it: the rows and answers
//! of its transactions, the ids it draws, the answers of those it calls; and what it leaves: rows, changes, events, calls. While
//! it replays, the same places answer from what was recorded, and nothing else happens: no connection is taken, nothing is
//! written, nobody is called. Where a replay asks for what was not recorded it stops for good: whoever drives it looks at
//! [`Replay::halted`] and gives it up. The form in which recordings travel is described in the guide on the shadow protocol.
//!
//! A context without a tape, which is nearly every one, costs a null pointer.

mod away;
mod case;
mod deck;
mod port;
mod record;
mod replay;
mod wire;

use std::{fmt, sync::Arc};

pub use away::{Away, Batch, Recordings, Sent, Wanted};
pub use case::{
    Asked, Called, CommandAsked, EventHeard, EventLeft, Given, Made, Recording, Replayed, RowGiven, RowLeft, ShadowAsk,
    StepTaken, Then, UnitGiven, ViewsGiven, When, Written,
};
pub use deck::{Deck, Finished, Place, Subject, Taping, Wants};
pub use record::{Record, Spoilt};
pub use replay::Replay;
pub use wire::{Dialled, Line};
pub(crate) use wire::{command, told};

/// What a call context carries when the unit of work within is recorded, or is one that was.
pub enum Tape {
    /// It is being recorded.
    Record(Record),
    /// It is done again from a recording.
    Replay(Replay),
}

/// One transaction on a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitId(pub(crate) u32);

impl Tape {
    /// A tape that records up to `limit` bytes.
    pub fn recording(limit: usize) -> Arc<Self> {
        Arc::new(Self::Record(Record::new(limit)))
    }

    /// A tape that replays.
    pub fn replaying(given: Given) -> Arc<Self> {
        Arc::new(Self::Replay(Replay::new(given)))
    }

    /// The replay, if it is one.
    pub fn as_replay(&self) -> Option<&Replay> {
        match self {
            Self::Record(_) => None,
            Self::Replay(replay) => Some(replay),
        }
    }

    /// The recording, if it is one.
    pub fn as_record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Replay(_) => None,
        }
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Record(_) => "Record",
            Self::Replay(_) => "Replay",
        })
    }
}

#[cfg(test)]
mod tests;
