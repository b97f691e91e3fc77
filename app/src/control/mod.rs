//! The control plane: toggles, instances, the audit trail, what happened. Command line and console are two faces of what
//! is here.

mod api;
mod calls;
mod cases;
mod chosen;
mod cursor;
mod diffs;
mod extract;
mod happened;
mod health;
mod letters;
pub mod logs;
mod map;
mod metrics;
mod process;
mod reasons;
mod requests;
mod sagas;
mod status;
mod store;
mod text;

pub use api::{ControlProblem, Flipped, RECORDINGS_PATH, misread, router};
pub use calls::{CALLS_PATH, CALLS_SCOPE, Calls};
pub use cases::{CaseRun, CaseSide};
pub use chosen::{Chosen, ChosenLetters};
pub use diffs::{DiffQuery, Diffs, SaidOfDiffs};
pub use extract::{Extracted, Extractor};
pub use happened::{Happened, happened_subscriptions};
pub use health::{Health, HealthStatus};
pub use letters::{Behind, Decided, Letter, LetterLine, LetterQuery, Letters};
pub use map::{ArrowKind, MapArrow, MapModule, SystemMap};
pub use metrics::Metrics;
pub use requests::{RequestLine, RequestList, RequestSheet, Wanted};
pub use sagas::{CancelSaga, Resumed, SagaCancelled, SagaLine, SagaList, SagaQuery, SagaSheet, SagaStep};
pub use status::{ModuleStatus, Status};
pub use store::{AuditError, AuditPage, AuditQuery, ControlStore};

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};

use strangler::{
    Clock, Contract, Principal, Serve, Switch, SystemClock,
    instances::{self, Heartbeat, Instance, Registration, Registry},
    pool::Pool,
    routes::{AuditEntry, Change, Refusal, Route, Side, Stage, Switchboard, check_reason},
};
use strangler_store::{Db, LeaseInfo, Sagas, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    databases,
    identity::{KeyRing, Tokens},
    serve::Again,
    settings::Settings,
};

/// One module as it runs in the monolith.
pub struct Running {
    /// Its contract.
    pub contract: &'static Contract,
    /// Whether the public address serves it.
    pub public: bool,
    /// The operations that it does not serve, by id.
    pub inside: &'static [&'static str],
    /// Its data.
    pub db: Db,
    /// Which data that is: the incarnation of its event log.
    pub data: Uuid,
    /// Its operations in this process.
    pub server: Arc<dyn Serve>,
    /// Which side answers.
    pub switch: Arc<Switch>,
    /// The way to its service.
    pub pool: Arc<Pool>,
    /// Its sagas with what defines them, if it has any.
    pub sagas: Option<Sagas>,
    /// Does its units of work again, from what they were given.
    pub(crate) again: Again,
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
    /// When this process started.
    pub started: Instant,
    /// Held by whoever looks what there is to decide, writes it down and does it: of two who decide the same at once, the
    /// second finds it decided.
    pub deciding: tokio::sync::Mutex<()>,
    /// The modules that are being merged back at this moment.
    pub merging: Mutex<BTreeSet<&'static str>>,
    /// Cancelled when this process is asked to stop.
    pub stop: CancellationToken,
    /// What was recorded of the calls between modules.
    pub calls: Calls,
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

    /// Every schema that this process works on: the control plane's own, then the modules'.
    pub fn schemas(&self) -> impl Iterator<Item = &Db> {
        std::iter::once(self.store.db()).chain(self.modules.iter().map(|m| &m.db))
    }

    /// The schema with this name.
    ///
    /// # Errors
    /// A sentence that names those there are.
    pub fn schema(&self, name: &str) -> Result<&Db, String> {
        self.schemas().find(|db| db.schema() == name).ok_or_else(|| {
            let all: Vec<_> = self.schemas().map(Db::schema).collect();
            format!("there is no module `{name}`; there are: {}", all.join(", "))
        })
    }

    /// Writes down what somebody decided about something that has no route. It comes before what is done: nothing is done
    /// that nobody answers for.
    async fn audit(
        &self,
        by: &Principal,
        target: String,
        change: (String, &str),
        why: Option<String>,
    ) -> Result<(), Refusal> {
        let entry = AuditEntry {
            at: self.clock().now(),
            by: by.subject.as_deref().unwrap_or("unknown").to_owned(),
            target,
            from: change.0,
            to: change.1.to_owned(),
            why,
        };
        let noted = self.store.note(entry).await;
        noted.map_err(|e| Refusal::Failed(format!("it could not be written down, so it was not done: {e}")))
    }

    /// Flips a toggle: checked, written down, audited, and in force for the next call. It is done to its end even when
    /// whoever asked goes away meanwhile: what is written down and what is in force must not differ.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn change(self: &Arc<Self>, change: &Change, by: &Principal) -> Result<AuditEntry, Refusal> {
        let (control, change, by) = (self.clone(), change.clone(), by.clone());
        to_its_end(async move { control.flip(&change, &by).await }).await
    }

    async fn flip(&self, change: &Change, by: &Principal) -> Result<AuditEntry, Refusal> {
        let by = by.subject.as_deref().unwrap_or("unknown");
        let allowed = |contract: &'static Contract, stage: Stage| {
            if self.merging().contains(contract.name) {
                return Err(format!("{} is being merged back at this moment", contract.name));
            }
            instances::ready(&self.registry, contract.name, contract.version)
                .map_err(|why| format!("{} cannot go to `{stage}`: {why}", contract.name))
        };
        let entry = self.switchboard.change(change, by, allowed).await?;
        if let Ok(running) = self.module(&change.target) {
            hand_over(running).await;
        }
        Ok(entry)
    }

    /// After a start: work that the other side has got meanwhile is not left with whoever had it before.
    pub async fn settle(&self) {
        for running in &self.modules {
            hand_over(running).await;
        }
    }

    /// The work of a process that is gone: others need not wait until its leases expire.
    pub async fn inherit(&self, gone: &Instance) {
        let registration = &gone.registration;
        let Ok(running) = self.module(&registration.module) else {
            return;
        };
        let holder = registration.worker();
        revoke(running, |lease| lease.holder == holder).await;
        if let Err(error) = Sagas::new(running.db.clone()).give_up(&holder).await {
            // They are found when they are due.
            tracing::warn!(module = running.contract.name, %error, "what a process had begun is begun again later");
        }
    }

    /// Puts a module back to `local` and ends every process that `extract` started for it, those included that cannot be
    /// reached now: they are told when they register again. Answers the process ids of those that ended.
    ///
    /// # Errors
    /// As [`Refusal`] says. Operations with a stage of their own are put back first, so nothing is asked of a process
    /// that ends.
    pub async fn merge_back(
        self: &Arc<Self>,
        module: &str,
        by: &Principal,
        why: Option<String>,
    ) -> Result<Vec<u32>, Refusal> {
        check_reason(why.as_deref())?;
        let (control, module, by) = (self.clone(), module.to_owned(), by.clone());
        to_its_end(async move { control.take_back(&module, &by, why).await }).await
    }

    async fn take_back(&self, module: &str, by: &Principal, why: Option<String>) -> Result<Vec<u32>, Refusal> {
        let running = self.module(module).map_err(Refusal::Wrong)?;
        let _merging = Merging::begin(self, running.contract.name)?;
        let why = why.or_else(|| Some("merge back".to_owned()));
        let change = |target: &str, stage| Change {
            target: target.to_owned(),
            stage,
            why: why.clone(),
            ..Change::default()
        };
        let routes = running.switch.routes().all();
        for &index in routes.operations.keys() {
            self.flip(&change(running.contract.operations[index].id, None), by)
                .await?;
        }
        if routes.module != Route::default() {
            self.flip(&change(module, Some(Stage::Local)), by).await?;
        }
        let stamp = self.next_stamp(module).await.map_err(Refusal::Failed)?;
        let written = self.store.move_mark(&merged_back(module), stamp).await;
        written.map_err(|e| Refusal::Failed(format!("which processes are to end could not be written down: {e}")))?;
        // Right after our own start, those that were there before have not registered yet.
        tokio::time::sleep(
            self.settings
                .instances
                .lost_after
                .saturating_sub(self.started.elapsed()),
        )
        .await;
        let ended = self.extractor.end_all(&self.registry, module).await;
        let ended = ended.map_err(Refusal::Failed)?;
        if !ended.is_empty() {
            let from = (processes(ended.len()), "ended");
            self.audit(by, format!("instances {module}"), from, why).await?;
        }
        Ok(ended)
    }

    /// Starts one more process that serves the module, and waits until it is registered and healthy.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn extract(
        self: &Arc<Self>,
        module: &str,
        by: &Principal,
        why: Option<String>,
    ) -> Result<Extracted, Refusal> {
        check_reason(why.as_deref())?;
        let (control, module, by) = (self.clone(), module.to_owned(), by.clone());
        to_its_end(async move {
            let running = control.module(&module).map_err(Refusal::Wrong)?;
            let there = processes(control.registry.of(&module).len());
            control
                .audit(&by, format!("instances {module}"), (there, "one more"), why)
                .await?;
            let mut settings = control.settings.clone();
            // A relative folder is relative to our working directory.
            settings.data.folder = control.extractor.data.clone();
            let database = databases::url(&settings, &module, false)
                .await
                .map_err(Refusal::Failed)?;
            let stamp = control.next_stamp(&module).await.map_err(Refusal::Failed)?;
            let mut variables = vec![("DATABASE_URL", database)];
            let own = control.settings.modules.get(&module);
            if let Some(own) = own {
                let mail = own.mail.as_ref().map(|mail| mail.expose().to_owned());
                let authorities = own.mail_ca_file.as_ref().map(|file| {
                    let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
                    file.display().to_string()
                });
                let set = [
                    ("PROVIDER_URL", own.provider_url.clone()),
                    ("MAIL", mail),
                    ("FROM", own.from.clone()),
                    ("MAIL_CA_FILE", authorities),
                    ("KEEP_DAYS", own.keep_days.map(|days| days.to_string())),
                ];
                variables.extend(set.into_iter().filter_map(|(name, value)| Some((name, value?))));
            }
            let started = control
                .extractor
                .start(&control.registry, running.contract, &variables, stamp)
                .await;
            let (extracted, instance, mut child) = started.map_err(Refusal::Failed)?;
            // It goes on when we end; while we are there, somebody has to collect its exit status.
            let watching = control.clone();
            tokio::spawn(async move {
                let ended = child.wait().await;
                let r = &instance.registration;
                tracing::info!(
                    module = r.module,
                    pid = r.pid,
                    ?ended,
                    "a process that was extracted ended"
                );
                watching.registry.leave(r.id);
                watching.inherit(&instance).await;
            });
            Ok(extracted)
        })
        .await
    }

    /// Takes a registration or a heartbeat, and says whether the process is to end.
    ///
    /// # Errors
    /// A process that serves other data is refused.
    ///
    /// With `seen`, the turn that the process knows of, the answer waits until there is news, or for the given time.
    pub async fn heartbeat(
        &self,
        registration: Registration,
        seen: Option<(Option<i64>, Duration)>,
    ) -> Result<Heartbeat, Refusal> {
        let running = self.module(&registration.module).map_err(Refusal::Wrong)?;
        if registration.data.is_some_and(|data| data != running.data) {
            return Err(Refusal::Refused(format!(
                "the process at {} serves another database than {}'s, which is {}; give it that one",
                registration.url,
                registration.module,
                running.db.display_url()
            )));
        }
        if let Some(stamp) = registration.extracted {
            let merged = self.store.marked_at(&merged_back(&registration.module)).await;
            let merged = merged.map_err(|e| Refusal::Failed(e.to_string()))?;
            let known = self.registry.all().iter().any(|i| i.registration.id == registration.id);
            if !known && merged.is_some_and(|merged| stamp <= merged) {
                return Ok(Heartbeat {
                    stop: true,
                    ..Heartbeat::default()
                });
            }
        }
        if self.registry.of(&registration.module).len() >= INSTANCES {
            let known = self.registry.all().iter().any(|i| i.registration.id == registration.id);
            if !known {
                let why = format!(
                    "{} has {INSTANCES} instances already, which is the most",
                    registration.module
                );
                return Err(Refusal::Refused(why));
            }
        }
        let id = registration.id;
        self.registry.heartbeat(registration);
        let mut turn = running.switch.routes().turn(Side::Service);
        let mut changes = self.registry.changes();
        if let Some((seen, patience)) = seen {
            let news = async {
                while self.news_of(id, &mut turn) == (false, seen) {
                    tokio::select! {
                        _ = turn.changed() => {}
                        _ = changes.changed() => {}
                    }
                }
            };
            tokio::select! {
                _ = tokio::time::timeout(patience, news) => {}
                () = self.stop.cancelled() => {}
            }
        }
        let (stop, turn) = self.news_of(id, &mut turn);
        let wanted = running.switch.wanted();
        Ok(Heartbeat { stop, turn, wanted })
    }

    /// Whether a process is asked to end, and whether the background work is its.
    fn news_of(&self, id: Uuid, turn: &mut watch::Receiver<Option<i64>>) -> (bool, Option<i64>) {
        let all = self.registry.all();
        let instance = all.iter().find(|i| i.registration.id == id);
        (instance.is_some_and(|i| i.is_ending()), *turn.borrow_and_update())
    }

    /// A time later than every one before, whatever the clock does: what came first is told by it.
    async fn next_stamp(&self, module: &str) -> Result<DateTime<Utc>, String> {
        let merged = self
            .store
            .marked_at(&merged_back(module))
            .await
            .map_err(|e| e.to_string())?;
        let now = self.clock().now();
        Ok(merged.map_or(now, |m| now.max(m + TimeDelta::microseconds(1))))
    }

    fn merging(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.merging.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The clock.
    pub fn clock(&self) -> Arc<SystemClock> {
        Arc::new(SystemClock)
    }
}

/// Sees to it that nobody works in the background any more under an older route than the one in force: whoever has a lease
/// loses it, after the transaction it may be in. Whoever has not heard of the flip yet gets none either.
async fn hand_over(running: &Running) {
    let epoch = running.switch.routes().all().epoch;
    revoke(running, |lease| lease.route < epoch).await;
}

/// Takes leases away from whoever has them.
async fn revoke(running: &Running, which: impl Fn(&LeaseInfo) -> bool + Send + Sync) {
    let (leases, epoch) = (running.db.leases(), running.switch.routes().all().epoch);
    let revoked = async {
        for lease in leases.list().await?.iter().filter(|lease| which(lease)) {
            leases.revoke_if(&lease.name, epoch, &which).await?;
        }
        Ok::<_, StoreError>(())
    };
    if let Err(error) = revoked.await {
        // Nothing is lost by that: a lease of an older route is taken by whoever has the newer one.
        tracing::warn!(module = running.contract.name, %error, "background work is handed over later");
    }
}

/// How many processes may serve one module.
const INSTANCES: usize = 64;

/// So many processes, in words.
fn processes(n: usize) -> String {
    match n {
        1 => "1 process".to_owned(),
        n => format!("{n} processes"),
    }
}

/// Under which name it is kept when a module was last merged back.
fn merged_back(module: &str) -> String {
    format!("merged-back-{module}")
}

/// A module that is being merged back: until that is over, nobody flips it to a stage that needs a service.
struct Merging<'a>(&'a Control, &'static str);

impl<'a> Merging<'a> {
    fn begin(control: &'a Control, module: &'static str) -> Result<Self, Refusal> {
        if !control.merging().insert(module) {
            return Err(Refusal::Refused(format!("{module} is being merged back already")));
        }
        Ok(Self(control, module))
    }
}

impl Drop for Merging<'_> {
    fn drop(&mut self) {
        self.0.merging().remove(self.1);
    }
}

/// Does something to its end, whether or not whoever asked waits for it.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::spawn(work).await;
    done.unwrap_or_else(|e| Err(Refusal::Failed(format!("it broke off: {e}; the log has the cause"))))
}
