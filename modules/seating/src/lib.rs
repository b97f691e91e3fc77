//! Seating: which seats a show has, who holds them, and which are sold. It learns of venues and shows from the catalog's
//! events, owns what becomes of each seat, and sees to it that no seat is ever two people's. It calls nobody and must
//! never know who buys, or what money is moved.

mod domain;
mod service;
mod store;
pub mod subscriptions;
mod sweep;

pub use service::SeatingModule;
pub use sweep::sweep;
