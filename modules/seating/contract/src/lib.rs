//! Seating's front door: which seats a show has, who holds them, and which are sold. It must never know who buys them or
//! what money is moved for them.

mod error;
mod hold;
mod seat;

pub use error::SeatingError;
pub use hold::{Hold, HoldDraft, HoldStatus, MOST_SEATS};
pub use seat::{Seat, SeatId, SeatMap, SeatState};
use strangler::{Cx, Done, Put, contract};

/// The scope that holding and releasing seats asks for.
pub const HOLD: &str = "seating:hold";
/// The scope that selling held seats asks for.
pub const SELL: &str = "seating:sell";

kernel::id! {
    /// A show's id, as the catalog gave it.
    pub struct ShowId;
}
kernel::id! {
    /// A hold's id.
    pub struct HoldId;
}

/// What the rest of the system may know about seats.
///
/// A hold is taken, perhaps committed, and then sold or released. Every command is idempotent by the hold's id, and an
/// undo that comes before its do leaves a tombstone: a hold that was released before it was taken cannot be taken.
#[contract(name = "seating", version = 1)]
pub trait Seating {
    /// The seats of the show with this id and how each stands.
    #[query(get = "/shows/{id}/seats", auth = public)]
    async fn seats(&self, cx: &Cx, id: ShowId) -> Result<SeatMap, SeatingError>;

    /// The hold with this id, unless it is over.
    #[query(get = "/holds/{id}", auth = scope("seating:hold"))]
    async fn held(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError>;

    /// Holds all of the seats for a while, or none of them; the same hold put twice is taken once.
    #[command(put = "/holds/{id}", auth = scope("seating:hold"))]
    async fn hold(&self, cx: &Cx, id: HoldId, #[body] draft: HoldDraft) -> Result<Put<Hold>, SeatingError>;

    /// Frees the seats, unless the hold is committed or they are sold; released before it was taken, the hold cannot be taken any
    /// more.
    #[command(delete = "/holds/{id}", auth = scope("seating:hold"))]
    async fn release(&self, cx: &Cx, id: HoldId) -> Result<Done, SeatingError>;

    /// The hold loses its expiry: from here on it stays until it is sold or released. Refused once it has expired.
    #[command(put = "/holds/{id}/commitment", auth = scope("seating:sell"))]
    async fn commit(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError>;

    /// Sells the seats to whoever holds them.
    #[command(put = "/holds/{id}/assignment", auth = scope("seating:sell"))]
    async fn assign(&self, cx: &Cx, id: HoldId) -> Result<Hold, SeatingError>;

    /// Frees the seats even if they are sold: the undo of all of the above.
    #[command(delete = "/holds/{id}/assignment", auth = scope("seating:sell"))]
    async fn unassign(&self, cx: &Cx, id: HoldId) -> Result<Done, SeatingError>;
}
