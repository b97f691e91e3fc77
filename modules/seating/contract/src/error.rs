//! What seating answers when it cannot do what it was asked.

use strangler::problems;

use crate::{HoldId, SeatId, ShowId};

/// Seating's errors.
#[problems("seating")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeatingError {
    /// Seating has not heard of this show, or not yet of its venue.
    #[problem(404, "No such show", detail = "nothing is known of seats for the show {id}")]
    NoSuchShow {
        /// The id that was asked for.
        id: ShowId,
    },
    /// No hold has this id.
    #[problem(404, "No such hold", detail = "no hold has the id {id}")]
    NoSuchHold {
        /// The id that was asked for.
        id: HoldId,
    },
    /// Somebody else has some of the seats.
    #[problem(409, "Seats are taken", detail = "somebody else has {seats:?}; choose other seats")]
    SeatsTaken {
        /// Those that are taken, of those that were asked for.
        seats: Vec<SeatId>,
    },
    /// The hold's seats are sold, and releasing a hold takes nobody's seat away.
    #[problem(409, "The seats are sold", detail = "the seats of the hold {id} are sold")]
    SeatsSold {
        /// The hold's id.
        id: HoldId,
    },
    /// The hold is part of a purchase that is going on.
    #[problem(
        409,
        "The hold is committed",
        detail = "the hold {id} is part of a purchase; cancel that instead"
    )]
    HoldCommitted {
        /// The hold's id.
        id: HoldId,
    },
    /// The show was cancelled.
    #[problem(410, "The show was cancelled", detail = "the show {id} was cancelled")]
    ShowCancelled {
        /// The show's id.
        id: ShowId,
    },
    /// The hold was released or has expired; its id is never used again.
    #[problem(
        410,
        "The hold is over",
        detail = "the hold {id} was released or has expired; hold the seats again under an id of its own"
    )]
    HoldOver {
        /// The hold's id.
        id: HoldId,
    },
    /// Another hold has this id.
    #[problem(
        422,
        "Another hold has this id",
        detail = "the hold {id} is for other seats; send these under an id of their own"
    )]
    OtherHold {
        /// The hold's id.
        id: HoldId,
    },
    /// The hold names a show that seating does not know.
    #[problem(422, "Unknown show", detail = "nothing is known of seats for the show {show}")]
    UnknownShow {
        /// The show's id.
        show: ShowId,
    },
    /// The show has no such seats.
    #[problem(422, "Unknown seats", detail = "the show has no seats {seats:?}")]
    UnknownSeats {
        /// Those that are not there, of those that were asked for.
        seats: Vec<SeatId>,
    },
    /// Seating's data cannot be reached at the moment.
    #[problem(503, "Seating's data cannot be reached", detail = "{cause}")]
    Unavailable {
        /// What happened and what to do next.
        cause: String,
    },
}
