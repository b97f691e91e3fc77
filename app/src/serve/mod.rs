//! `banyan serve`: the whole system in one process, or some modules of it beside a running monolith.

mod calls;
mod join;
mod monolith;
mod nothing;
mod probes;
mod shadow;

pub(crate) use shadow::Again;

pub use join::{JoinOptions, join};
pub use monolith::{ServeOptions, monolith};

use std::future::Future;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What runs in the background, and ends when the process is asked to.
#[derive(Clone, Default)]
pub struct Background {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    /// Cancelled when the process is asked to stop.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task until it ends; it has to watch [`stop`](Self::stop) itself.
    pub fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Asks everything to end and waits until it has.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Returns when the process is asked to stop: SIGTERM, SIGINT.
pub(crate) async fn asked_to_stop() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    }
}
