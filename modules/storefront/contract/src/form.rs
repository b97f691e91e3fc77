//! What people type and choose. Nothing is refused here: a page that says what is wrong can only be shown to somebody whose
//! words were read.

use ordering_contract::{MOST_SEATS, OrderId, SeatId};
use serde::{Deserialize, Serialize};
use strangler::Compared;
use utoipa::ToSchema;

/// A season's filter, as the form sends it: every field may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeasonFilter {
    /// The first day, such as 2027-05-01.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The last day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Who: some of the act's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Where the page begins: given by the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Seats, and the order they are for. In a form `seat` is there once for each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(from = "Vec<(String, String)>", into = "Vec<(String, String)>")]
pub struct SeatChoice {
    /// The order's id, drawn by the page with the form: the same form sent twice holds the seats once.
    pub order: Option<OrderId>,
    /// The seats, by name.
    #[schema(value_type = Vec<SeatId>, required = false)]
    pub seat: Vec<String>,
}

impl From<Vec<(String, String)>> for SeatChoice {
    fn from(pairs: Vec<(String, String)>) -> Self {
        let mut choice = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "order" => choice.order = value.parse().ok(),
                // Each once, and one more than there may be, so that it can be said that they are too many.
                "seat" if choice.seat.len() <= MOST_SEATS && !choice.seat.contains(&value) => choice.seat.push(value),
                _ => {}
            }
        }
        choice
    }
}

impl From<SeatChoice> for Vec<(String, String)> {
    fn from(choice: SeatChoice) -> Self {
        let order = choice.order.map(|order| ("order".to_owned(), order.to_string()));
        let seats = choice.seat.into_iter().map(|seat| ("seat".to_owned(), seat));
        order.into_iter().chain(seats).collect()
    }
}

/// The form of the checkout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, Compared)]
pub struct Purchase {
    /// The show's id.
    #[serde(default)]
    pub show: String,
    /// Where the tickets are sent.
    #[serde(default)]
    #[compare(private)]
    pub email: String,
    /// The test card: what the payment provider's stand-in is given.
    #[serde(default)]
    #[compare(private)]
    pub card: String,
}
