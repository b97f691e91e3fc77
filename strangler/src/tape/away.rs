//! Recording where a module was extracted to: in `verify` the service carries out what is recorded, and the monolith does it
//! again. What is recorded is sent to the monolith in the background, and so is the count of what was not, so that the coverage
//! stays honest.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Finished, Place, Recording, Subject, Wants};
use crate::{
    Contract, Cx, Principal, Scopes, Trace,
    parallel::Skip,
    share::{Share, Spread},
};

/// What of a module is wanted from where it is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// How much of what the module does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Share>,
    /// How much of each command, by its operation's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commands: BTreeMap<String, Share>,
}

/// A recording on its way to whoever compares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// What was done: `catalog.announce`.
    pub subject: String,
    /// In which trace.
    pub traceparent: String,
    /// For whom; `None`: somebody unknown.
    pub caller: Option<String>,
    /// What they may do, by name; `None`: everything.
    pub scopes: Option<Vec<String>>,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// The recording.
    pub recording: Recording,
}

impl Sent {
    /// The context in which it is done again.
    pub fn cx(&self) -> Cx {
        let scopes = match &self.scopes {
            None => Scopes::All,
            Some(list) if list.is_empty() => Scopes::None,
            Some(list) => Scopes::Some(list.iter().map(|scope| scope.as_str().into()).collect()),
        };
        let principal = match &self.caller {
            Some(caller) => Principal::known(caller, scopes),
            None => Principal { subject: None, scopes },
        };
        let trace = Trace::parse(&self.traceparent).unwrap_or_else(Trace::start);
        Cx::new(principal).with_trace(trace)
    }
}

/// What is sent at a time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Recordings.
    #[serde(default)]
    pub recordings: Vec<Sent>,
    /// How many there are not, by why.
    #[serde(default)]
    pub skipped: BTreeMap<Skip, u64>,
}

/// The most recordings of one batch.
const BATCH: usize = 16;
/// How long counts wait for something to go along with.
const WAIT: Duration = Duration::from_secs(1);

struct Job {
    subject: Cow<'static, str>,
    cx: Cx,
    took: Duration,
    make: Box<dyn FnOnce() -> Finished + Send>,
}

struct Shared {
    contract: &'static Contract,
    limit: usize,
    wanted: ArcSwap<Wanted>,
    commands: Box<[Spread]>,
    work: Spread,
    skipped: [AtomicU64; Skip::ALL.len()],
}

/// Wants what the monolith wants, and sends it there. Cheap to clone.
#[derive(Clone)]
pub struct Away {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Job>,
}

/// What is to be sent; for one worker.
pub struct Recordings {
    shared: Arc<Shared>,
    jobs: mpsc::Receiver<Job>,
}

impl Away {
    /// Keeps up to `queue` recordings of up to `limit` bytes until they are sent. Nothing is wanted yet.
    pub fn new(contract: &'static Contract, limit: usize, queue: usize) -> (Self, Recordings) {
        let (queue, jobs) = mpsc::channel(queue.max(1));
        let shared = Arc::new(Shared {
            contract,
            limit,
            wanted: ArcSwap::default(),
            commands: contract.operations.iter().map(|_| Spread::default()).collect(),
            work: Spread::default(),
            skipped: Default::default(),
        });
        let away = Self {
            shared: shared.clone(),
            queue,
        };
        (away, Recordings { shared, jobs })
    }

    /// From here on this is wanted.
    pub fn want(&self, wanted: Wanted) {
        if **self.shared.wanted.load() != wanted {
            self.shared.wanted.store(Arc::new(wanted));
        }
    }
}

impl Shared {
    fn skip(&self, skip: Skip, times: u64) {
        self.skipped[skip as usize].fetch_add(times, Relaxed);
    }
}

impl Wants for Away {
    fn place(&self, subject: Subject<'_>) -> Option<Box<dyn Place>> {
        let shared = &self.shared;
        let wanted = shared.wanted.load();
        match subject {
            Subject::Command(index) => {
                let operation = &shared.contract.operations[index];
                let share = *wanted.commands.get(operation.id)?;
                if !shared.commands[index].picks(share) {
                    return None;
                }
                if operation.uncaptured.is_some() {
                    shared.skip(Skip::EffectNotCaptured, 1);
                    return None;
                }
            }
            Subject::Step { .. } | Subject::Event { .. } if !shared.work.picks(wanted.work?) => return None,
            Subject::Step { .. } | Subject::Event { .. } => {}
        }
        match self.queue.clone().try_reserve_owned() {
            Ok(place) => Some(Box::new(Reserved {
                shared: shared.clone(),
                place: Some(place),
                subject: subject.name(shared.contract),
                began: Instant::now(),
            })),
            Err(_) => {
                shared.skip(Skip::QueueFull, 1);
                None
            }
        }
    }

    fn limit(&self) -> usize {
        self.shared.limit
    }
}

struct Reserved {
    shared: Arc<Shared>,
    place: Option<mpsc::OwnedPermit<Job>>,
    subject: Cow<'static, str>,
    began: Instant,
}

impl Place for Reserved {
    fn fill(mut self: Box<Self>, cx: &Cx, make: Box<dyn FnOnce() -> Finished + Send>) {
        if let Some(place) = self.place.take() {
            drop(place.send(Job {
                subject: std::mem::take(&mut self.subject),
                cx: cx.untaped(),
                took: self.began.elapsed(),
                make,
            }));
        }
    }

    fn skip(mut self: Box<Self>, skip: Skip) {
        self.place = None;
        self.shared.skip(skip, 1);
    }

    fn forget(mut self: Box<Self>) {
        self.place = None;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if self.place.is_some() {
            self.shared.skip(Skip::CallerGone, 1);
        }
    }
}

impl Recordings {
    /// What is to be sent next: waits until there is something.
    pub async fn next(&mut self) -> Batch {
        loop {
            let mut batch = Batch::default();
            let first = async {
                match self.jobs.recv().await {
                    Some(first) => first,
                    // Nobody records any more.
                    None => std::future::pending().await,
                }
            };
            if let Ok(first) = tokio::time::timeout(WAIT, first).await {
                self.add(first, &mut batch);
                while batch.recordings.len() < BATCH
                    && let Ok(more) = self.jobs.try_recv()
                {
                    self.add(more, &mut batch);
                }
            }
            for skip in Skip::ALL {
                let times = self.shared.skipped[skip as usize].swap(0, Relaxed);
                if times > 0 {
                    batch.skipped.insert(skip, times);
                }
            }
            if batch != Batch::default() {
                return batch;
            }
        }
    }

    fn add(&self, job: Job, batch: &mut Batch) {
        let recording = match (job.make)() {
            Ok(recording) => recording,
            Err(skip) => return self.shared.skip(skip, 1),
        };
        let Principal { subject, scopes } = job.cx.principal();
        batch.recordings.push(Sent {
            subject: job.subject.into_owned(),
            traceparent: job.cx.traceparent(),
            caller: subject.as_deref().map(ToOwned::to_owned),
            scopes: match scopes {
                Scopes::All => None,
                Scopes::None => Some(Vec::new()),
                Scopes::Some(list) => Some(list.iter().map(ToString::to_string).collect()),
            },
            took_us: u64::try_from(job.took.as_micros()).unwrap_or(u64::MAX),
            recording,
        });
    }

    /// A batch could not be sent: what was in it is counted as not fitting, and told the next time.
    pub fn lost(&self, batch: &Batch) {
        self.shared.skip(Skip::QueueFull, batch.recordings.len() as u64);
        for (skip, times) in &batch.skipped {
            self.shared.skip(*skip, *times);
        }
    }
}
