//! What payments answers when it cannot do what it was asked.

use strangler::problems;

use crate::{PaymentId, PaymentStatus};

/// Payments' errors.
#[problems("payments")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentsError {
    /// The provider does not give the money.
    #[problem(
        402,
        "The payment was declined",
        detail = "the payment {id} was declined; pay with something else, under an id of its own"
    )]
    Declined {
        /// The payment's id.
        id: PaymentId,
    },
    /// No payment has this id.
    #[problem(404, "No such payment", detail = "no payment has the id {id}")]
    NoSuchPayment {
        /// The id that was asked for.
        id: PaymentId,
    },
    /// Only what is authorised can be captured.
    #[problem(409, "It is not authorised", detail = "the payment {id} is {standing}")]
    NotAuthorised {
        /// The payment's id.
        id: PaymentId,
        /// How it stands.
        standing: PaymentStatus,
    },
    /// Only what was captured can be refunded.
    #[problem(409, "It was not captured", detail = "the payment {id} is {standing}")]
    NotCaptured {
        /// The payment's id.
        id: PaymentId,
        /// How it stands.
        standing: PaymentStatus,
    },
    /// Money that was taken, or may have been, is given back by a refund.
    #[problem(
        409,
        "Its capture has begun",
        detail = "the payment {id} is {standing}; capture it to the end and refund it instead"
    )]
    CaptureBegun {
        /// The payment's id.
        id: PaymentId,
        /// How it stands.
        standing: PaymentStatus,
    },
    /// The payment was voided, perhaps before it began; its id is never used again.
    #[problem(
        410,
        "The payment is void",
        detail = "the payment {id} was voided; pay under an id of its own"
    )]
    Void {
        /// The payment's id.
        id: PaymentId,
    },
    /// Another payment has this id.
    #[problem(
        422,
        "Another payment has this id",
        detail = "the payment {id} is of another amount or by another means; send this one under an id of its own"
    )]
    OtherPayment {
        /// The payment's id.
        id: PaymentId,
    },
    /// The provider has not said what became of it. It may or may not have happened; the same request again finds out and
    /// never moves money twice.
    #[problem(
        503,
        "The provider has not answered yet",
        detail = "what became of the payment {id} is not known ({cause}); send the same request again, it moves no money twice"
    )]
    Unsettled {
        /// The payment's id.
        id: PaymentId,
        /// What happened on the way.
        cause: String,
    },
    /// Payments' own data cannot be reached at the moment.
    #[problem(503, "The data of payments cannot be reached", detail = "{cause}")]
    Unavailable {
        /// What happened and what to do next.
        cause: String,
    },
}
