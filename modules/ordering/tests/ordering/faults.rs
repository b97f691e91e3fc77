//! Failures between ordering and those it calls: planned for one operation of one order, before or after its effect.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
};

use kernel::Uuid;
use payments_contract::{Payment, PaymentDraft, PaymentId, Payments, PaymentsError, PaymentsService};
use seating_contract::{Hold, HoldDraft, HoldId, SeatMap, Seating, SeatingError, SeatingService, ShowId};
use strangler::{BoxFuture, Cx, Done, Failure, Put};
use tokio::sync::watch;

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails before its effect.
    Before,
    /// It fails after its effect.
    After,
    /// It has its effect twice.
    Twice,
    /// It panics after its effect.
    Panic,
    /// It is never answered, and has no effect.
    LostBefore,
    /// It is never answered, and has its effect.
    LostAfter,
    /// It is never answered, and has its effect when [`Faults::release`] is called: after all else.
    Late,
    /// It is refused.
    Refused,
}

/// All but the refusal.
pub const EVERY: [Fault; 7] = [
    Fault::Before,
    Fault::After,
    Fault::Twice,
    Fault::Panic,
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Late,
];

/// The plan, and what was called so far.
pub struct Faults {
    planned: Mutex<BTreeMap<(Uuid, &'static str), Vec<Fault>>>,
    called: Mutex<Vec<(Uuid, &'static str)>>,
    released: watch::Sender<bool>,
    late: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Faults {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            planned: Mutex::default(),
            called: Mutex::default(),
            released: watch::Sender::new(false),
            late: Mutex::default(),
        })
    }

    /// The next calls of this operation for this order go like this.
    pub fn plan(&self, id: Uuid, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().collect();
        self.planned.lock().unwrap().insert((id, operation), faults);
    }

    /// What was called for this order.
    pub fn called(&self, id: Uuid) -> Vec<&'static str> {
        let called = self.called.lock().unwrap();
        called
            .iter()
            .filter(|(of, _)| *of == id)
            .map(|(_, what)| *what)
            .collect()
    }

    /// Has the late calls arrive, and waits until they have.
    pub async fn release(&self) {
        self.released.send_replace(true);
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        for call in late {
            call.await.unwrap();
        }
    }

    fn next(&self, id: Uuid, operation: &'static str) -> Option<Fault> {
        self.called.lock().unwrap().push((id, operation));
        let mut planned = self.planned.lock().unwrap();
        let faults = planned.get_mut(&(id, operation)).filter(|faults| !faults.is_empty())?;
        Some(faults.remove(0))
    }

    /// Calls, or not, as planned.
    async fn call<T, E>(
        &self,
        (id, operation): (Uuid, &'static str),
        (unknown, refused): (E, E),
        call: impl Fn() -> BoxFuture<'static, Result<T, Failure<E>>> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::fmt::Debug + Send + 'static,
    {
        let told = |answer: Result<T, Failure<E>>| {
            answer.map_err(|failure| match failure {
                Failure::Module(error) => error,
                Failure::Way(fault) => panic!("the way to {operation} failed: {fault}"),
            })
        };
        match self.next(id, operation) {
            None => told(call().await),
            Some(Fault::Before) => Err(unknown),
            Some(Fault::Refused) => Err(refused),
            Some(Fault::After) => {
                let _ = told(call().await);
                Err(unknown)
            }
            Some(Fault::Twice) => {
                let _ = told(call().await);
                told(call().await)
            }
            Some(Fault::Panic) => {
                let _ = told(call().await);
                // Past the hook: a worker that prints a backtrace stands still for seconds.
                std::panic::resume_unwind(Box::new("as told"))
            }
            Some(Fault::LostBefore) => pending().await,
            Some(Fault::LostAfter) => {
                let _ = told(call().await);
                pending().await
            }
            Some(Fault::Late) => {
                let mut released = self.released.subscribe();
                let late = tokio::spawn(async move {
                    let _ = released.wait_for(|released| *released).await;
                    // The way is there; what is answered is nobody's business any more.
                    drop(call().await);
                });
                self.late.lock().unwrap().push(late);
                pending().await
            }
        }
    }
}

/// The context of a call that is made whatever becomes of its caller.
fn detached(cx: &Cx) -> Cx {
    cx.clone().with_budget(std::time::Duration::from_secs(20))
}

/// Seating behind faults.
pub struct FaultySeating {
    pub inner: Arc<dyn Seating>,
    pub faults: Arc<Faults>,
}

impl FaultySeating {
    async fn ask<T: Send + 'static>(
        &self,
        cx: &Cx,
        id: HoldId,
        operation: &'static str,
        call: impl Fn(Arc<dyn Seating>, Cx) -> BoxFuture<'static, Result<T, Failure<SeatingError>>> + Send + Sync + 'static,
    ) -> Result<T, SeatingError> {
        let (inner, cx) = (self.inner.clone(), detached(cx));
        let cause = "as told".to_owned();
        let errors = (SeatingError::Unavailable { cause }, SeatingError::SeatsSold { id });
        self.faults
            .call((id.0, operation), errors, move || call(inner.clone(), cx.clone()))
            .await
    }
}

impl SeatingService for FaultySeating {
    async fn seats(&self, _: &Cx, id: ShowId) -> Result<SeatMap, SeatingError> {
        Err(SeatingError::NoSuchShow { id })
    }

    async fn held(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        self.ask(cx, id, "held", move |inner, cx| {
            Box::pin(async move { inner.held(&cx, id).await })
        })
        .await
    }

    async fn hold(&self, cx: &Cx, id: HoldId, draft: HoldDraft) -> Result<Put<Hold>, SeatingError> {
        self.ask(cx, id, "hold", move |inner, cx| {
            let draft = draft.clone();
            Box::pin(async move { inner.hold(&cx, id, draft).await })
        })
        .await
    }

    async fn release(&self, cx: &Cx, id: HoldId) -> Result<Done, SeatingError> {
        self.ask(cx, id, "release", move |inner, cx| {
            Box::pin(async move { inner.release(&cx, id).await })
        })
        .await
    }

    async fn commit(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        self.ask(cx, id, "commit", move |inner, cx| {
            Box::pin(async move { inner.commit(&cx, id).await })
        })
        .await
    }

    async fn assign(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        self.ask(cx, id, "assign", move |inner, cx| {
            Box::pin(async move { inner.assign(&cx, id).await })
        })
        .await
    }

    async fn unassign(&self, cx: &Cx, id: HoldId) -> Result<Done, SeatingError> {
        self.ask(cx, id, "unassign", move |inner, cx| {
            Box::pin(async move { inner.unassign(&cx, id).await })
        })
        .await
    }
}

/// Payments behind faults.
pub struct FaultyPayments {
    pub inner: Arc<dyn Payments>,
    pub faults: Arc<Faults>,
}

impl FaultyPayments {
    async fn ask<T: Send + 'static>(
        &self,
        cx: &Cx,
        id: PaymentId,
        operation: &'static str,
        call: impl Fn(Arc<dyn Payments>, Cx) -> BoxFuture<'static, Result<T, Failure<PaymentsError>>>
        + Send
        + Sync
        + 'static,
    ) -> Result<T, PaymentsError> {
        let (inner, cx) = (self.inner.clone(), detached(cx));
        let cause = "as told".to_owned();
        let errors = (PaymentsError::Unsettled { id, cause }, PaymentsError::Declined { id });
        self.faults
            .call((id.0, operation), errors, move || call(inner.clone(), cx.clone()))
            .await
    }
}

impl PaymentsService for FaultyPayments {
    async fn payment(&self, _: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        Err(PaymentsError::NoSuchPayment { id })
    }

    async fn authorise(&self, cx: &Cx, id: PaymentId, draft: PaymentDraft) -> Result<Put<Payment>, PaymentsError> {
        self.ask(cx, id, "authorise", move |inner, cx| {
            let draft = draft.clone();
            Box::pin(async move { inner.authorise(&cx, id, draft).await })
        })
        .await
    }

    async fn capture(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        self.ask(cx, id, "capture", move |inner, cx| {
            Box::pin(async move { inner.capture(&cx, id).await })
        })
        .await
    }

    async fn void(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        self.ask(cx, id, "void", move |inner, cx| {
            Box::pin(async move { inner.void(&cx, id).await })
        })
        .await
    }

    async fn refund(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        self.ask(cx, id, "refund", move |inner, cx| {
            Box::pin(async move { inner.refund(&cx, id).await })
        })
        .await
    }
}
