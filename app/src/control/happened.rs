//! What happened: the console's own list of the modules' events, fed by subscriptions like anybody's.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::{Deserialize, Serialize};
use strangler::{BoxFuture, Cx};
use strangler_store::{Db, Envelope, Filter, Handler, HandlerError, Query, StoreError, Subscription, Uow, Write};
use uuid::Uuid;

/// How many lines are kept.
const KEPT: i64 = 1000;

mod rows {
    //! The list's rows.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "happened")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub event: Uuid,
        pub source: String,
        pub kind: String,
        pub subject: Uuid,
        pub version: i64,
        pub at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Its place in the list.
    pub id: i64,
    /// The module it happened in.
    pub source: String,
    /// What: `catalog.show.announced`.
    pub kind: String,
    /// To what.
    pub subject: Uuid,
    /// Which version that has since.
    pub version: i64,
    /// When.
    pub at: DateTime<Utc>,
}

#[derive(Serialize)]
struct AddHappened {
    event: Uuid,
    source: String,
    kind: String,
    subject: Uuid,
    version: i64,
    at: DateTime<Utc>,
}

impl Write for AddHappened {
    const NAME: &'static str = "add-happened";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = rows::ActiveModel {
            event: Set(self.event),
            source: Set(self.source),
            kind: Set(self.kind),
            subject: Set(self.subject),
            version: Set(self.version),
            at: Set(self.at),
            ..Default::default()
        };
        let id = rows::Entity::insert(row).exec(connection).await?.last_insert_id;
        // Once in a while is enough.
        if id % 100 == 0 {
            rows::Entity::delete_many()
                .filter(rows::Column::Id.lte(id - KEPT))
                .exec(connection)
                .await?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct LastHappened {
    limit: u64,
}

impl Query for LastHappened {
    const NAME: &'static str = "last-happened";
    type Answer = Vec<Happened>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Vec<Happened>, DbErr> {
        let rows = rows::Entity::find()
            .order_by_desc(rows::Column::Id)
            .limit(self.limit)
            .all(connection)
            .await?;
        let line = |r: rows::Model| Happened {
            id: r.id,
            source: r.source,
            kind: r.kind,
            subject: r.subject,
            version: r.version,
            at: r.at,
        };
        Ok(rows.into_iter().map(line).collect())
    }
}

impl Happened {
    /// The last `limit` things that happened, newest first.
    ///
    /// # Errors
    /// What the control plane's database said.
    pub async fn last(db: &Db, limit: u64) -> Result<Vec<Self>, StoreError> {
        db.view(&Cx::system("console")).find(LastHappened { limit }).await
    }
}

struct Note;

impl Handler for Note {
    fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(async move {
            uow.put(AddHappened {
                event: event.id,
                source: event.source.clone(),
                kind: event.event_type.clone(),
                subject: event.subject,
                version: event.aggregateversion,
                at: event.time,
            });
            Ok(())
        })
    }
}

/// One subscription for each module's log; each has to be run.
pub fn happened_subscriptions<'a>(control: &Db, modules: impl Iterator<Item = &'a Db>) -> Vec<Subscription> {
    let note: Arc<dyn Handler> = Arc::new(Note);
    modules
        .map(|db| {
            Subscription::new(
                &format!("happened-{}", db.schema()),
                control.clone(),
                db.log(),
                Filter::All,
                note.clone(),
            )
        })
        .collect()
}
