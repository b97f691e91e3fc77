//! The modules there are, and how each is started. A new module is one more line in [`MODULES`] and a file beside this
//! one; gateway, switch, documents, console, command line and the parity suite pick it up from there.

mod catalog;
mod notifications;
mod ordering;
mod payments;
mod seating;

use std::{sync::Arc, time::Duration};

use ordering_contract::Ordering;
use payments_contract::Payments;
use seating_contract::Seating;
use strangler::{BoxFuture, Contract, ModuleStats, Serve, Switch, Transport};
use strangler_store::{Db, EventLog, Sagas, StoreError, Subscription, Turn};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// What a module is for, which decides whom it may call. Its manifest says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// Owns one domain's state.
    Data,
    /// A business process over several domains.
    Process,
    /// One call over several processes.
    Aggregator,
    /// Stands in front of a third party.
    Translation,
    /// A read model that is fed by events.
    Query,
    /// Shaped for one kind of client.
    Edge,
}

impl ModuleKind {
    /// As manifests write it: `data`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Process => "process",
            Self::Aggregator => "aggregator",
            Self::Translation => "translation",
            Self::Query => "query",
            Self::Edge => "edge",
        }
    }

    /// What it is for, in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Data => "It owns one domain’s state, calls nobody and listens to events.",
            Self::Process => "It is a business process over several domains, and owns its own progress only.",
            Self::Aggregator => "It answers in one call what several processes know.",
            Self::Translation => "It stands in front of a third party.",
            Self::Query => "It is a read model that is fed by events.",
            Self::Edge => "It is shaped for one kind of client.",
        }
    }
}

/// One module.
pub struct Module {
    /// Its contract; also its name and its schema's.
    pub contract: &'static Contract,
    /// What it is for.
    pub kind: ModuleKind,
    /// Whether the public address serves it; if not, only other modules may call it.
    pub public: bool,
    /// The operations that only other modules may call all the same, by id.
    pub inside: &'static [&'static str],
    /// The scopes it needs to call other modules on its own account.
    pub acts: &'static [&'static str],
    /// Starts its implementation.
    pub start: fn(&Ground<'_>) -> Result<Started, String>,
    /// Notes a way to it, for a process that has not got it.
    pub reach: fn(&mut Peers, Arc<dyn Transport>),
}

impl Module {
    /// Whether the public address serves this operation, by id.
    pub fn serves(&self, operation: &str) -> bool {
        self.public && !self.inside.contains(&operation)
    }
}

/// Every module. Who calls another comes after it.
pub static MODULES: &[Module] = &[
    catalog::MODULE,
    seating::MODULE,
    payments::MODULE,
    ordering::MODULE,
    notifications::MODULE,
];

/// What a module stands on.
pub struct Ground<'a> {
    /// Its schema.
    pub db: Db,
    /// What its guard counts into.
    pub stats: Arc<ModuleStats>,
    /// The modules it may call.
    pub peers: &'a Peers,
    /// The event log of a module by its name.
    pub log: &'a Logs<'a>,
    /// What is set.
    pub settings: &'a Settings,
}

/// The event log of a module by its name, or a sentence that says why there is none.
pub type Logs<'a> = dyn Fn(&str) -> Result<Arc<dyn EventLog>, String> + Sync + 'a;

/// A module that was started.
pub struct Started {
    /// Its operations.
    pub server: Arc<dyn Serve>,
    /// Tells the others how to call it, wherever it lives.
    pub link: Link,
    /// What it does by itself, while it is its turn.
    pub work: Vec<Work>,
    /// Its sagas, for whoever decides about a stuck one; what works on them is among `work`.
    pub sagas: Option<Sagas>,
}

/// Puts a switch in front of a started module and notes it among the peers; given the way to its service.
pub type Link = Box<dyn FnOnce(&mut Peers, Arc<Switch>, Arc<dyn Transport>) + Send>;

/// Work in the background: as the turn says, until it is cancelled.
pub type Work = Box<dyn FnOnce(Turn, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// The modules that others call.
#[derive(Clone, Default)]
pub struct Peers {
    /// Seats and holds.
    pub seating: Option<Arc<dyn Seating>>,
    /// The money.
    pub payments: Option<Arc<dyn Payments>>,
    /// Purchases.
    pub ordering: Option<Arc<dyn Ordering>>,
}

/// The modules' names.
pub fn names() -> Vec<&'static str> {
    MODULES.iter().map(|m| m.contract.name).collect()
}

/// The module with this name, or a sentence that names those there are.
pub fn find(name: &str) -> Result<&'static Module, String> {
    MODULES
        .iter()
        .find(|m| m.contract.name == name)
        .ok_or_else(|| format!("there is no module `{name}`; there are: {}", names().join(", ")))
}

/// A subscription as work.
fn hears(subscription: Subscription) -> Work {
    Box::new(|turn, stop| {
        let subscription = subscription.with_turn(turn);
        Box::pin(async move { subscription.run(stop.cancelled()).await })
    })
}

/// What is done again and again, as work. What fails is tried again the next time.
fn repeats<F>(what: &'static str, every: Duration, task: impl Fn() -> F + Send + 'static) -> Work
where
    F: Future<Output = Result<(), StoreError>> + Send + 'static,
{
    Box::new(move |mut turn, stop| {
        Box::pin(async move {
            let mut failing = false;
            loop {
                if turn.now().is_some() {
                    let done = task().await;
                    if let Err(error) = &done
                        && !failing
                    {
                        tracing::warn!(%error, what, "background work failed; it is tried again");
                    }
                    failing = done.is_err();
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = turn.changed() => {}
                    () = tokio::time::sleep(every) => {}
                }
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_as_the_manifest_says() {
        for module in MODULES {
            let name = module.contract.name;
            let manifest = format!("{}/../modules/{name}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
            let manifest = std::fs::read_to_string(manifest).unwrap();
            let line = format!("kind = \"{}\"", module.kind.name());
            assert!(manifest.contains(&line), "{name}: {line}");
        }
    }
}
