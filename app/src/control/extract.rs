//! Starting and ending processes beside the monolith.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use chrono::{DateTime, Utc};
use strangler::{
    Contract,
    instances::{Instance, Registry},
};
use tokio::{
    process::{Child, Command},
    sync::Mutex,
};

use std::sync::Arc;

/// How long a process may take to be healthy and registered.
const START: Duration = Duration::from_secs(20);
/// How often it is looked whether a process has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How long a process may take to finish what it accepted.
const END: Duration = Duration::from_secs(18);

/// What every process that is started here is told.
pub struct Extractor {
    /// The monolith's internal address, as the other process reaches it.
    pub join: String,
    /// The data folder, absolute.
    pub data: PathBuf,
    /// The settings file that was named, if one was.
    pub config: Option<PathBuf>,
    /// One at a time, so that each finds its own.
    pub turn: Mutex<()>,
}

/// A process that was started and is healthy.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Extracted {
    /// Its process id.
    pub pid: u32,
    /// Where it serves.
    pub url: String,
    /// Its log.
    pub log: PathBuf,
}

impl Extractor {
    /// Starts a process that serves `contract` and waits until it is registered and healthy. `variables` are the module's
    /// own settings, the address of its database among them, which is all that it learns of ours; `stamp` says which one it
    /// is. Answers the process too: whoever has it collects its exit status.
    ///
    /// # Errors
    /// A sentence with what the process said last, when it ended; or that it is not healthy in time (it is ended then).
    pub async fn start(
        &self,
        registry: &Registry,
        contract: &Contract,
        variables: &[(&str, String)],
        stamp: DateTime<Utc>,
    ) -> Result<(Extracted, Arc<Instance>, Child), String> {
        let _turn = self.turn.lock().await;
        let module = contract.name;
        let (mut child, log) = self.spawn(module, variables, stamp)?;
        let pid = child.id().ok_or("the process ended at once")?;
        let mut changes = registry.changes();
        let healthy = async {
            loop {
                if let Some(instance) = find(registry, module, pid) {
                    break instance;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let ended = |status: ExitStatus| {
            let said = last_lines(&log);
            format!(
                "the process for {module} ended with {status} before it was healthy; its log {} says:\n{said}",
                log.display()
            )
        };
        let instance = tokio::select! {
            instance = healthy => instance,
            status = child.wait() => return Err(status.map_or_else(|e| e.to_string(), ended)),
            () = tokio::time::sleep(START) => {
                _ = child.kill().await;
                let seconds = START.as_secs();
                return Err(format!("the process for {module} was not healthy after {seconds} s and was ended; see {}", log.display()));
            }
        };
        let extracted = Extracted {
            pid,
            url: instance.registration.url.clone(),
            log,
        };
        Ok((extracted, instance, child))
    }

    fn spawn(
        &self,
        module: &str,
        variables: &[(&str, String)],
        stamp: DateTime<Utc>,
    ) -> Result<(Child, PathBuf), String> {
        let program = std::env::current_exe().map_err(|e| format!("cannot tell where this program is: {e}"))?;
        let folder = self.data.join("logs");
        std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        let log = folder.join(format!("{module}.log"));
        let open = || OpenOptions::new().create(true).append(true).open(&log);
        let files = open().and_then(|out| Ok((out, open()?)));
        let (out, err) = files.map_err(|e| format!("cannot write {}: {e}", log.display()))?;
        let mut command = Command::new(&program);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command
            .args([
                "serve",
                "--only",
                module,
                "--join",
                &self.join,
                "--listen",
                "127.0.0.1:0",
                "--extracted",
                &stamp.to_rfc3339(),
            ])
            .env("BANYAN_DATA__FOLDER", &self.data)
            .envs(variables.iter().map(|(name, value)| {
                let name = format!("BANYAN_MODULES__{}__{name}", module.to_uppercase());
                (name, value)
            }))
            .env_remove("BANYAN_DATABASE__URL")
            .env_remove("BANYAN_DATABASE__URL_FILE")
            .env_remove("BANYAN_OPERATOR_TOKEN")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .kill_on_drop(false)
            // A Ctrl-C meant for the monolith is not meant for it.
            .process_group(0);
        let child = command
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        Ok((child, log))
    }

    /// Ends every process of this module that was started here and can be reached, after it has finished what it accepted.
    /// Answers their process ids.
    ///
    /// # Errors
    /// A sentence that names those that have not ended in time.
    pub async fn end_all(&self, registry: &Registry, module: &str) -> Result<Vec<u32>, String> {
        let asked = registry.stop_extracted(module);
        let pids: Vec<u32> = asked.iter().map(|i| i.registration.pid).collect();
        let gone = async {
            // Gone is who has ended, not who is silent: a process that was only stopped would come back.
            while pids.iter().any(|&pid| is_alive(pid)) {
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(END, gone).await {
            Ok(()) => {
                asked.iter().for_each(|i| registry.leave(i.registration.id));
                Ok(pids)
            }
            Err(_) => {
                let left: Vec<_> = pids.into_iter().filter(|&pid| is_alive(pid)).collect();
                Err(format!(
                    "{module} is local again, but of the processes that were asked to end these still run after {} s: {left:?}; \
                     they end as soon as they can ask, or end them with `kill`",
                    END.as_secs()
                ))
            }
        }
    }
}

/// Whether a process of this machine runs.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // After the name in brackets: the state, of which Z is one that has ended and was not collected.
    !matches!(
        stat.rsplit(')')
            .next()
            .and_then(|rest| rest.trim_start().chars().next()),
        Some('Z' | 'X') | None
    )
}

fn find(registry: &Registry, module: &str, pid: u32) -> Option<Arc<Instance>> {
    registry
        .of(module)
        .into_iter()
        .find(|i| i.registration.pid == pid && i.healthy())
}

/// The last ten lines of a log.
fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
