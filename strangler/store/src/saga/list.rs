//! Pages of sagas, what needs a person first.

use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, Order, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, QueryTrait,
    sea_query::{Asterisk, Expr, ExprTrait, Query, SelectStatement, UnionType},
};
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

/// Which sagas of a group are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct SagaChoice {
    /// The group.
    pub group: SagaGroup,
    /// Where in the group the page begins; `None` at its beginning.
    pub after: Option<After<Uuid>>,
}

impl Sagas {
    /// Sagas of these groups, one group after the other, of each the one that changed last first, at most `limit` in all. With
    /// each comes the place of its group in `choices`. One statement: each of its parts is answered from an index.
    ///
    /// # Errors
    /// The database's.
    pub async fn page(&self, choices: &[SagaChoice], limit: u64) -> Result<Vec<(usize, Saga)>, StoreError> {
        use sagas::Column as C;
        const DOING: &str = "listing sagas";
        let parts = (0..).zip(choices).map(|(place, choice)| part(place, choice, limit));
        let Some(mut all) = parts.reduce(|mut all, next| all.union(UnionType::All, next).take()) else {
            return Ok(Vec::new());
        };
        all.order_by(PLACE, Order::Asc)
            .order_by(C::ChangedAt, Order::Desc)
            .order_by(C::Id, Order::Asc)
            .limit(limit);
        let reader = Reader { db: &self.db };
        let rows = reader.query_all(&all).await;
        let rows = rows.map_err(|e| self.db.place().error(DOING, &e))?;
        let read = |row: &QueryResult| {
            let place: i32 = row.try_get("", PLACE)?;
            Ok((
                usize::try_from(place).unwrap_or_default(),
                sagas::Model::from_query_result(row, "")?,
            ))
        };
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, DbErr>>();
        let rows = rows.map_err(|e| self.db.place().error(DOING, &e))?;
        let saga = |(place, row)| Saga::from_model(row).map(|saga| (place, saga));
        let sagas = rows.into_iter().map(saga).collect::<Result<_, _>>();
        sagas.map_err(|e| self.db.place().locate(DOING, e))
    }
}

/// The column that says which part a row is of.
const PLACE: &str = "place";

/// At most `limit` sagas of one group.
fn part(place: i32, choice: &SagaChoice, limit: u64) -> SelectStatement {
    use sagas::Column as C;
    let SagaChoice { group, after } = choice;
    // No parameter: SQLite finds the index of those that are late only by the condition that it was made with.
    let late = |late: bool| {
        if late {
            Expr::col(C::Overdue)
        } else {
            Expr::col(C::Overdue).not()
        }
    };
    let meant = Condition::all()
        .add(C::Status.is_in(group.statuses.iter().map(|s| s.as_str())))
        .add_option(group.late.map(late))
        .add_option(after.as_ref().map(beyond));
    let of_group = sagas::Entity::find()
        .filter(meant)
        .order_by_desc(C::ChangedAt)
        .order_by_asc(C::Id)
        .limit(limit)
        .into_query();
    Query::select()
        .column(Asterisk)
        .expr_as(Expr::value(place), PLACE)
        .from_subquery(of_group, "part")
        .take()
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
