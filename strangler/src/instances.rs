//! Who serves what: processes register, send heartbeats, and are asked how they are.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::tape::Wanted;

/// What a process says of itself when it registers, and again with every heartbeat: so it need not be remembered, and a
/// monolith that was restarted knows it after one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Drawn by the process at its start.
    pub id: Uuid,
    /// The module it serves.
    pub module: String,
    /// The version of the contract it serves.
    pub contract: u32,
    /// Where it is reached: `http://host:port`.
    pub url: String,
    /// Its process id, on its own machine.
    pub pid: u32,
    /// Set by `extract`: which one this is, counted by the monolith. Merging back ends every one so far.
    #[serde(default)]
    pub extracted: Option<DateTime<Utc>>,
    /// Which data it serves: the incarnation of its event log. A process that keeps data of its own says nothing.
    #[serde(default)]
    pub data: Option<Uuid>,
}

impl Registration {
    /// Under which name the process holds leases.
    pub fn worker(&self) -> String {
        format!("instance-{}", self.id)
    }
}

/// What the monolith answers to a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Whether the process is asked to finish what it accepted and end.
    pub stop: bool,
    /// The epoch of the route, when the module's background work is the service's.
    #[serde(default)]
    pub turn: Option<i64>,
    /// What it is to record and to send, so that the monolith can be compared; nothing when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<Wanted>,
}

/// One registered process.
#[derive(Debug)]
pub struct Instance {
    /// What it said of itself.
    pub registration: Registration,
    healthy: AtomicBool,
    stop: AtomicBool,
    last_seen: Mutex<Instant>,
}

impl Instance {
    /// Whether its `/readyz` said so when it was last asked, and no call has found otherwise since.
    pub fn healthy(&self) -> bool {
        self.healthy.load(Relaxed)
    }

    /// How long ago it was last heard of.
    pub fn silent_for(&self) -> Duration {
        self.last_seen.lock().unwrap_or_else(|e| e.into_inner()).elapsed()
    }

    /// Whether it was asked to end: nothing new is sent to it.
    pub fn is_ending(&self) -> bool {
        self.stop.load(Relaxed)
    }

    fn seen(&self) {
        *self.last_seen.lock().unwrap_or_else(|e| e.into_inner()) = Instant::now();
    }
}

/// The processes that serve modules. Reading is lock-free.
pub struct Registry {
    list: ArcSwap<Vec<Arc<Instance>>>,
    writing: Mutex<()>,
    turn: AtomicUsize,
    changed: watch::Sender<u64>,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            list: ArcSwap::default(),
            writing: Mutex::default(),
            turn: AtomicUsize::new(0),
            changed: watch::Sender::new(0),
        }
    }
}

impl Registry {
    /// Registers a process or takes its heartbeat. A new one is not healthy until it was asked.
    pub fn heartbeat(&self, registration: Registration) -> Heartbeat {
        let same = |i: &&Arc<Instance>| i.registration.id == registration.id;
        if let Some(known) = self.list.load().iter().find(same)
            && known.registration == registration
        {
            known.seen();
            return Heartbeat {
                stop: known.is_ending(),
                ..Heartbeat::default()
            };
        }
        tracing::info!(
            module = registration.module,
            url = registration.url,
            pid = registration.pid,
            "an instance registered"
        );
        self.write(|list| {
            list.retain(|i| i.registration.id != registration.id);
            list.push(Arc::new(Instance {
                registration,
                healthy: AtomicBool::new(false),
                stop: AtomicBool::new(false),
                last_seen: Mutex::new(Instant::now()),
            }));
        });
        Heartbeat::default()
    }

    /// Forgets a process that ended.
    pub fn leave(&self, id: Uuid) {
        self.write(|list| list.retain(|i| i.registration.id != id));
    }

    /// Forgets processes that were silent for longer than `lost_after`, and says which.
    pub fn forget_lost(&self, lost_after: Duration) -> Vec<Arc<Instance>> {
        let mut forgotten = Vec::new();
        if self.list.load().iter().any(|i| i.silent_for() > lost_after) {
            self.write(|list| {
                list.retain(|i| {
                    let lost = i.silent_for() > lost_after;
                    if lost {
                        forgotten.push(i.clone());
                        let r = &i.registration;
                        tracing::warn!(
                            module = r.module,
                            url = r.url,
                            pid = r.pid,
                            "an instance is silent and was forgotten"
                        );
                    }
                    !lost
                });
            });
        }
        forgotten
    }

    fn write(&self, change: impl FnOnce(&mut Vec<Arc<Instance>>)) {
        let _writing = self.writing.lock().unwrap_or_else(|e| e.into_inner());
        let mut list = (**self.list.load()).clone();
        change(&mut list);
        self.list.store(Arc::new(list));
        self.changed.send_modify(|n| *n += 1);
    }

    /// Notes how an instance is.
    pub fn set_healthy(&self, instance: &Instance, healthy: bool) {
        if instance.healthy.swap(healthy, Relaxed) != healthy {
            self.changed.send_modify(|n| *n += 1);
        }
    }

    /// Everybody.
    pub fn all(&self) -> Arc<Vec<Arc<Instance>>> {
        self.list.load_full()
    }

    /// Everybody who serves this module, in the order of registration.
    pub fn of(&self, module: &str) -> Vec<Arc<Instance>> {
        self.list
            .load()
            .iter()
            .filter(|i| i.registration.module == module)
            .cloned()
            .collect()
    }

    /// A healthy instance of the module at this contract version, in turn; never one of `but`.
    pub fn pick(&self, module: &str, contract: u32, but: &[Uuid]) -> Option<Arc<Instance>> {
        let list = self.list.load();
        let fit = |i: &&Arc<Instance>| {
            let r = &i.registration;
            i.healthy() && !i.is_ending() && r.module == module && r.contract == contract && !but.contains(&r.id)
        };
        match list.iter().filter(fit).count() {
            0 => None,
            n => list
                .iter()
                .filter(fit)
                .nth(self.turn.fetch_add(1, Relaxed) % n)
                .cloned(),
        }
    }

    /// Asks every process of this module that `extract` started to end, and says which.
    pub fn stop_extracted(&self, module: &str) -> Vec<Arc<Instance>> {
        let ours: Vec<_> = self
            .of(module)
            .into_iter()
            .filter(|i| i.registration.extracted.is_some())
            .collect();
        ours.iter().for_each(|i| i.stop.store(true, Relaxed));
        self.changed.send_modify(|n| *n += 1);
        ours
    }

    /// Wakes whenever somebody comes, goes, or falls ill.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Why no instance of the contract can answer, as a sentence; `Ok` when one can.
pub fn ready(registry: &Registry, module: &str, contract: u32) -> Result<(), String> {
    let all = registry.of(module);
    if all
        .iter()
        .any(|i| i.healthy() && !i.is_ending() && i.registration.contract == contract)
    {
        return Ok(());
    }
    Err(if all.is_empty() {
        format!("no service is registered for {module}; start one with `banyan extract {module}`")
    } else if let Some(other) = all.iter().find(|i| i.registration.contract != contract) {
        format!(
            "the service at {} speaks version {} of {module}'s contract, this monolith version {contract}; start one of the same version",
            other.registration.url, other.registration.contract
        )
    } else {
        let urls: Vec<_> = all.iter().map(|i| i.registration.url.as_str()).collect();
        format!(
            "no service of {module} is healthy ({}); see its /readyz, or start another",
            urls.join(", ")
        )
    })
}
