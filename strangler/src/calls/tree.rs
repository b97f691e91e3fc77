//! The parts of a trace, kept by several processes, as one tree.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CallPart, CallRecord, CallSide, OUTSIDE};

/// No tree is deeper; what is deeper is left out.
const DEPTH: usize = 32;

/// The process in which a call ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanIn {
    /// Its process id, on its own machine.
    pub pid: u32,
    /// Where the service is reached; `null` for the monolith.
    pub url: Option<String>,
}

/// What one process has kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessCalls {
    /// Which process.
    pub process: RanIn,
    /// Its calls, in any order.
    pub calls: Vec<CallRecord>,
}

/// Everything that is known of one trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallTree {
    /// The trace's id, 32 hexadecimal digits.
    pub trace: String,
    /// When the first call began, in microseconds of Unix time.
    pub began_us: i64,
    /// From there to the end of the last call, in milliseconds.
    pub took_ms: f64,
    /// The calls that no other call here made, earliest first: the request, and what went on after it was answered.
    pub calls: Vec<Call>,
}

/// One call with those that it made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// What was called: `catalog.show`.
    pub operation: Cow<'static, str>,
    /// Whose operation that is.
    pub module: Cow<'static, str>,
    /// The module that called, or `outside`.
    pub caller: Cow<'static, str>,
    /// Which side answered.
    pub side: CallSide,
    /// Where it ran; `null` when that is not known: nobody was reached, or the process has forgotten it or is gone.
    pub process: Option<RanIn>,
    /// What it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Uuid>,
    /// When it began, in milliseconds after the tree's beginning.
    pub starts_ms: f64,
    /// How long its caller waited, in milliseconds.
    pub took_ms: f64,
    /// The part of it that was the module's own: neither in the calls it made nor on the way.
    pub own_ms: f64,
    /// The part of it that went into the way: encoding, network, waiting for a place.
    pub way_ms: f64,
    /// The HTTP status of the answer, or the one that it would have had; 499 when the caller went away.
    pub status: u16,
    /// What failed on the way, if that was it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Cow<'static, str>>,
    /// Whether it came over HTTP from outside.
    pub request: bool,
    /// The calls that it made, earliest first; those that are only compared among them.
    pub calls: Vec<Call>,
}

impl Call {
    /// This call and all below it, with their depths.
    pub fn flat(&self) -> Vec<(usize, &Call)> {
        let mut all = vec![(0, self)];
        for call in &self.calls {
            all.extend(call.flat().into_iter().map(|(depth, call)| (depth + 1, call)));
        }
        all
    }

    /// When it ended, in milliseconds after the tree's beginning.
    pub fn ends_ms(&self) -> f64 {
        self.starts_ms + self.took_ms
    }
}

impl CallTree {
    /// Every call, with its depth.
    pub fn flat(&self) -> Vec<(usize, &Call)> {
        self.calls.iter().flat_map(Call::flat).collect()
    }
}

/// Joins what several processes have kept, trace by trace, in no order. What several places saw of one call is one call.
pub fn trees(parts: Vec<ProcessCalls>) -> Vec<CallTree> {
    let mut traces: HashMap<u128, Trace> = HashMap::new();
    for (process, part) in parts.iter().enumerate() {
        for record in &part.calls {
            traces.entry(record.trace).or_default().add(process, record);
        }
    }
    let processes: Vec<_> = parts.iter().map(|part| &part.process).collect();
    traces
        .into_iter()
        .map(|(id, trace)| trace.join(id, &processes))
        .collect()
}

/// A call as it was seen, with the process that saw it.
type Seen<'a> = (usize, &'a CallRecord);

#[derive(Default)]
struct Trace<'a> {
    spans: HashSet<u64>,
    below: BTreeMap<u64, Vec<Seen<'a>>>,
}

/// How far each process' clock is off, in microseconds, as far as was noticed.
type Shifts = HashMap<usize, i64>;

impl<'a> Trace<'a> {
    fn add(&mut self, process: usize, record: &'a CallRecord) {
        // The same part may have been fetched twice.
        if self.spans.insert(record.span) {
            self.below.entry(record.parent).or_default().push((process, record));
        }
    }

    fn join(mut self, id: u128, processes: &[&RanIn]) -> CallTree {
        let orphans: Vec<u64> = self
            .below
            .keys()
            .filter(|parent| !self.spans.contains(parent))
            .copied()
            .collect();
        let mut roots: Vec<Seen<'_>> = orphans
            .iter()
            .filter_map(|parent| self.below.remove(parent))
            .flatten()
            .collect();
        roots.sort_by_key(|(_, record)| (record.start_us, record.span));
        let mut shifts = Shifts::new();
        let mut calls: Vec<Timed> = roots
            .into_iter()
            .map(|seen| self.call(seen, processes, &mut shifts, 0))
            .collect();
        calls.sort_by_key(|call| call.start);
        let began = calls.iter().map(|call| call.start).min().unwrap_or_default();
        let ended = calls.iter().map(Timed::last).max().unwrap_or_default();
        CallTree {
            trace: format!("{id:032x}"),
            began_us: began,
            took_ms: milliseconds(ended - began),
            calls: calls.into_iter().map(|call| call.from(began)).collect(),
        }
    }

    /// One call with everything below it. The gateway, whoever asks another process and the module itself each saw it: they
    /// are taken together from the outermost inwards.
    fn call(&mut self, outer: Seen<'a>, processes: &[&RanIn], shifts: &mut Shifts, depth: usize) -> Timed {
        let mut chain = vec![outer];
        let mut below = self.below.remove(&outer.1.span).unwrap_or_default();
        while let Some(place) = inner(chain[chain.len() - 1].1, &below) {
            let seen = below.swap_remove(place);
            below.extend(self.below.remove(&seen.1.span).unwrap_or_default());
            chain.push(seen);
        }
        let mut within: Option<(i64, i64)> = None;
        let mut start = 0;
        for (process, record) in &chain {
            let shift = match within {
                // Two clocks: what cannot have been is put in the middle of what was.
                Some((from, took)) if !fits(record, shifts.get(process), from, took) => {
                    let middle = from + (took - record.took_us) / 2;
                    shifts.insert(*process, middle - record.start_us);
                    middle - record.start_us
                }
                _ => shifts.get(process).copied().unwrap_or_default(),
            };
            let at = record.start_us + shift;
            if within.is_none() {
                start = at;
            }
            within = Some((at, record.took_us));
        }
        let (innermost_process, innermost) = chain[chain.len() - 1];
        let ran = within.filter(|_| innermost.part == CallPart::Run);
        let mut calls = Vec::new();
        if depth < DEPTH {
            below.sort_by_key(|(_, record)| (record.start_us, record.span));
            calls.extend(
                below
                    .into_iter()
                    .map(|seen| self.call(seen, processes, shifts, depth + 1)),
            );
            calls.sort_by_key(|call| call.start);
        }
        let first = outer.1;
        let (ran_from, ran_for) = ran.unwrap_or((start, first.took_us));
        let away = overlap(&calls, ran_from, ran_from + ran_for);
        // What was refused before the module saw it was refused there all the same.
        let arrived = innermost.side != CallSide::Remote || processes[innermost_process].url.is_some();
        let here = ran.is_some() || arrived && innermost.part == CallPart::Request;
        let inner_fault = || chain.iter().rev().find_map(|(_, record)| record.fault.clone());
        Timed {
            start,
            call: Call {
                operation: first.operation.clone(),
                module: first.module.clone(),
                caller: first.caller.clone(),
                side: if ran.is_some() { innermost.side } else { first.side },
                process: here.then(|| processes[innermost_process].clone()),
                subject: chain.iter().find_map(|(_, record)| record.subject),
                starts_ms: 0.0,
                took_ms: milliseconds(first.took_us),
                own_ms: milliseconds(if here { (ran_for - away).max(0) } else { 0 }),
                way_ms: milliseconds(if here {
                    (first.took_us - ran_for).max(0)
                } else {
                    (first.took_us - away).max(0)
                }),
                status: first.status,
                fault: first
                    .fault
                    .clone()
                    .or_else(|| inner_fault().filter(|_| first.status >= 400)),
                request: first.part == CallPart::Request && first.caller == OUTSIDE,
                calls: Vec::new(),
            },
            calls,
        }
    }
}

/// Which of these is what another place saw of the same call: of several attempts the last.
fn inner(outer: &CallRecord, below: &[Seen<'_>]) -> Option<usize> {
    let same = |record: &CallRecord| {
        let deeper = match outer.part {
            CallPart::Request => record.part != CallPart::Ask,
            CallPart::Ask => record.part == CallPart::Request,
            CallPart::Run => false,
        };
        let shadow = |record: &CallRecord| record.side == CallSide::Shadow;
        let side = outer.part == CallPart::Ask || record.side == outer.side;
        deeper && side && shadow(outer) == shadow(record) && outer.operation == record.operation
    };
    let those = below.iter().enumerate().filter(|(_, (_, record))| same(record));
    those
        .max_by_key(|(_, (_, record))| record.start_us)
        .map(|(place, _)| place)
}

/// Whether a call that took place within another fits there by the clocks.
fn fits(record: &CallRecord, shift: Option<&i64>, from: i64, took: i64) -> bool {
    let start = record.start_us + shift.copied().unwrap_or_default();
    start >= from && start + record.took_us <= from + took
}

/// How much of the time between two moments was spent in these calls; in several at once counts once.
fn overlap(calls: &[Timed], from: i64, to: i64) -> i64 {
    let (mut sum, mut until) = (0, from);
    for call in calls.iter().filter(|call| call.call.side != CallSide::Shadow) {
        let (start, end) = (call.start.max(until), (call.start + call.took()).min(to));
        if end > start {
            sum += end - start;
            until = end;
        }
    }
    sum
}

/// A call whose beginning is still a moment, in microseconds of Unix time.
struct Timed {
    start: i64,
    call: Call,
    calls: Vec<Timed>,
}

impl Timed {
    fn took(&self) -> i64 {
        (self.call.took_ms * 1e3).round() as i64
    }

    fn last(&self) -> i64 {
        let below = self.calls.iter().map(Self::last).max().unwrap_or(i64::MIN);
        below.max(self.start + self.took())
    }

    fn from(self, began: i64) -> Call {
        Call {
            starts_ms: milliseconds(self.start - began),
            calls: self.calls.into_iter().map(|call| call.from(began)).collect(),
            ..self.call
        }
    }
}

fn milliseconds(micros: i64) -> f64 {
    micros as f64 / 1e3
}
