//! The switch of one module: its routes, its counts and its parallel run. The generated typed switch and the gateway
//! both decide through it, so a call between modules and a request from outside take the same side.

use std::sync::Arc;

use crate::{
    Contract, Cx, Kind,
    fault::Fault,
    parallel::{Offer, ParallelRun, Skip},
    routes::{Fallback, Route, RouteTable, Stage},
    stats::ModuleStats,
    tape::{Place, Subject, Taping, Wants},
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

    /// The way of a call to operation `index`.
    pub fn way(&self, index: usize) -> Way {
        let Route { stage, fallback } = self.routes.route(index);
        match (stage, self.contract.operations[index].kind) {
            (Stage::Local, _) => Way::Local,
            (Stage::Shadow, _) => Way::Shadow,
            (Stage::Remote, _) => Way::Remote {
                fallback: fallback == Fallback::Local,
            },
        }
    }

    /// Whether the monolith may answer what the service could not: a query when the service is to blame, a command only
    /// when it is certain that it had no effect.
    pub fn may_fall_back(&self, index: usize, fault: &Fault) -> bool {
        fault.of_the_other_side()
            && (self.contract.operations[index].kind == Kind::Query || fault.certainly_had_no_effect())
    }

    /// The context under which the monolith answers in the service's place.
    pub fn fallback_cx(&self, cx: &Cx) -> Cx {
        cx.clone().fallback()
    }

    /// A place in the parallel run's queue, if there is one; if not, that is counted.
    pub fn offer(&self, index: usize) -> Option<Offer<'_>> {
        self.parallel.offer(index)
    }

    /// Records a command that goes to the monolith while the service is compared, if there is a place for it; if not, that is
    /// counted.
    pub fn record(&self, index: usize) -> Option<Taping> {
        self.begin(Subject::Command(index))
    }
}

impl Wants for Switch {
    fn place(&self, subject: Subject<'_>) -> Option<Box<dyn Place>> {
        let (stage, uncaptured) = match subject {
            Subject::Command(index) => {
                let operation = &self.contract.operations[index];
                (self.routes.route(index).stage, operation.uncaptured)
            }
            Subject::Step { .. } | Subject::Event { .. } => (self.routes.all().module.stage, None),
        };
        if stage != Stage::Shadow {
            return None;
        }
        if uncaptured.is_some() {
            self.parallel.skip(Skip::EffectNotCaptured);
            return None;
        }
        self.parallel.place(subject)
    }

    fn limit(&self) -> usize {
        self.parallel.body_limit()
    }
}
