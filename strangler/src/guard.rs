//! What a contract promises, in front of a module's own code: authorisation, deadline, counts and latency. The one way
//! from a module's service to something callers can hold, so a local call cannot walk around it.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Instant,
};

use crate::{
    ContractError, Cx,
    calls::{CallPart, CallSide, Recording},
    contract::{Auth, Contract, Kind},
    cx::{Origin, Purpose, Run},
    fault::{Failure, Fault, FaultKind},
    stats::{ModuleStats, OperationStats},
};

/// The guard in front of one module's service.
#[derive(Clone)]
pub struct Guard {
    contract: &'static Contract,
    stats: Arc<ModuleStats>,
}

impl Guard {
    /// A guard that counts into `stats`.
    pub fn new(contract: &'static Contract, stats: Arc<ModuleStats>) -> Self {
        Self { contract, stats }
    }

    /// Whether calls under `cx` are recorded.
    #[inline]
    pub fn records(&self, cx: &Cx) -> bool {
        self.stats.recorder().is_some() && cx.origin != Origin::Untold
    }

    /// The context of the module's own code under `cx`, where calls are recorded: within a span of its own.
    pub fn enter<'a>(&self, cx: &'a Cx) -> Entered<'a> {
        Entered {
            outer: cx,
            inner: cx.within_module(self.contract.name),
        }
    }

    /// Runs `call` as operation `index` for `cx`, if it may run and as long as there is time.
    pub fn run<T, E: ContractError>(
        &self,
        index: usize,
        cx: &Cx,
        call: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, Failure<E>>> {
        self.run_as(index, cx, call, Unrecorded)
    }

    /// The same within `entered`, and recorded.
    pub async fn run_recorded<T, E: ContractError>(
        &self,
        index: usize,
        entered: &Entered<'_>,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure<E>> {
        let recording = |began| self.recording(index, entered, began);
        self.run_as(index, entered.outer, call, recording).await
    }

    /// A timer is made only for a call that is not ready at its first poll: most are, or are waiting for I/O that takes
    /// far longer than a timer costs.
    async fn run_as<T, E: ContractError>(
        &self,
        index: usize,
        cx: &Cx,
        call: impl Future<Output = Result<T, E>>,
        record: impl Record,
    ) -> Result<T, Failure<E>> {
        let stats = self.stats.operation(index);
        let began = Instant::now();
        let recording = record.begin(began);
        if let Err(fault) = self.admit(index, cx, began) {
            stats.refused.fetch_add(1, Relaxed);
            recording.end(fault.status(), Some(fault.kind()));
            return Err(Failure::Way(fault));
        }
        let ticket = Ticket {
            stats,
            purpose: cx.purpose,
            began,
            done: false,
        };
        let mut call = pin!(call);
        let first = poll_fn(|task| Poll::Ready(call.as_mut().poll(task))).await;
        let result = match (first, cx.deadline()) {
            (Poll::Ready(result), _) => result,
            (Poll::Pending, None) => call.await,
            (Poll::Pending, Some(deadline)) => match tokio::time::timeout_at(deadline.into(), call).await {
                Ok(result) => result,
                Err(_) => {
                    ticket.finish();
                    let fault = self.too_late(index);
                    recording.end(fault.status(), Some(fault.kind()));
                    return Err(Failure::Way(fault));
                }
            },
        };
        ticket.finish();
        recording.end_with(|| result.as_ref().err().map_or(200, |error| error.to_problem().status));
        result.map_err(Failure::Module)
    }

    fn recording<'a>(&'a self, index: usize, entered: &'a Entered<'_>, began: Instant) -> Recording<'a> {
        let (outer, call) = (entered.outer, (self.contract, index));
        let recorder = self.stats.recorder().map(|r| &**r);
        let recording = Recording::begin(recorder, call, &entered.inner, outer.origin, CallPart::Run, began);
        match outer.purpose {
            Purpose::Answer => recording,
            Purpose::Fallback => recording.by(CallSide::Fallback),
            Purpose::Compare => recording.by(CallSide::Shadow),
        }
    }

    fn admit(&self, index: usize, cx: &Cx, now: Instant) -> Result<(), Fault> {
        let operation = &self.contract.operations[index];
        authorise(operation.auth, cx)?;
        if cx.run() == Run::Shadow && operation.kind == Kind::Command && !cx.is_replay() {
            let detail = format!("{} changes state and cannot be run only to be compared", operation.id);
            return Err(Fault::new(FaultKind::Invalid, detail));
        }
        if cx.deadline().is_some_and(|d| d <= now) {
            return Err(self.too_late(index).harmless());
        }
        Ok(())
    }

    #[cold]
    fn too_late(&self, index: usize) -> Fault {
        let id = self.contract.operations[index].id;
        Fault::new(
            FaultKind::TimedOut,
            format!(
                "{id} did not answer within the request's budget; it may have taken effect: ask again, or with more time"
            ),
        )
    }
}

/// Begins to record a call, or does not: what is not recorded costs nothing.
trait Record {
    type Kept: Kept;

    fn begin(self, began: Instant) -> Self::Kept;
}

/// A call that is recorded, or not.
trait Kept {
    fn end(self, status: u16, fault: Option<FaultKind>);

    fn end_with(self, status: impl FnOnce() -> u16);
}

struct Unrecorded;

impl Record for Unrecorded {
    type Kept = Self;

    fn begin(self, _: Instant) -> Self {
        self
    }
}

impl Kept for Unrecorded {
    fn end(self, _: u16, _: Option<FaultKind>) {}

    fn end_with(self, _: impl FnOnce() -> u16) {}
}

impl<'a, F: FnOnce(Instant) -> Recording<'a>> Record for F {
    type Kept = Recording<'a>;

    fn begin(self, began: Instant) -> Recording<'a> {
        self(began)
    }
}

impl Kept for Recording<'_> {
    fn end(self, status: u16, fault: Option<FaultKind>) {
        Recording::end(self, status, fault);
    }

    fn end_with(self, status: impl FnOnce() -> u16) {
        Recording::end(self, status(), None);
    }
}

/// A call's context from outside the module, and from within.
pub struct Entered<'a> {
    outer: &'a Cx,
    inner: Cx,
}

impl Entered<'_> {
    /// The context of the module's own code.
    pub fn cx(&self) -> &Cx {
        &self.inner
    }
}

/// Whether `cx` may call what asks for `auth`.
pub fn authorise(auth: Auth, cx: &Cx) -> Result<(), Fault> {
    let known = || {
        cx.subject().map(|_| ()).ok_or_else(|| {
            Fault::new(
                FaultKind::Unauthenticated,
                "send a valid token in the authorization header: `Bearer …`",
            )
        })
    };
    match auth {
        Auth::Public => Ok(()),
        Auth::SignedIn => known(),
        Auth::Scope(scope) => {
            if cx.principal().scopes.allow(scope) {
                return Ok(());
            }
            known()?;
            Err(Fault::new(
                FaultKind::Forbidden,
                format!("the token lacks the scope `{scope}`"),
            ))
        }
    }
}

/// A call under way. Dropped before it is done, it counts as `dropped`, so that the sums hold when callers vanish.
struct Ticket<'a> {
    stats: &'a OperationStats,
    purpose: Purpose,
    began: Instant,
    done: bool,
}

impl Ticket<'_> {
    fn finish(mut self) {
        self.done = true;
        match self.purpose {
            Purpose::Answer => {
                self.stats.local.fetch_add(1, Relaxed);
                self.stats.local_time.record(self.began.elapsed());
            }
            Purpose::Fallback => _ = self.stats.fallback.fetch_add(1, Relaxed),
            Purpose::Compare => _ = self.stats.compared.fetch_add(1, Relaxed),
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.stats.dropped.fetch_add(1, Relaxed);
        }
    }
}
