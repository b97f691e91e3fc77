//! The modules there are, and how each is started. A new module is one more line in [`MODULES`] and a file beside this
//! one; gateway, switch, documents, console, command line and the parity suite pick it up from there.

mod catalog;
mod declared;
mod notifications;
mod ordering;
mod payments;
mod seating;
mod storefront;

pub use declared::{Declared, ModuleKind, declared};

use std::{sync::Arc, time::Duration};

use catalog_contract::Catalog;
use ordering_contract::Ordering;
use payments_contract::Payments;
use seating_contract::Seating;
use strangler::{BoxFuture, Contract, ModuleStats, Serve, Switch, Transport, tape::Deck};
use strangler_store::{Db, EventLog, Hearing, Sagas, StoreError, Subscription, Turn};
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// One module.
pub struct Module {
    /// Its contract; also its name and its schema's.
    pub contract: &'static Contract,
    /// Its manifest, which says of what kind it is, whom it calls and whom it listens to: [`declared`].
    pub manifest: &'static str,
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
    storefront::MODULE,
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
    /// Where what the module does by itself is recorded, when somebody wants it.
    pub deck: Deck,
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
    /// The handlers of its subscriptions, to be asked what they would do.
    pub hearings: Vec<Hearing>,
}

/// Puts a switch in front of a started module and notes it among the peers; given the way to its service.
pub type Link = Box<dyn FnOnce(&mut Peers, Arc<Switch>, Arc<dyn Transport>) + Send>;

/// Work in the background: as the turn says, until it is cancelled.
pub type Work = Box<dyn FnOnce(Turn, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// The modules that others call.
#[derive(Clone, Default)]
pub struct Peers {
    /// Acts, venues and shows.
    pub catalog: Option<Arc<dyn Catalog>>,
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
