//! What the pages say: money, times, filters, seats and orders in words. No I/O.

mod barcode;
mod order;
mod plan;
mod season;
mod words;

pub(crate) use barcode::Barcode;
pub(crate) use order::{Headline, StepLine, headline, is_moving, refusal, step_lines};
pub(crate) use plan::{Plan, seat_in_words};
pub(crate) use season::{Asked, Filter};
pub(crate) use words::{LocalTime, digits, money};
