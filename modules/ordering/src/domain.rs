//! An order's rules: how it begins, ends, and is cancelled. What happens in between is its saga's.

use kernel::{Money, Uuid};
use ordering_contract::{
    Email, Order, OrderCancelled, OrderConfirmed, OrderDraft, OrderId, OrderPlaced, OrderRefused, OrderStatus,
    OrderStep, OrderStuck, OrderingError, OrderingEvent, PaymentToken, SeatId, ShowId, Ticket, TicketId,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strangler::Problem;

mod reason;
#[cfg(test)]
mod tests;

pub(crate) use reason::{refusal, stuck, was_cancelled};

/// An order as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OrderState {
    pub(crate) id: OrderId,
    pub(crate) version: i64,
    pub(crate) show: ShowId,
    pub(crate) seats: Vec<SeatId>,
    pub(crate) email: Email,
    /// Tells one token from another without keeping it.
    pub(crate) token_digest: String,
    pub(crate) status: OrderStatus,
    /// Somebody was promised that it ends cancelled.
    pub(crate) cancel_asked: bool,
    /// The saga that takes it back after its money was taken.
    pub(crate) cancellation: Option<Uuid>,
    pub(crate) reason: Option<Problem>,
    /// Once it was confirmed.
    pub(crate) total: Option<Money>,
    pub(crate) tickets: Vec<Ticket>,
}

/// How far an order's sagas have come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Grows with every change of the sagas.
    pub(crate) version: i64,
    /// Once the seats are held.
    pub(crate) total: Option<Money>,
    pub(crate) steps: Vec<OrderStep>,
}

/// What a wish to cancel comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cancelling {
    /// It is cancelled or will be.
    Already,
    /// Write this, and have the order's saga turn round. If it cannot any more, the order is cancelled once it is confirmed.
    TurnRound(OrderState),
    /// Write this, and begin the saga with this id, which takes the order back.
    TakeBack(OrderState, Uuid),
}

impl OrderState {
    /// A new order.
    pub(crate) fn place(id: OrderId, draft: &OrderDraft) -> Self {
        Self {
            id,
            version: 1,
            show: draft.show(),
            seats: draft.seats().to_vec(),
            email: draft.email().clone(),
            token_digest: digest(id, draft.payment_token()),
            status: OrderStatus::Placed,
            cancel_asked: false,
            cancellation: None,
            reason: None,
            total: None,
            tickets: Vec::new(),
        }
    }

    /// Whether this is the order that `draft` asks for.
    pub(crate) fn is_for(&self, draft: &OrderDraft) -> bool {
        self.show == draft.show()
            && self.seats == draft.seats()
            && self.email == *draft.email()
            && self.token_digest == digest(self.id, draft.payment_token())
    }

    /// The order once the money is taken and the seats are sold. `new_id` names the tickets.
    pub(crate) fn confirm(&self, total: Money, mut new_id: impl FnMut() -> Uuid) -> (Self, OrderingEvent) {
        let mut next = self.next(OrderStatus::Confirmed);
        next.total = Some(total);
        let ticket = |seat: &SeatId| Ticket {
            id: TicketId(new_id()),
            seat: seat.clone(),
        };
        next.tickets = self.seats.iter().map(ticket).collect();
        let event = OrderConfirmed {
            order: next.id,
            show: next.show,
            seats: next.seats.clone(),
            email: next.email.clone(),
            total,
            tickets: next.tickets.clone(),
        };
        (next, OrderingEvent::Confirmed(event))
    }

    /// The order once all that was done of it is undone: cancelled if that was asked for, else refused for this reason.
    pub(crate) fn undone(&self, reason: Problem, cancelled: bool) -> (Self, OrderingEvent) {
        if self.cancel_asked || cancelled {
            return self.cancelled(None);
        }
        let mut next = self.next(OrderStatus::Refused);
        next.reason = Some(reason.clone());
        let event = OrderRefused {
            order: next.id,
            show: next.show,
            seats: next.seats.clone(),
            email: next.email.clone(),
            reason,
        };
        (next, OrderingEvent::Refused(event))
    }

    /// The order once nothing of it is left; `refunded` was given back.
    pub(crate) fn cancelled(&self, refunded: Option<Money>) -> (Self, OrderingEvent) {
        let mut next = self.next(OrderStatus::Cancelled);
        next.tickets.clear();
        let event = OrderCancelled {
            order: next.id,
            show: next.show,
            seats: next.seats.clone(),
            email: next.email.clone(),
            refunded,
        };
        (next, OrderingEvent::Cancelled(event))
    }

    /// The order when it goes neither way by itself.
    pub(crate) fn stuck(&self, reason: Problem) -> (Self, OrderingEvent) {
        let mut next = self.next(OrderStatus::Stuck);
        next.reason = Some(reason.clone());
        let event = OrderStuck {
            order: next.id,
            show: next.show,
            seats: next.seats.clone(),
            email: next.email.clone(),
            reason,
        };
        (next, OrderingEvent::Stuck(event))
    }

    /// The order after somebody helped; `None` when it was not stuck.
    pub(crate) fn resumed(&self) -> Option<Self> {
        (self.status == OrderStatus::Stuck).then(|| self.next(self.bound_for()))
    }

    /// How it stands, and if it is stuck, how it stood before.
    fn bound_for(&self) -> OrderStatus {
        match (self.status, self.total) {
            (OrderStatus::Stuck, Some(_)) => OrderStatus::Confirmed,
            (OrderStatus::Stuck, None) => OrderStatus::Placed,
            (status, _) => status,
        }
    }

    /// What to do about a wish to cancel; `saga` is the id of the saga that takes it back, if it comes to that.
    pub(crate) fn cancel(&self, saga: Uuid) -> Result<Cancelling, OrderingError> {
        match self.status {
            OrderStatus::Refused | OrderStatus::Stuck => Err(OrderingError::NotCancellable {
                id: self.id,
                standing: self.status,
            }),
            OrderStatus::Cancelled => Ok(Cancelling::Already),
            _ if self.cancel_asked => Ok(Cancelling::Already),
            OrderStatus::Placed => {
                let mut next = self.next(OrderStatus::Placed);
                next.cancel_asked = true;
                Ok(Cancelling::TurnRound(next))
            }
            OrderStatus::Confirmed => Ok(Cancelling::TakeBack(self.take_back(saga), saga)),
        }
    }

    /// The order that the saga with this id takes back: a confirmed one, or one that was stuck after its money was taken.
    pub(crate) fn take_back(&self, saga: Uuid) -> Self {
        let mut next = self.next(self.bound_for());
        next.cancel_asked = true;
        next.cancellation = Some(saga);
        next
    }

    /// What is told when it was placed.
    pub(crate) fn placed(&self) -> OrderingEvent {
        OrderingEvent::Placed(OrderPlaced {
            order: self.id,
            show: self.show,
            seats: self.seats.clone(),
            email: self.email.clone(),
        })
    }

    /// How it looks outside.
    pub(crate) fn look(self, progress: Progress) -> Order {
        Order {
            id: self.id,
            version: self.version + progress.version,
            show: self.show,
            seats: self.seats,
            status: self.status,
            reason: self.reason,
            total: self.total.or(progress.total),
            tickets: self.tickets,
            steps: progress.steps,
        }
    }

    /// A reason is one of the status it is for.
    fn next(&self, status: OrderStatus) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.status = status;
        next.reason = None;
        next
    }
}

/// The order's id is in it, so that nobody can tell which orders were paid with the same.
fn digest(id: OrderId, token: &PaymentToken) -> String {
    let digest = Sha256::new()
        .chain_update(id.0.as_bytes())
        .chain_update(token.expose())
        .finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
