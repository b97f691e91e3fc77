//! Ordering: takes a purchase from the held seat to the ticket, or back to where it was. It keeps how far each order has
//! come and nothing else: seats are seating's and money is payments', and both are asked through their contracts. It must
//! never know how either is kept, nor who is told what became of an order.

mod domain;
mod saga;
mod service;
mod store;

pub use saga::sagas;
pub use service::OrderingModule;
