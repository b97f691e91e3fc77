//! The strangler toolkit: contracts between modules, and the switch that decides, call by call, which side answers.
//!
//! A module's contract is a trait under `#[contract]`. From it come the object-safe trait that callers hold, the server,
//! the client and the switch. This crate knows nothing of what the modules are about, of databases or of a particular
//! application: it must never depend on a module, on the kernel of a domain, or on the store.

#[doc(hidden)]
#[path = "rt.rs"]
pub mod __rt;
pub mod asyncapi;
pub mod body;
pub mod calls;
pub mod clock;
pub mod cohort;
pub mod compare;
pub mod contract;
pub mod cx;
pub mod direct;
pub mod effects;
pub mod event;
pub mod fault;
pub mod gateway;
pub mod guard;
pub mod instances;
pub mod openapi;
pub mod page;
pub mod parallel;
pub mod pool;
pub mod problem;
pub mod remote;
pub mod routes;
pub mod shadow;
pub mod share;
pub mod stats;
pub mod switch;
pub mod tape;
pub mod wire;

use std::{future::Future, pin::Pin};

pub use clock::{Clock, ManualClock, SystemClock};
pub use compare::{Compared, Marks};
pub use contract::{Auth, Contract, Kind, Operation};
pub use cx::{Cx, Principal, Run, Scopes, Trace, TraceId};
pub use event::{Event, EventInfo};
pub use fault::{Failure, Fault, FaultKind};
pub use page::WebPage;
pub use problem::{ContractError, Problem, ProblemKind};
pub use remote::{Remote, Transport};
pub use stats::ModuleStats;
pub use strangler_macros::{Compared, contract, problems};
pub use switch::{Switch, Way};
pub use wire::{Accepted, Done, IfMatch, Put, Serve};

/// A boxed future that may move between threads: the one allocation of a call through a contract.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
