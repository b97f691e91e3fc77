//! The front door of payments: money is reserved, taken, let go or given back, once, however often it is asked for. It
//! must never know what is paid for, nor which provider moves the money.

mod error;
mod payment;

pub use error::PaymentsError;
pub use payment::{Payment, PaymentDraft, PaymentStatus, PaymentToken};
use strangler::{Cx, Put, contract};

/// The scope that everything here asks for: money is moved by the system's own processes and by nobody else.
pub const CHARGE: &str = "payments:charge";

kernel::id! {
    /// A payment's id: also the key by which the provider knows a repeat.
    pub struct PaymentId;
}

/// What the rest of the system may know about payments.
///
/// A payment is authorised, then captured or voided; what was captured can be refunded. Every command is idempotent by
/// the payment's id. When the provider leaves an outcome open the answer is `Unsettled`: the same command again finds out
/// what happened, and never moves money twice.
#[contract(name = "payments", version = 1)]
pub trait Payments {
    /// The payment with this id, as far as its outcome is known.
    #[query(get = "/payments/{id}", auth = scope("payments:charge"))]
    async fn payment(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError>;

    /// Has the provider reserve the money.
    #[command(put = "/payments/{id}", auth = scope("payments:charge"))]
    async fn authorise(
        &self,
        cx: &Cx,
        id: PaymentId,
        #[body] draft: PaymentDraft,
    ) -> Result<Put<Payment>, PaymentsError>;

    /// Has the provider take the money that it reserved.
    #[command(put = "/payments/{id}/capture", auth = scope("payments:charge"))]
    async fn capture(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError>;

    /// Has the provider let the money go. Voided before it was authorised, the payment cannot be authorised any more. A
    /// declined payment stays declined.
    #[command(put = "/payments/{id}/void", auth = scope("payments:charge"))]
    async fn void(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError>;

    /// Has the provider give the money back.
    #[command(put = "/payments/{id}/refund", auth = scope("payments:charge"))]
    async fn refund(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError>;
}
