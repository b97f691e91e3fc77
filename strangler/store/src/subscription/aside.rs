//! What a subscription does with events that fail: it sets them aside and tries them again later, in order per subject.
//!
//! Of each subject at most one event is at the head: due in `set_aside`, or parked in `dead_letters`. All later ones of
//! that subject wait behind it, due never, until it is handled or discarded. (A letter that is restored may be parked before
//! another one that is: then that waits for it too, should it be retried.) Every transaction here locks the
//! subscription's cursor first, so nothing else of the same subscription happens meanwhile.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, Statement,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Cursor, Outcome, Subscription, heard::Heard};
use crate::{
    Envelope, HandlerError, Lease, StoreError,
    dead_letter::{
        entity::{dead_letters, park, set_aside},
        restore::parked_before,
    },
    view::Reader,
    writer::Tx,
};

/// How often is looked for what somebody else put back.
pub(super) const LOOK: Duration = Duration::from_secs(1);

impl Subscription {
    /// Which of these subjects have an event set aside or parked.
    pub(super) async fn blocked(&self, tx: &Tx, events: &[Envelope]) -> Result<HashSet<Uuid>, StoreError> {
        // Mostly there is nothing, and asking that needs no list of subjects.
        let any = r#"SELECT EXISTS (SELECT 1 FROM "set_aside" WHERE "subscription" = $1) OR EXISTS
                     (SELECT 1 FROM "dead_letters" WHERE "subscription" = $1 AND "resolved_at" IS NULL) AS "any""#;
        let any = Statement::from_sql_and_values(tx.get_database_backend(), any, [self.name.as_str().into()]);
        let any = tx.query_one_raw(any).await.map_err(|e| self.failed(&e))?;
        let any: Option<bool> = any.and_then(|row| row.try_get("", "any").ok());
        if any == Some(false) {
            return Ok(HashSet::new());
        }
        let subjects: HashSet<Uuid> = events.iter().map(|e| e.subject).collect();
        let aside = set_aside::Entity::find()
            .select_only()
            .column(set_aside::Column::Subject)
            .filter(set_aside::Column::Subscription.eq(&self.name))
            .filter(set_aside::Column::Subject.is_in(subjects.iter().copied()))
            .into_tuple::<Uuid>()
            .all(tx)
            .await
            .map_err(|e| self.failed(&e))?;
        let parked = dead_letters::Entity::find()
            .select_only()
            .column(dead_letters::Column::Subject)
            .filter(dead_letters::Column::Subscription.eq(&self.name))
            .filter(dead_letters::Column::ResolvedAt.is_null())
            .filter(dead_letters::Column::Subject.is_in(subjects))
            .into_tuple::<Uuid>()
            .all(tx)
            .await
            .map_err(|e| self.failed(&e))?;
        Ok(aside.into_iter().chain(parked).collect())
    }

    /// Queues these events behind the ones of their subjects.
    pub(super) async fn queue(&self, tx: &Tx, events: Vec<&Envelope>) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let rows = events
            .into_iter()
            .map(|event| self.row(event, None).into_active_model().reset_all());
        set_aside::Entity::insert_many(rows.collect::<Vec<_>>())
            .exec_without_returning(tx)
            .await
            .map(drop)
            .map_err(|e| self.failed(&e))
    }

    /// Puts the first event after the cursor aside, because of `cause`, and moves the cursor past it.
    pub(super) async fn set_aside(
        &self,
        lease: Option<&Lease>,
        cursor: Cursor,
        event: &Envelope,
        cause: &HandlerError,
    ) -> Result<Outcome, StoreError> {
        let (uow, at) = match self.enter(lease, 1).await? {
            Some(entered) => entered,
            None => return Ok(Outcome::Lost),
        };
        if at != Some(cursor) {
            return Ok(Outcome::Overtaken);
        }
        let row = self.row(event, Some(uow.now()));
        self.again_or_park(uow.connection()?, row, cause, true).await?;
        self.move_to(uow.connection()?, event.position).await?;
        uow.commit().await?;
        Ok(Outcome::Applied(1))
    }

    /// Tries the event that has been due longest. `Some(false)` when none is due, `None` when the lease is somebody else's.
    pub(super) async fn try_again(&self, lease: Option<&Lease>) -> Result<Option<bool>, StoreError> {
        let due = |row: &set_aside::Model, now: DateTime<Utc>| row.due_at.is_some_and(|due| due <= now);
        let first = self.head().one(&Reader { db: &self.db }).await;
        let first = first.map_err(|e| self.failed(&e))?;
        if !first.is_some_and(|row| due(&row, self.db.now())) {
            return Ok(Some(false));
        }
        let Some((mut uow, _)) = self.enter(lease, 1).await? else {
            return Ok(None);
        };
        let row = self.head().one(uow.connection()?).await;
        let Some(row) = row.map_err(|e| self.failed(&e))?.filter(|row| due(row, uow.now())) else {
            return Ok(Some(false));
        };
        let event: Envelope = match serde_json::from_value(row.event.clone()) {
            Ok(event) => event,
            Err(error) => {
                drop(uow);
                let cause = HandlerError::Undecodable(error.to_string());
                return self.fail_again(lease, row, &cause).await;
            }
        };
        let mut heard = Heard::default();
        match self.handle(&mut uow, &event, &mut heard).await {
            Ok(()) => {
                forget(uow.connection()?, &self.name, row.position)
                    .await
                    .map_err(|e| self.failed(&e))?;
                let now = uow.now();
                promote(uow.connection()?, &self.name, row.subject, now)
                    .await
                    .map_err(|e| self.failed(&e))?;
                uow.commit().await?;
                heard.committed();
                Ok(Some(true))
            }
            Err(HandlerError::Store(error)) if is_away(&error) => Err(error),
            Err(cause) => {
                drop(uow);
                heard.failed(Some(&cause));
                tracing::warn!(error = %self.handler_failed(&event, &cause), "an event failed again");
                self.fail_again(lease, row, &cause).await
            }
        }
    }

    /// When the next event is due, at most [`LOOK`] from now.
    pub(super) async fn next_due(&self) -> Duration {
        match self.head().one(&Reader { db: &self.db }).await {
            Ok(Some(row)) => {
                let left = row.due_at.map(|due| due - self.db.now());
                left.and_then(|left| left.to_std().ok())
                    .unwrap_or(Duration::from_millis(1))
                    .min(LOOK)
            }
            // What prevents looking prevents the next step too, which reports it.
            Ok(None) | Err(_) => LOOK,
        }
    }

    async fn fail_again(
        &self,
        lease: Option<&Lease>,
        row: set_aside::Model,
        cause: &HandlerError,
    ) -> Result<Option<bool>, StoreError> {
        let Some((uow, _)) = self.enter(lease, 1).await? else {
            return Ok(None);
        };
        let found = set_aside::Entity::find_by_id((self.name.clone(), row.position))
            .one(uow.connection()?)
            .await;
        // Between the two transactions another worker may have tried it.
        if found.map_err(|e| self.failed(&e))?.as_ref() != Some(&row) {
            return Ok(Some(true));
        }
        self.again_or_park(uow.connection()?, row, cause, false).await?;
        uow.commit().await?;
        Ok(Some(true))
    }

    /// Notes a failed attempt: the event is due again later, or parked.
    async fn again_or_park(
        &self,
        tx: &Tx,
        mut row: set_aside::Model,
        cause: &HandlerError,
        new: bool,
    ) -> Result<(), StoreError> {
        let now = self.db.now();
        let error = cause.to_string();
        row.attempts = row.attempts.saturating_add(1);
        let attempts = u32::try_from(row.attempts).unwrap_or(u32::MAX);
        if let Value::Array(tried) = &mut row.tried {
            tried.push(json!({ "at": now, "error": error }));
        }
        let fail = |e: DbErr| self.failed(&e);
        if matches!(cause, HandlerError::Undecodable(_)) || attempts >= self.retry.attempts {
            let letter = dead_letters::Model {
                subscription: row.subscription,
                position: row.position,
                event_id: row.event_id,
                subject: row.subject,
                event: row.event,
                error,
                tried: row.tried,
                parked_at: now,
                resolved_at: None,
                resolved_by: None,
                resolution: None,
            };
            if !new {
                forget(tx, &self.name, letter.position).await.map_err(fail)?;
            }
            tracing::error!(
                subscription = self.name,
                position = letter.position,
                event = %letter.event_id,
                error = letter.error,
                attempts,
                "an event is parked; later ones of its subject wait"
            );
            return park(tx, letter).await.map_err(fail);
        }
        let pause = TimeDelta::from_std(self.retry.pause(attempts)).unwrap_or(TimeDelta::MAX);
        row.due_at = Some(now + pause);
        if new {
            let insert = set_aside::Entity::insert(row.into_active_model().reset_all());
            return insert.exec_without_returning(tx).await.map(drop).map_err(fail);
        }
        let update = set_aside::ActiveModel {
            attempts: Set(row.attempts),
            due_at: Set(row.due_at),
            tried: Set(row.tried),
            ..Default::default()
        };
        let update = set_aside::Entity::update_many()
            .set(update)
            .filter(set_aside::Column::Subscription.eq(&self.name))
            .filter(set_aside::Column::Position.eq(row.position));
        update.exec(tx).await.map(drop).map_err(fail)
    }

    /// What is due next.
    fn head(&self) -> sea_orm::Select<set_aside::Entity> {
        set_aside::Entity::find()
            .filter(set_aside::Column::Subscription.eq(&self.name))
            .filter(set_aside::Column::DueAt.is_not_null())
            .order_by_asc(set_aside::Column::DueAt)
            .order_by_asc(set_aside::Column::Position)
            .limit(1)
    }

    fn row(&self, event: &Envelope, due_at: Option<DateTime<Utc>>) -> set_aside::Model {
        set_aside::Model {
            subscription: self.name.clone(),
            position: event.position,
            event_id: event.id,
            subject: event.subject,
            event: serde_json::to_value(event).unwrap_or_default(),
            attempts: 0,
            due_at,
            tried: json!([]),
            aside_at: self.db.now(),
        }
    }
}

/// Whether the database as a whole is in trouble, which no event is to blame for.
pub(super) fn is_away(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Busy(_) | StoreError::Full(_) | StoreError::ReadOnly(_) | StoreError::Unavailable(_)
    )
}

async fn forget(tx: &Tx, subscription: &str, position: i64) -> Result<(), DbErr> {
    let delete = set_aside::Entity::delete_many()
        .filter(set_aside::Column::Subscription.eq(subscription))
        .filter(set_aside::Column::Position.eq(position));
    delete.exec(tx).await.map(drop)
}

/// The head of this subject is gone: the next one is due.
pub(crate) async fn promote(tx: &Tx, subscription: &str, subject: Uuid, now: DateTime<Utc>) -> Result<(), DbErr> {
    let next = set_aside::Entity::find()
        .select_only()
        .column(set_aside::Column::Position)
        .filter(set_aside::Column::Subscription.eq(subscription))
        .filter(set_aside::Column::Subject.eq(subject))
        .order_by_asc(set_aside::Column::Position)
        .limit(1)
        .into_tuple::<i64>()
        .one(tx)
        .await?;
    let Some(position) = next else { return Ok(()) };
    // Unless one that was restored is parked before it: then that is the head.
    if parked_before(tx, subscription, subject, position).await? {
        return Ok(());
    }
    let due = set_aside::ActiveModel {
        due_at: Set(Some(now)),
        ..Default::default()
    };
    let update = set_aside::Entity::update_many()
        .set(due)
        .filter(set_aside::Column::Subscription.eq(subscription))
        .filter(set_aside::Column::Position.eq(position));
    update.exec(tx).await.map(drop)
}
