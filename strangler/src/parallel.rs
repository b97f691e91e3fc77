//! The parallel run: what one side answered is asked of the other too, and compared.
//!
//! The caller's answer is never delayed, changed or endangered by it. A call only offers what it saw to a bounded queue;
//! everything else, the encoding included, happens in a worker with a bounded number of comparisons in flight, each with
//! a deadline of its own. What does not fit is dropped and counted by name, never awaited.

mod groups;
mod noise;
mod reads;
pub mod redact;
mod verdict;
mod writes;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, mpsc};

pub use groups::{Answer, Answers, Example, Group, GroupKey, GroupStore, Latencies};
pub use noise::{LearnedNoise, wilson};
pub use verdict::{Open, ParallelSummary, Skip, Verdict};

use crate::{
    Clock, Contract, Cx,
    compare::Marks,
    fault::Fault,
    remote::Transport,
    routes::Side,
    shadow::Redo,
    tape::Sent,
    wire::{Answered, Ask, Serve},
};
use groups::Groups;
use noise::Noise;
use reads::Sides;
use redact::Redactor;
use verdict::Counts;
use writes::WriteJob;

/// The bounds of a parallel run.
#[derive(Clone, Copy, Debug)]
pub struct ParallelLimits {
    /// How many comparisons may wait.
    pub queue: usize,
    /// How many may be under way.
    pub in_flight: usize,
    /// How long a side may take, and how long a comparison may wait before it is too old to mean anything.
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

type Make = Box<dyn FnOnce() -> (Result<Ask, Fault>, Answered) + Send>;

/// What waits to be compared.
enum Job {
    Read(ReadJob),
    Write(WriteJob),
    /// What the service has carried out.
    Sent(Box<Sent>),
}

/// One call to be compared.
struct ReadJob {
    index: usize,
    cx: Cx,
    /// Who answered it.
    by: Side,
    /// When, and how long that took.
    seen: Instant,
    took: Duration,
    make: Make,
}

struct Shared {
    contract: &'static Contract,
    limits: ParallelLimits,
    counts: Counts,
    groups: Groups,
    noise: Noise,
    /// What the contract says of each operation's answer; read when the first is compared.
    marks: OnceLock<Box<[Marks]>>,
    /// What does units of work again in the monolith.
    redo: OnceLock<Arc<dyn Redo>>,
}

impl Shared {
    fn marks(&self, index: usize) -> &Marks {
        let read = || self.contract.operations.iter().map(|o| (o.answer_marks)()).collect();
        &self.marks.get_or_init(read)[index]
    }
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
    /// A parallel run that asks the service through `service` and the monolith through `monolith`, and keeps nothing that
    /// `redactor` hides. The worker has to be spawned.
    pub fn new(
        contract: &'static Contract,
        limits: ParallelLimits,
        clock: Arc<dyn Clock>,
        redactor: Arc<Redactor>,
        service: Arc<dyn Transport>,
        monolith: Arc<dyn Serve>,
    ) -> (Self, Worker) {
        let (queue, jobs) = mpsc::channel(limits.queue.max(1));
        let shared = Arc::new(Shared {
            contract,
            limits,
            counts: Counts::default(),
            groups: Groups::new(clock, redactor),
            noise: Noise::new(contract.operations.len()),
            marks: OnceLock::new(),
            redo: OnceLock::new(),
        });
        let worker = Box::pin(work(shared.clone(), jobs, service, monolith));
        (Self { shared, queue }, worker)
    }

    /// A place in the queue for a call of operation `index` that `by` answers; `None`, counted,
    /// when it is full.
    pub fn offer(&self, index: usize, by: Side) -> Option<Offer> {
        match self.queue.clone().try_reserve_owned() {
            Ok(place) => Some(Offer {
                shared: self.shared.clone(),
                place: Some(place),
                index,
                by,
                began: Instant::now(),
            }),
            Err(_) => {
                self.shared.counts.dropped(Skip::QueueFull, 1);
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
        self.shared.counts.summary()
    }

    /// The mismatches, grouped; those to be looked at first, and of them the most frequent.
    pub fn groups(&self) -> Vec<Group> {
        self.shared.groups.all()
    }

    /// How many mismatches are in no group, because there are too many groups.
    pub fn unlisted(&self) -> u64 {
        self.shared.groups.unlisted()
    }

    /// The fields that differ from themselves, as far as that is known.
    pub fn noise(&self) -> Vec<LearnedNoise> {
        self.shared
            .noise
            .learned(|index| self.shared.contract.operations[index].id)
    }

    /// Says until when a group is known and need not be looked at; `None`: it has to be again. Answers whether there is such a
    /// group.
    pub fn acknowledge(&self, key: &GroupKey, until: Option<DateTime<Utc>>) -> bool {
        self.shared.groups.acknowledge(key, until)
    }

    /// Forgets a group. Answers whether there was such a group.
    pub fn forget(&self, key: &GroupKey) -> bool {
        self.shared.groups.forget(key)
    }

    /// Takes up the groups that an earlier process had found.
    ///
    /// # Errors
    /// The store's.
    pub async fn restore(&self, store: &dyn GroupStore) -> Result<(), String> {
        let stored = store.load(self.shared.contract.name).await?;
        self.shared.groups.restore(stored);
        Ok(())
    }

    /// Writes down which groups have changed since it was last called.
    ///
    /// # Errors
    /// The store's; what changed is written the next time then.
    pub async fn keep(&self, store: &dyn GroupStore) -> Result<(), String> {
        let (changed, removed) = self.shared.groups.take_changed();
        if changed.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = changed.iter().map(Group::key).collect();
        let kept = store.save(self.shared.contract.name, changed, removed.clone()).await;
        if kept.is_err() {
            self.shared.groups.put_back(keys, removed);
        }
        kept
    }
}

/// A place in the queue. Dropped unfilled, it counts as a caller that went away.
pub struct Offer {
    shared: Arc<Shared>,
    place: Option<mpsc::OwnedPermit<Job>>,
    index: usize,
    by: Side,
    began: Instant,
}

impl Offer {
    /// Hands over the call: `make` writes down request and answer, later and elsewhere.
    pub fn fill(mut self, cx: &Cx, make: impl FnOnce() -> (Result<Ask, Fault>, Answered) + Send + 'static) {
        if let Some(place) = self.place.take() {
            let seen = Instant::now();
            place.send(Job::Read(ReadJob {
                index: self.index,
                cx: cx.clone().shadow(),
                by: self.by,
                seen,
                took: seen - self.began,
                make: Box::new(make),
            }));
        }
    }

    /// Gives the place back because of `skip`, which is counted.
    pub fn skip(mut self, skip: Skip) {
        self.place = None;
        self.shared.counts.dropped(skip, 1);
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.shared.counts.dropped(Skip::CallerGone, 1);
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
            let sides = Sides {
                service: &*service,
                monolith: &*monolith,
            };
            let verdict = match job {
                Job::Read(job) => reads::compare(&shared, job, sides).await,
                Job::Write(job) => writes::compare(&shared, job, &*service).await,
                Job::Sent(sent) => writes::compare_sent(&shared, *sent).await,
            };
            shared.counts.count(&verdict);
        });
    }
}
