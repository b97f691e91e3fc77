//! Writing down how mails stand: of many at a time, in one transaction.

use std::{collections::HashMap, time::Duration};

use kernel::{Time, Uuid};
use strangler_store::{Lease, StoreError};

use super::{RECORDS, Sender, cx, later};
use crate::{
    domain::{Failure, MailState},
    post::Ready,
    store::{TheseMails, time},
};

/// What is news of a mail that was not handed over, as it was read.
pub(super) struct Begun {
    pub(super) mail: MailState,
    pub(super) became: Before,
}

/// What becomes of it.
pub(super) enum Before {
    /// It can be handed over under this subject, once that is marked.
    Ready(String),
    TurnedAway(Failure),
    /// It waits until then for what is not known yet.
    Early(Time),
    /// Whoever was handing it over has not come back.
    Left,
}

/// A mail as it was while it was handed over, and what came of that. Only this sender knows.
pub(super) struct Done {
    pub(super) mail: MailState,
    pub(super) outcome: Result<(), Failure>,
}

/// What there is to be written down.
#[derive(Default)]
pub(super) struct News {
    pub(super) begun: Vec<Begun>,
    /// Those of them that can be handed over.
    ready: HashMap<Uuid, Box<dyn Ready>>,
    pub(super) done: Vec<Done>,
}

/// What was written down.
pub(super) struct Noted {
    /// The lease is somebody else's: nothing was noted of mails that had not been handed over.
    pub(super) lost: bool,
    /// The mails that are marked, and can be handed over.
    pub(super) marked: Vec<(MailState, Box<dyn Ready>)>,
}

impl News {
    pub(super) fn of_turned_away(mail: MailState, failure: Failure) -> Self {
        let became = Before::TurnedAway(failure);
        Self {
            begun: vec![Begun { mail, became }],
            ..Self::default()
        }
    }

    pub(super) fn of_ready(mail: MailState, subject: String, ready: Box<dyn Ready>) -> Self {
        let (id, became) = (mail.id.0, Before::Ready(subject));
        Self {
            begun: vec![Begun { mail, became }],
            ready: HashMap::from([(id, ready)]),
            done: Vec::new(),
        }
    }

    pub(super) fn of_done(mail: MailState, outcome: Result<(), Failure>) -> Self {
        Self {
            done: vec![Done { mail, outcome }],
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, more: Self) {
        self.begun.extend(more.begun);
        self.ready.extend(more.ready);
        self.done.extend(more.done);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.done.is_empty()
    }

    pub(super) fn ids(&self) -> Vec<Uuid> {
        let begun = self.begun.iter().map(|begun| begun.mail.id.0);
        begun.chain(self.done.iter().map(|done| done.mail.id.0)).collect()
    }
}

impl Sender {
    /// Writes down the news. What was handed over is tried again and again, since nobody else knows of it; of what was not,
    /// nothing is lost when that fails: it is looked at anew.
    pub(super) async fn note(&self, lease: Option<&Lease>, news: News) -> Result<Noted, StoreError> {
        let News {
            mut begun,
            mut ready,
            done,
        } = news;
        let mut tries = 0;
        loop {
            match self.try_to_note(lease, &begun, &done).await {
                Ok((lost, marks)) => {
                    let marked = marks.into_iter().filter_map(|mail| {
                        let ready = ready.remove(&mail.id.0)?;
                        Some((mail, ready))
                    });
                    let marked = marked.collect();
                    return Ok(Noted { lost, marked });
                }
                Err(error) if !done.is_empty() && error.retryable() && tries < RECORDS => {
                    begun.clear();
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(20) * 2_u32.pow(tries.min(6))).await;
                }
                // Somebody else was faster: it is looked at again if it is still due.
                Err(StoreError::Conflict(_)) => {
                    return Ok(Noted {
                        lost: false,
                        marked: Vec::new(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the lease is somebody else's, and the mails that are marked.
    async fn try_to_note(
        &self,
        lease: Option<&Lease>,
        begun: &[Begun],
        done: &[Done],
    ) -> Result<(bool, Vec<MailState>), StoreError> {
        let mut uow = self.db.begin(&cx()).await?;
        let lost = match lease {
            Some(lease) if !begun.is_empty() => !lease.guards(&mut uow).await?,
            _ => false,
        };
        let (now, most) = (time(uow.now())?, self.retry.attempts);
        let (mut next, mut marks) = (Vec::new(), Vec::new());
        // Another version of one of these is a conflict.
        for Begun { mail, became } in begun.iter().filter(|_| !lost) {
            next.push(match became {
                Before::Ready(subject) => {
                    // Nobody is at it any more after twice the time that it takes.
                    let sending = mail.begin(subject, later(now, 2 * self.post.patience()));
                    marks.push(sending.clone());
                    sending
                }
                Before::TurnedAway(failure) => mail.turned_away(failure, self.again(now, mail.tries + 1), most),
                Before::Early(due) => mail.wait_until(*due),
                Before::Left => mail.give_up(self.post.is_repeatable(), now),
            });
        }
        if !done.is_empty() {
            let ids = done.iter().map(|done| done.mail.id.0).collect();
            let there: HashMap<_, _> = uow
                .find(TheseMails(ids))
                .await?
                .into_iter()
                .map(|m| (m.id, m))
                .collect();
            // Whoever has the lease by now: others may have gone on with it, and then it is their word that counts.
            next.extend(done.iter().filter_map(|Done { mail, outcome }| {
                let again = self.again(now, mail.tries);
                there.get(&mail.id)?.record(mail, outcome, again, most)
            }));
        }
        if !next.is_empty() {
            next.iter().for_each(|mail| uow.save(mail));
            uow.commit().await?;
        }
        Ok((lost, marks))
    }
}
