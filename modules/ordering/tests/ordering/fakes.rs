//! Seating and payments in memory: the rules of their contracts, and a memory of every move.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use kernel::{Currency, Money, Time, Uuid};
use payments_contract::{
    Payment, PaymentDraft, PaymentId, PaymentStatus as Status, PaymentToken, PaymentsError, PaymentsService,
};
use seating_contract::{Hold, HoldDraft, HoldId, HoldStatus, SeatId, SeatMap, SeatingError, SeatingService, ShowId};
use strangler::{Cx, Done, Put, Scopes};

/// What a seat costs.
pub const PRICE: i64 = 4500;

pub fn euros(amount: i64) -> Money {
    Money::new(amount, Currency::try_from("EUR".to_owned()).unwrap()).unwrap()
}

/// Only who has just this scope and no others than ordering needs is let in.
fn assert_few_rights(cx: &Cx, scope: &str) {
    let principal = cx.principal();
    assert!(
        matches!(principal.scopes, Scopes::Some(_)),
        "the steps may do everything"
    );
    assert!(principal.scopes.allow(scope) && !principal.scopes.allow("catalog:write"));
    assert_eq!(cx.subject(), Some("ordering"));
    assert!(cx.idempotency_key().is_some() && cx.time_left().is_some());
}

struct FakeHold {
    takings: Option<HoldDraft>,
    /// `None`: it is over.
    status: Option<HoldStatus>,
}

/// Seating in memory. Every show but the cancelled one has every seat whose name does not begin with `No`.
#[derive(Clone, Default)]
pub struct FakeSeating {
    holds: Arc<Mutex<BTreeMap<HoldId, FakeHold>>>,
    pub cancelled: Arc<Mutex<BTreeSet<ShowId>>>,
}

impl FakeSeating {
    fn look(id: HoldId, hold: &FakeHold) -> Result<Hold, SeatingError> {
        match (&hold.takings, hold.status) {
            (Some(takings), Some(status)) => Ok(Hold {
                id,
                show: takings.show(),
                seats: takings.seats().to_vec(),
                status,
                total: euros(PRICE * i64::try_from(takings.seats().len()).unwrap()),
                expires_at: (status == HoldStatus::Held).then(|| Time::from_micros(1).unwrap()),
            }),
            _ => Err(SeatingError::HoldOver { id }),
        }
    }

    fn end(&self, id: HoldId, sold_too: bool) -> Result<Done, SeatingError> {
        let mut holds = self.holds.lock().unwrap();
        let never = FakeHold {
            takings: None,
            status: None,
        };
        let hold = holds.entry(id).or_insert(never);
        if hold.status == Some(HoldStatus::Sold) && !sold_too {
            return Err(SeatingError::SeatsSold { id });
        }
        hold.status = None;
        Ok(Done)
    }

    fn step(&self, id: HoldId, to: HoldStatus) -> Result<Hold, SeatingError> {
        let mut holds = self.holds.lock().unwrap();
        let hold = holds.get_mut(&id).ok_or(SeatingError::NoSuchHold { id })?;
        let now = Self::look(id, hold)?;
        if now.status != HoldStatus::Sold {
            hold.status = Some(to);
        }
        Self::look(id, hold)
    }

    /// The hold's time is up.
    pub fn expire(&self, id: Uuid) {
        self.end(HoldId(id), false).unwrap();
    }

    /// How the hold with this id stands; `None` when nothing is held.
    pub fn stands(&self, id: Uuid) -> Option<HoldStatus> {
        self.holds.lock().unwrap().get(&HoldId(id)).and_then(|hold| hold.status)
    }

    pub fn has_tombstone(&self, id: Uuid) -> bool {
        let holds = self.holds.lock().unwrap();
        holds.get(&HoldId(id)).is_some_and(|hold| hold.status.is_none())
    }
}

impl SeatingService for FakeSeating {
    async fn seats(&self, _: &Cx, id: ShowId) -> Result<SeatMap, SeatingError> {
        Err(SeatingError::NoSuchShow { id })
    }

    async fn held(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        assert_few_rights(cx, seating_contract::HOLD);
        let holds = self.holds.lock().unwrap();
        Self::look(id, holds.get(&id).ok_or(SeatingError::NoSuchHold { id })?)
    }

    async fn hold(&self, _: &Cx, id: HoldId, draft: HoldDraft) -> Result<Put<Hold>, SeatingError> {
        let show = draft.show();
        let mut holds = self.holds.lock().unwrap();
        if let Some(there) = holds.get(&id) {
            if there.takings.as_ref().is_some_and(|takings| *takings != draft) {
                return Err(SeatingError::OtherHold { id });
            }
            return Self::look(id, there).map(Put::Kept);
        }
        if self.cancelled.lock().unwrap().contains(&show) {
            return Err(SeatingError::ShowCancelled { id: show });
        }
        let unknown: Vec<SeatId> = draft
            .seats()
            .iter()
            .filter(|s| s.as_str().starts_with("No"))
            .cloned()
            .collect();
        if !unknown.is_empty() {
            return Err(SeatingError::UnknownSeats { seats: unknown });
        }
        let live = holds.values().filter(|hold| hold.status.is_some());
        let theirs = live
            .filter_map(|hold| hold.takings.as_ref())
            .filter(|t| t.show() == show);
        let theirs: BTreeSet<SeatId> = theirs.flat_map(|t| t.seats().to_vec()).collect();
        let taken: Vec<SeatId> = draft.seats().iter().filter(|s| theirs.contains(*s)).cloned().collect();
        if !taken.is_empty() {
            return Err(SeatingError::SeatsTaken { seats: taken });
        }
        let hold = FakeHold {
            takings: Some(draft),
            status: Some(HoldStatus::Held),
        };
        let look = Self::look(id, &hold)?;
        holds.insert(id, hold);
        Ok(Put::Created(look))
    }

    async fn release(&self, _: &Cx, id: HoldId) -> Result<Done, SeatingError> {
        self.end(id, false)
    }

    async fn commit(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        assert_few_rights(cx, seating_contract::SELL);
        self.step(id, HoldStatus::Committed)
    }

    async fn assign(&self, _: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        self.step(id, HoldStatus::Sold)
    }

    async fn unassign(&self, _: &Cx, id: HoldId) -> Result<Done, SeatingError> {
        self.end(id, true)
    }
}

#[derive(Clone)]
struct FakePayment {
    terms: Option<(Money, PaymentToken)>,
    status: Status,
    /// What happened to the money.
    moves: Vec<Status>,
}

/// Payments in memory: `tok_declined` is declined, the money of `tok_expired` is reserved and not given, all else pays.
#[derive(Clone, Default)]
pub struct FakePayments {
    payments: Arc<Mutex<BTreeMap<PaymentId, FakePayment>>>,
}

impl FakePayments {
    fn go(payment: &mut FakePayment, status: Status) {
        if payment.status != status {
            payment.status = status;
            payment.moves.push(status);
        }
    }

    fn look(id: PaymentId, payment: &FakePayment) -> Payment {
        Payment {
            id,
            amount: payment.terms.as_ref().map(|(amount, _)| *amount),
            status: payment.status,
            reference: None,
        }
    }

    /// What happened to the money with this id.
    pub fn moves(&self, id: Uuid) -> Vec<Status> {
        let payments = self.payments.lock().unwrap();
        payments
            .get(&PaymentId(id))
            .map(|p| p.moves.clone())
            .unwrap_or_default()
    }

    /// How much it is about.
    pub fn amount(&self, id: Uuid) -> Option<Money> {
        let payments = self.payments.lock().unwrap();
        Some(payments.get(&PaymentId(id))?.terms.as_ref()?.0)
    }

    /// The provider was told to take the money, and nobody knows whether it has.
    pub fn leave_capturing(&self, id: Uuid) {
        self.payments.lock().unwrap().get_mut(&PaymentId(id)).unwrap().status = Status::Capturing;
    }

    pub fn has_tombstone(&self, id: Uuid) -> bool {
        let payments = self.payments.lock().unwrap();
        payments.get(&PaymentId(id)).is_some_and(|p| p.status == Status::Voided)
    }
}

impl PaymentsService for FakePayments {
    async fn payment(&self, _: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        Err(PaymentsError::NoSuchPayment { id })
    }

    async fn authorise(&self, cx: &Cx, id: PaymentId, draft: PaymentDraft) -> Result<Put<Payment>, PaymentsError> {
        assert_few_rights(cx, payments_contract::CHARGE);
        let mut payments = self.payments.lock().unwrap();
        let new = FakePayment {
            terms: Some((draft.amount, draft.token.clone())),
            status: Status::Authorising,
            moves: Vec::new(),
        };
        let payment = payments.entry(id).or_insert(new);
        if payment
            .terms
            .as_ref()
            .is_some_and(|(amount, token)| (amount, token) != (&draft.amount, &draft.token))
        {
            return Err(PaymentsError::OtherPayment { id });
        }
        match payment.status {
            Status::Authorising if draft.token.expose() == "tok_declined" => Self::go(payment, Status::Declined),
            Status::Authorising => Self::go(payment, Status::Authorised),
            Status::Voided => return Err(PaymentsError::Void { id }),
            _ => {}
        }
        match payment.status {
            Status::Declined => Err(PaymentsError::Declined { id }),
            _ => Ok(Put::Kept(Self::look(id, payment))),
        }
    }

    async fn capture(&self, _: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        let mut payments = self.payments.lock().unwrap();
        let payment = payments.get_mut(&id).ok_or(PaymentsError::NoSuchPayment { id })?;
        match payment.status {
            Status::Authorised | Status::Capturing => {
                let expired = payment
                    .terms
                    .as_ref()
                    .is_some_and(|(_, token)| token.expose() == "tok_expired");
                if expired {
                    Self::go(payment, Status::Declined);
                    return Err(PaymentsError::Declined { id });
                }
                Self::go(payment, Status::Captured);
            }
            Status::Captured => {}
            Status::Voided => return Err(PaymentsError::Void { id }),
            standing => return Err(PaymentsError::NotAuthorised { id, standing }),
        }
        Ok(Self::look(id, payment))
    }

    async fn void(&self, _: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        let mut payments = self.payments.lock().unwrap();
        let never = FakePayment {
            terms: None,
            status: Status::Voided,
            moves: Vec::new(),
        };
        let payment = payments.entry(id).or_insert(never);
        match payment.status {
            Status::Authorised => Self::go(payment, Status::Voided),
            Status::Voided | Status::Declined => {}
            standing => return Err(PaymentsError::CaptureBegun { id, standing }),
        }
        Ok(Self::look(id, payment))
    }

    async fn refund(&self, _: &Cx, id: PaymentId) -> Result<Payment, PaymentsError> {
        let mut payments = self.payments.lock().unwrap();
        let payment = payments.get_mut(&id).ok_or(PaymentsError::NoSuchPayment { id })?;
        match payment.status {
            Status::Captured => Self::go(payment, Status::Refunded),
            Status::Refunded => {}
            standing => return Err(PaymentsError::NotCaptured { id, standing }),
        }
        Ok(Self::look(id, payment))
    }
}
