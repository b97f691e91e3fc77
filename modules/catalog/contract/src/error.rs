//! What the catalog answers when it cannot do what it was asked.

use strangler::problems;

use crate::{ActId, ShowId, VenueId};

/// The catalog's errors.
#[problems("catalog")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogError {
    /// No act has this id.
    #[problem(404, "No such act", detail = "no act has the id {id}")]
    NoSuchAct {
        /// The id that was asked for.
        id: ActId,
    },
    /// No venue has this id.
    #[problem(404, "No such venue", detail = "no venue has the id {id}")]
    NoSuchVenue {
        /// The id that was asked for.
        id: VenueId,
    },
    /// No show has this id.
    #[problem(404, "No such show", detail = "no show has the id {id}")]
    NoSuchShow {
        /// The id that was asked for.
        id: ShowId,
    },
    /// The show was cancelled; its id is never used again.
    #[problem(
        410,
        "The show was cancelled",
        detail = "the show {id} was cancelled; announce another under an id of its own"
    )]
    ShowCancelled {
        /// The id that was asked for.
        id: ShowId,
    },
    /// It is at another version than the caller expects.
    #[problem(
        412,
        "It was changed in the meantime",
        detail = "it is not at a version that If-Match names; read it again and decide anew"
    )]
    OtherVersion,
    /// The show names an act that is not there.
    #[problem(422, "Unknown act", detail = "no act has the id {act}; announce the act first")]
    UnknownAct {
        /// The act's id.
        act: ActId,
    },
    /// The show names a venue that is not there.
    #[problem(
        422,
        "Unknown venue",
        detail = "no venue has the id {venue}; register the venue first"
    )]
    UnknownVenue {
        /// The venue's id.
        venue: VenueId,
    },
    /// A price is for a section that the venue does not have.
    #[problem(422, "Unknown section", detail = "the venue has no section `{section}`")]
    UnknownSection {
        /// The section's name.
        section: String,
    },
    /// The catalog's data cannot be reached at the moment.
    #[problem(503, "The catalog's data cannot be reached", detail = "{cause}")]
    Unavailable {
        /// What happened and what to do next.
        cause: String,
    },
}
