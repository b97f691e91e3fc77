//! The side that is asked what it would do: a unit of work done again from what it was given. Nothing is written, locked or
//! called because of it.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;
use serde_json::Value;

use crate::{
    BoxFuture, Contract, Cx, Serve,
    fault::{Fault, FaultKind},
    tape::{CommandAsked, Given, Replayed, ShadowAsk, Tape, told},
    wire::{Answered, Ask, Asked},
};

/// Does a module's units of work again, whatever they are.
pub trait Redo: Send + Sync + 'static {
    /// Does this one again, for whoever `cx` says.
    ///
    /// # Errors
    /// A sentence, when the module has no such unit of work.
    fn redo<'a>(&'a self, cx: &'a Cx, ask: ShadowAsk) -> BoxFuture<'a, Result<Replayed, String>>;
}

/// Where a service is asked: `/shadow/v1/catalog`.
pub fn path(module: &str) -> String {
    format!("/shadow/v1/{module}")
}

/// Does a unit of work again, on a tape that answers from `given`. One that panics answers what `broke` says.
pub async fn replay<F>(given: Given, run: impl FnOnce(Arc<Tape>) -> F, broke: impl FnOnce(&str) -> Value) -> Replayed
where
    F: Future<Output = Value>,
{
    let tape = Tape::replaying(given);
    let Tape::Replay(replay) = &*tape else {
        unreachable!("it was made to replay")
    };
    let run = AssertUnwindSafe(async { run(tape.clone()).await }).catch_unwind();
    let answer = tokio::select! {
        biased;
        () = replay.halted() => Value::Null,
        answer = run => answer.unwrap_or_else(|panic| broke(said(&*panic))),
    };
    replay.finish(answer)
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// Runs a command again, as whoever `cx` says and behind the module's guard.
///
/// # Errors
/// A sentence, when the contract has no such operation, or the command is none of it.
pub async fn command(server: &dyn Serve, cx: &Cx, asked: &CommandAsked, given: Given) -> Result<Replayed, String> {
    let contract = server.contract();
    let none = || {
        format!(
            "{} has no command {} at {}",
            contract.name, asked.operation, asked.target
        )
    };
    let ask = asked.ask(contract).ok_or_else(none)?;
    let (params, query) = params(contract, &ask).ok_or_else(none)?;
    let run = |tape| {
        let cx = cx.clone().shadow().with_tape(tape);
        let (ask, params) = (&ask, &params);
        async move {
            let asked = Asked {
                params,
                query,
                headers: &ask.headers,
                body: &ask.body,
            };
            told(&server.serve(ask.index, &cx, asked).await)
        }
    };
    let broke = |_: &str| {
        let id = contract.operations[ask.index].id;
        let fault = Fault::new(
            FaultKind::Broken,
            format!("{id} broke; the log has the cause under this trace"),
        );
        told(&Answered::from(fault))
    };
    Ok(replay(given, run, broke).await)
}

/// What is in a request's path, and its query; `None` when its path is not the operation's.
fn params<'a>(contract: &'static Contract, ask: &'a Ask) -> Option<(Vec<&'a str>, Option<&'a str>)> {
    let path = ask.target.strip_prefix(&contract.prefix())?;
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    let mut params = Vec::new();
    let mut segments = path.split('/');
    for named in contract.operations[ask.index].path.split('/') {
        let segment = segments.next()?;
        match named.starts_with('{') {
            true => params.push(segment),
            false if named == segment => {}
            false => return None,
        }
    }
    segments.next().is_none().then_some((params, query))
}
