//! Seating's rules: which seats there are, and how a hold goes from one state to the next.

mod hold;
mod plan;
#[cfg(test)]
mod tests;

pub(crate) use hold::{HoldState, Phase, Takings};
pub(crate) use plan::{Plan, Price, Section, Taken};
