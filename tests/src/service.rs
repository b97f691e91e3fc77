//! A module in a process of its own, started and restarted as an init system would.

use std::process::{Child, ExitStatus};

use crate::{
    System, holds_soon,
    system::{START, free_port, signal},
};

/// `banyan serve --only … --join …`, killed when it is dropped.
pub struct Service {
    process: Child,
    module: String,
    args: Vec<String>,
}

impl Service {
    /// Starts one for `module` on a port of its own and does not wait.
    pub fn launch(system: &System, module: &str, more: &[&str]) -> Self {
        let listen = format!("127.0.0.1:{}", free_port());
        let join = system.internal();
        let args = ["serve", "--only", module, "--join", &join, "--listen", &listen];
        let args: Vec<String> = args.iter().chain(more).map(|a| (*a).to_owned()).collect();
        Self {
            process: spawn(system, &args),
            module: module.to_owned(),
            args,
        }
    }

    /// Starts one and waits until the monolith knows it and finds it well.
    pub async fn start(system: &System, module: &str, more: &[&str]) -> Self {
        let service = Self::launch(system, module, more);
        service.ready(system).await;
        service
    }

    /// Waits until the monolith knows it and finds it well.
    pub async fn ready(&self, system: &System) {
        let pid = u64::from(self.pid());
        holds_soon("the service is registered and healthy", START, || async move {
            system.healthy_pids(&self.module).await.contains(&pid)
        })
        .await;
    }

    /// Where it listens: `http://127.0.0.1:…`.
    pub fn url(&self) -> String {
        format!("http://{}", self.args[6])
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it (-9) and starts it again.
    pub fn kill_and_restart(&mut self, system: &System) {
        self.kill();
        self.process = spawn(system, &self.args);
    }

    /// Kills it (-9).
    pub fn kill(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub fn stop(&mut self) -> ExitStatus {
        signal("TERM", self.pid());
        self.stopped()
    }

    /// Waits until it has ended, after somebody else asked it to.
    pub fn stopped(&mut self) -> ExitStatus {
        self.process.wait().expect("collected")
    }
}

fn spawn(system: &System, args: &[String]) -> Child {
    system.spawn(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
