//! The switchboard: where toggles are set, checked, written down and put in force.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Fallback, ModuleRoutes, Route, RouteTable, Stage};
use crate::{
    BoxFuture, Clock, Contract,
    cohort::{self, Cohort, Wanted},
    share::Share,
};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `catalog`, or `catalog.show` for one operation.
    pub target: String,
    /// The stage it goes to; `None` puts an operation back to its module's stage.
    pub stage: Option<Stage>,
    /// What happens when the service cannot answer; `local` when nothing is said.
    #[serde(default)]
    pub fallback: Option<Fallback>,
    /// The share of callers that `canary` sends to the service, in percent; it has to be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Share>,
    /// The share of calls that `shadow` and `verify` compare, in percent; all when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Share>,
    /// Who is sent ahead of a canary's share. When nothing is said, a canary keeps the cohorts it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cohorts: Option<Vec<Cohort>>,
    /// Why, in a person's words.
    #[serde(default)]
    pub why: Option<String>,
}

impl Change {
    /// The route that it asks for; `before` is the one in force.
    ///
    /// # Errors
    /// A sentence about what does not go together.
    fn route(&self, before: &Route) -> Result<Option<Route>, String> {
        let stage = self.stage.map_or("inherit", Stage::name);
        let has = |stages: &[Stage]| self.stage.is_some_and(|stage| stages.contains(&stage));
        if self.percent.is_some() && !has(&[Stage::Canary]) {
            return Err(format!(
                "a share of callers (percent) belongs to `canary`, not to `{stage}`; leave it out"
            ));
        }
        if self.cohorts.is_some() && !has(&[Stage::Canary]) {
            return Err(format!("cohorts belong to `canary`, not to `{stage}`; leave them out"));
        }
        if self.sample.is_some() && !has(&[Stage::Shadow, Stage::Verify]) {
            return Err(format!(
                "a share of calls to compare (sample) belongs to `shadow` and `verify`, not to `{stage}`; leave it out"
            ));
        }
        let Some(stage) = self.stage else { return Ok(None) };
        if stage == Stage::Canary && self.percent.is_none() {
            return Err(
                "say which share of the callers goes to the service: percent, a number from 0 to 100 in steps of \
                        0.01, such as `--percent 5`"
                    .to_owned(),
            );
        }
        if stage == Stage::Canary && self.fallback == Some(Fallback::None) {
            return Err(
                "in `canary` the monolith always answers what the service cannot; leave the fallback out".to_owned(),
            );
        }
        let cohorts = match &self.cohorts {
            Some(cohorts) => cohort::bounded(cohorts.clone())?,
            None if stage == Stage::Canary && before.stage == Stage::Canary => before.cohorts.clone(),
            None => Arc::default(),
        };
        Ok(Some(Route {
            stage,
            fallback: self.fallback.unwrap_or_default(),
            percent: self.percent.unwrap_or(Share::NONE),
            sample: self.sample.unwrap_or(Share::ALL),
            cohorts,
        }))
    }
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// The route.
    pub route: Route,
    /// [`ModuleRoutes::epoch`], with a module's own route; 0 with an operation's.
    pub epoch: i64,
    /// [`ModuleRoutes::salt`], with a module's own route; `None` with an operation's.
    pub salt: Option<u64>,
}

/// Where routes and audit trail are kept. Both are written in one transaction, or neither.
pub trait RouteStore: Send + Sync + 'static {
    /// Writes routes by target (`None`: removes it, so that the operation inherits) and the line that says so.
    fn save<'a>(
        &'a self,
        routes: Vec<(String, Option<Stored>)>,
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
    wanted: Arc<Wanted>,
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
            for (target, Stored { route, epoch, salt }) in &stored {
                match find(std::slice::from_ref(table), target) {
                    Ok((_, None)) => {
                        (routes.module, routes.epoch) = (route.clone(), *epoch);
                        routes.salt = *salt;
                    }
                    Ok((_, Some(index))) => _ = routes.operations.insert(index, route.clone()),
                    Err(_) => {}
                }
            }
            table.set(routes);
        }
        let board = Self {
            tables,
            store,
            clock,
            wanted: Arc::default(),
            turn: tokio::sync::Mutex::new(()),
        };
        board.want(None);
        Ok(board)
    }

    /// The routes of a module.
    pub fn table(&self, module: &str) -> Option<&Arc<RouteTable>> {
        self.tables.iter().find(|t| t.contract().name == module)
    }

    /// Every module's routes.
    pub fn tables(&self) -> &[Arc<RouteTable>] {
        &self.tables
    }

    /// What the routes in force ask to be noted of requests: for the gateways.
    pub fn wanted(&self) -> &Arc<Wanted> {
        &self.wanted
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
        let contract = table.contract();
        let mut routes = (*table.all()).clone();
        let before = index.map_or(&routes.module, |i| routes.of(i)).clone();
        let inherited = index.is_some_and(|i| !routes.operations.contains_key(&i));
        let after = change.route(&before).map_err(Refusal::Wrong)?;
        if index.is_none() && after.is_none() {
            return Err(Refusal::Wrong(format!(
                "`{}` is a module and has nobody to inherit from; name an operation, such as `{}`",
                change.target,
                contract.operations.first().map_or("module.operation", |o| o.id)
            )));
        }
        if let Some(after) = &after
            && after.stage.needs_service()
        {
            allowed(contract, after.stage).map_err(Refusal::Refused)?;
        }
        if let Some(after) = &after
            && matches!(after.stage, Stage::Shadow | Stage::Verify)
            && let Some(operation) = index.map(|i| &contract.operations[i])
            && let Some(effect) = operation.uncaptured
        {
            return Err(Refusal::Refused(format!(
                "{} cannot go to `{}`: it {effect}, which cannot be captured, so nobody can tell whether the other side would do \
                 the same; leave it where it is, or try it on some callers with `canary`",
                operation.id, after.stage
            )));
        }
        let name = |route: Option<&Route>| route.map_or_else(|| "inherit".to_owned(), ToString::to_string);
        let entry = AuditEntry {
            at: self.clock.now(),
            by: by.to_owned(),
            target: change.target.clone(),
            from: name((!inherited).then_some(&before)),
            to: name(after.as_ref()),
            why: change.why.clone(),
        };
        if entry.from == entry.to {
            return Ok(entry);
        }
        // Drawn once and kept: with another salt, a canary that grows would send some callers back.
        let first = routes.salt.is_none() && after.as_ref().is_some_and(|r| r.stage == Stage::Canary);
        if first {
            routes.salt = Some(rand::random());
        }
        let mut saved = Vec::with_capacity(2);
        match (index, after) {
            (None, Some(route)) => {
                routes.epoch += i64::from(route.stage.worker() != before.stage.worker());
                routes.module = route;
            }
            (Some(i), route) => {
                let stored = route.clone().map(|route| Stored {
                    route,
                    epoch: 0,
                    salt: None,
                });
                saved.push((change.target.clone(), stored));
                match route {
                    Some(route) => _ = routes.operations.insert(i, route),
                    None => _ = routes.operations.remove(&i),
                }
            }
            (None, None) => {}
        }
        if index.is_none() || first {
            let stored = Stored {
                route: routes.module.clone(),
                epoch: routes.epoch,
                salt: routes.salt,
            };
            saved.push((contract.name.to_owned(), Some(stored)));
        }
        self.store.save(saved, &entry).await.map_err(Refusal::Failed)?;
        // Noted first and asked for second, so that nobody of a cohort is overlooked. What is asked for no longer is noted a
        // moment longer.
        self.want(Some(&routes));
        table.set(routes);
        self.want(None);
        tracing::info!(target: "strangler::audit", what = entry.target, from = entry.from, to = entry.to, by, "stage changed");
        Ok(entry)
    }
}

impl Switchboard {
    /// Tells gateways what the routes in force, and these, ask for.
    fn want(&self, soon: Option<&ModuleRoutes>) {
        let now: Vec<_> = self.tables.iter().map(|table| table.all()).collect();
        let all = now.iter().map(|routes| &**routes).chain(soon);
        self.wanted.set(all.flat_map(ModuleRoutes::cohorts));
    }
}

/// The table and, for `module.operation`, the operation's index.
fn find<'a>(tables: &'a [Arc<RouteTable>], target: &str) -> Result<(&'a Arc<RouteTable>, Option<usize>), String> {
    let module = target.split('.').next().unwrap_or_default();
    let names = || tables.iter().map(|t| t.contract().name).collect::<Vec<_>>().join(", ");
    let table = tables
        .iter()
        .find(|t| t.contract().name == module)
        .ok_or_else(|| format!("there is no module `{module}`; there are: {}", names()))?;
    if target == module {
        return Ok((table, None));
    }
    let operations = table.contract().operations;
    let index = operations.iter().position(|o| o.id == target).ok_or_else(|| {
        let all: Vec<_> = operations.iter().map(|o| o.id).collect();
        format!("there is no operation `{target}`; {module} has: {}", all.join(", "))
    })?;
    Ok((table, Some(index)))
}
