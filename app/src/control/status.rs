//! The migration map as data: what `banyan status`, the console and `/control/v1/status` show.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strangler::{
    cohort::Cohort,
    parallel::ParallelSummary,
    routes::{Route, Stage},
    share::Share,
    stats::{Histogram, OperationStats, quantile_ms},
};
use uuid::Uuid;

use super::{Control, Health, HealthStatus, Running};
use crate::databases::CONTROL;

/// The migration map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// How all of it is: degraded when any schema is.
    #[serde(default)]
    pub health: HealthStatus,
    /// How the control plane's own schema is.
    #[serde(default)]
    pub control: Health,
    /// Every module, in the order in which they are put together.
    pub modules: Vec<ModuleStatus>,
}

/// One module on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// Its name.
    pub module: String,
    /// The version of its contract.
    pub contract: u32,
    /// Its stage.
    pub stage: String,
    /// The share of callers of a canary; `null` in every other stage.
    pub percent: Option<Share>,
    /// Callers that a canary sends to the service ahead of its share: `beta=principal:ada`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<Cohort>,
    /// The share of calls that is compared, in percent, where that is not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Share>,
    /// `local` or `none`: who answers a query that the service cannot.
    pub fallback: String,
    /// Operations with a stage of their own, by id.
    pub operations: BTreeMap<String, OperationStage>,
    /// The processes that serve it, the monolith apart.
    pub instances: Vec<InstanceStatus>,
    /// Who answered how often, since this process started.
    pub answered: AnsweredCounts,
    /// Calls that took the old path in a canary because their caller cannot be told from others, since this process started.
    #[serde(default)]
    pub keyless: u64,
    /// The parallel run's counts, since this process started.
    pub parallel_run: ParallelSummary,
    /// How long either side took.
    pub latency_ms: Latencies,
    /// Where its data is.
    pub data: DataStatus,
    /// How it is: its dead letters, outbox, subscriptions and sagas.
    #[serde(flatten)]
    pub health: Health,
}

/// The stage of one operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationStage {
    /// Its stage.
    pub stage: String,
    /// As for the module, as are the others.
    pub percent: Option<Share>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cohorts: Vec<Cohort>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Share>,
}

/// A process that serves a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Drawn at its start.
    pub id: Uuid,
    /// Where it is reached.
    pub url: String,
    /// Its process id.
    pub pid: u32,
    /// What its `/readyz` says.
    pub healthy: bool,
    /// The version of the contract it serves.
    pub contract: u32,
}

/// Who answered how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredCounts {
    /// The monolith.
    pub local: u64,
    /// The service.
    pub remote: u64,
    /// The monolith in place of a service that could not.
    pub fallback: u64,
}

/// Latencies of both sides, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// The monolith's.
    pub local: Quantiles,
    /// The service's.
    pub remote: Quantiles,
}

/// Two quantiles in milliseconds; `null` when nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of the answers were at least as fast.
    pub p50: Option<f64>,
    /// Ninety-nine of a hundred were.
    pub p99: Option<f64>,
}

/// Where a module's data is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataStatus {
    /// Its database, without password.
    pub database: String,
}

impl Status {
    /// The map as it is now, and how every schema is.
    pub async fn read(control: &Control) -> Self {
        let mut health = control.health().await;
        let mut status = Self::of(control);
        status.control = health.remove(CONTROL).unwrap_or_default();
        for module in &mut status.modules {
            module.health = health.remove(&module.module).unwrap_or_default();
        }
        let all = status.modules.iter().map(|m| &m.health).chain([&status.control]);
        if all.into_iter().any(|h| h.health == HealthStatus::Degraded) {
            status.health = HealthStatus::Degraded;
        }
        status
    }

    /// The map as it is now, without asking any database: how the schemas are is left at `ok` and unknown.
    pub fn of(control: &Control) -> Self {
        Self {
            health: HealthStatus::default(),
            control: Health::default(),
            modules: control.modules.iter().map(|m| module(control, m)).collect(),
        }
    }
}

fn percent(route: &Route) -> Option<Share> {
    (route.stage == Stage::Canary).then_some(route.percent)
}

fn sample(route: &Route) -> Option<Share> {
    (route.stage.compares() && route.sample != Share::ALL).then_some(route.sample)
}

fn module(control: &Control, running: &Running) -> ModuleStatus {
    let Running {
        contract, db, switch, ..
    } = running;
    let (routes, stats) = (switch.routes().all(), switch.stats());
    let quantiles = |side: fn(&OperationStats) -> &Histogram| {
        let at = |q| quantile_ms(stats.operations().iter().map(side), q);
        Quantiles {
            p50: at(0.5),
            p99: at(0.99),
        }
    };
    let instances = control.registry.of(contract.name);
    ModuleStatus {
        module: contract.name.to_owned(),
        contract: contract.version,
        stage: routes.module.stage.to_string(),
        percent: percent(&routes.module),
        cohorts: routes.module.cohorts.to_vec(),
        sample: sample(&routes.module),
        fallback: routes.module.fallback.name().to_owned(),
        operations: routes
            .operations
            .iter()
            .map(|(&index, route)| {
                let stage = OperationStage {
                    stage: route.stage.to_string(),
                    percent: percent(route),
                    cohorts: route.cohorts.to_vec(),
                    sample: sample(route),
                };
                (contract.operations[index].id.to_owned(), stage)
            })
            .collect(),
        instances: instances
            .iter()
            .map(|i| {
                let r = &i.registration;
                InstanceStatus {
                    id: r.id,
                    url: r.url.clone(),
                    pid: r.pid,
                    healthy: i.healthy(),
                    contract: r.contract,
                }
            })
            .collect(),
        answered: AnsweredCounts {
            local: stats.total(|o| &o.local),
            remote: stats.total(|o| &o.remote),
            fallback: stats.total(|o| &o.fallback),
        },
        keyless: stats.total(|o| &o.keyless),
        parallel_run: switch.parallel().summary(),
        latency_ms: Latencies {
            local: quantiles(|o| &o.local_time),
            remote: quantiles(|o| &o.remote_time),
        },
        data: DataStatus {
            database: db.display_url().to_owned(),
        },
        health: Health::default(),
    }
}
