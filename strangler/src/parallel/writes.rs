//! Units of work, compared by what they would do: recorded here, done again there.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Instant};

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Answer, Answers, Job, ParallelRun, Shared, Skip, Verdict};
use crate::{
    Cx,
    compare::differences,
    effects,
    fault::FaultKind,
    remote::Transport,
    tape::{Finished, Place, Recording, Replayed, ShadowAsk, Subject},
};

/// A unit of work that was recorded, and has to be compared.
pub(super) struct WriteJob {
    subject: Cow<'static, str>,
    cx: Cx,
    make: Box<dyn FnOnce() -> Finished + Send>,
}

/// A place in the queue for a recording.
struct Reserved {
    shared: Arc<Shared>,
    place: Option<mpsc::OwnedPermit<Job>>,
    subject: Cow<'static, str>,
}

impl ParallelRun {
    /// A place in the queue for the recording of a unit of work; `None`, counted, when it is full.
    pub fn place(&self, subject: Subject<'_>) -> Option<Box<dyn Place>> {
        match self.queue.clone().try_reserve_owned() {
            Ok(place) => Some(Box::new(Reserved {
                shared: self.shared.clone(),
                place: Some(place),
                subject: subject.name(self.shared.contract),
            })),
            Err(_) => {
                self.shared.judge(Verdict::Dropped(Skip::QueueFull));
                None
            }
        }
    }

    /// A unit of work that could have been compared was not, because of `skip`.
    pub fn skip(&self, skip: Skip) {
        self.shared.judge(Verdict::Dropped(skip));
    }

    /// What units of work were not given when they were done again, by name: how often, and the last in full.
    pub fn missing(&self) -> Vec<Missing> {
        let missing = self.shared.missing();
        let told = missing.iter().map(|((subject, name), (count, last))| Missing {
            subject: subject.to_string(),
            name: name.clone(),
            count: *count,
            last: last.clone(),
        });
        told.collect()
    }
}

/// Something that units of work were not given when they were done again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missing {
    /// What was done again: `catalog.announce`.
    pub subject: String,
    /// What was asked for, without ids: `row show`, `query taken-seats`.
    pub name: String,
    /// How often.
    pub count: u64,
    /// The last one in full: `row show 0198…`.
    pub last: String,
}

impl Place for Reserved {
    fn fill(mut self: Box<Self>, cx: &Cx, make: Box<dyn FnOnce() -> Finished + Send>) {
        if let Some(place) = self.place.take() {
            drop(place.send(Job::Write(WriteJob {
                subject: std::mem::take(&mut self.subject),
                cx: cx.untaped().shadow(),
                make,
            })));
        }
    }

    fn skip(mut self: Box<Self>, skip: Skip) {
        self.place = None;
        self.shared.judge(Verdict::Dropped(skip));
    }

    fn forget(mut self: Box<Self>) {
        self.place = None;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.shared.judge(Verdict::Dropped(Skip::CallerGone));
        }
    }
}

/// At most this many names of missing things are kept; beyond that they are counted together.
const NAMES: usize = 100;
/// The longest name of a missing thing, in bytes.
const NAME: usize = 200;

/// By subject and name: how often, and the last in full.
pub(super) type MissingCounts = BTreeMap<(Cow<'static, str>, String), (u64, String)>;

/// Has the service do the unit of work again, and compares.
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
    let cx = job.cx.with_budget(shared.limits.timeout);
    let replayed = match ask_service(shared, service, &cx, body.into()).await {
        Ok(replayed) => replayed,
        Err(verdict) => return verdict,
    };
    judge(shared, &job.subject, &cx, recording, replayed)
}

/// What comes of a unit of work that was done on both sides.
pub(super) fn judge(
    shared: &Shared,
    subject: &Cow<'static, str>,
    cx: &Cx,
    recording: Recording,
    replayed: Replayed,
) -> Verdict {
    if let Some(missing) = replayed.missing {
        shared.note_missing(subject, missing);
        return Verdict::Inconclusive;
    }
    let told = |answer: &Value, then: &crate::tape::Then| Answer {
        status: answer.get("status").and_then(Value::as_u64).map_or(200, |s| s as u16),
        body: json!({ "answer": answer, "then": then }),
    };
    let (local, remote) = (
        told(&recording.answer, &recording.then),
        told(&replayed.answer, &replayed.then),
    );
    let found = effects::compared(&recording, replayed, differences);
    if found.is_empty() {
        return Verdict::Match;
    }
    let answers = Answers::kept(local, remote);
    shared.note(subject.clone(), found, cx, answers, Some(recording));
    Verdict::Mismatch
}

async fn ask_service(shared: &Shared, service: &dyn Transport, cx: &Cx, body: Bytes) -> Result<Replayed, Verdict> {
    let began = Instant::now();
    let asked = service.shadow(cx, shared.contract, body, shared.limits.body);
    let answer = match tokio::time::timeout(shared.limits.timeout, asked).await {
        Err(_) => return Err(Verdict::TimedOut),
        Ok(Err(fault)) if fault.kind() == FaultKind::TimedOut || began.elapsed() >= shared.limits.timeout => {
            return Err(Verdict::TimedOut);
        }
        Ok(Err(_)) => return Err(Verdict::CandidateError),
        Ok(Ok(answer)) => answer,
    };
    if answer.status != StatusCode::OK {
        return Err(Verdict::CandidateError);
    }
    serde_json::from_slice(&answer.body).map_err(|_| Verdict::CandidateError)
}

impl Shared {
    fn note_missing(&self, subject: &Cow<'static, str>, mut full: String) {
        let end = (0..=NAME.min(full.len())).rev().find(|&i| full.is_char_boundary(i));
        full.truncate(end.unwrap_or(0));
        // `row show 0198…` is counted as `row show`: there are as many ids as there are shows.
        let words = full.split(' ').filter(|word| word.parse::<uuid::Uuid>().is_err());
        let mut key = (subject.clone(), words.collect::<Vec<_>>().join(" "));
        let mut missing = self.missing();
        if !missing.contains_key(&key) && missing.len() >= NAMES {
            key = ("others".into(), "others".to_owned());
        }
        let (count, last) = missing.entry(key).or_default();
        *count += 1;
        *last = full;
    }
}
