//! Comparing what both sides say to the same question.
//!
//! The side that answered the caller is *first*, the other is *second*. Where they differ, both are asked again, in that order:
//! `first, second, first, second`. What the second said stands between two answers of the first; if those are the same
//! at a place, the state did not move there, and a difference that shows both times is a mismatch. If the first differs from itself
//! there, it is a race, or noise that is not known yet.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::{
    Open, ReadJob, Shared, Skip, Verdict,
    groups::{Answer, Answers, Latencies, Sighting, milliseconds},
    noise::Spot,
};
use crate::{
    Cx, Transport,
    compare::{Difference, DifferenceKind, Marks, differences_but},
    fault::FaultKind,
    routes::Side,
    tape::{Recording, Tape, When, command, told},
    wire::{Answered, Ask, Asked, Serve, is_json},
};

/// Both sides, to be asked.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) service: &'a dyn Transport,
    pub(super) monolith: &'a dyn Serve,
}

pub(super) async fn compare(shared: &Shared, job: ReadJob, sides: Sides<'_>) -> Verdict {
    if job.seen.elapsed() > shared.limits.timeout {
        return Verdict::Dropped(Skip::TooOld);
    }
    let (ask, first) = (job.make)();
    let Ok(mut ask) = ask else {
        return Verdict::CandidateError;
    };
    ask.most = shared.limits.body;
    if first.body.len() > shared.limits.body {
        return Verdict::Dropped(Skip::TooLarge);
    }
    let Some(first) = Seen::of(&first, job.took) else {
        return Verdict::Dropped(Skip::NotJson);
    };
    let comparison = Comparison {
        shared,
        sides,
        index: job.index,
        first: job.by,
        cx: job.cx,
        ask,
        marks: shared.marks(job.index),
    };
    comparison.judge(first).await
}

/// Whether what the monolith is given is kept, so that a mismatch can be had again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

struct Comparison<'a> {
    shared: &'a Shared,
    sides: Sides<'a>,
    index: usize,
    first: Side,
    cx: Cx,
    ask: Ask,
    marks: &'a Marks,
}

impl Comparison<'_> {
    async fn judge(self, first: Seen) -> Verdict {
        let noise = &self.shared.noise;
        // Decided before anything is known of this comparison.
        let sample = noise.begin(self.index);
        let second = match self.ask(self.first.other(), Kept::No).await {
            Ok(seen) => seen,
            Err(verdict) => return verdict,
        };
        if !first.is_same(&second) {
            if first.value().is_none() {
                return Verdict::Dropped(Skip::NotJson);
            }
            if second.value().is_none() {
                return Verdict::CandidateError;
            }
        }
        let found = self.differences(&first, &second);
        noise.differed(self.index, &found);
        let telling = self.telling(found);
        if telling.is_empty() && !sample {
            return Verdict::Match;
        }
        let kept = if telling.is_empty() { Kept::No } else { Kept::Yes };
        let again = self.ask(self.first, kept).await;
        if sample && let Ok(again) = &again {
            // The monolith is the measure, whichever side answers.
            let itself = match self.first {
                Side::Monolith => Some(self.between(&first, again)),
                Side::Service => match self.ask(Side::Monolith, Kept::No).await {
                    Ok(more) => Some(self.between(&second, &more)),
                    Err(_) => None,
                },
            };
            if let Some(itself) = itself {
                noise.sampled(self.index, &itself);
            }
        }
        if telling.is_empty() {
            return Verdict::Match;
        }
        let Ok(first_again) = again else {
            return Verdict::Inconclusive(Open::NotAskedAgain);
        };
        let second_again = match self.ask(self.first.other(), Kept::Yes).await {
            Ok(seen) => seen,
            Err(verdict) => return verdict,
        };
        let mut still = self.telling(self.differences(&first_again, &second_again));
        let moved: Vec<_> = self.between(&first, &first_again).iter().map(|d| d.place()).collect();
        let before: Vec<_> = telling.iter().map(Spot::of).collect();
        still.retain(|d| before.contains(&Spot::of(d)) && !moved.iter().any(|m| touches(m, &d.place())));
        if still.is_empty() {
            return Verdict::Inconclusive(Open::StateMoved);
        }
        let (mut local, remote) = self.by_side(first_again, second_again);
        let case = local.case.take();
        let sighting = Sighting {
            operation: self.shared.contract.operations[self.index].id.to_owned(),
            trace: self.cx.trace().id(),
            latency_ms: Latencies {
                local: milliseconds(local.took),
                remote: milliseconds(remote.took),
            },
            answers: Some(Answers {
                local: local.answer(),
                remote: remote.answer(),
            }),
            case,
        };
        self.shared.groups.note(still, sighting);
        Verdict::Mismatch
    }

    /// What of these differences is no noise.
    fn telling(&self, mut found: Vec<Difference>) -> Vec<Difference> {
        found.retain(|difference| !self.shared.noise.is_noise(self.index, difference));
        found
    }

    fn by_side<T>(&self, first: T, second: T) -> (T, T) {
        match self.first {
            Side::Monolith => (first, second),
            Side::Service => (second, first),
        }
    }

    /// The service's answer against the monolith's.
    fn differences(&self, first: &Seen, second: &Seen) -> Vec<Difference> {
        let (local, remote) = self.by_side(first, second);
        self.between(local, remote)
    }

    fn between(&self, one: &Seen, other: &Seen) -> Vec<Difference> {
        if one.is_same(other) {
            return Vec::new();
        }
        if one.status != other.status {
            return vec![Difference {
                path: String::new(),
                kind: DifferenceKind::Status,
                local: one.status.into(),
                remote: other.status.into(),
            }];
        }
        let [left, right] = [one, other].map(|seen| seen.value().unwrap_or_default());
        let marks = Marks::of_answer(self.marks, one.status.into(), &left);
        differences_but(&left, &right, marks)
    }

    async fn ask(&self, side: Side, kept: Kept) -> Result<Seen, Verdict> {
        let (began, within) = (Instant::now(), self.shared.limits.timeout);
        let mut cx = self.cx.clone().with_budget(within);
        let tape = (kept == Kept::Yes && side == Side::Monolith).then(|| Tape::recording(self.shared.limits.body));
        if let Some(tape) = &tape {
            cx = cx.with_tape(tape.clone());
        }
        let answer = match side {
            Side::Service => {
                let sent = self.sides.service.send(&cx, self.shared.contract, self.ask.clone());
                match tokio::time::timeout(within, sent).await {
                    Err(_) => return Err(Verdict::TimedOut),
                    Ok(Err(fault)) if fault.kind() == FaultKind::TimedOut => return Err(Verdict::TimedOut),
                    Ok(Err(_)) => return Err(Verdict::CandidateError),
                    Ok(Ok(answer)) => answer,
                }
            }
            Side::Monolith => match tokio::time::timeout(within, self.monolith(&cx)).await {
                Err(_) => return Err(Verdict::TimedOut),
                Ok(answer) => answer.ok_or(Verdict::CandidateError)?,
            },
        };
        let mut seen = Seen::of(&answer, began.elapsed()).ok_or(Verdict::CandidateError)?;
        seen.case = tape.and_then(|tape| self.case(&tape, &answer));
        Ok(seen)
    }

    /// The monolith's answer as given, when, then; `None` when what it was given is too much to be kept.
    fn case(&self, tape: &Tape, answer: &Answered) -> Option<Value> {
        let (given, then) = tape.as_record()?.take().ok()?;
        let recording = Recording {
            when: When::Query(command(self.shared.contract, &self.ask)),
            given,
            then,
            answer: told(answer),
        };
        serde_json::to_value(recording).ok()
    }

    async fn monolith(&self, cx: &Cx) -> Option<Answered> {
        let (contract, ask) = (self.shared.contract, &self.ask);
        let path = ask.target.strip_prefix(&contract.prefix())?;
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        let template = contract.operations[ask.index].path.split('/');
        let params = template.zip(path.split('/')).filter(|(t, _)| t.starts_with('{'));
        let params: Vec<_> = params.map(|(_, p)| p).collect();
        let asked = Asked {
            params: &params,
            query,
            headers: &ask.headers,
            body: &ask.body,
        };
        Some(self.sides.monolith.serve(ask.index, cx, asked).await)
    }
}

/// Whether two places are one, or one contains the other.
fn touches(one: &str, other: &str) -> bool {
    let within = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(one, other) || within(other, one)
}

/// One side's answer, as far as it is compared.
struct Seen {
    status: u16,
    /// The body as it came. What two sides of one code say is mostly the same to the byte, and then it is never read.
    raw: Bytes,
    took: Duration,
    /// What the monolith was given for it, when that was recorded.
    case: Option<Value>,
}

impl Seen {
    /// `None` when the body does not say that it is JSON.
    fn of(answer: &Answered, took: Duration) -> Option<Self> {
        let media = answer.headers.get(http::header::CONTENT_TYPE);
        let says_so = media.and_then(|v| v.to_str().ok()).is_some_and(is_json);
        (answer.body.is_empty() || says_so).then(|| Self {
            status: answer.status.as_u16(),
            raw: answer.body.clone(),
            took,
            case: None,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        self.status == other.status && self.raw == other.raw
    }

    /// `None` when it is no JSON after all.
    fn value(&self) -> Option<Value> {
        match self.raw.is_empty() {
            true => Some(Value::Null),
            false => serde_json::from_slice(&self.raw).ok(),
        }
    }

    fn answer(self) -> Answer {
        Answer {
            status: self.status,
            body: self.value().unwrap_or_default(),
        }
    }
}
