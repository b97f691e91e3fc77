//! Which side answers which operation: the one place that knows where a module lives.
//!
//! A decision on the way of a call is one atomic load of a byte. Everything rarer than `local` looks further, into a plan
//! behind an `ArcSwap`; the plan is stored first and the byte second, so a byte never points to a plan that is not there yet.
//! A flip of a whole module is not atomic over its operations.

mod board;
mod route;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

pub use self::{
    board::{AuditEntry, Change, Refusal, RouteStore, Stored, Switchboard, check_reason},
    route::{Fallback, Route, Side, Stage, written},
};
use crate::{
    Contract,
    cohort::Cohort,
    share::{Share, Spread},
};

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
    /// Decides with a caller's key which bucket the caller is in, for all operations alike. Drawn at the module's first canary
    /// and kept.
    pub salt: Option<u64>,
}

impl ModuleRoutes {
    /// The route of one operation.
    pub fn of(&self, index: usize) -> &Route {
        self.operations.get(&index).unwrap_or(&self.module)
    }

    fn cohorts(&self) -> impl Iterator<Item = &Cohort> {
        let all = std::iter::once(&self.module).chain(self.operations.values());
        all.flat_map(|route| route.cohorts.iter())
    }
}

/// The routes of one module in force. Reading is lock-free.
pub struct RouteTable {
    contract: &'static Contract,
    bytes: Box<[AtomicU8]>,
    routes: ArcSwap<ModuleRoutes>,
    /// Which calls of an operation are compared.
    spreads: Box<[Spread]>,
    /// The same of what the module does by itself.
    work: Spread,
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
            spreads: contract.operations.iter().map(|_| Spread::default()).collect(),
            work: Spread::default(),
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
        self.now().of(index).clone()
    }

    /// The routes in force, for as long as it takes to decide.
    pub(crate) fn now(&self) -> Guard<Arc<ModuleRoutes>> {
        self.routes.load()
    }

    /// Whether the next call of this operation is one of the share that is compared.
    pub(crate) fn samples(&self, index: usize, share: Share) -> bool {
        self.spreads[index].picks(share)
    }

    /// The same for what the module does by itself.
    pub(crate) fn samples_work(&self, share: Share) -> bool {
        self.work.picks(share)
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
        for (index, byte) in self.bytes.iter().enumerate() {
            let local = routes.of(index).stage == Stage::Local;
            byte.store(if local { LOCAL } else { LOOK }, Ordering::Release);
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
