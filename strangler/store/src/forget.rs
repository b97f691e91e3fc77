//! Forgetting aggregates, with all that is kept of them.

use std::marker::PhantomData;

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use serde::Serialize;
use uuid::Uuid;

use crate::{Aggregate, Write, entity::snapshots};

/// A change for [`Uow::put`](crate::Uow::put): deletes aggregates, and every version of them that is kept in history. What was
/// told of them in events stays in the log for as long as that is kept. Choose them in the same unit of work, by a query that
/// locks them, so that nobody goes on with one meanwhile.
#[derive(Debug, Serialize)]
#[serde(bound = "")]
pub struct Forget<A> {
    ids: Vec<Uuid>,
    #[serde(skip)]
    kind: PhantomData<fn() -> A>,
}

impl<A: Aggregate> Forget<A> {
    /// Forgets the aggregates with these ids; one that is not there is passed over.
    pub fn these(ids: Vec<Uuid>) -> Self {
        let kind = PhantomData;
        Self { ids, kind }
    }
}

impl<A: Aggregate> Write for Forget<A> {
    const NAME: &'static str = "forget";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let heads = A::Entity::delete_many().filter(A::id_column().is_in(self.ids.clone()));
        heads.exec(connection).await?;
        let history = snapshots::Entity::delete_many()
            .filter(snapshots::Column::Kind.eq(A::KIND))
            .filter(snapshots::Column::Id.is_in(self.ids));
        history.exec(connection).await.map(drop)
    }
}
