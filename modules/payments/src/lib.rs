//! Payments: stands between the system and whoever moves the money, and sees to it that money is moved once. It keeps
//! what it has begun before it calls the provider, and asks again when it was left without an answer. It calls no other
//! module and must never know what is paid for.
//!
//! The provider is behind a port ([`Provider`]); [`HttpProvider`] speaks to one that has the API of the [`sandbox`].

mod domain;
mod provider;
pub mod sandbox;
mod service;
mod store;

pub use domain::{Charge, Intent, IntentState};
pub use provider::{HttpProvider, Provider, ProviderError};
pub use service::PaymentsModule;
