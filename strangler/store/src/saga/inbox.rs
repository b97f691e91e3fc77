//! The called side: which steps were asked for here, and what was answered.

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    sea_query::OnConflict,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Deed, StepKey};
use crate::{StoreError, Uow};

pub(crate) mod received {
    //! One row per step that was asked for, or undone before it was.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "inbox")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub saga: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub step: String,
        pub undone: bool,
        pub answer: Option<Json>,
        pub at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What to do about a step that somebody asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// A do, for the first time: do it, and leave the answer with [`Inbox::answer`].
    First,
    /// It was dealt with before: answer the same again, and do nothing. `Null` for an undo.
    Repeated(Value),
    /// A do that comes after its undo: refuse it.
    TooLate,
    /// An undo of something that was done, and answered with this: undo it.
    Undo(Value),
    /// An undo of something that was never done: there is nothing to undo, and a do that comes later will be too late.
    NeverHappened,
}

/// A step is received: as a query, whose answer says whether anything is noted.
const RECEIVE: &str = "receive-step";
/// What a step is answered with is noted.
const ANSWER: &str = "answer-step";

/// The steps of sagas that were asked for in this schema. Receiving a key locks it until the unit of work ends, and what
/// is noted is committed together with the effects: so each step has its effect once, and none after its undo.
#[derive(Debug)]
pub struct Inbox;

impl Inbox {
    /// Receives a step: call it before anything else, in the unit of work that has the effects.
    ///
    /// # Errors
    /// The database's.
    pub async fn receive(uow: &mut Uow, key: &StepKey) -> Result<Receipt, StoreError> {
        let question = json!({ "key": key.to_string() });
        if let Some(replay) = uow.replay()
            && let Some(receipt) = replay.query(RECEIVE, &question).await
        {
            return Ok(receipt);
        }
        let received = Self::look(uow, key).await?;
        if let Some(taped) = &uow.taped {
            taped.note_query(RECEIVE, taped.question(&question), &received);
        }
        Ok(received)
    }

    async fn look(uow: &mut Uow, key: &StepKey) -> Result<Receipt, StoreError> {
        // All steps of one saga are taken for one: they come one after another.
        let kept = ("strangler/inbox", key.saga);
        uow.settle(Some(kept), || format!("receiving {key}")).await?;
        let undoing = key.deed == Deed::Undo;
        let row = received::Model {
            saga: key.saga,
            step: key.step.clone(),
            undone: undoing,
            answer: None,
            at: uow.now(),
        };
        let keep = OnConflict::columns([received::Column::Saga, received::Column::Step])
            .do_nothing()
            .to_owned();
        let insert = received::Entity::insert(row.into_active_model().reset_all()).on_conflict(keep);
        // Whoever else inserts the same key at this moment is waited for by the database.
        let inserted = insert.exec_without_returning(uow.connection()?).await;
        if uow.check(inserted, || format!("receiving {key}"))? == 1 {
            uow.writes(kept);
            return Ok(if undoing {
                Receipt::NeverHappened
            } else {
                Receipt::First
            });
        }
        let row = received::Entity::find_by_id((key.saga, key.step.clone()))
            .lock_exclusive()
            .one(uow.connection()?)
            .await;
        let Some(row) = uow.check(row, || format!("receiving {key}"))? else {
            return Err(StoreError::corrupt_row(format_args!("the inbox has lost {key}")));
        };
        let answer = row.answer.unwrap_or_default();
        match (undoing, row.undone) {
            (false, false) => Ok(Receipt::Repeated(answer)),
            (false, true) => Ok(Receipt::TooLate),
            (true, true) => Ok(Receipt::Repeated(Value::Null)),
            (true, false) => {
                uow.writes(kept);
                let tombstone = received::ActiveModel {
                    undone: Set(true),
                    at: Set(uow.now()),
                    ..Default::default()
                };
                Self::update(uow, key, tombstone).await?;
                Ok(Receipt::Undo(answer))
            }
        }
    }

    /// Notes what a first do is answered with; repeats, and the undo, are given it.
    ///
    /// # Errors
    /// The database's.
    pub async fn answer(uow: &mut Uow, key: &StepKey, answer: Value) -> Result<(), StoreError> {
        if let Some(taped) = &uow.taped {
            taped.put(ANSWER, &json!({ "key": key.to_string(), "answer": answer }));
            if taped.replays() {
                return Ok(());
            }
        }
        let noted = received::ActiveModel {
            answer: Set(Some(answer)),
            ..Default::default()
        };
        Self::update(uow, key, noted).await
    }

    async fn update(uow: &mut Uow, key: &StepKey, row: received::ActiveModel) -> Result<(), StoreError> {
        let updated = received::Entity::update_many()
            .set(row)
            .filter(received::Column::Saga.eq(key.saga))
            .filter(received::Column::Step.eq(&key.step))
            .exec(uow.connection()?)
            .await;
        uow.check(updated, || format!("noting {key}")).map(drop)
    }
}
