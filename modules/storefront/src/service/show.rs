//! A show with its seats, and choosing some.

use std::collections::BTreeSet;

use http::StatusCode;
use seating_contract::{Hold, HoldDraft, HoldId, HoldStatus, SeatId, SeatingError, ShowId};
use storefront_contract::{OrderId, SeatChoice, StorefrontError};
use strangler::{Cx, Failure, WebPage};

use super::{
    StorefrontModule,
    ask::{Gone, Known, acting},
};
use crate::{
    assets::Frame,
    domain::{LocalTime, Plan, seat_in_words},
    pages::{self, Facts, MOST_SEATS, MessagePage, Seats, ShowPage, down, status},
};

/// How long a browser remembers what its visitor holds, in seconds: as long as seating does.
const BASKET: u32 = 600;
/// How often another id is drawn for seats whose order's id is used up.
const DRAWS: usize = 3;

/// What is said above the map, and what is chosen in it.
struct Said {
    status: StatusCode,
    alert: Option<String>,
    chosen: BTreeSet<SeatId>,
    /// The order that the seats are for; another when it is used up.
    order: Option<OrderId>,
}

/// The seats that were named, each once, and whether anything was named that cannot be a seat.
fn named(seats: &[String]) -> (Vec<SeatId>, bool) {
    let mut seen = BTreeSet::new();
    let names = || seats.iter().map(|seat| SeatId::try_from(seat.clone()));
    let all = names().flatten().filter(|seat| seen.insert(seat.clone())).collect();
    (all, names().any(|seat| seat.is_err()))
}

fn too_many() -> String {
    format!("One order has at most {MOST_SEATS} seats. Take some back, and place another order for them.")
}

const NO_SEAT: &str =
    "Something that was chosen is no seat of this house, and is left out. Look at what is chosen now.";

impl StorefrontModule {
    pub(super) async fn show_page(
        &self,
        cx: &Cx,
        id: ShowId,
        chosen: SeatChoice,
        basket: Option<OrderId>,
    ) -> Result<WebPage, StorefrontError> {
        let (seats, strange) = named(&chosen.seat);
        let said = Said {
            status: StatusCode::OK,
            alert: match seats.len() > MOST_SEATS {
                true => Some(too_many()),
                false => strange.then(|| NO_SEAT.to_owned()),
            },
            chosen: seats.into_iter().collect(),
            order: None,
        };
        self.map(cx, id, basket, said).await
    }

    async fn map(&self, cx: &Cx, id: ShowId, basket: Option<OrderId>, said: Said) -> Result<WebPage, StorefrontError> {
        let (facts, seats, mine) =
            futures_util::future::join3(self.facts(cx, id), self.seats(cx, id), self.mine(cx, id, basket)).await;
        let show = match facts {
            Known::Nowhere => return no_such_show(),
            Known::Over => return cancelled(),
            Known::There(facts) => Some(facts),
            Known::Down => None,
        };
        let begun = show
            .as_ref()
            .is_some_and(|show| show.when.has_come(cx.now(&*self.clock)));
        let seats = match seats {
            Known::Over => return cancelled(),
            _ if begun => Seats::Begun,
            Known::Nowhere if show.is_none() => return no_such_show(),
            Known::Nowhere => Seats::NotYet,
            Known::Down => Seats::Down,
            Known::There(seats) => {
                let held = mine.iter().flat_map(|hold| hold.seats.iter().cloned()).collect();
                Seats::There(Plan::new(seats, &held, &said.chosen))
            }
        };
        let code = match (&seats, &show) {
            // Nothing at all can be shown.
            (Seats::Down, None) => status(&down()),
            _ => said.status,
        };
        let order = said.order.or(basket.filter(|_| mine.is_some()));
        let page = ShowPage {
            frame: Frame::new(),
            id,
            held: until(mine.as_ref().filter(|_| !begun), show.as_ref()),
            show,
            seats,
            order: order.unwrap_or_else(|| self.new_order(cx)),
            alert: said.alert,
        };
        pages::show(code, &page)
    }

    /// What the visitor's basket holds of this show, if anything.
    async fn mine(&self, cx: &Cx, id: ShowId, basket: Option<OrderId>) -> Option<Hold> {
        let hold = self.held(cx, basket?).await.there()?;
        (hold.show == id && hold.status == HoldStatus::Held).then_some(hold)
    }

    pub(super) async fn hold_seats(
        &self,
        cx: &Cx,
        id: ShowId,
        basket: Option<OrderId>,
        choice: SeatChoice,
    ) -> Result<WebPage, StorefrontError> {
        if let Some(gone) = self.gone(cx, id).await {
            return no_longer(gone, false);
        }
        let (seats, strange) = named(&choice.seat);
        let again = |error: StorefrontError, alert: String, gone: &[SeatId], order| {
            let chosen = seats.iter().filter(|seat| !gone.contains(seat)).cloned().collect();
            let said = Said {
                status: status(&error),
                alert: Some(alert),
                chosen,
                order,
            };
            self.map(cx, id, basket, said)
        };
        if seats.is_empty() {
            let alert = "Choose at least one seat.".to_owned();
            return again(StorefrontError::Mistake, alert, &[], choice.order).await;
        }
        let Ok(draft) = HoldDraft::new(id, seats.clone()) else {
            return again(StorefrontError::Mistake, too_many(), &[], choice.order).await;
        };
        if strange {
            return again(StorefrontError::Mistake, NO_SEAT.to_owned(), &[], choice.order).await;
        }
        let mut order = choice.order.unwrap_or_else(|| self.new_order(cx));
        for _ in 0..DRAWS {
            match self
                .shop
                .seating
                .hold(&acting(cx), HoldId(order.0), draft.clone())
                .await
            {
                Ok(hold) if hold.value().status == HoldStatus::Held => {
                    let page = WebPage::see_other(format!("/shows/{id}/checkout/{order}"));
                    return Ok(page.with_cookie("basket", &order.to_string(), Some(BASKET)));
                }
                // It is being bought, or was.
                Ok(_) => return Ok(WebPage::see_other(format!("/orders/{order}"))),
                // Other seats than last time.
                Err(Failure::Module(SeatingError::OtherHold { .. })) => {
                    self.give_back(cx, order).await;
                    order = self.new_order(cx);
                }
                Err(Failure::Module(SeatingError::HoldOver { .. })) => order = self.new_order(cx),
                Err(Failure::Module(SeatingError::SeatsTaken { seats: gone })) => {
                    let names: Vec<_> = gone.iter().map(seat_in_words).collect();
                    let alert = format!(
                        "Somebody else was faster: {}. What else you chose is still chosen.",
                        names.join("; ")
                    );
                    return again(StorefrontError::TooLate, alert, &gone, Some(order)).await;
                }
                Err(Failure::Module(SeatingError::UnknownSeats { seats: unknown })) => {
                    let alert = "Some of these seats are not in this house. Choose again.".to_owned();
                    return again(StorefrontError::Mistake, alert, &unknown, Some(order)).await;
                }
                Err(Failure::Module(SeatingError::UnknownShow { .. } | SeatingError::NoSuchShow { .. })) => {
                    return no_such_show();
                }
                Err(Failure::Module(SeatingError::ShowCancelled { .. })) => return cancelled(),
                Err(failure) => {
                    tracing::debug!(%failure, "seats cannot be held");
                    break;
                }
            }
        }
        let alert =
            "Your seats could not be held at the moment. Nothing is held and nothing is owed; try again shortly.";
        again(down(), alert.to_owned(), &[], Some(order)).await
    }
}

impl StorefrontModule {
    /// Gives back what an order to come holds, or the visitor would be in their own way. What an order holds that was placed
    /// is being paid: whoever goes back to the map and chooses more must not lose it. The same holds for what nobody can
    /// tell; if it was never placed, it comes back by itself.
    async fn give_back(&self, cx: &Cx, order: OrderId) {
        if !matches!(self.placed(cx, order).await, Known::Nowhere) {
            return;
        }
        if let Err(failure) = self.shop.seating.release(&acting(cx), HoldId(order.0)).await {
            tracing::debug!(%failure, "what was held before is not released");
        }
    }
}

/// Until when a hold lasts, by the venue's clocks.
fn until(hold: Option<&Hold>, show: Option<&Facts>) -> Option<LocalTime> {
    let end = hold?.expires_at?;
    Some(LocalTime::new(end, show.map(|show| show.when.zone())))
}

pub(super) fn no_such_show() -> Result<WebPage, StorefrontError> {
    let page = MessagePage {
        frame: Frame::new(),
        title: "There is no such show",
        sentence: "The address is wrong, or the show is not in this house’s season.".to_owned(),
        go: ("/".to_owned(), "See what is on"),
    };
    pages::show(status(&StorefrontError::NoSuchPage), &page)
}

fn cancelled() -> Result<WebPage, StorefrontError> {
    no_longer(Gone::Cancelled, false)
}

/// A show for which nothing is sold any more. `unsold` when it is certain that this visitor bought nothing just now.
pub(super) fn no_longer(gone: Gone, unsold: bool) -> Result<WebPage, StorefrontError> {
    let (title, sentence) = match (gone, unsold) {
        (Gone::Cancelled, true) => (
            "This show was cancelled",
            "It does not take place. Nothing was bought and nothing is owed.",
        ),
        (Gone::Cancelled, false) => (
            "This show was cancelled",
            "It does not take place. If you have tickets for it, open your order to give them back.",
        ),
        (Gone::Begun, true) => (
            "This show has begun",
            "Seats for it are not sold any more. Nothing was bought and nothing is owed.",
        ),
        (Gone::Begun, false) => ("This show has begun", "Seats for it are not sold any more."),
    };
    let page = MessagePage {
        frame: Frame::new(),
        title,
        sentence: sentence.to_owned(),
        go: ("/".to_owned(), "See what else is on"),
    };
    pages::show(status(&StorefrontError::Over), &page)
}
