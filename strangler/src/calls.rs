//! What happened to a request: every call that it caused, who asked whom, which side answered and how long that took; and,
//! summed up, who calls whom at all.
//!
//! A [`Recorder`] keeps the last requests of a process in rings that are allocated once. Recording a call takes one more
//! reading of the clock, one atomic counter and the lock of one slot that nobody else wants; it allocates
//! nothing, and where a slot is busy the call is left out and counted. An extracted process keeps its own part; the parts
//! are joined by their trace when somebody looks ([`trees`]). No body, no query and no name is kept: of a request's path the
//! operation and the first parameter that is a UUID.
//!
//! Who calls whom is counted in the monolith alone: whatever leaves an extracted process comes through it.

mod arrows;
mod ring;
mod span;
mod tree;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::{Clock, Contract, Cx, Fault, FaultKind, Run, cx::Origin, wire::Answered};

pub use arrows::ArrowFigures;
use arrows::Arrows;
use ring::Ring;
use span::Span;
pub use span::{CallPart, CallRecord, CallSide};
pub use tree::{Call, CallTree, ProcessCalls, RanIn, trees};

/// Whoever is no module: the world outside.
pub const OUTSIDE: &str = "outside";

/// The status under which a call is kept whose caller went away.
pub const CALLER_GONE: u16 = 499;

/// So many calls are kept for each request, on the average.
const CALLS_EACH: usize = 8;

/// Keeps the last requests of a process, and counts who calls whom.
pub struct Recorder {
    names: Box<[&'static str]>,
    /// What came from outside: the beginnings of requests.
    requests: Ring<Span>,
    /// All other calls.
    calls: Ring<Span>,
    /// Counted in the monolith alone.
    arrows: Option<Arrows>,
    began: Instant,
    /// When that was, in microseconds of Unix time.
    epoch_us: i64,
}

impl Recorder {
    /// A recorder for the monolith: of calls between these modules, and of the last `requests` requests.
    pub fn of_monolith(modules: &[&'static str], requests: usize, clock: &dyn Clock) -> Self {
        Self::new(modules, requests, clock, Some(Arrows::new(modules)))
    }

    /// A recorder for a process that serves a module for the monolith.
    pub fn of_service(modules: &[&'static str], requests: usize, clock: &dyn Clock) -> Self {
        Self::new(modules, requests, clock, None)
    }

    fn new(modules: &[&'static str], requests: usize, clock: &dyn Clock, arrows: Option<Arrows>) -> Self {
        Self {
            names: modules.into(),
            requests: Ring::new(requests),
            calls: Ring::new(requests.saturating_mul(CALLS_EACH)),
            arrows,
            began: Instant::now(),
            epoch_us: clock.now().timestamp_micros(),
        }
    }

    /// How many requests are kept.
    pub fn capacity(&self) -> usize {
        self.requests.capacity()
    }

    /// How many calls were left out because somebody was reading.
    pub fn missed(&self) -> u64 {
        self.requests.missed() + self.calls.missed()
    }

    /// Every call that is kept.
    pub fn all(&self) -> Vec<CallRecord> {
        self.those(|_| true)
    }

    /// The calls of one trace.
    pub fn of_trace(&self, trace: u128) -> Vec<CallRecord> {
        self.those(|span| span.trace == trace)
    }

    fn those(&self, which: impl Fn(&Span) -> bool) -> Vec<CallRecord> {
        let mut found = self.requests.those(&which);
        found.extend(self.calls.those(&which));
        found.iter().map(Span::record).collect()
    }

    /// Who has called whom. Nothing in a process that serves a module: the monolith knows.
    pub fn arrows(&self) -> Vec<ArrowFigures> {
        let arrows = self.arrows.as_ref();
        arrows.map_or_else(Vec::new, |arrows| arrows.figures(self.began.elapsed()))
    }

    /// Who asks, as another process said; `None` when that names no module.
    pub(crate) fn caller(&self, said: &str) -> Option<&'static str> {
        if said == OUTSIDE {
            return Some(OUTSIDE);
        }
        self.names.iter().find(|name| **name == said).copied()
    }

    /// Whether this is the monolith's.
    pub(crate) fn is_monolith(&self) -> bool {
        self.arrows.is_some()
    }

    fn note(&self, call: &Recording<'_>, status: u16, fault: Option<FaultKind>) {
        let took = call.began.elapsed();
        let since = call.began.saturating_duration_since(self.began);
        if call.counts
            && let Some(arrows) = &self.arrows
        {
            let failed = status >= 500;
            arrows.count(call.caller, call.contract.name, took, failed, since + took);
        }
        let trace = call.cx.trace();
        let span = Span {
            trace: trace.trace_id,
            subject: call.subject,
            span: trace.span_id,
            parent: trace.parent_id,
            operation: &call.contract.operations[call.index],
            module: call.contract.name,
            caller: call.caller,
            start_us: self.epoch_us.saturating_add(micros(since)),
            took_us: micros(took),
            status,
            fault,
            part: call.part,
            side: call.side,
        };
        let from_outside = call.part == CallPart::Request && call.caller == OUTSIDE && self.is_monolith();
        if from_outside { &self.requests } else { &self.calls }.put(span);
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// A call under way. Dropped before it has ended, it is kept as one whose caller went away.
pub(crate) struct Recording<'a> {
    recorder: Option<&'a Recorder>,
    contract: &'static Contract,
    index: usize,
    /// Its span is the call's.
    cx: &'a Cx,
    caller: &'static str,
    part: CallPart,
    side: CallSide,
    subject: Option<Uuid>,
    /// Whether it counts as one from its caller to its module.
    counts: bool,
    began: Instant,
}

impl<'a> Recording<'a> {
    /// The call of operation `index` under `cx`, whose origin says who asks. Nothing is kept when there is no recorder or
    /// the origin is not told.
    pub(crate) fn begin(
        recorder: Option<&'a Recorder>,
        (contract, index): (&'static Contract, usize),
        cx: &'a Cx,
        origin: Origin,
        part: CallPart,
        began: Instant,
    ) -> Self {
        let (caller, counts) = match (origin, part) {
            (Origin::Untold, _) => ("", false),
            (Origin::Gateway(caller), part) => (caller, part == CallPart::Request),
            (Origin::Module(caller), _) => (caller, cx.run() == Run::Live),
        };
        let service = recorder.is_some_and(|r| !r.is_monolith());
        let side = match (cx.run(), part) {
            (Run::Shadow, _) => CallSide::Shadow,
            (_, CallPart::Ask) => CallSide::Remote,
            _ if service => CallSide::Remote,
            _ => CallSide::Local,
        };
        Self {
            recorder: recorder.filter(|_| origin != Origin::Untold),
            contract,
            index,
            cx,
            caller,
            part,
            side,
            subject: None,
            counts,
            began,
        }
    }

    /// The same call, answered by another side; one in place of another is not counted once more.
    pub(crate) fn by(mut self, side: CallSide) -> Self {
        self.answered_by(side);
        self
    }

    /// The same call about this.
    pub(crate) fn about(mut self, subject: Option<Uuid>) -> Self {
        self.subject = subject;
        self
    }

    /// Which side answers. What a service records is the service's.
    pub(crate) fn answered_by(&mut self, side: CallSide) {
        if self.recorder.is_none_or(Recorder::is_monolith) && self.side != CallSide::Shadow {
            self.side = side;
        }
        if side == CallSide::Fallback && self.part == CallPart::Run {
            self.counts = false;
        }
    }

    /// Whether it is kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.recorder.is_some()
    }

    /// Another process answered like this.
    pub(crate) fn answered(self, answer: &Result<Answered, Fault>) {
        match answer {
            Ok(answer) => self.end(answer.status.as_u16(), None),
            Err(fault) => self.end(fault.status(), Some(fault.kind())),
        }
    }

    /// It was answered with this status.
    pub(crate) fn end(mut self, status: u16, fault: Option<FaultKind>) {
        if let Some(recorder) = self.recorder.take() {
            recorder.note(&self, status, fault);
        }
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        if let Some(recorder) = self.recorder.take() {
            recorder.note(self, CALLER_GONE, None);
        }
    }
}

/// A recorder that is shared, where there is one.
pub type Recorded = Option<Arc<Recorder>>;

#[cfg(test)]
mod tests;
