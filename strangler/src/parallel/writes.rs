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
    compare::{Difference, DifferenceKind, Marks, differences_but},
    effects,
    fault::FaultKind,
    remote::Transport,
    routes::Side,
    shadow::Redo,
    tape::{Batch, Finished, Place, Recording, Replayed, Sent, ShadowAsk, Subject, Then, When},
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

    /// `redo` does units of work again in the monolith, when the service has carried them out. The first stays.
    pub fn with_redo(&self, redo: Arc<dyn Redo>) {
        drop(self.shared.redo.set(redo));
    }

    /// Takes what the service has recorded: each is done again in the monolith. What does not fit is counted.
    pub fn take(&self, batch: Batch) {
        for (skip, times) in batch.skipped {
            self.shared.counts.dropped(skip, times);
        }
        for mut sent in batch.recordings {
            let Some(subject) = subject(self.shared.contract, &sent.recording.when) else {
                continue;
            };
            sent.subject = subject;
            if serde_json::to_vec(&sent.recording).is_ok_and(|bytes| bytes.len() > 2 * self.shared.limits.body) {
                self.skip(Skip::TooLarge);
                continue;
            }
            if self.queue.try_send(Job::Sent(Box::new(sent))).is_err() {
                self.skip(Skip::QueueFull);
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

/// Under which name a recording is compared; `None` when the contract has no such operation, or the name is none.
fn subject(contract: &'static crate::Contract, when: &When) -> Option<String> {
    let name = match when {
        When::Command(asked) => {
            let index = contract.operations.iter().position(|o| o.id == asked.operation)?;
            Subject::Command(index).name(contract)
        }
        When::Step(step) => Subject::Step {
            saga: &step.saga,
            step: &step.step,
            deed: &step.deed,
        }
        .name(contract),
        When::Event(heard) => Subject::Event {
            subscription: &heard.subscription,
            event_type: heard.event["type"].as_str()?,
        }
        .name(contract),
        When::Query(_) => return None,
    };
    let fine = name.len() <= NAME && !name.chars().any(char::is_control);
    fine.then(|| name.into_owned())
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
    judge(shared, note, (recording, Side::Monolith), replayed)
}

/// Has the monolith do again what the service has carried out, and compares.
pub(super) async fn compare_sent(shared: &Shared, sent: Sent) -> Verdict {
    let Some(redo) = shared.redo.get() else {
        return Verdict::CandidateError;
    };
    let (within, cx) = (shared.limits.timeout, sent.cx());
    let cx = cx.with_budget(within).shadow();
    let ask = ShadowAsk {
        when: sent.recording.when.clone(),
        given: sent.recording.given.clone(),
    };
    let began = Instant::now();
    let replayed = match tokio::time::timeout(within, redo.redo(&cx, ask)).await {
        Err(_) => return Verdict::TimedOut,
        Ok(Err(_)) => return Verdict::CandidateError,
        Ok(Ok(replayed)) => replayed,
    };
    // Its own budget may end a moment before ours does.
    let status = |answer: &Value| answer["status"].as_u64();
    let late = u64::from(StatusCode::GATEWAY_TIMEOUT.as_u16());
    if status(&replayed.answer) == Some(late) && status(&sent.recording.answer) != Some(late) {
        return Verdict::TimedOut;
    }
    let latency_ms = Latencies {
        local: milliseconds(began.elapsed()),
        remote: milliseconds(Duration::from_micros(sent.took_us)),
    };
    let note = (sent.subject, cx.trace().id(), latency_ms);
    judge(shared, note, (sent.recording, Side::Service), replayed)
}

/// What comes of a unit of work that was done on both sides.
fn judge(
    shared: &Shared,
    (operation, trace, latency_ms): (String, crate::TraceId, Latencies),
    (recording, by): (Recording, Side),
    replayed: Replayed,
) -> Verdict {
    if let Some(missing) = replayed.missing {
        return Verdict::Inconclusive(Open::NotRecorded(kind_of(&missing)));
    }
    let first = told(&recording.answer, &recording.then);
    let second = told(&replayed.answer, &replayed.then);
    let (local, remote) = match by {
        Side::Monolith => (first, second),
        Side::Service => (second, first),
    };
    let answers = Answers { local, remote };
    let marks = marks(shared, &recording);
    let mut found = effects::compared(&recording, replayed, |first, second| {
        differences_but(first, second, marks)
    });
    if by == Side::Service {
        found.iter_mut().for_each(turn_round);
    }
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

/// The monolith's side is always told first, whichever was recorded.
fn turn_round(difference: &mut Difference) {
    std::mem::swap(&mut difference.local, &mut difference.remote);
    difference.kind = match difference.kind {
        DifferenceKind::Missing => DifferenceKind::Extra,
        DifferenceKind::Extra => DifferenceKind::Missing,
        kind => kind,
    };
}

/// What the contract says of a command's answer.
fn marks<'a>(shared: &'a Shared, recording: &Recording) -> &'a Marks {
    let (When::Command(asked) | When::Query(asked)) = &recording.when else {
        return Marks::NONE;
    };
    let index = shared.contract.operations.iter().position(|o| o.id == asked.operation);
    let own = index.map_or(Marks::NONE, |index| shared.marks(index));
    let status = recording.answer["status"].as_u64().unwrap_or(200);
    Marks::of_answer(own, status, &recording.answer["body"])
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
