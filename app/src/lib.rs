//! The `banyan` binary's own library: command line, composition, gateway, control plane and console.
//!
//! Here, and nowhere else, the modules are put together. It knows every module's contract and how to start its
//! implementation; it must never hold a rule of the business, nor look into a module's schema.

pub mod auth;
pub mod cli;
pub mod console;
pub mod control;
pub mod databases;
pub mod docs;
pub mod identity;
pub mod listener;
pub mod modules;
pub mod progress;
pub mod sample;
pub mod sandbox;
pub mod serve;
pub mod settings;
pub mod telemetry;
