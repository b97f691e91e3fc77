//! Readers and writers at work, and a ledger of what they were promised.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ::http::Method;
use futures_util::{StreamExt, stream};
use rand::{Rng, RngCore, SeedableRng};
use serde_json::Value;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{Answer, Client, Random, System, holds_soon, office};

/// What a client may be told besides success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bear {
    /// Nothing.
    Nothing,
    /// A whole 5xx problem document.
    Problems,
    /// No answer at all; and for a write a whole 5xx problem document.
    Losses,
}

/// What was asked of one act.
#[derive(Clone, Debug, Default)]
struct Entry {
    /// The last name that was acknowledged.
    acknowledged: Option<String>,
    /// A name whose answer was lost: it may be there or not. Nothing is asked of the act after that.
    unknown: Option<String>,
    /// Whether it was looked at since.
    checked: bool,
}

/// What was acknowledged, and what went wrong.
#[derive(Default)]
struct Ledger {
    acts: Mutex<BTreeMap<Uuid, Entry>>,
    wrong: Mutex<Vec<String>>,
    reads: AtomicU64,
    writes: AtomicU64,
    lost: AtomicU64,
}

/// Clients at work until they are told to stop.
pub struct Load {
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

struct Desk {
    public: String,
    bearer: String,
    client: Client,
    shows: Vec<String>,
    bear: Bear,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Load {
    /// Lets so many readers and writers go.
    pub async fn start(system: &System, readers: usize, writers: usize, bear: Bear, random: &mut Random) -> Self {
        let shows = system.shows(20).await;
        assert!(!shows.is_empty(), "there are shows to read");
        let (ledger, stop) = (Arc::<Ledger>::default(), Arc::<AtomicBool>::default());
        let mut clients = JoinSet::new();
        for n in 0..readers + writers {
            let desk = Desk {
                public: system.public(),
                bearer: format!("Bearer {}", system.token()),
                client: Client::default(),
                shows: shows.clone(),
                bear,
                ledger: ledger.clone(),
                stop: stop.clone(),
            };
            let random = Random::seed_from_u64(random.next_u64());
            if n < readers {
                clients.spawn(desk.read(random))
            } else {
                clients.spawn(desk.write(random))
            };
        }
        Self { ledger, stop, clients }
    }

    /// How many reads and writes succeeded so far.
    pub fn done(&self) -> (u64, u64) {
        (self.ledger.reads.load(Relaxed), self.ledger.writes.load(Relaxed))
    }

    /// Waits until so many more reads and writes succeeded.
    pub async fn goes_on(&self, reads: u64, writes: u64) {
        let (r, w) = self.done();
        holds_soon("readers and writers go on", Duration::from_secs(60), || async move {
            let (reads_now, writes_now) = self.done();
            reads_now >= r + reads && writes_now >= w + writes
        })
        .await;
    }

    /// Stops the clients. Panics when one of them was told what it does not bear. Answers the promises that were made.
    pub async fn end(mut self) -> Promises {
        self.stop.store(true, Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.expect("a client ends in order");
        }
        let (reads, writes) = self.done();
        println!(
            "{reads} reads, {writes} writes, {} answers lost or refused",
            self.ledger.lost.load(Relaxed)
        );
        let wrong = lock(&self.ledger.wrong);
        assert!(
            wrong.is_empty(),
            "{} answers were wrong, such as {:#?}",
            wrong.len(),
            &wrong[..wrong.len().min(5)]
        );
        Promises(self.ledger.clone())
    }

    /// The promises made so far.
    pub fn promises(&self) -> Promises {
        Promises(self.ledger.clone())
    }
}

impl Desk {
    /// Now as this visitor, now as that one.
    async fn read(self, mut random: Random) {
        let visitors: Vec<_> = (0..50)
            .map(|_| format!("session={:032x}", random.random::<u128>()))
            .collect();
        while !self.stop.load(Relaxed) {
            let show = &self.shows[random.random_range(0..self.shows.len())];
            let url = format!("{}{}", self.public, office::show_path(show));
            let cookie = ("cookie", visitors[random.random_range(0..visitors.len())].as_str());
            let answer = self.client.send(Method::GET, &url, &[cookie], "").await;
            if self.judge(&answer, false, &url) {
                self.ledger.reads.fetch_add(1, Relaxed);
            }
            self.breathe(answer.is_err()).await;
        }
    }

    async fn write(self, mut random: Random) {
        let mut own: Vec<Uuid> = Vec::new();
        let mut turn = 0;
        while !self.stop.load(Relaxed) {
            let again = !own.is_empty() && random.random_bool(0.5);
            let place = if again {
                random.random_range(0..own.len())
            } else {
                own.len()
            };
            if place == own.len() {
                own.push(Uuid::from_u128(random.random()));
            }
            let id = own[place];
            turn += 1;
            let name = format!("Act {turn}");
            lock(&self.ledger.acts).entry(id).or_default().unknown = Some(name.clone());
            let url = format!("{}/api/v1/catalog/acts/{id}", self.public);
            let headers = [
                ("authorization", self.bearer.as_str()),
                ("content-type", "application/json"),
            ];
            let answer = self
                .client
                .send(Method::PUT, &url, &headers, office::act(&name).to_string())
                .await;
            if self.judge(&answer, true, &url) {
                self.ledger.writes.fetch_add(1, Relaxed);
                let entry = Entry {
                    acknowledged: Some(name),
                    unknown: None,
                    checked: false,
                };
                lock(&self.ledger.acts).insert(id, entry);
            } else {
                own.swap_remove(place);
            }
            self.breathe(answer.is_err()).await;
        }
    }

    /// Leaves the machine to others for a moment: what is tested is not how fast a test can ask.
    async fn breathe(&self, nobody: bool) {
        tokio::time::sleep(Duration::from_millis(if nobody { 20 } else { 3 })).await;
    }

    /// Whether it succeeded; what the client does not bear is noted.
    fn judge(&self, answer: &Result<Answer, String>, write: bool, url: &str) -> bool {
        let (fine, borne) = match answer {
            Ok(a) if matches!(a.status, 200 | 201) => (true, true),
            Ok(a) => {
                let problem = a.status >= 500 && a.is_problem();
                let borne = match self.bear {
                    Bear::Nothing => false,
                    Bear::Problems => problem,
                    Bear::Losses => problem && write,
                };
                (false, borne)
            }
            Err(_) => (false, self.bear == Bear::Losses),
        };
        if !fine {
            self.ledger.lost.fetch_add(1, Relaxed);
        }
        if !borne {
            let what = match answer {
                Ok(a) => format!("{} {} for {url}", a.status, String::from_utf8_lossy(&a.body)),
                Err(e) => format!("no answer ({e}) for {url}"),
            };
            lock(&self.ledger.wrong).push(what);
        }
        fine
    }
}

/// What clients were promised.
pub struct Promises(Arc<Ledger>);

impl Promises {
    /// Panics unless every acknowledged write is there with its content. `recent`: only those since the last look.
    pub async fn are_kept(&self, system: &System, recent: bool) {
        let entries: Vec<(Uuid, Entry)> = {
            let mut acts = lock(&self.0.acts);
            let due = acts.iter_mut().filter(|(_, e)| !(recent && e.checked));
            due.map(|(id, entry)| {
                entry.checked = true;
                (*id, entry.clone())
            })
            .collect()
        };
        let looks = entries
            .iter()
            .filter(|(_, e)| e.acknowledged.is_some())
            .map(|(id, entry)| async move {
                let answer = system.get(&format!("/api/v1/catalog/acts/{id}")).await;
                assert_eq!(answer.status, 200, "act {id} was acknowledged ({entry:?}): {answer:?}");
                let now = lock(&self.0.acts).get(id).cloned().unwrap_or_default();
                let name = answer.json()["name"].as_str().map(str::to_owned);
                // A writer may have gone on while we looked.
                let known = [&entry.acknowledged, &entry.unknown, &now.acknowledged, &now.unknown];
                let went_on = now.acknowledged != entry.acknowledged;
                assert!(
                    went_on || (name.is_some() && known.contains(&&name)),
                    "act {id}: {name:?}, promised {entry:?}, {now:?}"
                );
            });
        stream::iter(looks).buffer_unordered(8).collect::<Vec<()>>().await;
    }

    /// Panics unless the event log has every version of every act once and in order, and nothing that is not there.
    pub async fn are_logged(&self, system: &System) {
        let ids: Vec<Uuid> = lock(&self.0.acts).keys().copied().collect();
        let looks = ids.iter().map(|id| async move {
            let answer = system.get(&format!("/api/v1/catalog/acts/{id}")).await;
            assert!(matches!(answer.status, 200 | 404), "{answer:?}");
            (id.to_string(), answer.json()["version"].as_i64().unwrap_or(0))
        });
        let versions: BTreeMap<String, i64> = stream::iter(looks).buffer_unordered(8).collect().await;
        let wanted: i64 = versions.values().sum();
        let ours = |events: Vec<Value>| -> Vec<Value> {
            let positions: Vec<_> = events.iter().filter_map(|e| e["position"].as_i64()).collect();
            assert!(
                positions.iter().copied().eq(1..=positions.len() as i64),
                "the log is dense"
            );
            let ours = |e: &Value| e["subject"].as_str().is_some_and(|s| versions.contains_key(s));
            events.into_iter().filter(ours).collect()
        };
        holds_soon("the relay has caught up", Duration::from_secs(20), || async {
            ours(system.events("catalog").await).len() as i64 >= wanted
        })
        .await;
        let mut seen: BTreeMap<String, i64> = BTreeMap::new();
        for event in ours(system.events("catalog").await) {
            let at = seen
                .entry(event["subject"].as_str().unwrap_or_default().to_owned())
                .or_default();
            *at += 1;
            assert_eq!(
                event["aggregateversion"], *at,
                "missing, double or out of order: {event}"
            );
        }
        for (id, version) in versions {
            assert_eq!(seen.get(&id).copied().unwrap_or(0), version, "events of act {id}");
        }
    }
}
