//! Pages of sagas, what needs a person first.

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{Saga, SagaStatus, Sagas, row::sagas};
use crate::{After, Same, StoreError, view::Reader};

/// Sagas that are alike in what has to be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SagaGroup {
    /// Their status is one of these.
    pub statuses: &'static [SagaStatus],
    /// Whether their deadline has passed after the point of no return; `None` when that is of no matter.
    pub late: Option<bool>,
}

impl SagaGroup {
    /// Those that wait for a person.
    pub const STUCK: Self = Self::of(&[SagaStatus::Stuck], None);
    /// Those that go on by themselves, and are late.
    pub const LATE: Self = Self::of(&[SagaStatus::Compensating, SagaStatus::Running], Some(true));
    /// Those that go back.
    pub const COMPENSATING: Self = Self::of(&[SagaStatus::Compensating], Some(false));
    /// Those that go forward.
    pub const RUNNING: Self = Self::of(&[SagaStatus::Running], Some(false));
    /// Those that were given up.
    pub const ABANDONED: Self = Self::of(&[SagaStatus::Abandoned], None);
    /// Those that were undone.
    pub const UNDONE: Self = Self::of(&[SagaStatus::Undone], None);
    /// Those that are done.
    pub const DONE: Self = Self::of(&[SagaStatus::Done], None);

    /// Those that are not over, the most urgent first.
    pub const OPEN: [Self; 4] = [Self::STUCK, Self::LATE, Self::COMPENSATING, Self::RUNNING];
    /// All, the most urgent first.
    pub const ALL: [Self; 7] = [
        Self::STUCK,
        Self::LATE,
        Self::COMPENSATING,
        Self::RUNNING,
        Self::ABANDONED,
        Self::UNDONE,
        Self::DONE,
    ];

    const fn of(statuses: &'static [SagaStatus], late: Option<bool>) -> Self {
        Self { statuses, late }
    }
}

impl Sagas {
    /// Sagas of a group, the one that changed last first, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn page(
        &self,
        group: SagaGroup,
        after: Option<&After<Uuid>>,
        limit: u64,
    ) -> Result<Vec<Saga>, StoreError> {
        use sagas::Column as C;
        let meant = Condition::all()
            .add(C::Status.is_in(group.statuses.iter().map(|s| s.as_str())))
            .add_option(group.late.map(|late| C::Overdue.eq(late)))
            .add_option(after.map(beyond));
        let rows = sagas::Entity::find()
            .filter(meant)
            .order_by_desc(C::ChangedAt)
            .order_by_asc(C::Id)
            .limit(limit)
            .all(&Reader { db: &self.db })
            .await;
        let rows = rows.map_err(|e| self.db.place().error("listing sagas", &e))?;
        let sagas = rows.into_iter().map(Saga::from_model).collect::<Result<_, _>>();
        sagas.map_err(|e| self.db.place().locate("listing sagas", e))
    }
}

fn beyond(after: &After<Uuid>) -> Condition {
    use sagas::Column as C;
    let earlier = Condition::any().add(C::ChangedAt.lt(after.at));
    match after.same {
        Same::None => earlier,
        Same::All => earlier.add(C::ChangedAt.eq(after.at)),
        Same::Beyond(id) => earlier.add(Condition::all().add(C::ChangedAt.eq(after.at)).add(C::Id.gt(id))),
    }
}
