//! What ordering answers when it cannot do what it was asked.

use strangler::problems;

use crate::{OrderId, OrderStatus};

/// Ordering's errors.
#[problems("ordering")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderingError {
    /// No order has this id.
    #[problem(404, "No such order", detail = "no order has the id {id}")]
    NoSuchOrder {
        /// The id that was asked for.
        id: OrderId,
    },
    /// There is nothing to cancel, or somebody has to look at it first.
    #[problem(
        409,
        "The order cannot be cancelled",
        detail = "the order {id} is {standing} and cannot be cancelled any more"
    )]
    NotCancellable {
        /// The order's id.
        id: OrderId,
        /// How it stands.
        standing: OrderStatus,
    },
    /// Another order has this id.
    #[problem(
        422,
        "Another order has this id",
        detail = "the order {id} was placed with other contents; place this one under an id of its own"
    )]
    OtherOrder {
        /// The order's id.
        id: OrderId,
    },
    /// Ordering's data cannot be reached at the moment.
    #[problem(503, "Ordering's data cannot be reached", detail = "{cause}")]
    Unavailable {
        /// What happened and what to do next.
        cause: String,
    },
}
