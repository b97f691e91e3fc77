//! The switch of one module: its routes, its counts and its parallel run. The generated typed switch and the gateway
//! both decide through it, so a call between modules and a request from outside take the same side.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use crate::{
    Contract, ContractError, Cx, Failure, Kind,
    fault::Fault,
    parallel::{Offer, ParallelRun, Skip},
    routes::{ModuleRoutes, Route, RouteTable, Side, Stage},
    share,
    stats::ModuleStats,
    tape::{Place, Subject, Taping, Wanted, Wants},
};

/// Which way a call takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The monolith answers.
    Local,
    /// The monolith answers, and the service is compared: a query by what it answers, a command by what it would do.
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
            (Stage::Shadow, _) if compared() => Way::Shadow,
            (Stage::Shadow, _) => Way::Local,
            // Where a command is carried out it is recorded, and there that is the service.
            (Stage::Verify, Kind::Command) => Way::Remote { fallback },
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

    /// What the service is to record, so that the monolith can be compared; `None` when that is nothing.
    pub fn wanted(&self) -> Option<Wanted> {
        let routes = self.routes.now();
        let sample = |route: &Route| (route.stage == Stage::Verify).then_some(route.sample);
        let commands = self.contract.operations.iter().enumerate();
        let commands = commands.filter(|(_, operation)| operation.kind == Kind::Command);
        let wanted = Wanted {
            work: sample(&routes.module),
            commands: commands
                .filter_map(|(index, operation)| Some((operation.id.to_owned(), sample(routes.of(index))?)))
                .collect(),
        };
        (wanted != Wanted::default()).then_some(wanted)
    }

    /// Records a command whose way is [`Way::Shadow`], if there is a place for it; if not, that is counted.
    pub fn record(&self, index: usize) -> Option<Taping> {
        self.begin(Subject::Command(index))
    }
}

impl Wants for Switch {
    fn place(&self, subject: Subject<'_>) -> Option<Box<dyn Place>> {
        match subject {
            Subject::Command(index) if self.contract.operations[index].uncaptured.is_some() => {
                self.parallel.skip(Skip::EffectNotCaptured);
                None
            }
            Subject::Command(_) => self.parallel.place(subject),
            Subject::Step { .. } | Subject::Event { .. } => {
                let module = &self.routes.now().module;
                let wanted = module.stage == Stage::Shadow && self.routes.samples_work(module.sample);
                wanted.then(|| self.parallel.place(subject)).flatten()
            }
        }
    }

    fn limit(&self) -> usize {
        self.parallel.body_limit()
    }
}
