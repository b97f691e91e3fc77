//! The way to a service, as the generated client sees it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use crate::{
    BoxFuture, Cx,
    contract::Contract,
    cx::Run,
    fault::Fault,
    stats::ModuleStats,
    wire::{Answered, Ask},
};

/// Carries a request of a contract to whoever serves it in another process, and the answer back.
pub trait Transport: Send + Sync + 'static {
    /// Sends `ask` within the time that `cx` has left. An answer of any status is `Ok`.
    fn send<'a>(&'a self, cx: &'a Cx, contract: &'static Contract, ask: Ask) -> BoxFuture<'a, Result<Answered, Fault>>;
}

/// The untyped half of a generated client.
#[derive(Clone)]
pub struct Remote {
    contract: &'static Contract,
    transport: Arc<dyn Transport>,
    stats: Arc<ModuleStats>,
}

impl Remote {
    /// A way over `transport`, counted into `stats`.
    pub fn new(contract: &'static Contract, transport: Arc<dyn Transport>, stats: Arc<ModuleStats>) -> Self {
        Self {
            contract,
            transport,
            stats,
        }
    }

    /// Asks, and counts the answer.
    pub async fn call(&self, cx: &Cx, ask: Ask) -> Result<Answered, Fault> {
        let stats = self.stats.operation(ask.index);
        let began = Instant::now();
        let answer = self.transport.send(cx, self.contract, ask).await?;
        if cx.run() == Run::Live {
            stats.remote.fetch_add(1, Relaxed);
            stats.remote_time.record(began.elapsed());
        }
        Ok(answer)
    }
}
