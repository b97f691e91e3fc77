//! What happened in the catalog, for whoever listens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Act, Show, ShowId, Venue};

/// A fact about the catalog. Each carries the whole state after it, so that a listener needs nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum CatalogEvent {
    /// `catalog.act.announced`
    ActAnnounced(Act),
    /// `catalog.act.changed`
    ActChanged(Act),
    /// `catalog.venue.registered`
    VenueRegistered(Venue),
    /// `catalog.venue.changed`
    VenueChanged(Venue),
    /// `catalog.show.announced`
    ShowAnnounced(Show),
    /// `catalog.show.changed`
    ShowChanged(Show),
    /// `catalog.show.cancelled`
    ShowCancelled(Cancelled),
}

/// What is left of a show that was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cancelled {
    /// The show's id; never used again.
    pub id: ShowId,
    /// Its last version.
    pub version: i64,
}

strangler::events! {
    CatalogEvent {
        /// An act was announced.
        ActAnnounced(Act) = "catalog.act.announced",
        /// An act changed.
        ActChanged(Act) = "catalog.act.changed",
        /// A venue was registered.
        VenueRegistered(Venue) = "catalog.venue.registered",
        /// A venue changed.
        VenueChanged(Venue) = "catalog.venue.changed",
        /// A show was announced.
        ShowAnnounced(Show) = "catalog.show.announced",
        /// A show changed: its time, its place, who performs, or what a seat costs.
        ShowChanged(Show) = "catalog.show.changed",
        /// A show was cancelled. It does not come back.
        ShowCancelled(Cancelled) = "catalog.show.cancelled",
    }
}
