//! What every contract promises, read from the contracts themselves: a module that joins `banyan::modules::MODULES` is
//! tested here without a line more, but for its row in the authorisation table and its snapshot, which these tests ask for.

mod authorisation;
mod cases;
mod document;
mod events;
mod parity;
mod property;
mod raw;
mod rubbish;
mod scenario;
mod shape;
mod snapshots;
mod values;
