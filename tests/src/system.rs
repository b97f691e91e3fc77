//! One running Banyan in a folder of its own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use ::http::Method;
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Answer, Client, eventually, holds_soon};

/// How long a start may take here: test machines are slow, and nothing is measured by it.
pub const START: Duration = Duration::from_secs(60);

/// The built `banyan`, beside the tests.
///
/// # Panics
/// When it is not there: `cargo nextest run --workspace` builds it.
pub fn banyan() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps/<test>");
    let program = target.join("banyan");
    assert!(
        program.exists(),
        "{} is not built: run `cargo build -p banyan` or the whole workspace's tests",
        program.display()
    );
    program
}

/// A port that is free now, below the range that outgoing connections draw from, so that nobody takes it while the system
/// is down. No two are alike in one process, and those of processes that run at the same time lie apart.
pub fn free_port() -> u16 {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    loop {
        let nth = std::process::id()
            .wrapping_mul(16)
            .wrapping_add(DRAWN.fetch_add(1, Relaxed));
        let port = 15_000 + (nth % 17_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// How a system is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A PostgreSQL database instead of files.
    pub database: Option<String>,
    /// Further environment variables.
    pub env: Vec<(String, String)>,
    /// Further arguments of `serve`.
    pub args: Vec<String>,
}

/// One of the two addresses of a running system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// Open to the world.
    Public,
    /// Between processes, with a token.
    Internal,
}

/// A running system. Dropped, everything that was started for it is killed.
pub struct System {
    folder: TempDir,
    public: u16,
    internal: u16,
    options: Options,
    process: Option<Child>,
    client: Client,
}

impl System {
    /// A system with its defaults, ready.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// A system, ready.
    pub async fn with(options: Options) -> Self {
        let mut system = Self::prepare(options);
        system.start_again().await;
        system
    }

    /// A system that is not started yet.
    pub fn prepare(options: Options) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("banyan-test-")
            .tempdir()
            .expect("a folder");
        let (public, internal) = (free_port(), free_port());
        Self {
            folder,
            public,
            internal,
            options,
            process: None,
            client: Client::default(),
        }
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// The public address: `http://127.0.0.1:…`.
    pub fn public(&self) -> String {
        format!("http://127.0.0.1:{}", self.public)
    }

    /// The internal address.
    pub fn internal(&self) -> String {
        format!("http://127.0.0.1:{}", self.internal)
    }

    /// One of the two.
    pub fn url(&self, address: Address) -> String {
        match address {
            Address::Public => self.public(),
            Address::Internal => self.internal(),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().map(Child::id).expect("it runs")
    }

    /// The operator's token.
    pub fn token(&self) -> String {
        fs::read_to_string(self.data().join("operator-token"))
            .expect("a token")
            .trim()
            .to_owned()
    }

    /// The join token.
    pub fn join_token(&self) -> String {
        fs::read_to_string(self.data().join("join-token"))
            .expect("a token")
            .trim()
            .to_owned()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("serve.log")).unwrap_or_default()
    }

    /// A `banyan` command in its folder and environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "the settings of whoever runs the tests are not the program's"
    )]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(banyan());
        command.args(args).current_dir(self.folder()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("BANYAN_")) {
            command.env_remove(name);
        }
        command
            .env("NO_COLOR", "1")
            .env("BANYAN_PUBLIC__LISTEN", format!("127.0.0.1:{}", self.public))
            .env("BANYAN_INTERNAL__LISTEN", format!("127.0.0.1:{}", self.internal))
            .env("BANYAN_DATA__FOLDER", self.data())
            .env("BANYAN_CONTROL", self.internal());
        if let Some(url) = &self.options.database {
            command.env("BANYAN_DATABASE__URL", url);
        }
        command.envs(self.options.env.iter().map(|(k, v)| (k, v)));
        command
    }

    /// A `banyan serve …` process with its log in the folder.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let log = || {
            fs::File::options()
                .create(true)
                .append(true)
                .open(self.folder().join("serve.log"))
                .expect("a log")
        };
        self.command(args)
            .stdout(log())
            .stderr(log())
            .spawn()
            .expect("banyan starts")
    }

    /// Starts it (again) without waiting.
    pub fn launch(&mut self) {
        let args: Vec<_> = std::iter::once("serve")
            .chain(self.options.args.iter().map(String::as_str))
            .collect();
        self.process = Some(self.spawn(&args));
    }

    /// Starts it (again) and waits until it is ready.
    pub async fn start_again(&mut self) {
        self.launch();
        let url = format!("{}/readyz", self.public());
        let (client, folder) = (self.client.clone(), self.folder.path().to_owned());
        let mut process = self.process.take();
        eventually("the system is ready", START, || {
            if let Some(status) = process.as_mut().and_then(|p| p.try_wait().ok().flatten()) {
                let log = fs::read_to_string(folder.join("serve.log")).unwrap_or_default();
                panic!("banyan ended with {status} instead of starting:\n{log}");
            }
            let (client, url) = (client.clone(), url.clone());
            async move {
                client
                    .send(Method::GET, &url, &[], "")
                    .await
                    .ok()
                    .filter(|a| a.status == 200)
            }
        })
        .await;
        self.process = process;
    }

    /// Kills it (-9).
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("killed");
            process.wait().expect("collected");
        }
    }

    /// Asks it to stop (SIGTERM) and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        signal("TERM", process.id());
        process.wait().expect("collected")
    }

    /// Waits until it has ended, after somebody else asked it to.
    pub fn stop_was_asked(&mut self) -> ExitStatus {
        self.process.take().expect("it runs").wait().expect("collected")
    }

    /// Runs a command of the command line.
    pub async fn cli(&self, args: &[&str]) -> Output {
        let mut command = self.command(args);
        tokio::task::spawn_blocking(move || command.output().expect("banyan runs"))
            .await
            .expect("joined")
    }

    /// Runs a command that must succeed, and answers what it printed.
    pub async fn run(&self, args: &[&str]) -> String {
        let out = self.cli(args).await;
        let (said, told) = (
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr),
        );
        assert!(
            out.status.success(),
            "banyan {} exited {}: {said}{told}",
            args.join(" "),
            out.status
        );
        said.into_owned()
    }

    /// One module of `banyan status --json`.
    pub async fn status(&self, module: &str) -> Value {
        let all: Value = serde_json::from_str(&self.run(&["status", "--json"]).await).expect("JSON");
        let modules = all["modules"].as_array().expect("modules");
        modules
            .iter()
            .find(|m| m["module"] == module)
            .expect("the module")
            .clone()
    }

    /// Sends a request to the public address.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        self.send_to(Address::Public, method, path, headers, body).await
    }

    /// Sends a request to one of its addresses.
    pub async fn send_to(
        &self,
        address: Address,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let url = format!("{}{path}", self.url(address));
        self.client.send(method, &url, headers, body).await
    }

    /// The answer to a GET on the public address.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await.expect("an answer")
    }

    /// The answer to a PUT of JSON on the public address, as the operator.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.try_put(path, body).await.expect("an answer")
    }

    /// The same where there may be no answer.
    pub async fn try_put(&self, path: &str, body: &Value) -> Result<Answer, String> {
        let token = format!("Bearer {}", self.token());
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        self.send(Method::PUT, path, &headers, body.to_string()).await
    }

    /// Sends a request to any address with this system's client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until an instance of the module is healthy.
    pub async fn healthy(&self, module: &str) {
        holds_soon("a healthy instance", START, || async move {
            let out = self.cli(&["status", "--json"]).await;
            let all: Value = serde_json::from_slice(&out.stdout).unwrap_or_default();
            let modules = all["modules"].as_array().cloned().unwrap_or_default();
            modules.iter().any(|m| {
                m["module"] == module
                    && m["instances"]
                        .as_array()
                        .is_some_and(|l| l.iter().any(|i| i["healthy"] == true))
            })
        })
        .await;
    }
}

/// Sends a signal, such as `TERM`.
pub fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .status()
        .expect("kill runs");
    assert!(sent.success(), "kill -{name} {pid}");
}

impl Drop for System {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the system's log ---\n{}", self.log());
        }
        if let Some(mut process) = self.process.take() {
            _ = process.kill();
            _ = process.wait();
        }
        // What it extracted runs in the same folder and outlives it.
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
                continue;
            };
            if fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == self.folder.path()) {
                _ = Command::new("kill").arg("-KILL").arg(pid.to_string()).status();
            }
        }
    }
}
