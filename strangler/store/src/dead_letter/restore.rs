//! Taking back what was given up: a discarded letter waits for a decision again.
//!
//! Order per subject holds from then on: whatever of its subject has not been handled waits behind it again. What was handled
//! since it was discarded stays handled, so a restored event that is retried takes effect after those.

use sea_orm::{ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use serde_json::{Value, json};
use strangler::Cx;
use uuid::Uuid;

use super::{
    DeadLetters, LetterId, LetterState,
    entity::{dead_letters, set_aside},
};
use crate::{StoreError, queue, writer::Tx};

impl DeadLetters {
    /// Has these wait for a decision again, as if parked now. What is not discarded is left alone, and so is a command whose
    /// queue has forgotten it. Answers how many were restored. `cx` says who asks, and that is kept.
    ///
    /// # Errors
    /// The database's; those before the failure have been restored.
    pub async fn restore(&self, cx: &Cx, ids: &[LetterId]) -> Result<usize, StoreError> {
        let mut restored = 0;
        for id in ids {
            let tx = self.db.begin_raw("restoring a dead letter").await?;
            if self.restore_one(&tx, cx, id).await.map_err(|e| self.failed(&e))? {
                tx.commit().await.map_err(|e| self.failed(&e))?;
                tracing::info!(
                    subscription = id.subscription,
                    position = id.position,
                    by = cx.subject(),
                    "restored"
                );
                restored += 1;
            }
        }
        Ok(restored)
    }

    async fn restore_one(&self, tx: &Tx, cx: &Cx, id: &LetterId) -> Result<bool, DbErr> {
        let of_queue = queue::is_queue(&id.subscription);
        let there = self.lock(tx, id).await?;
        let row = dead_letters::Entity::find_by_id((id.subscription.clone(), id.position));
        let row = row.one(tx).await?;
        let discarded = |row: &dead_letters::Model| row.resolution.as_deref() == Some(LetterState::Discarded.as_str());
        let Some(mut row) = row.filter(discarded).filter(|_| there || !of_queue) else {
            return Ok(false);
        };
        let now = self.db.now();
        if let Value::Array(tried) = &mut row.tried {
            tried.push(json!({ "at": now, "restored_by": cx.subject() }));
        }
        let parked = dead_letters::ActiveModel {
            tried: Set(row.tried.clone()),
            // Whoever decided about those that were there before did not mean this one.
            parked_at: Set(now),
            resolved_at: Set(None),
            resolved_by: Set(None),
            resolution: Set(None),
            ..Default::default()
        };
        dead_letters::Entity::update_many()
            .set(parked)
            .filter(dead_letters::Column::Subscription.eq(&id.subscription))
            .filter(dead_letters::Column::Position.eq(id.position))
            .exec(tx)
            .await?;
        if of_queue {
            queue::park_again(tx, id.position, row.tried).await?;
        } else {
            let waits = set_aside::ActiveModel {
                due_at: Set(None),
                ..Default::default()
            };
            set_aside::Entity::update_many()
                .set(waits)
                .filter(set_aside::Column::Subscription.eq(&id.subscription))
                .filter(set_aside::Column::Subject.eq(row.subject))
                .filter(set_aside::Column::Position.gt(id.position))
                .exec(tx)
                .await?;
        }
        Ok(true)
    }
}

/// Whether an event of this subject that comes before `position` is parked. That is so only when a letter was restored:
/// otherwise a subject has one head.
pub(crate) async fn parked_before(tx: &Tx, subscription: &str, subject: Uuid, position: i64) -> Result<bool, DbErr> {
    let first = dead_letters::Entity::find()
        .select_only()
        .column(dead_letters::Column::Position)
        .filter(dead_letters::Column::Subscription.eq(subscription))
        .filter(dead_letters::Column::Subject.eq(subject))
        .filter(dead_letters::Column::ResolvedAt.is_null())
        .filter(dead_letters::Column::Position.lt(position))
        .limit(1)
        .into_tuple::<i64>()
        .one(tx)
        .await?;
    Ok(first.is_some())
}

/// Whether an event of this subject that comes before `position` is set aside.
pub(super) async fn aside_before(tx: &Tx, subscription: &str, subject: Uuid, position: i64) -> Result<bool, DbErr> {
    let first = set_aside::Entity::find()
        .select_only()
        .column(set_aside::Column::Position)
        .filter(set_aside::Column::Subscription.eq(subscription))
        .filter(set_aside::Column::Subject.eq(subject))
        .filter(set_aside::Column::Position.lt(position))
        .limit(1)
        .into_tuple::<i64>()
        .one(tx)
        .await?;
    Ok(first.is_some())
}
