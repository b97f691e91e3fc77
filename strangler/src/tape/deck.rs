//! Who wants which units of work recorded, and takes what was.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use super::{Recording, Spoilt, Tape, When, command, wire::told};
use crate::{
    Contract, Cx,
    fault::{Fault, FaultKind},
    parallel::Skip,
    wire::{Answered, Ask},
};

/// What a unit of work is, as far as it matters to who wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A command: the operation's index.
    Command(usize),
    /// A step of a saga.
    Step {
        /// The kind of saga.
        saga: &'a str,
        /// The step.
        step: &'a str,
        /// `do` or `undo`.
        deed: &'a str,
    },
    /// An event, for its handler.
    Event {
        /// The subscription.
        subscription: &'a str,
        /// What happened.
        event_type: &'a str,
    },
}

impl Subject<'_> {
    /// Under which name it is compared: `catalog.announce`, `purchase:capture:do`, `seating.catalog:catalog.show.announced`.
    pub fn name(&self, contract: &'static Contract) -> Cow<'static, str> {
        match self {
            Self::Command(index) => contract.operations[*index].id.into(),
            Self::Step { saga, step, deed } => format!("{saga}:{step}:{deed}").into(),
            Self::Event {
                subscription,
                event_type,
            } => format!("{subscription}:{event_type}").into(),
        }
    }
}

/// What a recording came to: itself, or why there is none.
pub type Finished = Result<Recording, Skip>;

/// Wants units of work recorded.
pub trait Wants: Send + Sync + 'static {
    /// A place for the recording of this one; `None` when it is not wanted, or there is no room, which is counted.
    fn place(&self, subject: Subject<'_>) -> Option<Box<dyn Place>>;

    /// How many bytes of one are kept.
    fn limit(&self) -> usize;

    /// Records this one, if it is wanted.
    fn begin(&self, subject: Subject<'_>) -> Option<Taping> {
        let place = self.place(subject)?;
        Some(Taping {
            tape: Tape::recording(self.limit()),
            place,
        })
    }
}

/// Where a recording goes. Dropped unfilled, it counts as a caller that went away.
pub trait Place: Send + Sync {
    /// Hands over the recording: `make` writes it down, later and elsewhere.
    fn fill(self: Box<Self>, cx: &Cx, make: Box<dyn FnOnce() -> Finished + Send>);

    /// There is none, because of `skip`, which is counted.
    fn skip(self: Box<Self>, skip: Skip);

    /// There is none, and nothing to be counted: it did not happen.
    fn forget(self: Box<Self>);
}

/// A unit of work that is being recorded.
pub struct Taping {
    tape: Arc<Tape>,
    place: Box<dyn Place>,
}

impl Taping {
    /// The tape.
    pub fn tape(&self) -> &Arc<Tape> {
        &self.tape
    }

    /// The context of the unit of work: `cx`, on tape.
    pub fn cx(&self, cx: &Cx) -> Cx {
        cx.clone().with_tape(self.tape.clone())
    }

    /// It is done. `made` writes down, later and elsewhere, what it was asked and what its caller was told.
    pub fn done(self, cx: &Cx, made: impl FnOnce() -> Result<(When, Value), Skip> + Send + 'static) {
        let Self { tape, place } = self;
        place.fill(
            cx,
            Box::new(move || {
                let taken = tape.as_record().map_or(Err(Spoilt::NotJson), |record| record.take());
                let (given, then) = taken.map_err(Skip::from)?;
                let (when, answer) = made()?;
                Ok(Recording {
                    when,
                    given,
                    then,
                    answer,
                })
            }),
        );
    }

    /// A command is done. `made` writes down, later and elsewhere, what was asked and what was answered.
    pub fn answered(
        self,
        cx: &Cx,
        contract: &'static Contract,
        made: impl FnOnce() -> (Result<Ask, Fault>, Answered) + Send + 'static,
    ) {
        self.done(cx, move || {
            let (ask, answer) = made();
            // Its time was used up in the middle of it; where the other's would have been, nobody knows.
            if answer.status.as_u16() == FaultKind::TimedOut.status() {
                return Err(Skip::LiveFailed);
            }
            let ask = ask.map_err(|_| Skip::NotJson)?;
            Ok((When::Command(command(contract, &ask)), told(&answer)))
        });
    }

    /// It cannot be compared, because of `skip`, which is counted.
    pub fn skip(self, skip: Skip) {
        self.place.skip(skip);
    }

    /// It did not happen.
    pub fn forget(self) {
        self.place.forget();
    }
}

impl From<Spoilt> for Skip {
    fn from(spoilt: Spoilt) -> Self {
        match spoilt {
            Spoilt::TooLarge => Self::TooLarge,
            Spoilt::StoreFailed => Self::LiveFailed,
            Spoilt::NotJson => Self::NotJson,
        }
    }
}

/// Who wants the units of work of one module that nobody calls: steps of sagas and handlers of events. They are set going
/// before there is anybody to record them. Cheap to clone.
#[derive(Clone, Default)]
pub struct Deck(Arc<OnceLock<Arc<dyn Wants>>>);

impl Deck {
    /// From now on `wants` is asked; the first stays.
    pub fn connect(&self, wants: Arc<dyn Wants>) {
        drop(self.0.set(wants));
    }

    /// Records this unit of work, if somebody wants it.
    pub fn begin(&self, subject: Subject<'_>) -> Option<Taping> {
        self.0.get()?.begin(subject)
    }
}

impl fmt::Debug for Deck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Deck").field(&self.0.get().is_some()).finish()
    }
}
