//! The desk of notifications: shows mails, and queues one again.

use std::collections::HashMap;

use kernel::{Page, Uuid};
use notifications_contract::{Mail, MailFilter, MailId, NotificationsError, NotificationsService};
use strangler::Cx;
use strangler_store::{Db, StoreError, View};

use crate::{
    domain::{Facts, MailState},
    store::{FactsOf, MailsLike, time},
};

/// How often a decision is made anew when somebody else was faster.
const ATTEMPTS: u32 = 10;

/// Notifications over their own schema.
#[derive(Clone)]
pub struct NotificationsModule {
    db: Db,
}

impl NotificationsModule {
    /// Notifications whose data `db` is.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    async fn queue_again(&self, cx: &Cx, id: MailId, attempt: u32) -> Result<MailState, Trouble> {
        let mut uow = self.db.begin(cx).await?;
        let now = time(uow.now())?;
        let there = uow.load::<MailState>(id.0).await?;
        let there = there.ok_or(NotificationsError::NoSuchMail { id })?;
        let Some(queued) = there.again(attempt, now)? else {
            return Ok(there);
        };
        uow.save(&queued);
        uow.commit().await?;
        tracing::info!(mail = %id, attempt, "a mail is to be sent again");
        Ok(queued)
    }
}

/// Why a decision was not made.
enum Trouble {
    /// It is refused.
    Refused(NotificationsError),
    /// The store failed; perhaps somebody else was faster.
    Store(StoreError),
}

impl From<NotificationsError> for Trouble {
    fn from(error: NotificationsError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The mails as they look outside.
async fn look(view: &View<'_>, mails: Vec<MailState>) -> Result<Vec<Mail>, NotificationsError> {
    // What was sent knows its subject.
    let unsent = mails.iter().filter(|mail| mail.subject.is_none());
    let shows: Vec<Uuid> = unsent.map(|mail| mail.letter.show()).collect();
    let known = match shows.is_empty() {
        true => HashMap::new(),
        false => view.find(FactsOf(shows)).await.map_err(unavailable)?,
    };
    let nothing = Facts::default();
    let facts = |mail: &MailState| known.get(&mail.letter.show()).unwrap_or(&nothing);
    Ok(mails.iter().map(|mail| mail.look(facts(mail))).collect())
}

async fn look_at(view: &View<'_>, mail: MailState) -> Result<Mail, NotificationsError> {
    let id = mail.id;
    let mail = look(view, vec![mail]).await?.pop();
    mail.ok_or(NotificationsError::NoSuchMail { id })
}

/// What the database said is for the log; the caller learns what it means for them.
fn unavailable(error: StoreError) -> NotificationsError {
    tracing::error!(%error, "the store of notifications");
    NotificationsError::Unavailable {
        cause: error.outward().to_owned(),
    }
}

impl NotificationsService for NotificationsModule {
    async fn mails(&self, cx: &Cx, filter: MailFilter) -> Result<Page<Mail>, NotificationsError> {
        let view = self.db.view(cx);
        let Page { items, next } = view.find(MailsLike(filter)).await.map_err(unavailable)?;
        let items = look(&view, items).await?;
        Ok(Page { items, next })
    }

    async fn mail(&self, cx: &Cx, id: MailId) -> Result<Mail, NotificationsError> {
        let view = self.db.view(cx);
        let mail = view.load::<MailState>(id.0).await.map_err(unavailable)?;
        look_at(&view, mail.ok_or(NotificationsError::NoSuchMail { id })?).await
    }

    async fn send_again(&self, cx: &Cx, id: MailId, attempt: u32) -> Result<Mail, NotificationsError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.queue_again(cx, id, attempt).await {
                Ok(mail) => return look_at(&self.db.view(cx), mail).await,
                Err(Trouble::Refused(error)) => return Err(error),
                Err(Trouble::Store(StoreError::Conflict(_))) if tries < ATTEMPTS => {}
                Err(Trouble::Store(error)) => return Err(unavailable(error)),
            }
        }
    }
}
