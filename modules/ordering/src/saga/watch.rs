//! What becomes of an order when its sagas end, get stuck or are helped on. Written in the transaction that moves the saga.
//! The steps in between change nothing here: an order shows them from its saga.

use kernel::Uuid;
use ordering_contract::OrderingEvent;
use serde_json::Value;
use strangler::BoxFuture;
use strangler_store::{Saga, SagaStatus, Sagas, StoreError, Uow, Watch};

use super::{CANCELLATION, Cancellation, Purchase};
use crate::domain::{OrderState, refusal, stuck, was_cancelled};

/// Watches purchases.
pub(super) struct PurchaseWatch {
    /// With the cancellation registered.
    sagas: Sagas,
}

impl PurchaseWatch {
    pub(super) fn new(sagas: Sagas) -> Self {
        Self { sagas }
    }

    async fn hear(&self, uow: &mut Uow, saga: &Saga) -> Result<(), StoreError> {
        let reason = saga.reason.as_ref().unwrap_or(&Value::Null);
        match saga.status {
            SagaStatus::Running | SagaStatus::Compensating => go_on(uow, saga, saga.id).await,
            SagaStatus::Stuck => get_stuck(uow, saga.id, reason).await,
            SagaStatus::Undone => {
                let order = load(uow, saga.id).await?;
                let (order, event) = order.undone(refusal(reason), was_cancelled(reason));
                leave(uow, &order, &event);
                Ok(())
            }
            // Its money may have been taken.
            SagaStatus::Abandoned => {
                let order = load(uow, saga.id).await?;
                self.take_back(uow, &order).await
            }
            SagaStatus::Done => {
                let order = load(uow, saga.id).await?;
                let total = saga.state_as::<Purchase>()?.total;
                let total = total.ok_or_else(|| StoreError::corrupt_row("a purchase that is done has no total"))?;
                let (order, event) = order.confirm(total, || uow.new_id());
                leave(uow, &order, &event);
                match order.cancel_asked {
                    true => self.take_back(uow, &order).await,
                    false => Ok(()),
                }
            }
        }
    }

    async fn take_back(&self, uow: &mut Uow, order: &OrderState) -> Result<(), StoreError> {
        let cancellation = uow.new_id();
        uow.save(&order.take_back(cancellation));
        begin_cancellation(&self.sagas, uow, cancellation, order.id.0).await
    }
}

/// Watches cancellations.
pub(super) struct CancellationWatch;

impl CancellationWatch {
    async fn hear(uow: &mut Uow, saga: &Saga) -> Result<(), StoreError> {
        let Cancellation { order: id, refunded } = saga.state_as()?;
        match saga.status {
            SagaStatus::Running | SagaStatus::Compensating => go_on(uow, saga, id).await,
            SagaStatus::Stuck => get_stuck(uow, id, saga.reason.as_ref().unwrap_or(&Value::Null)).await,
            // It has nothing to undo, and is never told to; nor is there anything that would take it back.
            SagaStatus::Undone | SagaStatus::Abandoned => Ok(()),
            SagaStatus::Done => {
                let order = load(uow, id).await?;
                let (order, event) = order.cancelled(refunded);
                leave(uow, &order, &event);
                Ok(())
            }
        }
    }
}

impl Watch for PurchaseWatch {
    fn changed<'a>(&'a self, uow: &'a mut Uow, saga: &'a Saga) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.hear(uow, saga))
    }
}

impl Watch for CancellationWatch {
    fn changed<'a>(&'a self, uow: &'a mut Uow, saga: &'a Saga) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(Self::hear(uow, saga))
    }
}

/// Begins to take back the order with this id.
pub(crate) async fn begin_cancellation(
    sagas: &Sagas,
    uow: &mut Uow,
    cancellation: Uuid,
    order: Uuid,
) -> Result<(), StoreError> {
    let state = Cancellation { order, refunded: None };
    // Nothing may end it but its success, so it has no deadline.
    sagas.start(uow, CANCELLATION, cancellation, &state, None).await
}

/// Somebody may have helped a stuck order on. Who does begins with the first attempt; so an order that goes its way, which
/// is nearly all of them, is not loaded at each of its steps.
async fn go_on(uow: &mut Uow, saga: &Saga, order: Uuid) -> Result<(), StoreError> {
    let helped = saga.attempts == 0 && saga.version > 1;
    if helped && let Some(order) = load(uow, order).await?.resumed() {
        uow.save(&order);
    }
    Ok(())
}

async fn get_stuck(uow: &mut Uow, order: Uuid, reason: &Value) -> Result<(), StoreError> {
    let (order, event) = load(uow, order).await?.stuck(stuck(reason));
    leave(uow, &order, &event);
    Ok(())
}

async fn load(uow: &mut Uow, id: Uuid) -> Result<OrderState, StoreError> {
    let order = uow.load::<OrderState>(id).await?;
    order.ok_or_else(|| StoreError::corrupt_row(format_args!("there is no order {id} to its saga")))
}

fn leave(uow: &mut Uow, order: &OrderState, event: &OrderingEvent) {
    uow.save(order);
    uow.emit(order.id.0, order.version, event);
}
