//! What an operator needs, who has no definitions at hand: looking for what is late, and asking for a saga to go on.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{Saga, SagaStatus, Sagas, engine::ROW, row::sagas};
use crate::{StoreError, Uow, view::Reader};

impl Sagas {
    /// Sagas that are not over and whose deadline passed after the point of no return, the earliest deadline first.
    ///
    /// # Errors
    /// The database's.
    pub async fn overdue(&self, limit: u64) -> Result<Vec<Saga>, StoreError> {
        let open = [SagaStatus::Running, SagaStatus::Compensating, SagaStatus::Stuck];
        let rows = sagas::Entity::find()
            .filter(sagas::Column::Overdue.eq(true))
            .filter(sagas::Column::Status.is_in(open.map(SagaStatus::as_str)))
            .order_by_asc(sagas::Column::Deadline)
            .limit(limit)
            .all(&Reader { db: &self.db })
            .await;
        let rows = rows.map_err(|e| self.db.place().error("listing sagas", &e))?;
        let sagas = rows.into_iter().map(Saga::from_model).collect::<Result<_, _>>();
        sagas.map_err(|e| self.db.place().locate("listing sagas", e))
    }

    /// Asks whoever works on this saga to put it back to work, if it is stuck. Other than [`resume`](Self::resume) it takes
    /// no definition: the saga becomes due, and the worker that finds it resumes it, tells its watch, and goes on. Answers
    /// whether it was stuck.
    ///
    /// # Errors
    /// The database's.
    pub async fn ask_to_resume(&self, uow: &mut Uow, id: Uuid) -> Result<bool, StoreError> {
        uow.usable()?;
        uow.writes((ROW, id));
        let asked = sagas::ActiveModel {
            due_at: Set(Some(uow.now())),
            ..Default::default()
        };
        let updated = sagas::Entity::update_many()
            .set(asked)
            .filter(sagas::Column::Id.eq(id))
            .filter(sagas::Column::Status.eq(SagaStatus::Stuck.as_str()))
            .exec(uow.connection()?)
            .await;
        let stuck = uow
            .check(updated, || format!("asking for saga {id} to be resumed"))?
            .rows_affected
            == 1;
        if stuck {
            uow.wake_sagas(id);
        }
        Ok(stuck)
    }

    /// The ids of stuck sagas that were not asked to go on, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn stuck(&self, limit: u64) -> Result<Vec<Uuid>, StoreError> {
        let ids = sagas::Entity::find()
            .select_only()
            .column(sagas::Column::Id)
            .filter(sagas::Column::Status.eq(SagaStatus::Stuck.as_str()))
            .filter(sagas::Column::DueAt.is_null())
            .limit(limit)
            .into_tuple::<Uuid>()
            .all(&Reader { db: &self.db })
            .await;
        ids.map_err(|e| self.db.place().error("looking for stuck sagas", &e))
    }

    /// The steps that `worker` has begun are begun again by others now, and not only when nobody believes in it any more:
    /// for a worker that is known to have ended. Should it not have, no harm is done: a step is known by its key, and of two
    /// outcomes the first one counts. Answers how many sagas those were.
    ///
    /// # Errors
    /// The database's.
    pub async fn give_up(&self, worker: &str) -> Result<usize, StoreError> {
        let mut uow = self.begin().await?;
        let doing = || format!("giving up what {worker} has begun");
        let active = [SagaStatus::Running, SagaStatus::Compensating].map(SagaStatus::as_str);
        let begun = sagas::Entity::find()
            .select_only()
            .column(sagas::Column::Id)
            .filter(sagas::Column::Status.is_in(active))
            .filter(sagas::Column::Worker.eq(worker))
            .into_tuple::<Uuid>()
            .all(uow.connection()?)
            .await;
        let begun = uow.check(begun, doing)?;
        if begun.is_empty() {
            return Ok(0);
        }
        let due = sagas::ActiveModel {
            due_at: Set(Some(uow.now())),
            worker: Set(None),
            ..Default::default()
        };
        for &id in &begun {
            uow.usable()?;
            uow.writes((ROW, id));
            uow.wake_sagas(id);
        }
        let updated = sagas::Entity::update_many()
            .set(due)
            .filter(sagas::Column::Worker.eq(worker))
            .filter(sagas::Column::Id.is_in(begun.iter().copied()))
            .exec(uow.connection()?)
            .await;
        uow.check(updated, doing)?;
        uow.commit().await?;
        Ok(begun.len())
    }
}
