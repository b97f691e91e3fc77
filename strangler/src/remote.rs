//! The way to a service, as the generated client sees it.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use bytes::Bytes;

use crate::{
    BoxFuture, Cx,
    contract::Contract,
    cx::Run,
    fault::{Fault, FaultKind},
    stats::ModuleStats,
    tape::Dialled,
    wire::{Answered, Ask},
};

/// Carries a request of a contract to whoever serves it in another process, and the answer back.
pub trait Transport: Send + Sync + 'static {
    /// Sends `ask` within the time that `cx` has left. An answer of any status is `Ok`.
    fn send<'a>(&'a self, cx: &'a Cx, contract: &'static Contract, ask: Ask) -> BoxFuture<'a, Result<Answered, Fault>>;

    /// Has a unit of work done again there, only to be compared: `body` says which, and what it was given. At most `most`
    /// bytes of answer are read. A way that does not lead to a service of this one module leads to nobody who could.
    fn shadow<'a>(
        &'a self,
        _cx: &'a Cx,
        contract: &'static Contract,
        _body: Bytes,
        _most: usize,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        let detail = format!("nobody on this way does units of work of {} again", contract.name);
        Box::pin(std::future::ready(Err(Fault::new(FaultKind::Unavailable, detail))))
    }
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
        let Some(tape) = cx.tape() else {
            return self.make(cx, ask).await;
        };
        match tape.dial(self.contract, &ask).await {
            Dialled::Answered(answer) => Ok(answer),
            Dialled::Live(line) => {
                let answer = self.make(&cx.untaped(), ask).await;
                line.heard(match &answer {
                    Ok(answer) => answer.clone(),
                    Err(fault) => fault.clone().into(),
                });
                answer
            }
        }
    }

    async fn make(&self, cx: &Cx, ask: Ask) -> Result<Answered, Fault> {
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
