//! One round: takes what is due and sees it through, until nothing is due and nothing is on its way.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use kernel::Uuid;
use notifications_contract::MailStatus;
use strangler_store::{Lease, StoreError};
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::instrument::WithSubscriber;

use super::{
    BATCH, FACTS, FACTS_AGAIN, POLL, Sender, cx, later,
    notes::{Before, Begun, News, Noted},
};
use crate::{
    domain::{Facts, Failure, MailState, Outgoing},
    post::{Post, Ready},
    store::{DueMails, FactsOf, time},
};

/// How a round ended.
pub(super) struct Ended {
    /// How many mails it took.
    pub(super) mails: usize,
    /// The lease is somebody else's.
    pub(super) lost: bool,
}

/// The mails of a round.
#[derive(Default)]
struct Mails {
    /// Taken, and waiting for a place.
    waiting: VecDeque<(MailState, Outgoing)>,
    on_their_way: JoinSet<News>,
    /// All that were taken and of which it is not written down yet what came of them.
    taken: HashSet<Uuid>,
}

impl Mails {
    /// Beside everything else; what it says in the log goes where this goes.
    fn spawn(&mut self, mail: impl Future<Output = News> + Send + 'static) {
        self.on_their_way.spawn(mail.with_current_subscriber());
    }
}

impl Sender {
    /// Sends what is due, and what comes to be due meanwhile; with `once`, it looks a single time. When it `stops`, or
    /// cannot go on, what is on its way still comes to its end.
    pub(super) async fn round(
        &self,
        lease: Option<&Lease>,
        once: bool,
        stops: impl Fn() -> bool,
    ) -> Result<Ended, StoreError> {
        let mut mails = Mails::default();
        let mut ended = Ended { mails: 0, lost: false };
        let (mut trouble, mut looks) = (None, true);
        let mut look = Instant::now();
        loop {
            let mut news = News::default();
            looks &= !ended.lost && trouble.is_none() && !stops();
            if !looks && !once {
                mails.waiting.clear();
            }
            if looks && mails.waiting.is_empty() && look <= Instant::now() {
                looks = !once;
                match self.take(&mut mails, &mut news).await {
                    Ok(taken) => {
                        ended.mails += taken;
                        // There may be more than were asked for.
                        let pause = if taken < BATCH { POLL } else { Duration::ZERO };
                        look = Instant::now() + pause;
                    }
                    Err(error) => trouble = Some(error),
                }
            }
            while mails.on_their_way.len() < self.post.at_once()
                && let Some((mail, outgoing)) = mails.waiting.pop_front()
            {
                mails.spawn(prepare(self.post.clone(), mail, outgoing));
            }
            if news.is_empty() {
                if mails.on_their_way.is_empty() {
                    break;
                }
                tokio::select! {
                    Some(known) = mails.on_their_way.join_next() => news.add(said(known)),
                    () = sleep_until(look), if looks && mails.waiting.is_empty() => continue,
                }
            }
            // What has come of others meanwhile is written down with it.
            while let Some(known) = mails.on_their_way.try_join_next() {
                news.add(said(known));
            }
            for id in news.ids() {
                mails.taken.remove(&id);
            }
            match self.note(lease, news).await {
                Ok(Noted { lost, marked }) => {
                    ended.lost |= lost;
                    for (mail, ready) in marked {
                        mails.taken.insert(mail.id.0);
                        mails.spawn(hand_over(mail, ready));
                    }
                }
                Err(error) => trouble = trouble.or(Some(error)),
            }
        }
        trouble.map_or(Ok(ended), Err)
    }

    /// Takes mails that are due. Those that can go wait for a place; of the others it is news why they do not. Answers how
    /// many there were.
    async fn take(&self, mails: &mut Mails, news: &mut News) -> Result<usize, StoreError> {
        let view = self.db.view(&cx());
        let now = time(view.now())?;
        // Those on their way without a mark are still due.
        let limit = (BATCH + mails.taken.len()) as u64;
        let mut due = view.find(DueMails { now, limit }).await?;
        due.retain(|mail| !mails.taken.contains(&mail.id.0));
        due.truncate(BATCH);
        let count = due.len();
        let (left, due): (Vec<_>, Vec<_>) = due.into_iter().partition(|mail| mail.status == MailStatus::Sending);
        for mail in left {
            tracing::warn!(mail = %mail.id, attempt = mail.attempts, "whoever handed this mail over has not come back");
            let became = Before::Left;
            news.begun.push(Begun { mail, became });
        }
        let (known, all) = self.facts(&due).await?;
        let nothing = Facts::default();
        for mail in due {
            let facts = known.get(&mail.letter.show()).unwrap_or(&nothing);
            if facts.are_whole() || all || now >= later(mail.at, FACTS) {
                mails.taken.insert(mail.id.0);
                let outgoing = mail.write(facts);
                mails.waiting.push_back((mail, outgoing));
            } else {
                let became = Before::Early(later(now, FACTS_AGAIN));
                news.begun.push(Begun { mail, became });
            }
        }
        Ok(count)
    }

    /// What is known of these mails' shows, and whether that is all that can be known of them.
    async fn facts(&self, mails: &[MailState]) -> Result<(HashMap<Uuid, Facts>, bool), StoreError> {
        let shows: HashSet<Uuid> = mails.iter().map(|mail| mail.letter.show()).collect();
        if shows.is_empty() {
            return Ok((HashMap::new(), true));
        }
        let find = || async {
            let view = self.db.view(&cx());
            view.find(FactsOf(shows.iter().copied().collect())).await
        };
        let known = find().await?;
        if shows.iter().all(|show| known.get(show).is_some_and(Facts::are_whole)) {
            return Ok((known, true));
        }
        let Some(catalog) = &self.catalog else {
            return Ok((known, false));
        };
        match catalog.has_caught_up().await {
            // What came to be known while it was asked is seen now.
            Ok(true) => Ok((find().await?, true)),
            Ok(false) => Ok((known, false)),
            Err(error) => {
                tracing::debug!(%error, "whether all was heard of the catalog is not known; mails wait for names");
                Ok((known, false))
            }
        }
    }
}

/// All that comes before the handing over; and that too, where it needs no mark.
async fn prepare(post: Arc<dyn Post>, mail: MailState, outgoing: Outgoing) -> News {
    match post.prepare(&outgoing).await {
        Ok(ready) if post.is_repeatable() => {
            let outcome = ready.hand_over().await;
            let mail = mail.unmarked(&outgoing.subject);
            tell(&mail, &outcome);
            News::of_done(mail, outcome)
        }
        Ok(ready) => News::of_ready(mail, outgoing.subject, ready),
        Err(failure) => {
            tracing::warn!(mail = %mail.id, attempt = mail.attempts + 1, %failure, "a mail was turned away");
            News::of_turned_away(mail, failure)
        }
    }
}

async fn hand_over(mail: MailState, ready: Box<dyn Ready>) -> News {
    let outcome = ready.hand_over().await;
    tell(&mail, &outcome);
    News::of_done(mail, outcome)
}

/// Says in the log what came of a mail.
fn tell(mail: &MailState, outcome: &Result<(), Failure>) {
    match outcome {
        Ok(()) => tracing::info!(mail = %mail.id, attempt = mail.attempts, "a mail was sent"),
        Err(failure @ Failure::Unknown(_)) => {
            tracing::error!(mail = %mail.id, attempt = mail.attempts, %failure, "a mail may have been sent or not");
        }
        Err(failure) => {
            tracing::warn!(mail = %mail.id, attempt = mail.attempts, %failure, "a mail was not sent");
        }
    }
}

/// What a task ended with. One that panicked panics here.
fn said(known: Result<News, JoinError>) -> News {
    match known.map_err(JoinError::try_into_panic) {
        Ok(news) => news,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // Nobody cancels one while the round goes on.
        Err(Err(_)) => News::default(),
    }
}
