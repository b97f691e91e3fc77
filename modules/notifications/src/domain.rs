//! The rules of a mail: what it says, when it is sent, and what may follow what.

mod letter;
mod mail;
#[cfg(test)]
mod tests;

pub(crate) use letter::{Facts, House, Letter, Seat};
pub(crate) use mail::{Address, MailState};
pub use mail::{Failure, Outgoing};
