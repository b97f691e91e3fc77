//! Dead letters: events that a subscription could not handle, and commands of a queue that could not be carried out, for a
//! person to look at.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde::Serialize;
use serde_json::{Value, json};
use strangler::Cx;
use uuid::Uuid;

use crate::{
    Db, Envelope, StoreError,
    entity::subscriptions,
    queue,
    subscription::promote,
    view::Reader,
    writer::{News, Tx},
};

use self::{
    entity::{dead_letters, set_aside},
    restore::{aside_before, parked_before},
};

pub(crate) mod entity;
mod list;
pub(crate) mod restore;

pub use list::{Behind, LetterFilter, LetterState};

/// Names a dead letter: an event of a subscription's log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    /// The subscription, or `queue:` and the name of a queue.
    pub subscription: String,
    /// The event's position in its log, or the command's in the queues.
    pub position: i64,
}

/// One dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// Which one.
    pub id: LetterId,
    /// What it happened to; later events of the same wait behind it.
    pub subject: Uuid,
    /// The event, with its trace, or a command in the form of one; `None` when what is stored is no envelope.
    pub event: Option<Envelope>,
    /// Why it failed last.
    pub error: String,
    /// Every attempt, and every decision about it: objects with `at`, and `error` or `retried_by`.
    pub tried: Value,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
    /// What was decided, by whom and when; `None` as long as it is parked.
    pub resolved: Option<Resolved>,
    /// How many later events of its subject wait behind it.
    pub waiting: u64,
}

/// A decision about a dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// `retried` or `discarded`.
    pub how: String,
    /// Who decided.
    pub by: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// How much is set aside in a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// Events that are tried again by themselves.
    pub retrying: u64,
    /// Events that wait behind another one of their subject.
    pub waiting: u64,
    /// Dead letters.
    pub parked: u64,
    /// Since when the oldest of the first two has been set aside.
    pub oldest_aside: Option<DateTime<Utc>>,
    /// Since when the oldest dead letter has been parked.
    pub oldest_parked: Option<DateTime<Utc>>,
}

/// The dead letters of a schema's subscriptions. As long as one is parked, later events of the same subject wait behind it.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    db: Db,
}

impl DeadLetters {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Those that are parked, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, limit: u64) -> Result<Vec<DeadLetter>, StoreError> {
        self.list_of(None, limit).await
    }

    /// Those that are parked of this subscription, or of all, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_of(&self, subscription: Option<&str>, limit: u64) -> Result<Vec<DeadLetter>, StoreError> {
        let filter = LetterFilter {
            subscription: subscription.map(str::to_owned),
            ..LetterFilter::default()
        };
        self.page(&filter, None, limit).await
    }

    /// The names of those that are parked of this subscription, or of all, oldest first: without what is in them.
    ///
    /// # Errors
    /// The database's.
    pub async fn ids_of(&self, subscription: Option<&str>, limit: u64) -> Result<Vec<LetterId>, StoreError> {
        let filter = LetterFilter {
            subscription: subscription.map(str::to_owned),
            ..LetterFilter::default()
        };
        self.ids(&filter, limit).await
    }

    /// One of them, parked or resolved.
    ///
    /// # Errors
    /// The database's.
    pub async fn show(&self, id: &LetterId) -> Result<Option<DeadLetter>, StoreError> {
        let key = (id.subscription.clone(), id.position);
        let row = dead_letters::Entity::find_by_id(key)
            .one(&Reader { db: &self.db })
            .await;
        let row = row.map_err(|e| self.failed(&e))?;
        Ok(self.letters(row.into_iter().collect()).await?.pop())
    }

    /// Has these handled again, with all their attempts; the events behind each follow once it is handled. What is not
    /// parked (any more) is left alone. Answers how many were. `cx` says who asks, and that is kept.
    ///
    /// # Errors
    /// The database's; those before the failure have been put back.
    pub async fn retry(&self, cx: &Cx, ids: &[LetterId]) -> Result<usize, StoreError> {
        self.resolve(cx, ids, "retried").await
    }

    /// Gives these up for good; the events behind each follow without it. What is not parked (any more) is left alone.
    /// Answers how many were. `cx` says who asks, and that is kept.
    ///
    /// # Errors
    /// The database's; those before the failure have been discarded.
    pub async fn discard(&self, cx: &Cx, ids: &[LetterId]) -> Result<usize, StoreError> {
        self.resolve(cx, ids, "discarded").await
    }

    /// How much there is, and since when: for metrics and health.
    ///
    /// # Errors
    /// The database's.
    pub async fn depth(&self) -> Result<Depth, StoreError> {
        let reader = Reader { db: &self.db };
        let read = async {
            let due = set_aside::Column::DueAt;
            let retrying = set_aside::Entity::find()
                .filter(due.is_not_null())
                .count(&reader)
                .await?;
            let waiting = set_aside::Entity::find().filter(due.is_null()).count(&reader).await?;
            let oldest_aside = set_aside::Entity::find()
                .order_by_asc(set_aside::Column::AsideAt)
                .one(&reader)
                .await?;
            let oldest_parked = parked()
                .order_by_asc(dead_letters::Column::ParkedAt)
                .one(&reader)
                .await?;
            Ok(Depth {
                retrying,
                waiting,
                parked: parked().count(&reader).await?,
                oldest_aside: oldest_aside.map(|row| row.aside_at),
                oldest_parked: oldest_parked.map(|row| row.parked_at),
            })
        };
        read.await.map_err(|e: DbErr| self.failed(&e))
    }

    async fn resolve(&self, cx: &Cx, ids: &[LetterId], how: &str) -> Result<usize, StoreError> {
        let mut resolved = 0;
        for id in ids {
            let tx = self.db.begin_raw("resolving a dead letter").await?;
            let done = self.resolve_one(&tx, cx, id, how).await.map_err(|e| self.failed(&e))?;
            if done {
                let news = News {
                    queued: queue::is_queue(&id.subscription),
                    ..News::default()
                };
                tx.commit_with(news).await.map_err(|e| self.failed(&e))?;
                tracing::info!(
                    subscription = id.subscription,
                    position = id.position,
                    by = cx.subject(),
                    "{how}"
                );
                resolved += 1;
            }
        }
        Ok(resolved)
    }

    async fn resolve_one(&self, tx: &Tx, cx: &Cx, id: &LetterId, how: &str) -> Result<bool, DbErr> {
        self.lock(tx, id).await?;
        let of_queue = queue::is_queue(&id.subscription);
        let key = (id.subscription.clone(), id.position);
        let row = dead_letters::Entity::find_by_id(key).one(tx).await?;
        let Some(mut row) = row.filter(|row| row.resolved_at.is_none()) else {
            return Ok(false);
        };
        let now = self.db.now();
        if let Value::Array(tried) = &mut row.tried {
            tried.push(json!({ "at": now, (format!("{how}_by")): cx.subject() }));
        }
        let resolved = dead_letters::ActiveModel {
            tried: Set(row.tried.clone()),
            resolved_at: Set(Some(now)),
            resolved_by: Set(cx.subject().map(str::to_owned)),
            resolution: Set(Some(how.to_owned())),
            ..Default::default()
        };
        dead_letters::Entity::update_many()
            .set(resolved)
            .filter(dead_letters::Column::Subscription.eq(&id.subscription))
            .filter(dead_letters::Column::Position.eq(id.position))
            .exec(tx)
            .await?;
        if of_queue {
            queue::resolve(tx, id.position, how == "retried", row.tried, now).await?;
        } else if how == "retried" {
            // Of two that are parked, which takes one that was restored, the second one waits for the first.
            let waits = parked_before(tx, &id.subscription, row.subject, id.position).await?
                || aside_before(tx, &id.subscription, row.subject, id.position).await?;
            let again = set_aside::Model {
                subscription: row.subscription,
                position: row.position,
                event_id: row.event_id,
                subject: row.subject,
                event: row.event,
                attempts: 0,
                due_at: (!waits).then_some(now),
                tried: row.tried,
                aside_at: now,
            };
            let insert = set_aside::Entity::insert(again.into_active_model().reset_all());
            insert.exec_without_returning(tx).await?;
        } else {
            promote(tx, &id.subscription, row.subject, now).await?;
        }
        Ok(true)
    }

    /// Locks what the transactions of the letter's subscription, or of its queue's workers, begin with too. Answers whether
    /// there is such a thing.
    async fn lock(&self, tx: &Tx, id: &LetterId) -> Result<bool, DbErr> {
        if queue::is_queue(&id.subscription) {
            return Ok(queue::lock(tx, id.position).await?.is_some());
        }
        let subscription = subscriptions::Entity::find_by_id(id.subscription.clone())
            .lock_exclusive()
            .one(tx)
            .await?;
        Ok(subscription.is_some())
    }

    fn failed(&self, error: &DbErr) -> StoreError {
        self.db.place().error("looking after dead letters", error)
    }
}

fn parked() -> sea_orm::Select<dead_letters::Entity> {
    dead_letters::Entity::find().filter(dead_letters::Column::ResolvedAt.is_null())
}
