//! Ordering's desk: place, look, cancel. It calls nobody; what an order needs of others is done by its saga.

use std::sync::Arc;

use kernel::Time;
use ordering_contract::{Order, OrderDraft, OrderId, OrderStep, OrderingError, OrderingService, StepState as Shown};
use payments_contract::Payments;
use seating_contract::Seating;
use serde_json::json;
use strangler::{Accepted, Cx};
use strangler_store::{Db, Deed, Saga, Sagas, Snapshot, StepRecord, StepState, StoreError};

use crate::{
    domain::{Cancelling, OrderState, Progress},
    saga::{DEADLINE, PURCHASE, Purchase, STEPS, begin_cancellation, sagas},
};

/// How often a decision is made anew when somebody else was faster.
const ATTEMPTS: u32 = 10;

/// Ordering over its own schema.
#[derive(Clone)]
pub struct OrderingModule {
    db: Db,
    sagas: Sagas,
}

impl OrderingModule {
    /// Ordering whose data `db` is. What it places is worked on by whoever runs [`sagas`](crate::sagas) over the same
    /// schema, in this process or another.
    pub fn new(db: Db, seating: Arc<dyn Seating>, payments: Arc<dyn Payments>) -> Self {
        let sagas = sagas(db.clone(), seating, payments);
        Self { db, sagas }
    }

    /// Places the order; `None` when it was placed before.
    async fn begin(&self, cx: &Cx, id: OrderId, draft: &OrderDraft) -> Result<Option<Order>, Trouble> {
        let mut uow = self.db.begin(cx).await?;
        if let Some(there) = uow.load::<OrderState>(id.0).await? {
            return match there.is_for(draft) {
                true => Ok(None),
                false => Err(OrderingError::OtherOrder { id }.into()),
            };
        }
        let order = OrderState::place(id, draft);
        uow.save(&order);
        uow.emit(id.0, order.version, &order.placed());
        let deadline = Some(uow.now() + DEADLINE);
        let purchase = Purchase::new(draft);
        self.sagas.start(&mut uow, PURCHASE, id.0, &purchase, deadline).await?;
        uow.commit().await?;
        // As it would be read, if it were.
        let progress = Progress {
            version: 1,
            ..Progress::default()
        };
        Ok(Some(order.look(progress)))
    }

    /// Has the order cancelled.
    async fn turn(&self, cx: &Cx, id: OrderId) -> Result<(), Trouble> {
        let mut uow = self.db.begin(cx).await?;
        let order = uow.load::<OrderState>(id.0).await?;
        let order = order.ok_or(OrderingError::NoSuchOrder { id })?;
        match order.cancel(uow.new_id())? {
            Cancelling::Already => return Ok(()),
            Cancelling::TurnRound(order) => {
                uow.save(&order);
                // While the money is being taken it does not turn. The order remembers, and whatever comes of the saga
                // finds that in the order it locks.
                self.sagas.cancel(&mut uow, id.0, json!("by request")).await?;
            }
            Cancelling::TakeBack(order, cancellation) => {
                uow.save(&order);
                begin_cancellation(&self.sagas, &mut uow, cancellation, id.0).await?;
            }
        }
        Ok(uow.commit().await?)
    }

    async fn look(&self, cx: &Cx, id: OrderId) -> Result<Order, OrderingError> {
        let read = async {
            let snapshot = self.db.view(cx).snapshot().await?;
            let Some(order) = snapshot.load::<OrderState>(id.0).await? else {
                return Ok(None);
            };
            let progress = self.progress(&snapshot, &order).await?;
            Ok::<_, StoreError>(Some(order.look(progress)))
        };
        read.await
            .map_err(unavailable)?
            .ok_or(OrderingError::NoSuchOrder { id })
    }

    async fn progress(&self, snapshot: &Snapshot, order: &OrderState) -> Result<Progress, StoreError> {
        let mut progress = Progress::default();
        if let Some((saga, records)) = self.sagas.look(snapshot, order.id.0).await? {
            progress.total = saga.state_as::<Purchase>()?.total;
            add(&mut progress, &saga, &records)?;
        }
        if let Some(cancellation) = order.cancellation
            && let Some((saga, records)) = self.sagas.look(snapshot, cancellation).await?
        {
            add(&mut progress, &saga, &records)?;
        }
        Ok(progress)
    }
}

/// Adds the steps of a saga that have begun, in the order in which they are done.
fn add(progress: &mut Progress, saga: &Saga, records: &[StepRecord]) -> Result<(), StoreError> {
    progress.version += saga.version;
    for name in STEPS {
        let of = |deed| records.iter().find(|r| r.step == name && r.deed == deed);
        let Some(done) = of(Deed::Do) else { continue };
        let undo = of(Deed::Undo).filter(|undo| undo.state != StepState::Recorded);
        let (state, at) = match (done.state, undo) {
            (StepState::Undone, _) => (Shown::Undone, done.at),
            (_, Some(undo)) => (Shown::Undoing, undo.at),
            (StepState::Refused, None) => (Shown::Refused, done.at),
            (StepState::Done, None) => (Shown::Done, done.at),
            (StepState::Started | StepState::Recorded, None) => (Shown::Started, done.at),
        };
        progress.steps.push(OrderStep {
            step: name.to_owned(),
            state,
            at: Time::try_from(at).map_err(StoreError::corrupt_row)?,
        });
    }
    Ok(())
}

fn accepted(order: Order) -> Accepted<Order> {
    Accepted {
        location: format!("/orders/{}", order.id),
        value: order,
    }
}

/// Why a decision was not made.
enum Trouble {
    /// It is refused.
    Refused(OrderingError),
    /// The store failed; perhaps somebody else was faster.
    Store(StoreError),
}

impl From<OrderingError> for Trouble {
    fn from(error: OrderingError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A decision that is made anew when somebody else was faster.
#[derive(Default)]
struct Tries(u32);

impl Tries {
    /// The answer; `None` when the decision has to be made anew.
    fn answer<T>(&mut self, outcome: Result<T, Trouble>) -> Option<Result<T, OrderingError>> {
        self.0 += 1;
        match outcome {
            Ok(value) => Some(Ok(value)),
            Err(Trouble::Refused(error)) => Some(Err(error)),
            Err(Trouble::Store(StoreError::Conflict(_))) if self.0 < ATTEMPTS => None,
            Err(Trouble::Store(error)) => Some(Err(unavailable(error))),
        }
    }
}

/// What the database said is for the log; the caller learns what it means for them.
fn unavailable(error: StoreError) -> OrderingError {
    tracing::error!(%error, "ordering's store");
    OrderingError::Unavailable {
        cause: error.outward().to_owned(),
    }
}

impl OrderingService for OrderingModule {
    async fn place(&self, cx: &Cx, id: OrderId, draft: OrderDraft) -> Result<Accepted<Order>, OrderingError> {
        let mut tries = Tries::default();
        loop {
            match tries.answer(self.begin(cx, id, &draft).await).transpose()? {
                Some(Some(order)) => return Ok(accepted(order)),
                Some(None) => return Ok(accepted(self.look(cx, id).await?)),
                None => {}
            }
        }
    }

    async fn order(&self, cx: &Cx, id: OrderId) -> Result<Order, OrderingError> {
        self.look(cx, id).await
    }

    async fn cancel(&self, cx: &Cx, id: OrderId) -> Result<Accepted<Order>, OrderingError> {
        let mut tries = Tries::default();
        loop {
            if let Some(turned) = tries.answer(self.turn(cx, id).await) {
                turned?;
                return Ok(accepted(self.look(cx, id).await?));
            }
        }
    }
}
