//! What was heard of venues and shows. The newest version of each fact wins, whenever it arrives.

use kernel::Uuid;
use sea_orm::{
    ActiveValue::Set,
    ConnectionTrait, DbErr, EntityTrait, Iterable,
    sea_query::{Expr, OnConflict},
};
use seating_contract::ShowId;
use serde::{Deserialize, Serialize};
use strangler_store::{Query, StoreError, Write};

use super::{
    entities::{shows, venues},
    json, json_text,
};
use crate::domain::{Plan, Price, Section};

/// What is known of a show.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) cancelled: bool,
    /// `None` as long as nothing was heard of the venue.
    sections: Option<Vec<Section>>,
    prices: Vec<Price>,
}

impl Facts {
    /// The show's seats, once its venue is known too.
    pub(crate) fn plan(self) -> Option<Plan> {
        Some(Plan::new(self.sections?, &self.prices))
    }
}

/// What is known of the show with this id; `None` when nothing is.
#[derive(Serialize)]
pub(crate) struct FactsOf(pub(crate) ShowId);

impl Query for FactsOf {
    const NAME: &'static str = "facts-of-show";
    type Answer = Option<Facts>;
    /// The hold, which is loaded first, says what is done; this only refuses, or is committed upon.
    const ANSWERS: bool = false;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Option<Facts>, DbErr> {
        let Some(show) = shows::Entity::find_by_id(self.0.0).one(connection).await? else {
            return Ok(None);
        };
        let venue = match show.venue {
            Some(venue) => venues::Entity::find_by_id(venue).one(connection).await?,
            None => None,
        };
        let corrupt = |e: StoreError| DbErr::Custom(e.to_string());
        let sections = venue.map(|v| json("sections", &v.sections)).transpose();
        Ok(Some(Facts {
            cancelled: show.cancelled,
            sections: sections.map_err(corrupt)?,
            prices: json("prices", &show.prices).map_err(corrupt)?,
        }))
    }
}

/// A venue was registered or changed.
#[derive(Serialize)]
pub(crate) struct HearVenue {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) sections: Vec<Section>,
}

impl Write for HearVenue {
    const NAME: &'static str = "hear-venue";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = venues::ActiveModel {
            id: Set(self.id),
            version: Set(self.version),
            sections: Set(json_text(&self.sections)),
        };
        let newest = OnConflict::column(venues::Column::Id)
            .update_columns(venues::Column::iter().filter(|c| *c as u8 != venues::Column::Id as u8))
            .action_and_where(Expr::cust("excluded.version > venues.version"))
            .to_owned();
        let insert = venues::Entity::insert(row).on_conflict(newest);
        insert.exec_without_returning(connection).await.map(drop)
    }
}

/// A show was announced, changed or (without venue and prices) cancelled.
#[derive(Serialize)]
pub(crate) struct HearShow {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) venue: Option<Uuid>,
    pub(crate) prices: Vec<Price>,
    pub(crate) cancelled: bool,
}

impl Write for HearShow {
    const NAME: &'static str = "hear-show";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let row = shows::ActiveModel {
            id: Set(self.id),
            version: Set(self.version),
            venue: Set(self.venue),
            prices: Set(json_text(&self.prices)),
            cancelled: Set(self.cancelled),
        };
        let newest = OnConflict::column(shows::Column::Id)
            .update_columns(shows::Column::iter().filter(|c| *c as u8 != shows::Column::Id as u8))
            .action_and_where(Expr::cust("excluded.version > shows.version"))
            .to_owned();
        let insert = shows::Entity::insert(row).on_conflict(newest);
        insert.exec_without_returning(connection).await.map(drop)
    }
}
