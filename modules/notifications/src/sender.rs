//! Sends what is due.
//!
//! Each mail goes through three transactions at most, and none is open while anybody is waited for: what comes before the
//! handing over is done first; then the mail is marked `sending`, in a transaction that finds the lease still held; then it
//! is handed over; then it is recorded what came of it. Whoever is killed in between leaves a mail that says so.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use kernel::{Time, Uuid};
use notifications_contract::MailStatus;
use strangler::Cx;
use strangler_store::{Db, Lease, Retry, Round, StoreError, Turn};

use crate::{
    domain::{Failure, MailState, Outgoing},
    post::{Post, Ready},
    store::{DueMails, FactsOf, time},
};

/// What is leased.
const LEASE: &str = "notifications:sender";
/// How many mails one round takes, and how many of them are on their way at a time.
const BATCH: u64 = 32;
const AT_ONCE: usize = 4;
/// How often it is looked for mails.
const POLL: Duration = Duration::from_millis(250);
/// How long a mail waits for the names of act and venue. Whoever ordered knew the show, so its events are on their way here
/// already; should they stay away longer, a mail without names is better than none.
const FACTS: Duration = Duration::from_secs(30);
const FACTS_AGAIN: Duration = Duration::from_secs(2);
/// How often it is tried to record what became of a mail.
const RECORDS: u32 = 10;

/// Sends the mails of one schema. Any number of these may run; of those that do, one works at a time.
#[derive(Clone)]
pub struct Sender {
    db: Db,
    post: Arc<dyn Post>,
    turn: Turn,
    retry: Retry,
}

/// A sender of the mails in notifications' schema `db`, which go out by `post`. A mail that is turned away is tried again
/// after five seconds, then ever less often, up to once an hour, 24 times in all: most of a day.
pub fn sender(db: Db, post: Arc<dyn Post>) -> Sender {
    let retry = Retry {
        first: Duration::from_secs(5),
        longest: Duration::from_secs(3600),
        attempts: 24,
    };
    let turn = Turn::always();
    Sender { db, post, turn, retry }
}

/// What became of one due mail.
enum Dealt {
    With,
    /// The lease is somebody else's.
    Lost,
}

impl Sender {
    /// [`run`](Self::run) works when it is this side's turn; always, unless told otherwise.
    pub fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = turn;
        self
    }

    /// The same, with another way to try again.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Deals with what is due, up to one batch, whosever turn it is and without a lease: two of these at once hand a mail
    /// over twice where that does no harm. Answers how many mails it dealt with.
    ///
    /// # Errors
    /// The database's; what was dealt with before stays so.
    pub async fn step(&self) -> Result<usize, StoreError> {
        Ok(self.round(None).await?.unwrap_or_default())
    }

    /// Sends until `stop` is ready; mails that are on their way then have ten seconds. A database that is away is waited
    /// for.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let work = |lease: Lease| async move {
            Ok(match self.round(Some(&lease)).await? {
                None => Round::Lost,
                Some(dealt) if dealt as u64 == BATCH => Round::More,
                Some(_) => Round::Rest(POLL),
            })
        };
        self.db.leases().while_held(LEASE, self.turn.clone(), stop, work).await;
    }

    /// One batch; `None` when the lease is somebody else's.
    async fn round(&self, lease: Option<&Lease>) -> Result<Option<usize>, StoreError> {
        let view = self.db.view(&cx());
        let now = time(view.now())?;
        let due = view.find(DueMails { now, limit: BATCH }).await?;
        let mails = due.len();
        let on_their_way = stream::iter(due)
            .map(|id| self.deal(lease, id))
            .buffer_unordered(AT_ONCE);
        let outcomes: Vec<_> = on_their_way.collect().await;
        let mut lost = false;
        for outcome in outcomes {
            match outcome {
                Ok(Dealt::With) => {}
                Ok(Dealt::Lost) => lost = true,
                // Somebody else was faster: it is looked at again if it is still due.
                Err(StoreError::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((!lost).then_some(mails))
    }

    async fn deal(&self, lease: Option<&Lease>, id: Uuid) -> Result<Dealt, StoreError> {
        let view = self.db.view(&cx());
        let now = time(view.now())?;
        let Some(mail) = view.load::<MailState>(id).await? else {
            return Ok(Dealt::With);
        };
        if mail.status == MailStatus::Sending {
            tracing::warn!(mail = %mail.id, attempt = mail.attempts, "whoever handed this mail over has not come back");
            return self.write(lease, &mail.give_up(self.post.is_repeatable(), now)).await;
        }
        if !mail.is_due(now) {
            return Ok(Dealt::With);
        }
        let show = mail.letter.show();
        let facts = view.find(FactsOf(vec![show])).await?.remove(&show).unwrap_or_default();
        if !facts.are_whole() && now < later(mail.at, FACTS) {
            return self.write(lease, &mail.wait_until(later(now, FACTS_AGAIN))).await;
        }
        let outgoing = mail.write(&facts);
        match self.post.prepare(&outgoing).await {
            Ok(ready) => self.hand_over(lease, &mail, &outgoing, ready).await,
            Err(failure) => {
                tracing::warn!(mail = %mail.id, attempt = mail.attempts + 1, %failure, "a mail was turned away");
                let next = mail.turned_away(&failure, self.again(now, mail.tries + 1), self.retry.attempts);
                self.write(lease, &next).await
            }
        }
    }

    async fn hand_over(
        &self,
        lease: Option<&Lease>,
        mail: &MailState,
        outgoing: &Outgoing,
        ready: Box<dyn Ready>,
    ) -> Result<Dealt, StoreError> {
        let now = time(self.db.view(&cx()).now())?;
        // A repeat that does no harm need not wait. Otherwise nobody is at it any more after twice the time that it takes.
        let give_up = match self.post.is_repeatable() {
            true => now,
            false => later(now, 2 * self.post.patience()),
        };
        let sending = mail.begin(&outgoing.subject, give_up);
        if let Dealt::Lost = self.write(lease, &sending).await? {
            return Ok(Dealt::Lost);
        }
        let outcome = ready.hand_over().await;
        match &outcome {
            Ok(()) => tracing::info!(mail = %mail.id, attempt = sending.attempts, "a mail was sent"),
            Err(failure @ Failure::Unknown(_)) => {
                tracing::error!(mail = %mail.id, attempt = sending.attempts, %failure, "a mail may have been sent or not");
            }
            Err(failure) => {
                tracing::warn!(mail = %mail.id, attempt = sending.attempts, %failure, "a mail was not sent");
            }
        }
        self.record(&sending, &outcome).await?;
        Ok(Dealt::With)
    }

    /// Writes the mail if it is as it was read, and the lease is still held.
    async fn write(&self, lease: Option<&Lease>, mail: &MailState) -> Result<Dealt, StoreError> {
        let mut uow = self.db.begin(&cx()).await?;
        if let Some(lease) = lease
            && !lease.guards(&mut uow).await?
        {
            return Ok(Dealt::Lost);
        }
        // Another version of it is a conflict.
        uow.save(mail);
        uow.commit().await?;
        Ok(Dealt::With)
    }

    /// Records what became of the mail, whoever has the lease by now: only this worker knows.
    async fn record(&self, sent: &MailState, outcome: &Result<(), Failure>) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            match self.try_to_record(sent, outcome).await {
                Err(error) if error.retryable() && tries < RECORDS => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(20) * 2_u32.pow(tries.min(6))).await;
                }
                done => return done,
            }
        }
    }

    async fn try_to_record(&self, sent: &MailState, outcome: &Result<(), Failure>) -> Result<(), StoreError> {
        let mut uow = self.db.begin(&cx()).await?;
        let now = time(uow.now())?;
        let there = uow.load::<MailState>(sent.id.0).await?;
        let again = self.again(now, sent.tries);
        let next = there.and_then(|there| there.record(sent.attempts, outcome, again, self.retry.attempts));
        if let Some(next) = next {
            uow.save(&next);
            uow.commit().await?;
        }
        Ok(())
    }

    /// When to try again after so many tries.
    fn again(&self, now: Time, tries: u32) -> Time {
        later(now, self.retry.pause(tries))
    }
}

fn cx() -> Cx {
    Cx::system("notifications:sender")
}

fn later(time: Time, by: Duration) -> Time {
    let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    Time::from_micros(time.micros().saturating_add(by)).unwrap_or(time)
}
