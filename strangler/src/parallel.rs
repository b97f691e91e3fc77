//! The parallel run: what the monolith answered is asked of the service too, and compared.
//!
//! The caller's answer is never delayed, changed or endangered by it. A call only offers what it saw to a bounded queue;
//! everything else, the encoding included, happens in a worker with a bounded number of comparisons in flight, each with
//! a deadline of its own. What does not fit is dropped and counted by name, never awaited.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use crate::{
    Clock, Contract, Cx,
    compare::{Difference, DifferenceKind, differences},
    fault::{Fault, FaultKind},
    remote::Transport,
    routes::Side as Answering,
    wire::{Answered, Ask, Asked, Serve, is_json},
};

/// The bounds of a parallel run.
#[derive(Clone, Copy, Debug)]
pub struct ParallelLimits {
    /// How many comparisons may wait.
    pub queue: usize,
    /// How many may be under way.
    pub in_flight: usize,
    /// How long the service may take, and how long a comparison may wait before it is too old to mean anything.
    pub timeout: Duration,
    /// The largest answer that is compared, in bytes.
    pub body: usize,
}

impl Default for ParallelLimits {
    fn default() -> Self {
        Self {
            queue: 256,
            in_flight: 8,
            timeout: Duration::from_secs(2),
            body: 1 << 20,
        }
    }
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides said the same.
    Match,
    /// They did not.
    Mismatch,
    /// The service gave no usable answer.
    CandidateError,
    /// The service did not answer in time.
    TimedOut,
    /// They differed, and asked again they did not: the state moved between the two.
    Inconclusive,
    /// It was never compared; why is counted by name.
    Dropped(Skip),
}

/// Why a call was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// The queue was full.
    QueueFull,
    /// It waited so long that the two answers would not belong together.
    TooOld,
    /// An answer was larger than the limit.
    TooLarge,
    /// The caller went away before there was an answer.
    CallerGone,
    /// The answer that the caller got is no JSON.
    NotJson,
    /// The side that was to answer gave no answer.
    NotAnswered,
}

impl Skip {
    const ALL: [Self; 6] = [
        Self::QueueFull,
        Self::TooOld,
        Self::TooLarge,
        Self::CallerGone,
        Self::NotJson,
        Self::NotAnswered,
    ];

    /// Its name, as it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooOld => "too_old",
            Self::TooLarge => "too_large",
            Self::CallerGone => "caller_gone",
            Self::NotJson => "not_json",
            Self::NotAnswered => "not_answered",
        }
    }
}

#[derive(Default)]
struct Counts {
    matched: AtomicU64,
    mismatched: AtomicU64,
    candidate_error: AtomicU64,
    timed_out: AtomicU64,
    inconclusive: AtomicU64,
    dropped: [AtomicU64; Skip::ALL.len()],
}

/// The counts of a module's parallel run. `eligible` is always the sum of the verdicts.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct ParallelSummary {
    /// Calls that could have been compared, and were judged in one way or another.
    pub eligible: u64,
    /// Matched and mismatched.
    pub compared: u64,
    /// Both sides said the same.
    pub matched: u64,
    /// They did not.
    pub mismatched: u64,
    /// The service gave no usable answer.
    pub candidate_error: u64,
    /// The service did not answer in time.
    pub timed_out: u64,
    /// The state moved between the two.
    pub inconclusive: u64,
    /// Never compared.
    pub dropped: u64,
    /// Compared of eligible; `None` before the first.
    pub coverage: Option<f64>,
    /// Matched of compared; `None` before the first.
    pub match_rate: Option<f64>,
    /// Why calls were dropped, by name.
    pub skips: BTreeMap<String, u64>,
}

/// One kind of mismatch: everything that differs in one operation, at one place, in one way.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// The operation: `catalog.show`.
    pub operation: &'static str,
    /// JSON pointer of the place.
    pub path: String,
    /// In what way.
    pub kind: DifferenceKind,
    /// How often.
    pub count: u64,
    /// When first.
    pub first_seen: DateTime<Utc>,
    /// When last.
    pub last_seen: DateTime<Utc>,
    /// The last one.
    pub example: Example,
}

/// One mismatch.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// What the monolith had at the place, cut to a bound.
    pub local: Value,
    /// What the service had there, cut to a bound.
    pub remote: Value,
    /// The trace of the call that was compared.
    pub trace_id: String,
    /// Both answers as a whole; `None` when they are too large to be kept. They are asked for one by one.
    #[serde(skip)]
    pub answers: Option<Arc<Answers>>,
}

/// Both sides' answers to one call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answers {
    /// The monolith's.
    pub local: Answer,
    /// The service's.
    pub remote: Answer,
}

/// One side's answer, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body; `null` when it is empty.
    pub body: Value,
}

/// How many groups a module may have; a new one beyond that is counted as a mismatch and not shown.
const GROUPS: usize = 200;
/// The longest text of an example's value.
const EXAMPLE: usize = 4096;
/// The longest text of both answers that are kept whole.
const WHOLE: usize = 16 << 10;

type Make = Box<dyn FnOnce() -> (Result<Ask, Fault>, Answered) + Send>;

struct Job {
    index: usize,
    answered: Answering,
    cx: Cx,
    seen: Instant,
    make: Make,
}

struct Shared {
    contract: &'static Contract,
    limits: ParallelLimits,
    counts: Counts,
    groups: Mutex<HashMap<(usize, String, DifferenceKind), Group>>,
    clock: Arc<dyn Clock>,
}

/// A module's parallel run. Cheap to clone.
#[derive(Clone)]
pub struct ParallelRun {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
}

/// The work of a parallel run; ends when the last [`ParallelRun`] of it is dropped.
pub type Worker = Pin<Box<dyn Future<Output = ()> + Send>>;

impl ParallelRun {
    /// A parallel run that asks the service through `service` and, when an answer differs, the monolith again through
    /// `monolith`. The worker has to be spawned.
    pub fn new(
        contract: &'static Contract,
        limits: ParallelLimits,
        clock: Arc<dyn Clock>,
        service: Arc<dyn Transport>,
        monolith: Arc<dyn Serve>,
    ) -> (Self, Worker) {
        let (queue, jobs) = mpsc::channel(limits.queue.max(1));
        let shared = Arc::new(Shared {
            contract,
            limits,
            counts: Counts::default(),
            groups: Mutex::default(),
            clock,
        });
        let worker = Box::pin(work(shared.clone(), jobs, service, monolith));
        (Self { shared, queue }, worker)
    }

    /// A place in the queue for a call of operation `index` whose caller gets what the side `answered` says; `None`, counted,
    /// when it is full.
    pub fn offer(&self, index: usize, answered: Answering) -> Option<Offer> {
        match self.queue.clone().try_reserve_owned() {
            Ok(place) => Some(Offer {
                shared: self.shared.clone(),
                place: Some(place),
                index,
                answered,
            }),
            Err(_) => {
                self.shared.judge(Verdict::Dropped(Skip::QueueFull));
                None
            }
        }
    }

    /// The largest answer that is compared, in bytes.
    pub fn body_limit(&self) -> usize {
        self.shared.limits.body
    }

    /// The counts so far.
    pub fn summary(&self) -> ParallelSummary {
        let counts = &self.shared.counts;
        let [matched, mismatched, candidate_error, timed_out, inconclusive] = [
            &counts.matched,
            &counts.mismatched,
            &counts.candidate_error,
            &counts.timed_out,
            &counts.inconclusive,
        ]
        .map(|c| c.load(Relaxed));
        let skips: BTreeMap<_, _> = Skip::ALL
            .iter()
            .zip(&counts.dropped)
            .map(|(s, c)| (s.name().to_owned(), c.load(Relaxed)))
            .collect();
        let dropped: u64 = skips.values().sum();
        let compared = matched + mismatched;
        let eligible = compared + candidate_error + timed_out + inconclusive + dropped;
        let rate = |part: u64, of: u64| (of > 0).then(|| (part as f64 / of as f64 * 1e4).floor() / 1e4);
        ParallelSummary {
            eligible,
            compared,
            matched,
            mismatched,
            candidate_error,
            timed_out,
            inconclusive,
            dropped,
            coverage: rate(compared, eligible),
            match_rate: rate(matched, compared),
            skips,
        }
    }

    /// The mismatches, grouped; the most frequent first.
    pub fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<_> = self.shared.groups().values().cloned().collect();
        groups.sort_by(|a, b| {
            b.count
                .cmp(&a.count)
                .then_with(|| (a.operation, &a.path).cmp(&(b.operation, &b.path)))
        });
        groups
    }
}

/// A place in the queue. Dropped unfilled, it counts as a caller that went away.
pub struct Offer {
    shared: Arc<Shared>,
    place: Option<mpsc::OwnedPermit<Job>>,
    index: usize,
    answered: Answering,
}

impl Offer {
    /// Hands over the call: `make` writes down request and answer, later and elsewhere.
    pub fn fill(mut self, cx: &Cx, make: impl FnOnce() -> (Result<Ask, Fault>, Answered) + Send + 'static) {
        if let Some(place) = self.place.take() {
            place.send(Job {
                index: self.index,
                answered: self.answered,
                cx: cx.clone().shadow(),
                seen: Instant::now(),
                make: Box::new(make),
            });
        }
    }

    /// Gives the place back because of `skip`, which is counted.
    pub fn skip(mut self, skip: Skip) {
        self.place = None;
        self.shared.judge(Verdict::Dropped(skip));
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.shared.judge(Verdict::Dropped(Skip::CallerGone));
        }
    }
}

async fn work(
    shared: Arc<Shared>,
    mut jobs: mpsc::Receiver<Job>,
    service: Arc<dyn Transport>,
    monolith: Arc<dyn Serve>,
) {
    let places = Arc::new(Semaphore::new(shared.limits.in_flight.max(1)));
    while let Some(job) = jobs.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (shared, service, monolith) = (shared.clone(), service.clone(), monolith.clone());
        tokio::spawn(async move {
            let _place = place;
            let verdict = compare(&shared, job, &*service, &*monolith).await;
            shared.judge(verdict);
        });
    }
}

async fn compare(shared: &Shared, job: Job, service: &dyn Transport, monolith: &dyn Serve) -> Verdict {
    if job.seen.elapsed() > shared.limits.timeout {
        return Verdict::Dropped(Skip::TooOld);
    }
    let (ask, live) = (job.make)();
    let Ok(mut ask) = ask else {
        return Verdict::CandidateError;
    };
    ask.most = shared.limits.body;
    if live.body.len() > shared.limits.body {
        return Verdict::Dropped(Skip::TooLarge);
    }
    let Some(live) = Side::of(&live) else {
        return Verdict::Dropped(Skip::NotJson);
    };
    let cx = job.cx.with_budget(shared.limits.timeout);
    // Whichever side answered the caller is the live one; the other is asked the same.
    let both = match job.answered {
        Answering::Monolith => ask_service(shared, service, &cx, ask.clone())
            .await
            .map(|remote| (live, remote)),
        Answering::Service => ask_monolith(shared, monolith, &cx, &ask)
            .await
            .map(|local| (local, live)),
    };
    let (local, remote) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    if local == remote {
        return Verdict::Match;
    }
    // A difference may be a race: the state may have moved between the two answers. Both sides are asked again, and only
    // what differs then, too, counts.
    let cx = cx.with_budget(shared.limits.timeout);
    let Ok(local) = ask_monolith(shared, monolith, &cx, &ask).await else {
        return Verdict::Inconclusive;
    };
    let remote = match ask_service(shared, service, &cx, ask).await {
        Ok(side) => side,
        Err(verdict) => return verdict,
    };
    let found = local.differences(&remote);
    if found.is_empty() {
        return Verdict::Inconclusive;
    }
    shared.note(job.index, found, &cx, whole(local, remote));
    Verdict::Mismatch
}

async fn ask_service(shared: &Shared, service: &dyn Transport, cx: &Cx, ask: Ask) -> Result<Side, Verdict> {
    let answer = match tokio::time::timeout(shared.limits.timeout, service.send(cx, shared.contract, ask)).await {
        Err(_) => return Err(Verdict::TimedOut),
        Ok(Err(fault)) if fault.kind() == FaultKind::TimedOut => return Err(Verdict::TimedOut),
        Ok(Err(_)) => return Err(Verdict::CandidateError),
        Ok(Ok(answer)) => answer,
    };
    Side::of(&answer).ok_or(Verdict::CandidateError)
}

async fn ask_monolith(shared: &Shared, monolith: &dyn Serve, cx: &Cx, ask: &Ask) -> Result<Side, Verdict> {
    let path = ask.target.strip_prefix(&shared.contract.prefix());
    let path = path.ok_or(Verdict::CandidateError)?;
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    let template = shared.contract.operations[ask.index].path.split('/');
    let params: Vec<_> = template
        .zip(path.split('/'))
        .filter(|(t, _)| t.starts_with('{'))
        .map(|(_, p)| p)
        .collect();
    let asked = Asked {
        params: &params,
        query,
        headers: &ask.headers,
        body: &ask.body,
    };
    let answer = tokio::time::timeout(shared.limits.timeout, monolith.serve(ask.index, cx, asked))
        .await
        .map_err(|_| Verdict::TimedOut)?;
    Side::of(&answer).ok_or(Verdict::CandidateError)
}

/// One side's answer, as far as it is compared.
#[derive(PartialEq)]
struct Side {
    status: u16,
    body: Value,
}

impl Side {
    /// `None` when the body is no JSON.
    fn of(answer: &Answered) -> Option<Self> {
        let media = answer
            .headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|v| v.to_str().ok());
        let body = match media {
            _ if answer.body.is_empty() => Value::Null,
            Some(media) if is_json(media) => serde_json::from_slice(&answer.body).ok()?,
            _ => return None,
        };
        Some(Self {
            status: answer.status.as_u16(),
            body,
        })
    }

    fn differences(&self, remote: &Self) -> Vec<Difference> {
        if self.status != remote.status {
            return vec![Difference {
                path: String::new(),
                kind: DifferenceKind::Status,
                local: self.status.into(),
                remote: remote.status.into(),
            }];
        }
        differences(&self.body, &remote.body)
    }
}

impl Shared {
    fn judge(&self, verdict: Verdict) {
        let counter = match verdict {
            Verdict::Match => &self.counts.matched,
            Verdict::Mismatch => &self.counts.mismatched,
            Verdict::CandidateError => &self.counts.candidate_error,
            Verdict::TimedOut => &self.counts.timed_out,
            Verdict::Inconclusive => &self.counts.inconclusive,
            Verdict::Dropped(skip) => &self.counts.dropped[skip as usize],
        };
        counter.fetch_add(1, Relaxed);
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<(usize, String, DifferenceKind), Group>> {
        self.groups.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn note(&self, index: usize, found: Vec<Difference>, cx: &Cx, answers: Option<Arc<Answers>>) {
        let (now, operation) = (self.clock.now(), self.contract.operations[index].id);
        let mut groups = self.groups();
        for Difference {
            path,
            kind,
            local,
            remote,
        } in found
        {
            let key = (index, path, kind);
            if !groups.contains_key(&key) && groups.len() >= GROUPS {
                continue;
            }
            let example = Example {
                local: cut(local),
                remote: cut(remote),
                trace_id: cx.trace().id().to_string(),
                answers: answers.clone(),
            };
            groups
                .entry(key)
                .and_modify(|group| {
                    group.count += 1;
                    group.last_seen = now;
                    group.example = example.clone();
                })
                .or_insert_with_key(|(_, path, kind)| Group {
                    operation,
                    path: path.clone(),
                    kind: *kind,
                    count: 1,
                    first_seen: now,
                    last_seen: now,
                    example,
                });
        }
    }
}

/// Both answers, unless they are too large to be kept.
fn whole(local: Side, remote: Side) -> Option<Arc<Answers>> {
    let answer = |side: Side| Answer {
        status: side.status,
        body: side.body,
    };
    let answers = Answers {
        local: answer(local),
        remote: answer(remote),
    };
    let length = answers.local.body.to_string().len() + answers.remote.body.to_string().len();
    (length <= WHOLE).then(|| Arc::new(answers))
}

/// A value whose text is within the bound of an example.
fn cut(value: Value) -> Value {
    let text = match &value {
        Value::String(s) if s.len() > EXAMPLE => s.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
        _ => return value,
    };
    if text.len() <= EXAMPLE {
        return value;
    }
    let end = (0..=EXAMPLE).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    Value::String(format!("{}… ({} bytes)", &text[..end], text.len()))
}
