//! The desk of payments: write down what is begun, ask the provider, write down what came of it.
//!
//! No transaction is open while the provider is called. What is begun is committed before the call, so that a crash, a
//! caller that goes away or an answer that never comes leaves a payment that says so, and whoever asks next finds out
//! with the same key.

use std::{sync::Arc, time::Duration};

use payments_contract::{Payment, PaymentDraft, PaymentId, PaymentToken, PaymentsError, PaymentsService};
use serde::Serialize;
use strangler::{Cx, Put};
use strangler_store::{Db, StoreError};

use crate::{
    domain::{Charge, Decision, Intent, IntentState, PaymentState, Wish},
    provider::{Provider, ProviderError},
};

/// How long one call of the provider may take unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the provider is asked before the outcome is left open.
const ATTEMPTS: u32 = 4;
/// The pause after the first call that was left without an answer; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
/// How often a decision is made anew when somebody else was faster.
const RACES: u32 = 10;

/// Payments over their own schema and a provider.
#[derive(Clone)]
pub struct PaymentsModule {
    db: Db,
    provider: Arc<dyn Provider>,
    patience: Duration,
}

/// What is authorised, as it is recorded.
#[derive(Serialize)]
struct Authorisation<'a> {
    charge: Charge,
    token: &'a PaymentToken,
}

/// A decision that was made and written down.
struct Step {
    state: PaymentState,
    /// Whether it was begun by this call.
    new: bool,
    /// Whether the provider has to be asked.
    open: bool,
}

impl PaymentsModule {
    /// Payments whose data `db` is, with the money moved by `provider`. One call of it may take five seconds.
    pub fn new(db: Db, provider: Arc<dyn Provider>) -> Self {
        Self {
            db,
            provider,
            patience: PATIENCE,
        }
    }

    /// The same, with another bound on the time of one call of the provider.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Makes the wish true, or says why it is not. Answers whether this call began it, too.
    async fn fulfil(&self, cx: &Cx, id: PaymentId, wish: Wish<'_>) -> Result<(Payment, bool), PaymentsError> {
        let mut began = false;
        let mut cause = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                let pause = PAUSE * 2_u32.pow(attempt - 1);
                if cx.time_left().is_some_and(|left| left <= pause) {
                    break;
                }
                cx.pause(pause).await;
            }
            let step = self.decide(cx, id, wish).await?;
            began |= step.new;
            let (true, Some(charge)) = (step.open, step.state.charge()) else {
                return Ok((step.state.look(), began));
            };
            // What was begun before may have reached the provider: authorising asks about it rather than do it again.
            let ask_first = !step.new && matches!(wish, Wish::Authorise(_));
            let intent = match self.ask(cx, charge, wish, ask_first).await {
                Ok(intent) => intent,
                // That it answers "no" does not say that it did nothing.
                Err(ProviderError::Refused(why)) => match (self.intent(cx, charge).await, wish) {
                    (Ok(Some(intent)), _) => intent,
                    (Ok(None) | Err(ProviderError::Refused(_)), Wish::Authorise(_)) => {
                        tracing::info!(payment = %id, why, "the provider refused");
                        Intent {
                            state: IntentState::Declined,
                            reference: None,
                        }
                    }
                    _ => {
                        tracing::warn!(payment = %id, why, attempt, "the provider refused, and does not say how it stands");
                        cause = why;
                        continue;
                    }
                },
                Err(ProviderError::Unknown(why)) => {
                    tracing::warn!(payment = %id, why, attempt, "the provider left an outcome open");
                    cause = why;
                    continue;
                }
            };
            let there = self.hear(cx, id, &intent).await?;
            if let Decision::Settled(state) = wish.decide(id, there.as_ref())? {
                return Ok((state.look(), began));
            }
            "the provider says it is otherwise".clone_into(&mut cause);
        }
        Err(PaymentsError::Unsettled { id, cause })
    }

    async fn intent(&self, cx: &Cx, charge: Charge) -> Result<Option<Intent>, ProviderError> {
        let within = cx.time_left().map_or(self.patience, |left| left.min(self.patience));
        cx.call("provider.intent", &charge, self.provider.intent(charge, within))
            .await
    }

    async fn ask(&self, cx: &Cx, charge: Charge, wish: Wish<'_>, ask_first: bool) -> Result<Intent, ProviderError> {
        let within = || cx.time_left().map_or(self.patience, |left| left.min(self.patience));
        match wish {
            Wish::Authorise(draft) => {
                if ask_first && let Some(intent) = self.intent(cx, charge).await? {
                    return Ok(intent);
                }
                let asked = Authorisation {
                    charge,
                    token: &draft.token,
                };
                let authorise = self.provider.authorise(charge, &draft.token, within());
                cx.call("provider.authorise", &asked, authorise).await
            }
            Wish::Capture => {
                let capture = self.provider.capture(charge, within());
                cx.call("provider.capture", &charge, capture).await
            }
            Wish::Void => {
                let void = self.provider.void(charge, within());
                cx.call("provider.void", &charge, void).await
            }
            Wish::Refund => {
                let refund = self.provider.refund(charge, within());
                cx.call("provider.refund", &charge, refund).await
            }
        }
    }

    /// Decides, and writes down what is begun before anybody is called.
    async fn decide(&self, cx: &Cx, id: PaymentId, wish: Wish<'_>) -> Result<Step, PaymentsError> {
        let mut races = 0;
        loop {
            let mut uow = self.db.begin(cx).await.map_err(unavailable)?;
            let there = uow.load::<PaymentState>(id.0).await.map_err(unavailable)?;
            let (state, new, open) = match wish.decide(id, there.as_ref())? {
                Decision::Settled(state) => (state, false, false),
                Decision::Ask(state) => (state, false, true),
                Decision::Settle(state) => (state, true, false),
                Decision::Begin(state) => (state, true, true),
            };
            if new {
                uow.save(&state);
                match uow.commit().await {
                    Err(StoreError::Conflict(_)) if races < RACES => {
                        races += 1;
                        continue;
                    }
                    done => done.map_err(unavailable)?,
                }
            }
            return Ok(Step { state, new, open });
        }
    }

    /// Writes down what the provider said, and answers how the payment stands then.
    async fn hear(&self, cx: &Cx, id: PaymentId, intent: &Intent) -> Result<Option<PaymentState>, PaymentsError> {
        let mut races = 0;
        loop {
            let mut uow = self.db.begin(cx).await.map_err(unavailable)?;
            let there = uow.load::<PaymentState>(id.0).await.map_err(unavailable)?;
            let Some(next) = there.as_ref().and_then(|there| there.hear(intent)) else {
                return Ok(there);
            };
            uow.save(&next);
            match uow.commit().await {
                Err(StoreError::Conflict(_)) if races < RACES => races += 1,
                done => return done.map(|()| Some(next)).map_err(unavailable),
            }
        }
    }
}

/// What the database said is for the log; the caller learns what it means for them.
fn unavailable(error: StoreError) -> PaymentsError {
    tracing::error!(%error, "the store of payments");
    PaymentsError::Unavailable {
        cause: error.outward().to_owned(),
    }
}

impl PaymentsService for PaymentsModule {
    async fn payment(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        let found = self.db.view(cx).load::<PaymentState>(id.0).await.map_err(unavailable)?;
        found
            .map(|state| state.look())
            .ok_or(PaymentsError::NoSuchPayment { id })
    }

    async fn authorise(&self, cx: &Cx, id: PaymentId, draft: PaymentDraft) -> Result<Put<Payment>, PaymentsError> {
        let (payment, began) = self.fulfil(cx, id, Wish::Authorise(&draft)).await?;
        Ok(if began {
            Put::Created(payment)
        } else {
            Put::Kept(payment)
        })
    }

    async fn capture(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        self.fulfil(cx, id, Wish::Capture).await.map(|(payment, _)| payment)
    }

    async fn void(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        self.fulfil(cx, id, Wish::Void).await.map(|(payment, _)| payment)
    }

    async fn refund(&self, cx: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        self.fulfil(cx, id, Wish::Refund).await.map(|(payment, _)| payment)
    }
}
