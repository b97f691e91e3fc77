//! The catalog's tables and queries.

use catalog_contract::{Act, ActId, Show, ShowFilter, ShowId, Venue, VenueId};
use kernel::{Name, Page, Time, Uuid, Word};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, sea_query::LikeExpr,
};
use serde::{Serialize, de::DeserializeOwned};
use strangler_store::{Aggregate, Query, StoreError};

use crate::domain::{ActState, ShowState, VenueState};

pub(crate) mod acts {
    //! The head rows of acts.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "acts")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub version: i64,
        pub name: String,
        pub genre: String,
        /// The name as it is searched for.
        pub name_folded: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod venues {
    //! The head rows of venues; sections are JSON.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "venues")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub version: i64,
        pub name: String,
        pub city: String,
        pub time_zone: String,
        pub sections: String,
        /// The city as it is asked for.
        pub city_folded: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod shows {
    //! The head rows of shows; prices are JSON, times are microseconds since 1970.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "shows")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub version: i64,
        pub act: Uuid,
        pub venue: Uuid,
        pub starts_at: i64,
        pub prices: String,
        pub cancelled: bool,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A name without its capitals. Kept beside it: what a database takes for a capital differs from one to the next.
pub(crate) fn fold(name: &Name) -> String {
    name.as_str().to_lowercase()
}

/// A text that means itself in LIKE.
fn escape_like(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn text<T: TryFrom<String, Error = String>>(column: &str, text: String) -> Result<T, StoreError> {
    T::try_from(text).map_err(|e| StoreError::corrupt_row(format!("{column}: {e}")))
}

fn json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::corrupt_row(format!("{column}: {e}")))
}

fn json_text<T: Serialize>(value: &T) -> String {
    // Plain structs of strings and numbers: there is nothing in them that JSON could refuse.
    serde_json::to_string(value).unwrap_or_default()
}

impl Aggregate for ActState {
    const KIND: &'static str = "act";
    type Entity = acts::Entity;

    fn id(&self) -> Uuid {
        self.0.id.0
    }

    fn version(&self) -> i64 {
        self.0.version
    }

    fn from_model(row: acts::Model) -> Result<Self, StoreError> {
        let (name, genre): (Name, Word) = (text("name", row.name)?, text("genre", row.genre)?);
        Ok(Self(Act {
            id: ActId(row.id),
            version: row.version,
            name,
            genre,
        }))
    }

    fn to_model(&self) -> acts::ActiveModel {
        let Act {
            id,
            version,
            name,
            genre,
        } = self.0.clone();
        acts::ActiveModel {
            id: Set(id.0),
            version: Set(version),
            name_folded: Set(fold(&name)),
            name: Set(name.into()),
            genre: Set(genre.into()),
        }
    }

    fn id_column() -> acts::Column {
        acts::Column::Id
    }

    fn version_column() -> acts::Column {
        acts::Column::Version
    }
}

impl Aggregate for VenueState {
    const KIND: &'static str = "venue";
    type Entity = venues::Entity;

    fn id(&self) -> Uuid {
        self.0.id.0
    }

    fn version(&self) -> i64 {
        self.0.version
    }

    fn from_model(row: venues::Model) -> Result<Self, StoreError> {
        Ok(Self(Venue {
            id: VenueId(row.id),
            version: row.version,
            name: text("name", row.name)?,
            city: text("city", row.city)?,
            time_zone: text("time_zone", row.time_zone)?,
            sections: json("sections", &row.sections)?,
        }))
    }

    fn to_model(&self) -> venues::ActiveModel {
        let Venue {
            id,
            version,
            name,
            city,
            time_zone,
            sections,
        } = self.0.clone();
        venues::ActiveModel {
            id: Set(id.0),
            version: Set(version),
            name: Set(name.into()),
            city_folded: Set(fold(&city)),
            city: Set(city.into()),
            time_zone: Set(time_zone.into()),
            sections: Set(json_text(&sections)),
        }
    }

    fn id_column() -> venues::Column {
        venues::Column::Id
    }

    fn version_column() -> venues::Column {
        venues::Column::Version
    }
}

impl Aggregate for ShowState {
    const KIND: &'static str = "show";
    type Entity = shows::Entity;

    fn id(&self) -> Uuid {
        self.show.id.0
    }

    fn version(&self) -> i64 {
        self.show.version
    }

    fn from_model(row: shows::Model) -> Result<Self, StoreError> {
        let show = Show {
            id: ShowId(row.id),
            version: row.version,
            act: ActId(row.act),
            venue: VenueId(row.venue),
            starts_at: Time::from_micros(row.starts_at).map_err(StoreError::corrupt_row)?,
            prices: json("prices", &row.prices)?,
        };
        Ok(Self {
            show,
            cancelled: row.cancelled,
        })
    }

    fn to_model(&self) -> shows::ActiveModel {
        let Show {
            id,
            version,
            act,
            venue,
            starts_at,
            prices,
        } = &self.show;
        shows::ActiveModel {
            id: Set(id.0),
            version: Set(*version),
            act: Set(act.0),
            venue: Set(venue.0),
            starts_at: Set(starts_at.micros()),
            prices: Set(json_text(prices)),
            cancelled: Set(self.cancelled),
        }
    }

    fn id_column() -> shows::Column {
        shows::Column::Id
    }

    fn version_column() -> shows::Column {
        shows::Column::Version
    }
}

/// Shows that are not cancelled, soonest first, ties by id.
#[derive(Serialize)]
pub(crate) struct ShowsInWindow(pub(crate) ShowFilter);

impl Query for ShowsInWindow {
    const NAME: &'static str = "shows-in-window";
    type Answer = Page<Show>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Page<Show>, DbErr> {
        use shows::Column as C;
        let ShowFilter {
            from,
            to,
            act,
            search,
            city,
            limit,
            cursor,
        } = self.0;
        let limit = limit.unwrap_or_default().get();
        let mut query = shows::Entity::find().filter(C::Cancelled.eq(false));
        if let Some(from) = from {
            query = query.filter(C::StartsAt.gte(from.micros()));
        }
        if let Some(to) = to {
            query = query.filter(C::StartsAt.lt(to.micros()));
        }
        if let Some(act) = act {
            query = query.filter(C::Act.eq(act.0));
        }
        if let Some(search) = search {
            let pattern = format!("%{}%", escape_like(&fold(&search)));
            let found = acts::Entity::find()
                .select_only()
                .column(acts::Column::Id)
                .filter(acts::Column::NameFolded.like(LikeExpr::new(pattern).escape('\\')));
            query = query.filter(C::Act.in_subquery(found.into_query()));
        }
        if let Some(city) = city {
            let there = venues::Entity::find()
                .select_only()
                .column(venues::Column::Id)
                .filter(venues::Column::CityFolded.eq(fold(&city)));
            query = query.filter(C::Venue.in_subquery(there.into_query()));
        }
        if let Some(cursor) = cursor {
            let at = cursor.time.micros();
            // The first condition alone lets the index find the place; the second breaks ties.
            let after = Condition::any().add(C::StartsAt.gt(at)).add(C::Id.gt(cursor.id));
            query = query.filter(C::StartsAt.gte(at)).filter(after);
        }
        let rows = query
            .order_by_asc(C::StartsAt)
            .order_by_asc(C::Id)
            .limit(limit + 1)
            .all(connection)
            .await?;
        let more = rows.len() as u64 > limit;
        let items: Result<Vec<_>, _> = rows
            .into_iter()
            .take(limit as usize)
            .map(|row| ShowState::from_model(row).map(|s| s.show))
            .collect();
        let items = items.map_err(|e| DbErr::Custom(e.to_string()))?;
        let next = items.last().filter(|_| more);
        let next = next.map(|s: &Show| {
            kernel::Cursor {
                time: s.starts_at,
                id: s.id.0,
            }
            .to_string()
        });
        Ok(Page { items, next })
    }
}
