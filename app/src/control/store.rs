//! The control plane's own tables, in the schema `strangler`.

mod audit;
mod groups;

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ConnectionTrait, DbErr, EntityTrait, sea_query::OnConflict};
use serde::Serialize;
use strangler::{
    BoxFuture, Cx,
    cohort::cohorts,
    routes::{AuditEntry, Route, RouteStore, Stored, written},
    share::Share,
};
use strangler_store::{Db, Query, StoreError, Write};

use self::audit::AddAudit;
pub use self::audit::{AuditError, AuditPage, AuditQuery};

mod routes {
    //! The toggles that were set.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, serde::Serialize, serde::Deserialize)]
    #[sea_orm(table_name = "routes")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub target: String,
        pub stage: String,
        pub fallback: String,
        pub epoch: i64,
        /// In hundredths of a percent, as `sample`.
        pub percent: i32,
        pub sample: i32,
        /// With spaces between them.
        pub cohorts: String,
        /// The bits of a `u64`.
        pub salt: Option<i64>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

mod marks {
    //! What was done once and is not done again.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "marks")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub name: String,
        pub at: DateTimeUtc,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

#[derive(Serialize)]
struct PutRoute {
    target: String,
    route: Option<Stored>,
}

impl Write for PutRoute {
    const NAME: &'static str = "put-route";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let Some(Stored { route, epoch, salt }) = self.route else {
            return routes::Entity::delete_by_id(self.target)
                .exec(connection)
                .await
                .map(|_| ());
        };
        let row = routes::ActiveModel {
            target: Set(self.target),
            stage: Set(route.stage.name().to_owned()),
            fallback: Set(route.fallback.name().to_owned()),
            epoch: Set(epoch),
            percent: Set(route.percent.hundredths().into()),
            sample: Set(route.sample.hundredths().into()),
            cohorts: Set(written(&route.cohorts)),
            salt: Set(salt.map(u64::cast_signed)),
        };
        let replace = OnConflict::column(routes::Column::Target)
            .update_columns([
                routes::Column::Stage,
                routes::Column::Fallback,
                routes::Column::Epoch,
                routes::Column::Percent,
                routes::Column::Sample,
                routes::Column::Cohorts,
                routes::Column::Salt,
            ])
            .to_owned();
        routes::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(connection)
            .await
            .map(|_| ())
    }
}

#[derive(Serialize)]
struct AllRoutes;

impl Query for AllRoutes {
    const NAME: &'static str = "all-routes";
    type Answer = Vec<routes::Model>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Self::Answer, DbErr> {
        routes::Entity::find().all(connection).await
    }
}

#[derive(Serialize)]
struct SetMark {
    name: String,
    at: DateTime<Utc>,
}

impl Write for SetMark {
    const NAME: &'static str = "set-mark";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = marks::ActiveModel {
            name: Set(self.name),
            at: Set(self.at),
        };
        let keep = OnConflict::column(marks::Column::Name).do_nothing().to_owned();
        marks::Entity::insert(row)
            .on_conflict(keep)
            .exec_without_returning(connection)
            .await
            .map(|_| ())
    }
}

/// Moves a mark to a later time, or sets it.
#[derive(Serialize)]
struct MoveMark {
    name: String,
    at: DateTime<Utc>,
}

impl Write for MoveMark {
    const NAME: &'static str = "move-mark";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = marks::ActiveModel {
            name: Set(self.name),
            at: Set(self.at),
        };
        let replace = OnConflict::column(marks::Column::Name)
            .update_column(marks::Column::At)
            .to_owned();
        marks::Entity::insert(row)
            .on_conflict(replace)
            .exec_without_returning(connection)
            .await
            .map(|_| ())
    }
}

#[derive(Serialize)]
struct MarkedAt {
    name: String,
}

impl Query for MarkedAt {
    const NAME: &'static str = "marked-at";
    type Answer = Option<DateTime<Utc>>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Self::Answer, DbErr> {
        marks::Entity::find_by_id(self.name)
            .one(connection)
            .await
            .map(|row| row.map(|r| r.at))
    }
}

#[derive(Serialize)]
struct HasMark {
    name: String,
}

impl Query for HasMark {
    const NAME: &'static str = "has-mark";
    type Answer = bool;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<bool, DbErr> {
        marks::Entity::find_by_id(self.name)
            .one(connection)
            .await
            .map(|row| row.is_some())
    }
}

/// The control plane's schema.
#[derive(Clone)]
pub struct ControlStore {
    db: Db,
}

impl ControlStore {
    /// Over this schema.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// The schema.
    pub fn db(&self) -> &Db {
        &self.db
    }

    fn cx() -> Cx {
        Cx::system("control")
    }

    /// Adds a line to the audit trail, for what changes no route.
    pub async fn note(&self, entry: AuditEntry) -> Result<(), StoreError> {
        let mut uow = self.db.begin(&Self::cx()).await?;
        uow.put(AddAudit(entry));
        uow.commit().await
    }

    /// Whether this was done once.
    pub async fn has_mark(&self, name: &str) -> Result<bool, StoreError> {
        self.db.view(&Self::cx()).find(HasMark { name: name.to_owned() }).await
    }

    /// When this was last done.
    pub async fn marked_at(&self, name: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.db.view(&Self::cx()).find(MarkedAt { name: name.to_owned() }).await
    }

    /// Notes that this was done again, at `at`.
    pub async fn move_mark(&self, name: &str, at: DateTime<Utc>) -> Result<(), StoreError> {
        let mut uow = self.db.begin(&Self::cx()).await?;
        uow.put(MoveMark {
            name: name.to_owned(),
            at,
        });
        uow.commit().await
    }

    /// Notes that this was done.
    pub async fn set_mark(&self, name: &str) -> Result<(), StoreError> {
        let mut uow = self.db.begin(&Self::cx()).await?;
        let at = uow.now();
        uow.put(SetMark {
            name: name.to_owned(),
            at,
        });
        uow.commit().await
    }
}

impl RouteStore for ControlStore {
    fn save<'a>(
        &'a self,
        routes: Vec<(String, Option<Stored>)>,
        entry: &'a AuditEntry,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let save = async {
                let mut uow = self.db.begin(&Self::cx()).await?;
                for (target, route) in routes {
                    uow.put(PutRoute { target, route });
                }
                uow.put(AddAudit(entry.clone()));
                uow.commit().await
            };
            save.await
                .map_err(|e: StoreError| format!("the change could not be written down, so it is not in force: {e}"))
        })
    }

    fn load(&self) -> BoxFuture<'_, Result<Vec<(String, Stored)>, String>> {
        Box::pin(async move {
            let rows = self
                .db
                .view(&Self::cx())
                .find(AllRoutes)
                .await
                .map_err(|e| e.to_string())?;
            rows.into_iter()
                .map(stored)
                .collect::<Result<_, String>>()
                .map_err(|e| format!("a stored route: {e}"))
        })
    }
}

/// A row as what it stands for.
fn stored(row: routes::Model) -> Result<(String, Stored), String> {
    let share = |hundredths: i32| {
        let share = u16::try_from(hundredths).ok().and_then(Share::of_hundredths);
        share.ok_or_else(|| format!("{hundredths} hundredths of a percent are no share"))
    };
    let route = Route {
        stage: row.stage.parse()?,
        fallback: row.fallback.parse()?,
        percent: share(row.percent)?,
        sample: share(row.sample)?,
        cohorts: cohorts(&row.cohorts)?,
    };
    let stored = Stored {
        route,
        epoch: row.epoch,
        salt: row.salt.map(i64::cast_unsigned),
    };
    Ok((row.target, stored))
}
