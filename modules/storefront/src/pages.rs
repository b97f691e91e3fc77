//! The pages' templates, and what each of them is made of.

use askama::Template;
use http::StatusCode;
use kernel::Money;
use ordering_contract::{Order, OrderId, SeatId, ShowId, Ticket};
use storefront_contract::StorefrontError;
use strangler::{ContractError, WebPage};

use crate::{
    assets::Frame,
    domain::{Barcode, Filter, Headline, LocalTime, Plan, StepLine, money},
};

/// The most seats in one order.
pub(crate) const MOST_SEATS: usize = ordering_contract::MOST_SEATS;

/// What is known of a show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) id: ShowId,
    pub(crate) act: Option<String>,
    pub(crate) venue: Option<Place>,
    pub(crate) when: LocalTime,
    /// What the cheapest seat costs.
    pub(crate) from: Option<Money>,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) city: String,
}

impl Facts {
    fn name(&self) -> &str {
        self.act
            .as_deref()
            .unwrap_or("An act whose name cannot be shown at the moment")
    }

    fn price(&self) -> Option<String> {
        self.from.map(money)
    }
}

#[derive(Template)]
#[template(path = "storefront/season.html")]
pub(crate) struct SeasonPage {
    pub(crate) frame: Frame,
    pub(crate) filter: Filter,
    pub(crate) shows: Vec<Facts>,
    /// Where the later shows are.
    pub(crate) later: Option<String>,
    /// Where the first ones are, on a later page.
    pub(crate) first: Option<String>,
    /// The catalog cannot be asked.
    pub(crate) down: bool,
}

/// What a show's page says of its seats.
pub(crate) enum Seats {
    /// They can be chosen.
    There(Plan),
    /// Seating has not heard of the show yet.
    NotYet,
    /// The show has begun: nothing is sold any more.
    Begun,
    /// Seating cannot be asked.
    Down,
}

#[derive(Template)]
#[template(path = "storefront/show.html")]
pub(crate) struct ShowPage {
    pub(crate) frame: Frame,
    pub(crate) id: ShowId,
    /// `None` while the catalog cannot be asked.
    pub(crate) show: Option<Facts>,
    pub(crate) seats: Seats,
    /// The order that the seats are for.
    pub(crate) order: OrderId,
    /// Whether that order holds seats already, and until when.
    pub(crate) held: Option<LocalTime>,
    pub(crate) alert: Option<String>,
}

/// A field of a form: what was typed, and what is wrong with it.
#[derive(Default)]
pub(crate) struct Field {
    pub(crate) value: String,
    pub(crate) mistake: Option<String>,
}

/// A card that the payment provider's stand-in knows.
pub(crate) struct TestCard {
    pub(crate) token: &'static str,
    pub(crate) name: &'static str,
}

/// The cards there are.
pub(crate) const CARDS: [TestCard; 4] = [
    TestCard {
        token: "tok_ok",
        name: "A card that works",
    },
    TestCard {
        token: "tok_declined",
        name: "A card that is declined",
    },
    TestCard {
        token: "tok_slow",
        name: "A card whose bank takes its time",
    },
    TestCard {
        token: "tok_flaky",
        name: "A card whose bank fails now and then",
    },
];

#[derive(Template)]
#[template(path = "storefront/checkout.html")]
pub(crate) struct CheckoutPage {
    pub(crate) frame: Frame,
    pub(crate) id: OrderId,
    pub(crate) show_id: ShowId,
    pub(crate) show: Option<Facts>,
    pub(crate) seats: Vec<SeatId>,
    pub(crate) total: String,
    /// Until when the seats are held, and how many minutes that is.
    pub(crate) until: LocalTime,
    pub(crate) minutes: i64,
    pub(crate) email: Field,
    pub(crate) card: Field,
    pub(crate) alert: Option<String>,
}

#[derive(Template)]
#[template(path = "storefront/order.html")]
pub(crate) struct OrderPage {
    pub(crate) frame: Frame,
    pub(crate) order: Order,
    pub(crate) show: Option<Facts>,
    pub(crate) headline: Headline,
    pub(crate) steps: Vec<StepLine>,
    pub(crate) refusal: Option<(String, &'static str)>,
    /// Where to buy instead, and what that is called: the map with the order's seats chosen, while they are sold.
    pub(crate) again: (String, &'static str),
    /// The show was cancelled.
    pub(crate) show_cancelled: bool,
    /// Whether there is something to wait for.
    pub(crate) moving: bool,
    pub(crate) cancellable: bool,
    pub(crate) total: Option<String>,
    pub(crate) alert: Option<String>,
}

/// One ticket.
pub(crate) struct TicketView {
    pub(crate) ticket: Ticket,
    pub(crate) code: Option<Barcode>,
}

#[derive(Template)]
#[template(path = "storefront/tickets.html")]
pub(crate) struct TicketsPage {
    pub(crate) frame: Frame,
    pub(crate) order: OrderId,
    pub(crate) show: Option<Facts>,
    pub(crate) tickets: Vec<TicketView>,
}

/// A page with a sentence and somewhere to go.
#[derive(Template)]
#[template(path = "storefront/message.html")]
pub(crate) struct MessagePage {
    pub(crate) frame: Frame,
    pub(crate) title: &'static str,
    pub(crate) sentence: String,
    pub(crate) go: (String, &'static str),
}

/// The page as it is answered.
pub(crate) fn show(status: StatusCode, page: &impl Template) -> Result<WebPage, StorefrontError> {
    match page.render() {
        Ok(html) => Ok(WebPage::html(status, html)),
        Err(error) => {
            tracing::error!(%error, "a page of the storefront cannot be made");
            Err(StorefrontError::Unavailable {
                cause: "the page cannot be made; the log has the cause".to_owned(),
            })
        }
    }
}

/// The status under which a page says this.
pub(crate) fn status(error: &StorefrontError) -> StatusCode {
    StatusCode::from_u16(error.to_problem().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What is down at the moment, as an error.
pub(crate) fn down() -> StorefrontError {
    StorefrontError::Unavailable { cause: String::new() }
}
