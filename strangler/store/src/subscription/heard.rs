//! Handlers on a tape.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};
use strangler::{
    Cx, Trace,
    shadow::replay,
    tape::{Deck, EventHeard, Given, Replayed, Subject, Tape, Taping, When},
};

use crate::{Db, Envelope, Handler, HandlerError, Uow};

/// The events of one transaction that are recorded. What did not commit did not happen.
#[derive(Default)]
pub(super) struct Heard {
    all: Vec<(Taping, Cx, EventHeard)>,
}

impl Heard {
    /// The tape for this event, if it is wanted.
    pub(super) fn begin(&mut self, deck: &Deck, subscription: &str, event: &Envelope) -> Option<Arc<Tape>> {
        let taping = deck.begin(Subject::Event {
            subscription,
            event_type: &event.event_type,
        })?;
        let tape = taping.tape().clone();
        let trace = Trace::parse(&event.traceparent).map_or_else(Trace::start, |trace| trace.child());
        let cx = Cx::system(&format!("subscription:{subscription}")).with_trace(trace);
        let heard = EventHeard {
            subscription: subscription.to_owned(),
            event: serde_json::to_value(event).unwrap_or_default(),
        };
        self.all.push((taping, cx, heard));
        Some(tape)
    }

    /// All of them are handled.
    pub(super) fn committed(mut self) {
        for (taping, cx, heard) in std::mem::take(&mut self.all) {
            taping.done(&cx, move || Ok((When::Event(heard), Value::Null)));
        }
    }

    /// The last one has failed, because of `cause` if that counts; the others are handled again.
    pub(super) fn failed(mut self, cause: Option<&HandlerError>) {
        match (self.all.pop(), cause) {
            (None, _) => {}
            // That its database failed it says nothing of the handler.
            (Some((taping, ..)), None | Some(HandlerError::Store(_))) => taping.forget(),
            (Some((taping, cx, heard)), Some(cause)) => {
                let told = failed(cause);
                taping.done(&cx, move || Ok((When::Event(heard), told)));
            }
        }
    }
}

/// Whatever is left is handled again, or was handled by somebody else.
impl Drop for Heard {
    fn drop(&mut self) {
        self.all.drain(..).for_each(|(taping, ..)| taping.forget());
    }
}

fn failed(why: impl fmt::Display) -> Value {
    json!({ "failed": why.to_string() })
}

/// A subscription's handler, to be asked what it would do about an event.
#[derive(Clone)]
pub struct Hearing {
    name: String,
    db: Db,
    handler: Arc<dyn Handler>,
}

impl Hearing {
    pub(super) fn new(name: &str, db: Db, handler: Arc<dyn Handler>) -> Self {
        let name = name.to_owned();
        Self { name, db, handler }
    }

    /// The subscription's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Handles an event again, only to be compared: nothing is written.
    ///
    /// # Errors
    /// A sentence, when the event cannot be read.
    pub async fn replay(&self, heard: &EventHeard, given: Given) -> Result<Replayed, String> {
        let event: Envelope =
            serde_json::from_value(heard.event.clone()).map_err(|e| format!("the event cannot be read: {e}"))?;
        let run = |tape| {
            let event = &event;
            async move {
                let by = Some(format!("subscription:{}", self.name));
                let mut uow = Uow::replayed(self.db.clone(), tape, event.traceparent.clone(), by).await;
                match self.handler.handle(&mut uow, event).await {
                    Ok(()) => match uow.commit().await {
                        Ok(()) => Value::Null,
                        Err(why) => failed(why),
                    },
                    Err(why) => failed(why),
                }
            }
        };
        Ok(replay(given, run, |said| failed(format_args!("it panicked: {said}"))).await)
    }
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hearing")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
