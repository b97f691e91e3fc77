//! Tests that need the machine for themselves.

mod disk;
mod flips;
mod kills;
mod orders;
mod postgres;
