//! What the system tests share: starting the real `banyan` in a folder of its own, talking to it as a client would, and
//! waiting for conditions. It knows only what is promised outside; it must never reach into the program.

#![expect(clippy::print_stdout, reason = "what a test says of its seed and of what it skips")]

pub mod breaking;
pub mod browser;
pub mod candidate;
pub mod http;
pub mod load;
pub mod office;
pub mod postgres;
pub mod prometheus;
pub mod python;
pub mod random;
pub mod sales;
pub mod service;
pub mod system;
pub mod tampered;
pub mod wait;

pub use browser::{Browser, View};
pub use candidate::{Asked, Behaviour, Candidate};
pub use http::{Answer, Client};
pub use load::{Bear, Load};
pub use postgres::Database;
pub use python::PythonCatalog;
pub use random::{Random, seed};
pub use sales::{Buyers, Hall, Placed, Purse};
pub use service::Service;
pub use system::{Address, Options, System, banyan};
pub use tampered::{Fault, Tampered};
pub use wait::{eventually, holds_soon};
