//! Mails: those that something has to be done about, and those that somebody asks for.

use kernel::{Page, Time, Uuid};
use notifications_contract::MailFilter;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use serde::Serialize;
use strangler_store::{Aggregate, Query};

use super::mails;
use crate::domain::MailState;

/// The mails whose time has come, the longest due first. One about an order waits for those before it about the same order.
#[derive(Serialize)]
pub(crate) struct DueMails {
    pub(crate) now: Time,
    pub(crate) limit: u64,
}

impl Query for DueMails {
    const NAME: &'static str = "due-mails";
    type Answer = Vec<MailState>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Vec<MailState>, DbErr> {
        let first = "NOT EXISTS (SELECT 1 FROM mails AS earlier WHERE earlier.order_id = mails.order_id \
                     AND earlier.order_version < mails.order_version AND earlier.due_at IS NOT NULL)";
        let due = mails::Entity::find()
            .filter(mails::Column::DueAt.lte(self.now.micros()))
            .filter(Expr::cust(first))
            .order_by_asc(mails::Column::DueAt)
            .order_by_asc(mails::Column::Id)
            .limit(self.limit);
        due.all(connection).await?.into_iter().map(mail).collect()
    }
}

/// The mails with these ids, as they are. What comes of it is committed or nothing.
#[derive(Serialize)]
pub(crate) struct TheseMails(pub(crate) Vec<Uuid>);

impl Query for TheseMails {
    const NAME: &'static str = "these-mails";
    type Answer = Vec<MailState>;
    const ANSWERS: bool = false;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Vec<MailState>, DbErr> {
        let these = mails::Entity::find().filter(mails::Column::Id.is_in(self.0));
        these.all(connection).await?.into_iter().map(mail).collect()
    }
}

/// Mails that are over and were queued before then, the oldest first; locked, as they are about to be forgotten.
#[derive(Serialize)]
pub(crate) struct OldMails {
    pub(crate) before: Time,
    pub(crate) limit: u64,
}

impl Query for OldMails {
    const NAME: &'static str = "old-mails";
    type Answer = Vec<Uuid>;
    const ANSWERS: bool = false;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Vec<Uuid>, DbErr> {
        let old = mails::Entity::find()
            .select_only()
            .column(mails::Column::Id)
            .filter(mails::Column::QueuedAt.lt(self.before.micros()))
            .filter(mails::Column::DueAt.is_null())
            .order_by_asc(mails::Column::QueuedAt)
            .order_by_asc(mails::Column::Id)
            .limit(self.limit)
            .lock_exclusive();
        old.into_tuple().all(connection).await
    }
}

fn mail(row: mails::Model) -> Result<MailState, DbErr> {
    MailState::from_model(row).map_err(|e| DbErr::Custom(e.to_string()))
}

/// A page of mails, oldest first.
#[derive(Serialize)]
pub(crate) struct MailsLike(pub(crate) MailFilter);

impl Query for MailsLike {
    const NAME: &'static str = "mails-like";
    type Answer = Page<MailState>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Page<MailState>, DbErr> {
        use mails::Column as C;
        let MailFilter {
            order,
            state,
            limit,
            cursor,
        } = self.0;
        let limit = limit.unwrap_or_default().get();
        let mut query = mails::Entity::find();
        if let Some(order) = order {
            query = query.filter(C::OrderId.eq(order.0));
        }
        if let Some(state) = state {
            query = query.filter(C::Phase.eq(state.to_string()));
        }
        if let Some(cursor) = cursor {
            let at = cursor.time.micros();
            // The first condition alone lets the index find the place; the second breaks ties.
            let after = Condition::any().add(C::QueuedAt.gt(at)).add(C::Id.gt(cursor.id));
            query = query.filter(C::QueuedAt.gte(at)).filter(after);
        }
        let query = query.order_by_asc(C::QueuedAt).order_by_asc(C::Id).limit(limit + 1);
        let rows = query.all(connection).await?;
        let more = rows.len() as u64 > limit;
        let items = rows.into_iter().take(limit as usize).map(mail);
        let items: Vec<_> = items.collect::<Result<_, _>>()?;
        let last = items.last().filter(|_| more);
        let next = last.map(|mail| kernel::Cursor {
            time: mail.at,
            id: mail.id.0,
        });
        let next = next.map(|cursor| cursor.to_string());
        Ok(Page { items, next })
    }
}
