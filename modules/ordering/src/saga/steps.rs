//! What the steps do: one call each, as the system and with no more rights than they need.

use std::sync::{Arc, LazyLock};

use kernel::Money;
use ordering_contract::{SeatId, ShowId};
use payments_contract::{PaymentDraft, PaymentId, PaymentStatus, Payments, PaymentsError};
use seating_contract::{Hold, HoldDraft, HoldId, HoldStatus, Seating, SeatingError};
use strangler::{BoxFuture, ContractError, Cx, Failure, Principal, Scopes};
use strangler_store::{Act, Outcome, StepKey};

use super::{Cancellation, Purchase};

/// As whom the others are called.
static ORDERING: LazyLock<Principal> = LazyLock::new(|| {
    let scopes = [
        seating_contract::HOLD,
        seating_contract::SELL,
        payments_contract::CHARGE,
    ];
    Principal::known("ordering", Scopes::Some(scopes.map(Into::into).into()))
});

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Hold,
    Release,
    Authorise,
    Void,
    Commit,
    Capture,
    Assign,
    Unassign,
    Refund,
}

/// A step.
pub(super) struct Call {
    seating: Arc<dyn Seating>,
    payments: Arc<dyn Payments>,
    what: What,
}

/// Why a step is not done.
enum Not {
    /// It will never be; this is the problem.
    Refused(serde_json::Value),
    /// Nobody knows, or not yet.
    Unknown(String),
}

impl<E: ContractError> From<Failure<E>> for Not {
    /// A module that answers anything below 500 has decided; all else may be otherwise next time.
    fn from(failure: Failure<E>) -> Self {
        match failure {
            Failure::Module(error) => {
                let problem = error.to_problem();
                match problem.status {
                    500.. => Self::Unknown(format!("{}: {}", problem.title, problem.detail.unwrap_or_default())),
                    _ => Self::Refused(serde_json::to_value(problem).unwrap_or_default()),
                }
            }
            Failure::Way(fault) => Self::Unknown(fault.to_string()),
        }
    }
}

impl Not {
    fn outcome<S>(self) -> Outcome<S> {
        match self {
            Self::Refused(problem) => Outcome::Refused(problem),
            Self::Unknown(cause) => Outcome::Retry(cause),
        }
    }
}

impl Call {
    pub(super) fn new(seating: Arc<dyn Seating>, payments: Arc<dyn Payments>, what: What) -> Self {
        Self {
            seating,
            payments,
            what,
        }
    }

    async fn purchase(&self, cx: &Cx, id: HoldId, purchase: &Purchase) -> Result<Purchase, Not> {
        let payment = PaymentId(id.0);
        let mut next = purchase.clone();
        match self.what {
            What::Hold => {
                let draft = HoldDraft::new(purchase.show, purchase.seats.clone()).map_err(Not::Unknown)?;
                let hold = self.seating.hold(cx, id, draft).await?.into_value();
                // Somebody else's hold of the same seats, which is sold or about to be.
                if hold.status != HoldStatus::Held {
                    return Err(Failure::Module(SeatingError::OtherHold { id }).into());
                }
                next.total = Some(hold.total);
            }
            What::Authorise => {
                let (amount, token) = (next.total, next.token.take());
                let (Some(amount), Some(token)) = (amount, token) else {
                    return Err(Not::Unknown(
                        "there is neither a total nor a token to pay it with".to_owned(),
                    ));
                };
                self.payments
                    .authorise(cx, payment, PaymentDraft { amount, token })
                    .await?;
            }
            What::Commit => {
                let hold = self.seating.commit(cx, id).await?;
                // What is captured is what was authorised, and that was what the seats cost when they were held.
                if Some(hold.total) != purchase.total {
                    return Err(Failure::Module(SeatingError::OtherHold { id }).into());
                }
            }
            What::Capture => drop(self.payments.capture(cx, payment).await?),
            What::Assign => drop(self.seating.assign(cx, id).await?),
            What::Release => self.give_back(cx, id, purchase.show, &purchase.seats).await?,
            What::Void => {
                self.payments.void(cx, payment).await?;
                next.token = None;
            }
            What::Unassign | What::Refund => return Err(Not::Unknown("a purchase is not taken back".to_owned())),
        }
        Ok(next)
    }

    /// Takes the hold's seats away, if it is the order's. An id is anybody's to choose, and placing an order must not free the
    /// seats that somebody else holds under it. A hold that has not arrived yet is ended all the same: it will be refused.
    /// Releasing would not do: the hold may be committed.
    async fn give_back(&self, cx: &Cx, id: HoldId, show: ShowId, seats: &[SeatId]) -> Result<(), Not> {
        let is_ours = |hold: &Hold| {
            let same = hold.seats.len() == seats.len() && hold.seats.iter().all(|seat| seats.contains(seat));
            hold.show == show && same && hold.status != HoldStatus::Sold
        };
        match self.seating.held(cx, id).await {
            Ok(hold) if !is_ours(&hold) => Ok(()),
            Ok(_) | Err(Failure::Module(SeatingError::NoSuchHold { .. })) => {
                self.seating.unassign(cx, id).await?;
                Ok(())
            }
            Err(Failure::Module(SeatingError::HoldOver { .. })) => Ok(()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn take_back(&self, cx: &Cx, cancellation: &Cancellation) -> Result<Cancellation, Not> {
        let mut next = cancellation.clone();
        match self.what {
            What::Unassign => drop(self.seating.unassign(cx, HoldId(next.order)).await?),
            What::Refund => next.refunded = self.refund(cx, PaymentId(next.order)).await?,
            _ => return Err(Not::Unknown("a cancellation buys nothing".to_owned())),
        }
        Ok(next)
    }

    /// Gives back what was taken, whatever that is, and sees to it that nothing is taken any more. Answers what it was.
    async fn refund(&self, cx: &Cx, id: PaymentId) -> Result<Option<Money>, Not> {
        use PaymentsError::{CaptureBegun, Declined, NoSuchPayment, NotAuthorised, NotCaptured, Void};
        let standing = match self.payments.refund(cx, id).await {
            Ok(payment) => return Ok(payment.amount),
            Err(Failure::Module(NotCaptured { standing, .. })) => Some(standing),
            Err(Failure::Module(NoSuchPayment { .. })) => None,
            Err(failure) => return Err(failure.into()),
        };
        // It may have been taken: who has begun it finds out.
        if standing == Some(PaymentStatus::Capturing) {
            match self.payments.capture(cx, id).await {
                Ok(_) => return Ok(self.payments.refund(cx, id).await?.amount),
                Err(Failure::Module(Declined { .. } | Void { .. } | NotAuthorised { .. })) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        match self.payments.void(cx, id).await {
            Ok(_) => Ok(None),
            // A capture that was on its way came first.
            Err(Failure::Module(error @ CaptureBegun { .. })) => Err(Not::Unknown(error.to_string())),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// The call's context: the step's trace, key and budget, with ordering's own rights.
fn with_few_rights(cx: &Cx, key: &StepKey) -> Cx {
    let few = Cx::new(ORDERING.clone())
        .with_trace(cx.trace().clone())
        .of_module(ordering_contract::ORDERING.name)
        .on_behalf_of(cx)
        .with_idempotency_key(&key.to_string());
    match cx.time_left() {
        Some(left) => few.with_budget(left),
        None => few,
    }
}

impl Act<Purchase> for Call {
    fn act<'a>(&'a self, cx: &'a Cx, key: &'a StepKey, saga: &'a Purchase) -> BoxFuture<'a, Outcome<Purchase>> {
        Box::pin(async move {
            let done = self.purchase(&with_few_rights(cx, key), HoldId(key.saga), saga).await;
            done.map_or_else(Not::outcome, Outcome::Done)
        })
    }
}

impl Act<Cancellation> for Call {
    fn act<'a>(&'a self, cx: &'a Cx, key: &'a StepKey, saga: &'a Cancellation) -> BoxFuture<'a, Outcome<Cancellation>> {
        Box::pin(async move {
            let done = self.take_back(&with_few_rights(cx, key), saga).await;
            done.map_or_else(Not::outcome, Outcome::Done)
        })
    }
}
