//! What was heard of acts, venues and shows. The newest version of each fact wins, whenever it arrives.

use std::collections::HashMap;

use kernel::{Time, Uuid};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, Iterable, QueryFilter,
    sea_query::{Expr, OnConflict},
};
use serde::Serialize;
use strangler_store::{Query, Write};

use super::{
    entities::{acts, shows, venues},
    micros,
};
use crate::domain::{Facts, House};

/// What is known of these shows; of one that nothing is known of, nothing is answered.
#[derive(Serialize)]
pub(crate) struct FactsOf(pub(crate) Vec<Uuid>);

impl Query for FactsOf {
    const NAME: &'static str = "facts-of-shows";
    type Answer = HashMap<Uuid, Facts>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Self::Answer, DbErr> {
        let shows = shows::Entity::find().filter(shows::Column::Id.is_in(self.0));
        let shows = shows.all(connection).await?;
        let acts = acts::Entity::find().filter(acts::Column::Id.is_in(shows.iter().map(|s| s.act)));
        let acts: HashMap<_, _> = acts
            .all(connection)
            .await?
            .into_iter()
            .map(|a| (a.id, a.name))
            .collect();
        let venues = venues::Entity::find().filter(venues::Column::Id.is_in(shows.iter().map(|s| s.venue)));
        let house = |v: venues::Model| House {
            name: v.name,
            city: v.city,
            time_zone: v.time_zone,
        };
        let venues: HashMap<_, _> = venues
            .all(connection)
            .await?
            .into_iter()
            .map(|v| (v.id, house(v)))
            .collect();
        let known = shows.into_iter().map(|show| {
            let facts = Facts {
                act: acts.get(&show.act).cloned(),
                house: venues.get(&show.venue).cloned(),
                starts_at: Some(micros(show.starts_at).map_err(|e| DbErr::Custom(e.to_string()))?),
            };
            Ok((show.id, facts))
        });
        known.collect()
    }
}

/// An act was announced or changed.
#[derive(Serialize)]
pub(crate) struct HearAct {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) name: String,
}

/// A venue was registered or changed.
#[derive(Serialize)]
pub(crate) struct HearVenue {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) house: House,
}

/// A show was announced or changed.
#[derive(Serialize)]
pub(crate) struct HearShow {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) act: Uuid,
    pub(crate) venue: Uuid,
    pub(crate) starts_at: Time,
}

/// Inserts the row, or replaces an older version of it.
macro_rules! newest {
    ($module:ident, $row:expr, $newer:literal, $connection:expr) => {{
        let columns = $module::Column::iter().filter(|c| *c as u8 != $module::Column::Id as u8);
        let newest = OnConflict::column($module::Column::Id)
            .update_columns(columns)
            .action_and_where(Expr::cust($newer))
            .to_owned();
        let insert = $module::Entity::insert($row).on_conflict(newest);
        insert.exec_without_returning($connection).await.map(drop)
    }};
}

impl Write for HearAct {
    const NAME: &'static str = "hear-act";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = acts::ActiveModel {
            id: Set(self.id),
            version: Set(self.version),
            name: Set(self.name),
        };
        newest!(acts, row, "excluded.version > acts.version", connection)
    }
}

impl Write for HearVenue {
    const NAME: &'static str = "hear-venue";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = venues::ActiveModel {
            id: Set(self.id),
            version: Set(self.version),
            name: Set(self.house.name),
            city: Set(self.house.city),
            time_zone: Set(self.house.time_zone),
        };
        newest!(venues, row, "excluded.version > venues.version", connection)
    }
}

impl Write for HearShow {
    const NAME: &'static str = "hear-show";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = shows::ActiveModel {
            id: Set(self.id),
            version: Set(self.version),
            act: Set(self.act),
            venue: Set(self.venue),
            starts_at: Set(self.starts_at.micros()),
        };
        newest!(shows, row, "excluded.version > shows.version", connection)
    }
}
