//! Which side answers which operation: the one place that knows where a module lives.
//!
//! A decision on the way of a call is one atomic load of a byte. Everything rarer than `local` and `remote` looks
//! further, into a plan behind an `ArcSwap`; the plan is stored first and the byte second, so a byte never points to a
//! plan that is not there yet. A flip of a whole module is not atomic over its operations.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::{BoxFuture, Clock, Contract, Kind};

/// Who answers, and who else runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The monolith answers.
    #[default]
    Local,
    /// The monolith answers; the service is asked too and compared.
    Shadow,
    /// The service answers.
    Remote,
}

impl Stage {
    /// Every stage, in the order in which a module moves out.
    pub const ALL: [Self; 3] = [Self::Local, Self::Shadow, Self::Remote];

    /// Its name: `local`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Shadow => "shadow",
            Self::Remote => "remote",
        }
    }

    /// Whether it needs a service.
    pub fn needs_service(self) -> bool {
        self != Self::Local
    }

    /// Who does the module's background work: relay, subscriptions, saga steps, timers.
    pub fn worker(self) -> Side {
        match self {
            Self::Local | Self::Shadow => Side::Monolith,
            Self::Remote => Side::Service,
        }
    }
}

/// One of the two sides of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The monolith.
    Monolith,
    /// The processes that were extracted.
    Service,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Monolith => Self::Service,
            Self::Service => Self::Monolith,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or_else(|| {
            format!(
                "`{text}` is no stage; there are {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }
}

/// Whether the monolith answers a query that the service cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// It does, and it is counted.
    #[default]
    Local,
    /// The caller gets the failure.
    None,
}

impl Fallback {
    /// Its name: `local`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::None => "none",
        }
    }
}

impl FromStr for Fallback {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Local, Self::None]
            .into_iter()
            .find(|f| f.name() == text)
            .ok_or_else(|| format!("`{text}` is no fallback; there are local, none"))
    }
}

/// How a module or an operation is routed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Who answers.
    pub stage: Stage,
    /// What happens when the service cannot.
    #[serde(default)]
    pub fallback: Fallback,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.stage, self.fallback) {
            (stage, Fallback::Local) => write!(f, "{stage}"),
            (stage, Fallback::None) => write!(f, "{stage} (no fallback)"),
        }
    }
}

const LOCAL: u8 = 0;
const LOOK: u8 = 1;

/// A module's routes: its own, and those of the operations that differ from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleRoutes {
    /// The module's own route.
    pub module: Route,
    /// Operations with a route of their own, by index.
    pub operations: BTreeMap<usize, Route>,
    /// Raised by each flip that hands the background work over: of two sides that both believe it to be theirs, the one
    /// with the larger epoch is right.
    pub epoch: i64,
}

impl ModuleRoutes {
    fn of(&self, index: usize) -> Route {
        self.operations.get(&index).copied().unwrap_or(self.module)
    }
}

/// The routes of one module in force. Reading is lock-free.
pub struct RouteTable {
    contract: &'static Contract,
    bytes: Box<[AtomicU8]>,
    routes: ArcSwap<ModuleRoutes>,
    monolith: watch::Sender<Option<i64>>,
    service: watch::Sender<Option<i64>>,
}

impl RouteTable {
    /// Everything local. Nobody does background work before routes are [`set`](Self::set).
    pub fn new(contract: &'static Contract) -> Self {
        Self {
            contract,
            bytes: contract.operations.iter().map(|_| AtomicU8::new(LOCAL)).collect(),
            routes: ArcSwap::default(),
            monolith: watch::Sender::new(None),
            service: watch::Sender::new(None),
        }
    }

    /// The contract these are the routes of.
    pub fn contract(&self) -> &'static Contract {
        self.contract
    }

    /// Whether the operation is simply local: one atomic load.
    #[inline]
    pub fn is_local(&self, index: usize) -> bool {
        self.bytes[index].load(Ordering::Acquire) == LOCAL
    }

    /// The route of one operation.
    pub fn route(&self, index: usize) -> Route {
        self.routes.load().of(index)
    }

    /// When it is this side's turn to do the background work: the epoch of the route then, else `None`.
    pub fn turn(&self, side: Side) -> watch::Receiver<Option<i64>> {
        match side {
            Side::Monolith => self.monolith.subscribe(),
            Side::Service => self.service.subscribe(),
        }
    }

    /// All routes as they are now.
    pub fn all(&self) -> Arc<ModuleRoutes> {
        self.routes.load_full()
    }

    /// Puts these routes in force for the next call.
    pub fn set(&self, routes: ModuleRoutes) {
        let routes = Arc::new(routes);
        self.routes.store(routes.clone());
        for (index, operation) in self.contract.operations.iter().enumerate() {
            // A command is never run twice: in `shadow` it is as local as in `local`.
            let local = match routes.of(index).stage {
                Stage::Local => true,
                Stage::Shadow => operation.kind == Kind::Command,
                Stage::Remote => false,
            };
            self.bytes[index].store(if local { LOCAL } else { LOOK }, Ordering::Release);
        }
        // First one side stops, then the other begins.
        let worker = routes.module.stage.worker();
        let turn = |side| (worker == side).then_some(routes.epoch);
        let mut sides = [(&self.monolith, Side::Monolith), (&self.service, Side::Service)];
        sides.sort_by_key(|&(_, side)| worker == side);
        for (sender, side) in sides {
            sender.send_if_modified(|now| std::mem::replace(now, turn(side)) != turn(side));
        }
    }
}

/// The longest reason, in characters.
const WHY: usize = 500;

/// Whether this can be written down as somebody's reason: one line of text, and not a long one. A line of the audit trail is
/// read in terminals and logs, where control characters do more than stand there.
///
/// # Errors
/// [`Refusal::Wrong`], with what is wrong with it.
pub fn check_reason(why: Option<&str>) -> Result<(), Refusal> {
    let Some(why) = why else { return Ok(()) };
    if why.chars().count() > WHY {
        return Err(Refusal::Wrong(format!("a reason has {WHY} characters at most")));
    }
    if why.chars().any(char::is_control) {
        return Err(Refusal::Wrong(
            "a reason is one line of text, without control characters; write it in one line".to_owned(),
        ));
    }
    Ok(())
}

/// A change somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `catalog`, or `catalog.show` for one operation.
    pub target: String,
    /// The stage it goes to; `None` puts an operation back to its module's stage.
    pub stage: Option<Stage>,
    /// What happens when the service cannot answer; `local` when nothing is said.
    #[serde(default)]
    pub fallback: Option<Fallback>,
    /// Why, in a person's words.
    #[serde(default)]
    pub why: Option<String>,
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub by: String,
    /// What was changed: `catalog` or `catalog.show`.
    pub target: String,
    /// What it was before.
    pub from: String,
    /// What it is now.
    pub to: String,
    /// Why.
    pub why: Option<String>,
}

/// A route as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The route.
    pub route: Route,
    /// [`ModuleRoutes::epoch`], with a module's own route; 0 with an operation's.
    pub epoch: i64,
}

/// Where routes and audit trail are kept. Both are written in one transaction, or neither.
pub trait RouteStore: Send + Sync + 'static {
    /// Writes a route (`None`: removes it, so that the operation inherits) and the line that says so.
    fn save<'a>(
        &'a self,
        target: &'a str,
        stored: Option<Stored>,
        entry: &'a AuditEntry,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Every route that was written, by target.
    fn load(&self) -> BoxFuture<'_, Result<Vec<(String, Stored)>, String>>;
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The change makes no sense: an unknown target, an operation's word for a module.
    Wrong(String),
    /// A precondition does not hold.
    Refused(String),
    /// It could not be written down, so it is not in force.
    Failed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Wrong(why) | Self::Refused(why) | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

/// All modules' routes, with their store: toggles are set here and nowhere else.
pub struct Switchboard {
    tables: Vec<Arc<RouteTable>>,
    store: Arc<dyn RouteStore>,
    clock: Arc<dyn Clock>,
    /// One change at a time, so that what is stored and what is in force come in the same order.
    turn: tokio::sync::Mutex<()>,
}

impl Switchboard {
    /// Reads the stored routes and puts them in force. Routes of modules or operations that are no more are left alone.
    pub async fn open(
        tables: Vec<Arc<RouteTable>>,
        store: Arc<dyn RouteStore>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, String> {
        let stored = store.load().await?;
        for table in &tables {
            let mut routes = ModuleRoutes::default();
            for (target, Stored { route, epoch }) in &stored {
                match find(std::slice::from_ref(table), target) {
                    Ok((_, None)) => (routes.module, routes.epoch) = (*route, *epoch),
                    Ok((_, Some(index))) => _ = routes.operations.insert(index, *route),
                    Err(_) => {}
                }
            }
            table.set(routes);
        }
        Ok(Self {
            tables,
            store,
            clock,
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// The routes of a module.
    pub fn table(&self, module: &str) -> Option<&Arc<RouteTable>> {
        self.tables.iter().find(|t| t.contract.name == module)
    }

    /// Every module's routes.
    pub fn tables(&self) -> &[Arc<RouteTable>] {
        &self.tables
    }

    /// Makes a change: checks it with `allowed` (given the contract and the stage), writes it down with its line in the
    /// audit trail, and puts it in force for the next call. What is so already leaves no line.
    pub async fn change(
        &self,
        change: &Change,
        by: &str,
        allowed: impl Fn(&'static Contract, Stage) -> Result<(), String>,
    ) -> Result<AuditEntry, Refusal> {
        check_reason(change.why.as_deref())?;
        let _turn = self.turn.lock().await;
        let (table, index) = find(&self.tables, &change.target).map_err(Refusal::Wrong)?;
        let mut routes = (*table.all()).clone();
        let before = index.map_or(routes.module, |i| routes.of(i));
        let inherited = index.is_some_and(|i| !routes.operations.contains_key(&i));
        let after = change.stage.map(|stage| Route {
            stage,
            fallback: change.fallback.unwrap_or_default(),
        });
        if let Some(after) = after
            && after.stage.needs_service()
        {
            allowed(table.contract, after.stage).map_err(Refusal::Refused)?;
        }
        match (index, after) {
            (None, Some(route)) => {
                routes.epoch += i64::from(route.stage.worker() != before.stage.worker());
                routes.module = route;
            }
            (Some(i), Some(route)) => _ = routes.operations.insert(i, route),
            (Some(i), None) => _ = routes.operations.remove(&i),
            (None, None) => {
                return Err(Refusal::Wrong(format!(
                    "`{}` is a module and has nobody to inherit from; name an operation, such as `{}`",
                    change.target,
                    table.contract.operations.first().map_or("module.operation", |o| o.id)
                )));
            }
        }
        let name = |route: Option<Route>| route.map_or_else(|| "inherit".to_owned(), |r| r.to_string());
        let entry = AuditEntry {
            at: self.clock.now(),
            by: by.to_owned(),
            target: change.target.clone(),
            from: name((!inherited).then_some(before)),
            to: name(after),
            why: change.why.clone(),
        };
        if entry.from == entry.to {
            return Ok(entry);
        }
        let epoch = if index.is_none() { routes.epoch } else { 0 };
        let stored = after.map(|route| Stored { route, epoch });
        self.store
            .save(&change.target, stored, &entry)
            .await
            .map_err(Refusal::Failed)?;
        table.set(routes);
        tracing::info!(target: "strangler::audit", what = entry.target, from = entry.from, to = entry.to, by, "stage changed");
        Ok(entry)
    }
}

/// The table and, for `module.operation`, the operation's index.
fn find<'a>(tables: &'a [Arc<RouteTable>], target: &str) -> Result<(&'a Arc<RouteTable>, Option<usize>), String> {
    let module = target.split('.').next().unwrap_or_default();
    let names = || tables.iter().map(|t| t.contract.name).collect::<Vec<_>>().join(", ");
    let table = tables
        .iter()
        .find(|t| t.contract.name == module)
        .ok_or_else(|| format!("there is no module `{module}`; there are: {}", names()))?;
    if target == module {
        return Ok((table, None));
    }
    let index = table
        .contract
        .operations
        .iter()
        .position(|o| o.id == target)
        .ok_or_else(|| {
            let all: Vec<_> = table.contract.operations.iter().map(|o| o.id).collect();
            format!("there is no operation `{target}`; {module} has: {}", all.join(", "))
        })?;
    Ok((table, Some(index)))
}
