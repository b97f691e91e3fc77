//! The catalog's front door: acts, venues and shows, and all that others may know of them. It must never know how they
//! are kept.

mod draft;
mod error;
mod event;

pub use draft::{ActDraft, Section, SectionPrice, ShowDraft, VenueDraft};
pub use error::CatalogError;
pub use event::{Cancelled, CatalogEvent};
use kernel::{Cursor, Limit, Name, Page, Time, Word};
use serde::{Deserialize, Serialize};
use strangler::{Cx, Done, IfMatch, Put, contract};
use utoipa::ToSchema;

/// The scope that changing the catalog asks for.
pub const WRITE: &str = "catalog:write";

kernel::id! {
    /// An act's id.
    pub struct ActId;
}
kernel::id! {
    /// A venue's id.
    pub struct VenueId;
}
kernel::id! {
    /// A show's id.
    pub struct ShowId;
}

/// Somebody who performs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Act {
    /// Its id.
    pub id: ActId,
    /// Grows by one with every change; also the entity tag.
    pub version: i64,
    /// Its name.
    pub name: Name,
    /// What it plays.
    pub genre: Word,
}

/// A house with seats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Venue {
    /// Its id.
    pub id: VenueId,
    /// Grows by one with every change; also the entity tag.
    pub version: i64,
    /// Its name.
    pub name: Name,
    /// Where it is.
    pub city: Name,
    /// Its time zone, as IANA calls it.
    pub time_zone: Word,
    /// Its sections, front to back.
    pub sections: Vec<Section>,
}

/// An act in a venue at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Show {
    /// Its id.
    pub id: ShowId,
    /// Grows by one with every change; also the entity tag.
    pub version: i64,
    /// Who performs.
    pub act: ActId,
    /// Where.
    pub venue: VenueId,
    /// When it starts.
    pub starts_at: Time,
    /// What a seat costs, by section.
    pub prices: Vec<SectionPrice>,
}

/// Which shows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ShowFilter {
    /// Those that start at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Time>,
    /// Those that start before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Time>,
    /// Those of this act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<ActId>,
    /// Those of acts with this text in their name, in capitals or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Name>,
    /// Those in this city, in capitals or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Name>,
    /// How many a page has at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// Where the page begins: `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

/// What the rest of the system may know about the catalog: acts, venues and shows.
#[contract(name = "catalog", version = 1, events = CatalogEvent)]
pub trait Catalog {
    /// The act with this id.
    #[query(get = "/acts/{id}", auth = public, etag = version)]
    async fn act(&self, cx: &Cx, id: ActId) -> Result<Act, CatalogError>;

    /// Announces the act, or changes it; the same act put twice is announced once.
    #[command(put = "/acts/{id}", auth = scope("catalog:write"), etag = version)]
    async fn announce_act(
        &self,
        cx: &Cx,
        id: ActId,
        #[header("if-match")] expected: Option<IfMatch>,
        #[body] draft: ActDraft,
    ) -> Result<Put<Act>, CatalogError>;

    /// The venue with this id.
    #[query(get = "/venues/{id}", auth = public, etag = version)]
    async fn venue(&self, cx: &Cx, id: VenueId) -> Result<Venue, CatalogError>;

    /// Registers the venue, or changes it; the same venue put twice is registered once.
    #[command(put = "/venues/{id}", auth = scope("catalog:write"), etag = version)]
    async fn register_venue(
        &self,
        cx: &Cx,
        id: VenueId,
        #[header("if-match")] expected: Option<IfMatch>,
        #[body] draft: VenueDraft,
    ) -> Result<Put<Venue>, CatalogError>;

    /// Shows in a window of time, soonest first.
    #[query(get = "/shows", auth = public, next = next)]
    async fn shows(&self, cx: &Cx, #[query] filter: ShowFilter) -> Result<Page<Show>, CatalogError>;

    /// The show with this id.
    #[query(get = "/shows/{id}", auth = public, etag = version)]
    async fn show(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError>;

    /// Announces the show, or changes it; the same show put twice is announced once.
    #[command(put = "/shows/{id}", auth = scope("catalog:write"), etag = version)]
    async fn announce(
        &self,
        cx: &Cx,
        id: ShowId,
        #[header("if-match")] expected: Option<IfMatch>,
        #[body] draft: ShowDraft,
    ) -> Result<Put<Show>, CatalogError>;

    /// Cancels the show; cancelled twice it is cancelled once. Its id is never used again.
    #[command(delete = "/shows/{id}", auth = scope("catalog:write"))]
    async fn cancel(
        &self,
        cx: &Cx,
        id: ShowId,
        #[header("if-match")] expected: Option<IfMatch>,
    ) -> Result<Done, CatalogError>;
}
