//! The rules of a payment: what may follow what, and what has to be asked of the provider.

use kernel::Money;
use payments_contract::{Payment, PaymentDraft, PaymentId, PaymentStatus as Status, PaymentsError};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

mod intent;
#[cfg(test)]
mod tests;

pub use intent::{Charge, Intent, IntentState};

/// A payment as it is kept. A voided one stays, as the tombstone of its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PaymentState {
    pub(crate) id: PaymentId,
    pub(crate) version: i64,
    /// `None` when it was voided before it began.
    pub(crate) terms: Option<Terms>,
    pub(crate) status: Status,
    pub(crate) reference: Option<String>,
}

/// What was agreed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    pub(crate) amount: Money,
    /// Tells one token from another without keeping it.
    pub(crate) token_digest: String,
}

/// What is asked of a payment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wish<'a> {
    Authorise(&'a PaymentDraft),
    Capture,
    Void,
    Refund,
}

/// What a wish comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is as wished.
    Settled(PaymentState),
    /// Write this, and it is as wished.
    Settle(PaymentState),
    /// Write this, then ask the provider.
    Begin(PaymentState),
    /// It was begun before and its outcome is not known: ask the provider.
    Ask(PaymentState),
}

impl Wish<'_> {
    /// What to do about it, given how the payment stands.
    pub(crate) fn decide(self, id: PaymentId, there: Option<&PaymentState>) -> Result<Decision, PaymentsError> {
        let Some(there) = there else {
            return match self {
                Self::Authorise(draft) => Ok(Decision::Begin(PaymentState::new(id, Status::Authorising, Some(draft)))),
                // Nothing was begun, so nothing has reached the provider, and from here on nothing will.
                Self::Void => Ok(Decision::Settle(PaymentState::new(id, Status::Voided, None))),
                Self::Capture | Self::Refund => Err(PaymentsError::NoSuchPayment { id }),
            };
        };
        if let Self::Authorise(draft) = self
            && there.terms.as_ref().is_some_and(|terms| *terms != Terms::of(draft))
        {
            return Err(PaymentsError::OtherPayment { id });
        }
        let standing = there.status;
        let settled = || Ok(Decision::Settled(there.clone()));
        let begin = |status| Ok(Decision::Begin(there.next(status)));
        let ask = || Ok(Decision::Ask(there.clone()));
        match (self, standing) {
            (Self::Authorise(_), Status::Authorising) => ask(),
            (Self::Authorise(_), Status::Declined) => Err(PaymentsError::Declined { id }),
            (Self::Authorise(_) | Self::Capture, Status::Voiding | Status::Voided) => Err(PaymentsError::Void { id }),
            (Self::Authorise(_), _) => settled(),
            (Self::Capture, Status::Authorised) => begin(Status::Capturing),
            (Self::Capture, Status::Capturing) => ask(),
            (Self::Capture, Status::Captured) => settled(),
            (Self::Capture, _) => Err(PaymentsError::NotAuthorised { id, standing }),
            (Self::Void, Status::Authorising | Status::Authorised) => begin(Status::Voiding),
            (Self::Void, Status::Voiding) => ask(),
            (Self::Void, Status::Voided | Status::Declined) => settled(),
            (Self::Void, _) => Err(PaymentsError::CaptureBegun { id, standing }),
            (Self::Refund, Status::Captured) => begin(Status::Refunding),
            (Self::Refund, Status::Refunding) => ask(),
            (Self::Refund, Status::Refunded) => settled(),
            (Self::Refund, _) => Err(PaymentsError::NotCaptured { id, standing }),
        }
    }
}

impl Terms {
    fn of(draft: &PaymentDraft) -> Self {
        let digest = Sha256::digest(draft.token.expose());
        Self {
            amount: draft.amount,
            token_digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl PaymentState {
    fn new(id: PaymentId, status: Status, draft: Option<&PaymentDraft>) -> Self {
        Self {
            id,
            version: 1,
            terms: draft.map(Terms::of),
            status,
            reference: None,
        }
    }

    /// The payment after the provider has said how it stands; `None` when that is no news. What the provider said may be
    /// older than what is there, so it only ends what was begun and never takes anything back.
    pub(crate) fn hear(&self, intent: &Intent) -> Option<Self> {
        let status = match (self.status, intent.state) {
            (Status::Authorising, IntentState::Authorized) => Status::Authorised,
            // Also of money that was reserved before: a card expires, a bank thinks better of it.
            (Status::Authorising | Status::Voiding | Status::Capturing, IntentState::Declined) => Status::Declined,
            (Status::Authorising | Status::Voiding | Status::Capturing, IntentState::Voided) => Status::Voided,
            (Status::Capturing, IntentState::Captured) => Status::Captured,
            (Status::Refunding, IntentState::Refunded) => Status::Refunded,
            _ => return None,
        };
        let mut next = self.next(status);
        if next.reference.is_none() {
            next.reference.clone_from(&intent.reference);
        }
        Some(next)
    }

    /// What the provider is asked about; `None` when it was voided before it began.
    pub(crate) fn charge(&self) -> Option<Charge> {
        let Terms { amount, .. } = self.terms.as_ref()?;
        Some(Charge {
            key: self.id,
            amount: *amount,
        })
    }

    /// How it looks outside.
    pub(crate) fn look(&self) -> Payment {
        Payment {
            id: self.id,
            amount: self.terms.as_ref().map(|terms| terms.amount),
            status: self.status,
            reference: self.reference.clone(),
        }
    }

    fn next(&self, status: Status) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.status = status;
        next
    }
}
