//! Units of work, compared by what they would do: recorded on one side, done again on the other.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Job, Open, ParallelRun, Shared, Skip, Verdict,
    groups::{Answer, Answers, Latencies, Sighting, milliseconds},
};
use crate::{
    Cx,
    compare::{Marks, differences_but},
    effects,
    fault::FaultKind,
    remote::Transport,
    tape::{Finished, Place, Recording, Replayed, ShadowAsk, Subject, Then, When},
};

/// A unit of work that was recorded, and has to be compared.
pub(super) struct WriteJob {
    subject: Cow<'static, str>,
    cx: Cx,
    took: Duration,
    make: Box<dyn FnOnce() -> Finished + Send>,
}

/// A place in the queue for a recording. Dropped unfilled, it counts as a caller that went away.
struct Reserved {
    shared: Arc<Shared>,
    place: Option<mpsc::OwnedPermit<Job>>,
    subject: Cow<'static, str>,
    began: Instant,
}

impl ParallelRun {
    /// A place in the queue for the recording of a unit of work; `None`, counted, when it is full.
    pub fn place(&self, subject: Subject<'_>) -> Option<Box<dyn Place>> {
        match self.queue.clone().try_reserve_owned() {
            Ok(place) => Some(Box::new(Reserved {
                shared: self.shared.clone(),
                place: Some(place),
                subject: subject.name(self.shared.contract),
                began: Instant::now(),
            })),
            Err(_) => {
                self.skip(Skip::QueueFull);
                None
            }
        }
    }

    /// A unit of work that could have been compared is not, because of `skip`.
    pub fn skip(&self, skip: Skip) {
        self.shared.counts.dropped(skip, 1);
    }
}

impl Place for Reserved {
    fn fill(mut self: Box<Self>, cx: &Cx, make: Box<dyn FnOnce() -> Finished + Send>) {
        if let Some(place) = self.place.take() {
            drop(place.send(Job::Write(WriteJob {
                subject: std::mem::take(&mut self.subject),
                cx: cx.untaped().shadow(),
                took: self.began.elapsed(),
                make,
            })));
        }
    }

    fn skip(mut self: Box<Self>, skip: Skip) {
        self.place = None;
        self.shared.counts.dropped(skip, 1);
    }

    fn forget(mut self: Box<Self>) {
        self.place = None;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.shared.counts.dropped(Skip::CallerGone, 1);
        }
    }
}

/// Has the service do the unit of work again, and compares. It is never too old for that: it is done again with what it was
/// given, and not with what is there now.
pub(super) async fn compare(shared: &Shared, job: WriteJob, service: &dyn Transport) -> Verdict {
    let recording = match (job.make)() {
        Ok(recording) => recording,
        Err(skip) => return Verdict::Dropped(skip),
    };
    let ask = ShadowAsk {
        when: recording.when.clone(),
        given: recording.given.clone(),
    };
    let Ok(body) = serde_json::to_vec(&ask) else {
        return Verdict::Dropped(Skip::NotJson);
    };
    let (cx, began) = (job.cx.with_budget(shared.limits.timeout), Instant::now());
    let replayed = match ask_service(shared, service, &cx, body.into()).await {
        Ok(replayed) => replayed,
        Err(verdict) => return verdict,
    };
    let latency_ms = Latencies {
        local: milliseconds(job.took),
        remote: milliseconds(began.elapsed()),
    };
    let note = (job.subject.into_owned(), cx.trace().id(), latency_ms);
    judge(shared, note, recording, replayed)
}

/// What comes of a unit of work that was done on both sides.
fn judge(
    shared: &Shared,
    (operation, trace, latency_ms): (String, crate::TraceId, Latencies),
    recording: Recording,
    replayed: Replayed,
) -> Verdict {
    if let Some(missing) = replayed.missing {
        return Verdict::Inconclusive(Open::NotRecorded(kind_of(&missing)));
    }
    let answers = Answers {
        local: told(&recording.answer, &recording.then),
        remote: told(&replayed.answer, &replayed.then),
    };
    let marks = marks(shared, &recording);
    let found = effects::compared(&recording, replayed, |local, remote| {
        differences_but(local, remote, marks)
    });
    if found.is_empty() {
        return Verdict::Match;
    }
    let sighting = Sighting {
        operation,
        trace,
        latency_ms,
        answers: Some(answers),
        case: serde_json::to_value(recording).ok(),
    };
    shared.groups.note(found, sighting);
    Verdict::Mismatch
}

/// What the contract says of a command's answer; a refusal is no such answer.
fn marks<'a>(shared: &'a Shared, recording: &Recording) -> &'a Marks {
    let (When::Command(asked) | When::Query(asked)) = &recording.when else {
        return Marks::NONE;
    };
    let done = recording.answer["status"].as_u64().is_some_and(|status| status < 400);
    match shared.contract.operations.iter().position(|o| o.id == asked.operation) {
        Some(index) if done => shared.marks(index),
        _ => Marks::NONE,
    }
}

/// Answer and effects, to be shown beside each other.
fn told(answer: &Value, then: &Then) -> Answer {
    let status = answer.get("status").and_then(Value::as_u64);
    Answer {
        status: status.and_then(|status| u16::try_from(status).ok()).unwrap_or(200),
        body: json!({ "answer": answer.get("body").unwrap_or(answer), "then": then }),
    }
}

async fn ask_service(shared: &Shared, service: &dyn Transport, cx: &Cx, body: Bytes) -> Result<Replayed, Verdict> {
    let within = shared.limits.timeout;
    let asked = service.shadow(cx, shared.contract, body, shared.limits.body);
    let answer = match tokio::time::timeout(within, asked).await {
        Err(_) => return Err(Verdict::TimedOut),
        Ok(Err(fault)) if fault.kind() == FaultKind::TimedOut => return Err(Verdict::TimedOut),
        Ok(Err(_)) => return Err(Verdict::CandidateError),
        Ok(Ok(answer)) => answer,
    };
    if answer.status == StatusCode::GATEWAY_TIMEOUT {
        return Err(Verdict::TimedOut);
    }
    if answer.status != StatusCode::OK {
        return Err(Verdict::CandidateError);
    }
    serde_json::from_slice(&answer.body).map_err(|_| Verdict::CandidateError)
}

/// The longest name of what is missing, in bytes.
const NAME: usize = 200;

/// `row show 0198…` is counted as `row show`: there are as many ids as there are shows.
fn kind_of(missing: &str) -> String {
    let words = missing.split(' ').filter(|word| word.parse::<Uuid>().is_err());
    let mut name = words.collect::<Vec<_>>().join(" ");
    let end = (0..=NAME.min(name.len())).rev().find(|&i| name.is_char_boundary(i));
    name.truncate(end.unwrap_or(0));
    name
}
