//! The catalog: acts, venues and shows. It owns what a season consists of and tells others by events; it calls nobody and
//! must never know who listens.

mod domain;
mod service;
mod store;

pub use service::CatalogModule;
