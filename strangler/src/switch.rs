//! The switch of one module: its routes, its counts and its parallel run. The generated typed switch and the gateway
//! both decide through it, so a call between modules and a request from outside take the same side.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{
    Contract, ContractError, Cx, Failure, Kind,
    fault::Fault,
    parallel::{Offer, ParallelRun},
    routes::{ModuleRoutes, Route, RouteTable, Side, Stage},
    share,
    stats::ModuleStats,
};

/// Which way a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The monolith answers.
    Local,
    /// The monolith answers, and the service is compared.
    Shadow,
    /// The service answers; if it cannot and `fallback` holds, the monolith does.
    Remote {
        /// Whether the monolith may answer in its place.
        fallback: bool,
    },
    /// The same, and the monolith is compared.
    Verify {
        /// Whether the monolith may answer in its place.
        fallback: bool,
    },
}

/// The switch of one module.
pub struct Switch {
    contract: &'static Contract,
    routes: Arc<RouteTable>,
    stats: Arc<ModuleStats>,
    parallel: ParallelRun,
}

impl Switch {
    /// A switch over these routes.
    pub fn new(routes: Arc<RouteTable>, stats: Arc<ModuleStats>, parallel: ParallelRun) -> Self {
        Self {
            contract: routes.contract(),
            routes,
            stats,
            parallel,
        }
    }

    /// The contract this is the switch of.
    pub fn contract(&self) -> &'static Contract {
        self.contract
    }

    /// The routes it decides by.
    pub fn routes(&self) -> &Arc<RouteTable> {
        &self.routes
    }

    /// What it counts into.
    pub fn stats(&self) -> &Arc<ModuleStats> {
        &self.stats
    }

    /// Its parallel run.
    pub fn parallel(&self) -> &ParallelRun {
        &self.parallel
    }

    /// Whether the operation is simply local: one atomic load, then nothing else.
    #[inline]
    pub fn is_local(&self, index: usize) -> bool {
        self.routes.is_local(index)
    }

    /// The way of a call to operation `index` under `cx`. It counts, so it is asked once for each call.
    pub fn way(&self, index: usize, cx: &Cx) -> Way {
        let routes = self.routes.now();
        let route = routes.of(index);
        let (kind, fallback) = (self.contract.operations[index].kind, route.falls_back());
        let compared = || self.routes.samples(index, route.sample);
        match (route.stage, kind) {
            (Stage::Local, _) => Way::Local,
            // What a command would do is compared by what its unit of work records, not by running it again: what decides
            // whether it is recorded belongs into these two lines.
            (Stage::Shadow, Kind::Command) => Way::Local,
            (Stage::Verify, Kind::Command) => Way::Remote { fallback },
            (Stage::Shadow, Kind::Query) if compared() => Way::Shadow,
            (Stage::Shadow, Kind::Query) => Way::Local,
            (Stage::Canary, _) if self.is_in_canary(index, &routes, route, cx) => Way::Remote { fallback },
            (Stage::Canary, _) => Way::Local,
            (Stage::Verify, Kind::Query) if compared() => Way::Verify { fallback },
            (Stage::Remote | Stage::Verify, _) => Way::Remote { fallback },
        }
    }

    /// Whether a canary sends this caller to the service. Whoever cannot be told from others stays where they were, and is
    /// counted: it would be drawn anew for each call.
    fn is_in_canary(&self, index: usize, routes: &ModuleRoutes, route: &Route, cx: &Cx) -> bool {
        if route.is_ahead(cx) {
            return true;
        }
        let Some(key) = cx.canary_key() else {
            self.stats.operation(index).keyless.fetch_add(1, Relaxed);
            return false;
        };
        route.percent.has(share::bucket(key, routes.salt.unwrap_or_default()))
    }

    /// Whether the monolith may answer what the service could not: a query when the service is to blame, a command only
    /// when it is certain that it had no effect.
    pub fn may_fall_back(&self, index: usize, fault: &Fault) -> bool {
        fault.of_the_other_side()
            && (self.contract.operations[index].kind == Kind::Query || fault.certainly_had_no_effect())
    }

    /// The same for what the service told a caller in the module's terms: that a query failed inside (5xx) is no answer, either.
    pub fn may_fall_back_after<E: ContractError>(&self, index: usize, failure: &Failure<E>) -> bool {
        match failure {
            Failure::Way(fault) => self.may_fall_back(index, fault),
            Failure::Module(error) => {
                self.contract.operations[index].kind == Kind::Query && error.to_problem().status >= 500
            }
        }
    }

    /// The context under which the monolith answers in the service's place.
    pub fn fallback_cx(&self, cx: &Cx) -> Cx {
        cx.clone().fallback()
    }

    /// A place in the parallel run's queue for a call that the monolith has answered, if there is one; if not, that is counted.
    pub fn offer(&self, index: usize) -> Option<Offer> {
        self.parallel.offer(index, Side::Monolith)
    }

    /// The same for a call that the service has answered.
    pub fn offer_verify(&self, index: usize) -> Option<Offer> {
        self.parallel.offer(index, Side::Service)
    }
}
