//! What a module uses of the call context, so that what it does can be recorded and done again.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::Tape;
use crate::{Clock, Cx};

impl Cx {
    /// The tape that this unit of work is on, if it is on one.
    #[inline]
    pub fn tape(&self) -> Option<&Arc<Tape>> {
        self.tape.as_ref()
    }

    /// The same context on this tape.
    pub fn with_tape(mut self, tape: Arc<Tape>) -> Self {
        self.tape = Some(tape);
        self
    }

    /// The same context on no tape: for whoever is called, whose own doings are none of the caller's.
    pub fn untaped(&self) -> Self {
        let mut own = self.clone();
        own.tape = None;
        own
    }

    /// Whether this is a unit of work that is only done again, to be compared.
    pub fn is_replay(&self) -> bool {
        self.tape().is_some_and(|tape| tape.as_replay().is_some())
    }

    /// Calls a third party: `ask` asks `port` (such as `provider.capture`) what `request` says. On a tape that replays, `ask`
    /// is dropped unasked, and the answer is the recorded one. Errors are part of the answer: they are recorded too.
    pub async fn call<A>(&self, port: &'static str, request: &impl Serialize, ask: impl Future<Output = A>) -> A
    where
        A: Serialize + DeserializeOwned,
    {
        match self.tape().map(|tape| &**tape) {
            None => ask.await,
            Some(Tape::Record(record)) => {
                let call = record.call(port, request);
                let answer = ask.await;
                if let Some(call) = call {
                    record.answered(call, &answer);
                }
                answer
            }
            Some(Tape::Replay(replay)) => {
                drop(ask);
                let request = serde_json::to_value(request).unwrap_or_default();
                let answer = replay.call(port, request).await;
                match serde_json::from_value(answer) {
                    Ok(answer) => answer,
                    Err(_) => match replay.halt(format!("call {port}")).await {},
                }
            }
        }
    }

    /// An id that is drawn outside of a transaction. Within one, the unit of work draws it.
    pub fn draw_id(&self, draw: impl FnOnce() -> Uuid) -> Uuid {
        match self.tape().map(|tape| &**tape) {
            None => draw(),
            Some(Tape::Record(record)) => {
                let id = draw();
                record.id(None, id);
                id
            }
            Some(Tape::Replay(replay)) => replay.id(draw),
        }
    }

    /// The time outside of a transaction. Within one, the unit of work has it.
    pub fn now(&self, clock: &dyn Clock) -> DateTime<Utc> {
        match self.tape().map(|tape| &**tape) {
            None => clock.now(),
            Some(Tape::Record(record)) => {
                let now = clock.now();
                record.now(now);
                now
            }
            Some(Tape::Replay(replay)) => replay.now().unwrap_or_else(|| {
                replay.miss("now".to_owned());
                clock.now()
            }),
        }
    }

    /// Waits before something is tried again; where it is only done again, there is nobody to wait for.
    pub async fn pause(&self, pause: Duration) {
        if !self.is_replay() {
            tokio::time::sleep(pause).await;
        }
    }
}
