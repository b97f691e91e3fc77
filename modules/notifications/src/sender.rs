//! Sends what is due.
//!
//! No transaction is open while anybody is waited for. What comes before the handing over is done first; then the mail is
//! marked `sending`, in a transaction that finds the lease still held; then it is handed over; then it is recorded what
//! came of it. Whoever is killed in between leaves a mail that says so. Where a repeat does no harm there is no mark: such
//! a mail stays `queued` until it is recorded what came of it, and is handed over again when nobody got that far.
//!
//! Mails are on their way beside each other, and one that takes long holds up nobody but itself: what has come of others
//! meanwhile is written down together, in one transaction, and more are taken for their places.

mod notes;
mod round;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use kernel::Time;
use strangler::Cx;
use strangler_store::{Db, Lease, Retry, Round, StoreError, Subscription, Turn};

use crate::post::Post;

/// What is leased.
const LEASE: &str = "notifications:sender";
/// How many mails are looked for at a time.
const BATCH: usize = 64;
/// How often it is looked for mails.
const POLL: Duration = Duration::from_millis(250);
/// How long a mail waits for the names of act and venue at most. Whoever ordered knew the show, so its events are on their
/// way here already; should they stay away longer, a mail without names is better than none.
const FACTS: Duration = Duration::from_secs(30);
const FACTS_AGAIN: Duration = Duration::from_secs(1);
/// How often it is tried to record what became of mails.
const RECORDS: u32 = 10;

/// Sends the mails of one schema. Any number of these may run; of those that do, one works at a time.
#[derive(Clone)]
pub struct Sender {
    db: Db,
    post: Arc<dyn Post>,
    turn: Turn,
    retry: Retry,
    catalog: Option<Arc<Subscription>>,
}

/// A sender of the mails in notifications' schema `db`, which go out by `post`. A mail that is turned away is tried again
/// after five seconds, then ever less often, up to once an hour, 24 times in all: most of a day.
pub fn sender(db: Db, post: Arc<dyn Post>) -> Sender {
    let retry = Retry {
        first: Duration::from_secs(5),
        longest: Duration::from_secs(3600),
        attempts: 24,
    };
    let (turn, catalog) = (Turn::always(), None);
    Sender {
        db,
        post,
        turn,
        retry,
        catalog,
    }
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

    /// By which subscription the schema hears of the catalog; it is only asked how far it is. A mail about a show that is
    /// not known waits until everything has been heard that the catalog has told, 30 s at most; without this, always 30 s.
    pub fn with_catalog(mut self, catalog: Subscription) -> Self {
        self.catalog = Some(Arc::new(catalog));
        self
    }

    /// Deals with what is due, up to one batch, whosever turn it is and without a lease: two of these at once hand a mail
    /// over twice where that does no harm. Answers how many mails it dealt with.
    ///
    /// # Errors
    /// The database's; what was dealt with before stays so.
    pub async fn step(&self) -> Result<usize, StoreError> {
        let ended = self.round(None, true, || false).await?;
        Ok(ended.mails)
    }

    /// Sends until `stop` is ready; mails that are on their way then have ten seconds. A database that is away is waited
    /// for.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let stopping = AtomicBool::new(false);
        let stop = async {
            stop.await;
            stopping.store(true, Ordering::Relaxed);
        };
        let work = |lease: Lease| {
            let (route, stopping) = (self.turn.now(), &stopping);
            async move {
                let stops = || stopping.load(Ordering::Relaxed) || self.turn.now() != route;
                let ended = self.round(Some(&lease), false, stops).await?;
                Ok(if ended.lost { Round::Lost } else { Round::Rest(POLL) })
            }
        };
        self.db.leases().while_held(LEASE, self.turn.clone(), stop, work).await;
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
