//! What happened in the catalog, for whoever listens.

use serde::{Deserialize, Serialize};
use strangler::Event;
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
    ShowCancelled {
        /// The show's id.
        id: ShowId,
        /// Its last version.
        version: i64,
    },
}

impl Event for CatalogEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::ActAnnounced(_) => "catalog.act.announced",
            Self::ActChanged(_) => "catalog.act.changed",
            Self::VenueRegistered(_) => "catalog.venue.registered",
            Self::VenueChanged(_) => "catalog.venue.changed",
            Self::ShowAnnounced(_) => "catalog.show.announced",
            Self::ShowChanged(_) => "catalog.show.changed",
            Self::ShowCancelled { .. } => "catalog.show.cancelled",
        }
    }
}
