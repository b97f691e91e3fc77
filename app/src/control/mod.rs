//! The control plane: toggles, instances, the audit trail, what happened. Command line and console are two faces of what
//! is here.

mod api;
mod extract;
mod happened;
mod status;
mod store;

pub use api::{ControlProblem, router};
pub use extract::Extractor;
pub use happened::{Happened, happened_subscriptions};
pub use status::{ModuleStatus, Status};
pub use store::ControlStore;

use std::sync::Arc;

use strangler::{
    Contract, Principal, Serve, Switch, SystemClock,
    instances::{self, Registry},
    pool::Pool,
    routes::{AuditEntry, Change, Refusal, Stage, Switchboard},
};
use strangler_store::Db;

use crate::{
    identity::{KeyRing, Tokens},
    settings::Settings,
};

/// One module as it runs in the monolith.
pub struct Running {
    /// Its contract.
    pub contract: &'static Contract,
    /// Its data.
    pub db: Db,
    /// Its operations in this process.
    pub server: Arc<dyn Serve>,
    /// Which side answers.
    pub switch: Arc<Switch>,
    /// The way to its service.
    pub pool: Arc<Pool>,
}

/// Everything the control plane works on.
pub struct Control {
    /// What is set.
    pub settings: Settings,
    /// The operator's and the join token.
    pub tokens: Arc<Tokens>,
    /// The keys that sign tokens between processes.
    pub keys: Arc<KeyRing>,
    /// The toggles.
    pub switchboard: Switchboard,
    /// Who serves what.
    pub registry: Arc<Registry>,
    /// The modules.
    pub modules: Vec<Running>,
    /// The control plane's own schema.
    pub store: ControlStore,
    /// Starts and ends processes beside this one.
    pub extractor: Extractor,
}

impl Control {
    /// The module with this name.
    ///
    /// # Errors
    /// A sentence that names those there are.
    pub fn module(&self, name: &str) -> Result<&Running, String> {
        self.modules.iter().find(|m| m.contract.name == name).ok_or_else(|| {
            let all: Vec<_> = self.modules.iter().map(|m| m.contract.name).collect();
            format!("there is no module `{name}`; there are: {}", all.join(", "))
        })
    }

    /// Flips a toggle: checked, written down, audited, and in force for the next call.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn change(&self, change: &Change, by: &Principal) -> Result<AuditEntry, Refusal> {
        let by = by.subject.as_deref().unwrap_or("unknown");
        let allowed = |contract: &'static Contract, stage: Stage| {
            instances::ready(&self.registry, contract.name, contract.version)
                .map_err(|why| format!("{} cannot go to `{stage}`: {why}", contract.name))
        };
        self.switchboard.change(change, by, allowed).await
    }

    /// Puts a module back to `local` and ends every process that `extract` started for it.
    ///
    /// # Errors
    /// As [`Refusal`] says. Operations with a stage of their own are put back first, so nothing is asked of a process
    /// that ends.
    pub async fn merge_back(&self, module: &str, by: &Principal, why: Option<String>) -> Result<Vec<u32>, Refusal> {
        let running = self.module(module).map_err(Refusal::Wrong)?;
        let why = why.or_else(|| Some("merge back".to_owned()));
        let change = |target: &str, stage| Change {
            target: target.to_owned(),
            stage,
            fallback: None,
            why: why.clone(),
        };
        let routes = running.switch.routes().all();
        for &index in routes.operations.keys() {
            self.change(&change(running.contract.operations[index].id, None), by)
                .await?;
        }
        if routes.module.stage != Stage::Local {
            self.change(&change(module, Some(Stage::Local)), by).await?;
        }
        self.extractor
            .end_all(&self.registry, module)
            .await
            .map_err(Refusal::Failed)
    }

    /// The clock.
    pub fn clock(&self) -> Arc<SystemClock> {
        Arc::new(SystemClock)
    }
}
