//! Ordering's front door: a purchase, placed once, followed, and cancelled. It must never know how seats are held nor how
//! money is moved; it asks seating and payments, whose names for seats and tokens it shares.

mod draft;
mod email;
mod error;
mod event;
mod order;

pub use draft::{MOST_SEATS, OrderDraft};
pub use email::Email;
pub use error::OrderingError;
pub use event::{OrderCancelled, OrderConfirmed, OrderPlaced, OrderRefused, OrderStuck, OrderingEvent};
pub use order::{Order, OrderStatus, OrderStep, StepState, Ticket};
pub use payments_contract::PaymentToken;
pub use seating_contract::{SeatId, ShowId};
use strangler::{Accepted, Cx, contract};

/// The scope that cancelling an order asks for.
pub const CANCEL: &str = "ordering:cancel";

kernel::id! {
    /// An order's id: also the id of the hold and of the payment that are made for it.
    pub struct OrderId;
}
kernel::id! {
    /// A ticket's id.
    pub struct TicketId;
}

/// What the rest of the system may know about orders.
///
/// An order is placed and then goes on by itself: the seats are held, the money is reserved, the hold is made final, the
/// money is taken, the seats are sold. It ends confirmed, or refused with nothing held and nothing owed.
#[contract(name = "ordering", version = 1, events = OrderingEvent)]
pub trait Ordering {
    /// Places the order and answers at once; follow it where `Location` says. The same order put twice is placed once.
    #[command(put = "/orders/{id}", auth = public)]
    async fn place(&self, cx: &Cx, id: OrderId, #[body] draft: OrderDraft) -> Result<Accepted<Order>, OrderingError>;

    /// The order with this id and how far it has come.
    #[query(get = "/orders/{id}", auth = public, etag = version)]
    async fn order(&self, cx: &Cx, id: OrderId) -> Result<Order, OrderingError>;

    /// Cancels the order. What was done so far is undone; a confirmed order's seats are free again and its money is given
    /// back. While the money is being taken nobody can say whether it was: an order that is cancelled then is confirmed
    /// first, if the money was taken, and cancelled afterwards. Asked again, it answers the same.
    #[command(delete = "/orders/{id}", auth = scope("ordering:cancel"))]
    async fn cancel(&self, cx: &Cx, id: OrderId) -> Result<Accepted<Order>, OrderingError>;
}
