//! The sagas of orders: the purchase, which goes from the held seats to the sold ones, and the cancellation of what was
//! confirmed.
//!
//! | step of the purchase | kind | does | undone by |
//! | --- | --- | --- | --- |
//! | `hold` | compensatable | holds the seats, which decides the total | releasing them |
//! | `authorise` | compensatable | has that total reserved | voiding the payment |
//! | `commit` | compensatable | the hold loses its expiry | releasing the seats |
//! | `capture` | pivot | has the money taken | |
//! | `assign` | retriable | sells the seats; tickets are issued with the saga's end | |
//!
//! The cancellation has two retriable steps: `unassign` frees the seats, so that nobody gets in who is given money back, and
//! `refund` gives it back. The hold and the payment have the order's id, and whoever is called knows a repeat by it.
//!
//! A purchase that is stuck at its pivot or after it, and that somebody gives up, is followed by its cancellation too. Nobody
//! may know then whether the money was taken, and the call that takes it may still be on its way: so `refund` brings a capture
//! that has begun to its end first, and voids a payment whose capture has not begun, which is refused from then on.

mod steps;
mod watch;

use std::{sync::Arc, time::Duration};

use kernel::{Money, Uuid, chrono::TimeDelta};
use ordering_contract::{OrderDraft, PaymentToken, SeatId, ShowId};
use payments_contract::Payments;
use seating_contract::Seating;
use serde::{Deserialize, Serialize};
use strangler_store::{Db, Definition, Retry, Sagas, Step};

use steps::{Call, What};
pub(crate) use watch::begin_cancellation;
use watch::{CancellationWatch, PurchaseWatch};

/// All steps there are, in the order in which an order can go through them.
pub(crate) const STEPS: [&str; 7] = [HOLD, AUTHORISE, COMMIT, CAPTURE, ASSIGN, UNASSIGN, REFUND];
const HOLD: &str = "hold";
const AUTHORISE: &str = "authorise";
const COMMIT: &str = "commit";
const CAPTURE: &str = "capture";
const ASSIGN: &str = "assign";
const UNASSIGN: &str = "unassign";
const REFUND: &str = "refund";

/// The kind of saga that an order is.
pub(crate) const PURCHASE: &str = "purchase";
/// The kind of saga that takes an order back whose money was taken.
pub(crate) const CANCELLATION: &str = "cancellation";

/// How long a purchase may take before its money is taken. Half of what a hold lasts: a hold that is committed within it
/// cannot have expired, whatever the clocks of two machines say, and nobody's card is charged for what they gave up.
pub(crate) const DEADLINE: TimeDelta = TimeDelta::minutes(5);

/// Before the pivot the deadline ends a step's attempts. After it, and on the way back, they go on for some four hours, so
/// that an outage leaves no order for somebody to look at.
const RETRY: Retry = Retry {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(30),
    attempts: 500,
};

/// How many orders may be at each of the steps that ask the provider, which may hang for as long as a step lasts. Together
/// they are fewer than are worked on at a time: seats are held, and sold, whatever becomes of the money.
const AT_THE_PROVIDER: usize = 64;

/// What the steps of a purchase work on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Purchase {
    pub(crate) show: ShowId,
    pub(crate) seats: Vec<SeatId>,
    /// Until it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<PaymentToken>,
    /// Once the seats are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<Money>,
}

impl Purchase {
    /// The purchase that `draft` asks for.
    pub(crate) fn new(draft: &OrderDraft) -> Self {
        Self {
            show: draft.show(),
            seats: draft.seats().to_vec(),
            token: Some(draft.payment_token().clone()),
            total: None,
        }
    }
}

/// What the steps of a cancellation work on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cancellation {
    pub(crate) order: Uuid,
    /// Once it was given back, if anything was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refunded: Option<Money>,
}

/// The sagas of ordering's schema `db`. Run them wherever the module's background work is done; they work on what
/// [`OrderingModule`](crate::OrderingModule) places and cancels in any process. A step has 30 s, enough for a payment's
/// own attempts.
pub fn sagas(db: Db, seating: Arc<dyn Seating>, payments: Arc<dyn Payments>) -> Sagas {
    let call = |what| Call::new(seating.clone(), payments.clone(), what);
    let retriable = |name, what| Step::retriable(name, call(what)).with_retry(RETRY);
    let cancellation = [
        retriable(UNASSIGN, What::Unassign),
        retriable(REFUND, What::Refund).with_most(AT_THE_PROVIDER),
    ];
    let cancellation = Definition::<Cancellation>::new(CANCELLATION, cancellation);
    let mut sagas = Sagas::new(db);
    let registered = sagas.register(cancellation.with_watch(Arc::new(CancellationWatch)));

    let compensatable = |name, what, undo| Step::compensatable(name, call(what), call(undo)).with_retry(RETRY);
    let purchase = [
        compensatable(HOLD, What::Hold, What::Release),
        compensatable(AUTHORISE, What::Authorise, What::Void).with_most(AT_THE_PROVIDER),
        compensatable(COMMIT, What::Commit, What::Release),
        Step::pivot(CAPTURE, call(What::Capture))
            .with_retry(RETRY)
            .with_most(AT_THE_PROVIDER),
        Step::retriable(ASSIGN, call(What::Assign)).with_retry(RETRY),
    ];
    // An order that is to be cancelled while its money is taken begins its cancellation when it ends.
    let watch = PurchaseWatch::new(sagas.clone());
    let purchase = Definition::<Purchase>::new(PURCHASE, purchase).with_watch(Arc::new(watch));
    let registered = registered.and_then(|()| sagas.register(purchase.abandonable()));
    match registered {
        Ok(()) => sagas,
        Err(wrong) => unreachable!("{wrong}"),
    }
}
