//! The pages over a house of cards: catalog, seating and ordering that say what they are told to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use catalog_contract::*;
use kernel::{Money, Page, Time, Uuid, Word};
use ordering_contract::{Order, OrderDraft, OrderStatus, OrderingError, OrderingService, Ticket, TicketId};
use seating_contract::{
    Hold, HoldDraft, HoldId, HoldStatus, Seat, SeatId, SeatMap, SeatState, SeatingError, SeatingService,
};
use storefront_contract::{OrderId, Purchase, SeasonFilter, SeatChoice, StorefrontError, StorefrontService};
use strangler::{Accepted, Cx, Done, IfMatch, ManualClock, ModuleStats, Principal, Put, WebPage};

use super::{Shop, StorefrontModule};

const SHOW: u128 = 7;
const OTHER: u128 = 0xdead;

/// What the others are told to say.
#[derive(Default)]
struct Stage {
    no_catalog: AtomicBool,
    no_seating: AtomicBool,
    no_ordering: AtomicBool,
    cancelled: AtomicBool,
    holds: Mutex<Vec<(HoldId, Vec<SeatId>, HoldStatus)>>,
    released: Mutex<Vec<HoldId>>,
    orders: Mutex<Vec<Order>>,
}

struct Cards(Arc<Stage>);

fn time(text: &str) -> Time {
    text.parse().expect("a time")
}

fn money(amount: i64) -> Money {
    Money::new(amount, "EUR".to_owned().try_into().expect("EUR")).expect("money")
}

fn show(id: ShowId) -> Show {
    Show {
        id,
        version: 1,
        act: ActId(Uuid::from_u128(1)),
        venue: VenueId(Uuid::from_u128(2)),
        starts_at: time("2027-05-01T19:30:00Z"),
        prices: vec![SectionPrice {
            section: Word::try_from("Stalls").expect("a word"),
            price: money(4500),
        }],
    }
}

impl Cards {
    fn catalog(&self) -> Result<(), CatalogError> {
        let cause = "asleep".to_owned();
        match self.0.no_catalog.load(SeqCst) {
            true => Err(CatalogError::Unavailable { cause }),
            false => Ok(()),
        }
    }

    fn seating(&self) -> Result<(), SeatingError> {
        let cause = "asleep".to_owned();
        match self.0.no_seating.load(SeqCst) {
            true => Err(SeatingError::Unavailable { cause }),
            false => Ok(()),
        }
    }

    fn ordering(&self) -> Result<(), OrderingError> {
        let cause = "asleep".to_owned();
        match self.0.no_ordering.load(SeqCst) {
            true => Err(OrderingError::Unavailable { cause }),
            false => Ok(()),
        }
    }

    fn hold_of(&self, (id, seats, status): &(HoldId, Vec<SeatId>, HoldStatus)) -> Hold {
        Hold {
            id: *id,
            show: seating_contract::ShowId(Uuid::from_u128(SHOW)),
            seats: seats.clone(),
            status: *status,
            total: money(4500 * seats.len() as i64),
            expires_at: (*status == HoldStatus::Held).then(|| time("2027-01-01T12:10:00Z")),
        }
    }
}

impl CatalogService for Cards {
    async fn act(&self, _: &Cx, id: ActId) -> Result<Act, CatalogError> {
        self.catalog()?;
        let name = "<script>alert(1)</script> فرقة".try_into().expect("a name");
        let genre = "jazz".try_into().expect("a word");
        Ok(Act {
            id,
            version: 1,
            name,
            genre,
        })
    }

    async fn announce_act(&self, _: &Cx, id: ActId, _: Option<IfMatch>, _: ActDraft) -> Result<Put<Act>, CatalogError> {
        Err(CatalogError::NoSuchAct { id })
    }

    async fn venue(&self, _: &Cx, id: VenueId) -> Result<Venue, CatalogError> {
        self.catalog()?;
        Ok(Venue {
            id,
            version: 1,
            name: "The House".try_into().expect("a name"),
            city: "Vienna".try_into().expect("a name"),
            time_zone: "Europe/Vienna".try_into().expect("a word"),
            sections: Vec::new(),
        })
    }

    async fn register_venue(
        &self,
        _: &Cx,
        id: VenueId,
        _: Option<IfMatch>,
        _: VenueDraft,
    ) -> Result<Put<Venue>, CatalogError> {
        Err(CatalogError::NoSuchVenue { id })
    }

    async fn show(&self, _: &Cx, id: ShowId) -> Result<Show, CatalogError> {
        self.catalog()?;
        match self.0.cancelled.load(SeqCst) {
            true => Err(CatalogError::ShowCancelled { id }),
            false if id.0.as_u128() != SHOW => Err(CatalogError::NoSuchShow { id }),
            false => Ok(show(id)),
        }
    }

    async fn shows(&self, _: &Cx, filter: ShowFilter) -> Result<Page<Show>, CatalogError> {
        self.catalog()?;
        let none = filter.city.is_some_and(|city| city.as_str() != "Vienna");
        let items = if none {
            Vec::new()
        } else {
            vec![show(ShowId(Uuid::from_u128(SHOW)))]
        };
        Ok(Page { items, next: None })
    }

    async fn announce(&self, _: &Cx, id: ShowId, _: Option<IfMatch>, _: ShowDraft) -> Result<Put<Show>, CatalogError> {
        Err(CatalogError::NoSuchShow { id })
    }

    async fn cancel(&self, _: &Cx, id: ShowId, _: Option<IfMatch>) -> Result<Done, CatalogError> {
        Err(CatalogError::NoSuchShow { id })
    }
}

impl SeatingService for Cards {
    async fn seats(&self, _: &Cx, id: seating_contract::ShowId) -> Result<SeatMap, SeatingError> {
        self.seating()?;
        let holds = self.0.holds.lock().expect("holds");
        let seats = (1..=4).map(|number| {
            let section = Word::try_from("Stalls").expect("a word");
            let id = SeatId::new(&section, "A", number);
            let held = holds.iter().any(|(_, seats, _)| seats.contains(&id));
            Seat {
                id,
                section,
                row: "A".to_owned(),
                number,
                state: if held { SeatState::Held } else { SeatState::Free },
                price: money(4500),
            }
        });
        let seats = seats.collect();
        Ok(SeatMap { show: id, seats })
    }

    async fn held(&self, _: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        self.seating()?;
        if self.0.released.lock().expect("released").contains(&id) {
            return Err(SeatingError::HoldOver { id });
        }
        let holds = self.0.holds.lock().expect("holds");
        let hold = holds.iter().find(|(i, ..)| *i == id);
        hold.map(|hold| self.hold_of(hold))
            .ok_or(SeatingError::NoSuchHold { id })
    }

    async fn hold(&self, cx: &Cx, id: HoldId, draft: HoldDraft) -> Result<Put<Hold>, SeatingError> {
        self.seating()?;
        if let Ok(there) = self.held(cx, id).await {
            return match there.seats == draft.seats() {
                true => Ok(Put::Kept(there)),
                false => Err(SeatingError::OtherHold { id }),
            };
        }
        if self.0.released.lock().expect("released").contains(&id) {
            return Err(SeatingError::HoldOver { id });
        }
        let mut holds = self.0.holds.lock().expect("holds");
        let taken = draft
            .seats()
            .iter()
            .filter(|s| holds.iter().any(|(_, seats, _)| seats.contains(s)));
        let taken: Vec<_> = taken.cloned().collect();
        if !taken.is_empty() {
            return Err(SeatingError::SeatsTaken { seats: taken });
        }
        let hold = (id, draft.seats().to_vec(), HoldStatus::Held);
        let look = self.hold_of(&hold);
        holds.push(hold);
        Ok(Put::Created(look))
    }

    async fn release(&self, _: &Cx, id: HoldId) -> Result<Done, SeatingError> {
        self.0.released.lock().expect("released").push(id);
        self.0.holds.lock().expect("holds").retain(|(i, ..)| *i != id);
        Ok(Done)
    }

    async fn commit(&self, _: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        Err(SeatingError::NoSuchHold { id })
    }

    async fn assign(&self, _: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        Err(SeatingError::NoSuchHold { id })
    }

    async fn unassign(&self, _: &Cx, _: HoldId) -> Result<Done, SeatingError> {
        Ok(Done)
    }
}

impl OrderingService for Cards {
    async fn place(&self, _: &Cx, id: OrderId, draft: OrderDraft) -> Result<Accepted<Order>, OrderingError> {
        self.ordering()?;
        let order = Order {
            id,
            version: 1,
            show: draft.show(),
            seats: draft.seats().to_vec(),
            status: OrderStatus::Confirmed,
            reason: None,
            total: Some(money(9000)),
            tickets: vec![Ticket {
                id: TicketId(Uuid::from_u128(0xabc)),
                seat: draft.seats()[0].clone(),
            }],
            steps: Vec::new(),
        };
        self.0.orders.lock().expect("orders").push(order.clone());
        let location = format!("/orders/{id}");
        Ok(Accepted { location, value: order })
    }

    async fn order(&self, _: &Cx, id: OrderId) -> Result<Order, OrderingError> {
        self.ordering()?;
        let orders = self.0.orders.lock().expect("orders");
        orders
            .iter()
            .find(|o| o.id == id)
            .cloned()
            .ok_or(OrderingError::NoSuchOrder { id })
    }

    async fn cancel(&self, cx: &Cx, id: OrderId) -> Result<Accepted<Order>, OrderingError> {
        let order = self.order(cx, id).await?;
        Err(OrderingError::NotCancellable {
            id,
            standing: order.status,
        })
    }
}

fn house() -> (Arc<Stage>, StorefrontModule) {
    let stage = Arc::new(Stage::default());
    let stats = |operations: usize| Arc::new(ModuleStats::new(operations));
    let shop = Shop {
        catalog: CatalogService::guarded(Cards(stage.clone()), stats(8)),
        seating: SeatingService::guarded(Cards(stage.clone()), stats(8)),
        ordering: OrderingService::guarded(Cards(stage.clone()), stats(8)),
    };
    let clock = ManualClock::new(time("2027-01-01T12:00:00Z").utc());
    let module = StorefrontModule::new(shop, Arc::new(clock), || Uuid::from_u128(OTHER));
    (stage, module)
}

fn cx() -> Cx {
    Cx::new(Principal::ANYBODY)
}

fn show_id() -> seating_contract::ShowId {
    seating_contract::ShowId(Uuid::from_u128(SHOW))
}

fn order_id(id: u128) -> OrderId {
    OrderId(Uuid::from_u128(id))
}

fn chosen(order: Option<u128>, seats: &[&str]) -> SeatChoice {
    SeatChoice {
        order: order.map(order_id),
        seat: seats.iter().map(|s| (*s).to_owned()).collect(),
    }
}

fn text(page: &Result<WebPage, StorefrontError>) -> (u16, String) {
    let page = page.as_ref().expect("a page");
    (page.status.as_u16(), String::from_utf8_lossy(&page.body).into_owned())
}

fn to(page: &Result<WebPage, StorefrontError>) -> String {
    page.as_ref().expect("a page").location.clone().unwrap_or_default()
}

#[tokio::test]
async fn the_season_lists_what_is_on_and_what_people_wrote_is_text() {
    let (_, shop) = house();
    let page = shop.season(&cx(), SeasonFilter::default()).await;
    let (status, html) = text(&page);
    assert_eq!(status, 200);
    assert!(
        html.contains("&#60;script&#62;") && !html.contains("<script>"),
        "{html}"
    );
    // 19:30 in UTC is 21:30 in Vienna.
    for part in ["21:30", "Europe/Vienna", "from 45.00 EUR", "dir=\"auto\""] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(
        page.expect("a page").cookies[0].starts_with("session="),
        "a visitor is known again"
    );
    let nowhere = SeasonFilter {
        city: Some("Graz".to_owned()),
        ..SeasonFilter::default()
    };
    assert!(text(&shop.season(&cx(), nowhere).await).1.contains("No show fits"));
    let never = SeasonFilter {
        from: Some("soon".to_owned()),
        ..SeasonFilter::default()
    };
    let (status, html) = text(&shop.season(&cx(), never).await);
    assert!(
        status == 422 && html.contains("aria-invalid") && html.contains("value=\"soon\""),
        "{html}"
    );
}

#[tokio::test]
async fn what_is_down_is_said_and_the_rest_is_shown() {
    let (stage, shop) = house();
    stage.no_seating.store(true, SeqCst);
    let (status, html) = text(&shop.show(&cx(), show_id(), SeatChoice::default(), None).await);
    assert!(
        status == 200 && html.contains("Seats cannot be chosen at the moment"),
        "{html}"
    );
    assert!(html.contains("The House") && html.contains("21:30"), "{html}");
    assert_eq!(text(&shop.season(&cx(), SeasonFilter::default()).await).0, 200);
    let (status, html) = text(
        &shop
            .choose(&cx(), show_id(), None, chosen(Some(1), &["Stalls-A-1"]))
            .await,
    );
    assert!(status == 503 && html.contains("could not be held"), "{status} {html}");
    stage.no_catalog.store(true, SeqCst);
    assert_eq!(
        text(&shop.show(&cx(), show_id(), SeatChoice::default(), None).await).0,
        503
    );
    let (status, html) = text(&shop.season(&cx(), SeasonFilter::default()).await);
    assert!(
        status == 503 && html.contains("cannot be shown at the moment"),
        "{html}"
    );
    stage.no_seating.store(false, SeqCst);
    let (status, html) = text(&shop.show(&cx(), show_id(), SeatChoice::default(), None).await);
    assert!(status == 200 && html.contains("Stalls-A-1"), "{html}");
}

#[tokio::test]
async fn what_is_not_there_and_what_was_cancelled() {
    let (stage, shop) = house();
    let nowhere = seating_contract::ShowId(Uuid::from_u128(8));
    assert_eq!(
        text(&shop.show(&cx(), nowhere, SeatChoice::default(), None).await).0,
        404
    );
    assert_eq!(text(&shop.order(&cx(), order_id(8)).await).0, 404);
    assert_eq!(text(&shop.cancel(&cx(), order_id(8)).await).0, 404);
    assert_eq!(text(&shop.tickets(&cx(), order_id(8)).await).0, 404);
    assert_eq!(
        shop.asset(&cx(), "shop.css".to_owned()).await,
        Err(StorefrontError::NoSuchPage)
    );
    stage.cancelled.store(true, SeqCst);
    let (status, html) = text(&shop.show(&cx(), show_id(), SeatChoice::default(), None).await);
    assert!(status == 410 && html.contains("cancelled"), "{html}");
}

#[tokio::test]
async fn seats_are_held_once_and_others_are_told_which_are_gone() {
    let (stage, shop) = house();
    let form = chosen(Some(1), &["Stalls-A-1", "Stalls-A-2"]);
    let checkout = format!("/shows/{}/checkout/{}", show_id(), order_id(1));
    for _ in 0..2 {
        let page = shop.choose(&cx(), show_id(), None, form.clone()).await;
        assert_eq!(to(&page), checkout);
        let cookies = page.expect("a page").cookies;
        assert!(
            cookies[0].starts_with(&format!("basket={}", order_id(1))),
            "{cookies:?}"
        );
    }
    let others = chosen(Some(2), &["Stalls-A-2", "Stalls-A-3"]);
    let (status, html) = text(&shop.choose(&cx(), show_id(), None, others).await);
    assert_eq!(status, 409);
    assert!(
        html.contains("Somebody else was faster: Stalls, row A, seat 2."),
        "{html}"
    );
    // What else was chosen still is; what is gone cannot be.
    assert!(
        html.contains("value=\"Stalls-A-3\" checked") && !html.contains("value=\"Stalls-A-2\""),
        "{html}"
    );
    // Who holds them sees them as their own, and may choose anew: the old ones go back.
    let basket = Some(order_id(1));
    let (_, html) = text(&shop.show(&cx(), show_id(), SeatChoice::default(), basket).await);
    assert!(
        html.contains("value=\"Stalls-A-2\" checked") && html.contains("yours"),
        "{html}"
    );
    let page = shop
        .choose(&cx(), show_id(), basket, chosen(Some(1), &["Stalls-A-2"]))
        .await;
    assert_eq!(to(&page), format!("/shows/{}/checkout/{}", show_id(), order_id(OTHER)));
    assert_eq!(*stage.released.lock().expect("released"), [HoldId(Uuid::from_u128(1))]);
}

#[tokio::test]
async fn nothing_and_too_much_cannot_be_chosen() {
    let (_, shop) = house();
    let (status, html) = text(&shop.choose(&cx(), show_id(), None, chosen(None, &[" "])).await);
    assert!(status == 422 && html.contains("Choose at least one seat."), "{html}");
    let many: Vec<String> = (1..30).map(|n| format!("Stalls-A-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let (status, html) = text(&shop.choose(&cx(), show_id(), None, chosen(None, &many)).await);
    assert!(status == 422 && html.contains("at most 20 seats"), "{html}");
}

#[tokio::test]
async fn the_checkout_says_what_was_mistyped_and_keeps_the_rest() {
    let (stage, shop) = house();
    let id = order_id(1);
    shop.choose(&cx(), show_id(), None, chosen(Some(1), &["Stalls-A-1"]))
        .await
        .expect("a page");
    let (status, html) = text(&shop.checkout(&cx(), show_id(), id).await);
    assert!(
        status == 200 && html.contains("45.00 EUR") && html.contains("Stalls, row A, seat 1"),
        "{html}"
    );
    let mut form = Purchase {
        show: show_id().to_string(),
        email: "ada@".to_owned(),
        card: "tok_slow".to_owned(),
    };
    let (status, html) = text(&shop.buy(&cx(), id, form.clone()).await);
    assert_eq!(status, 422);
    for part in [
        "email-wrong",
        "aria-invalid=\"true\"",
        "value=\"ada@\"",
        "value=\"tok_slow\" checked",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    form.email = " ada@example.org ".to_owned();
    stage.no_ordering.store(true, SeqCst);
    let (status, html) = text(&shop.buy(&cx(), id, form.clone()).await);
    assert!(status == 503 && html.contains("never placed twice"), "{html}");
    stage.no_ordering.store(false, SeqCst);
    let page = shop.buy(&cx(), id, form.clone()).await;
    assert_eq!(to(&page), format!("/orders/{id}"));
    assert!(page.expect("a page").cookies[0].contains("Max-Age=0"));
    // Sold by now: neither the checkout nor its form comes to anything else.
    stage.holds.lock().expect("holds")[0].2 = HoldStatus::Sold;
    assert_eq!(to(&shop.checkout(&cx(), show_id(), id).await), format!("/orders/{id}"));
    let (_, html) = text(&shop.order(&cx(), id).await);
    assert!(
        html.contains("Your tickets are yours") && html.contains("/tickets"),
        "{html}"
    );
    let (_, html) = text(&shop.tickets(&cx(), id).await);
    assert!(
        html.contains("<svg") && html.contains("00000000-0000-0000-0000-000000000abc"),
        "{html}"
    );
    assert_eq!(text(&shop.cancel(&cx(), id).await).0, 409);
}

#[tokio::test]
async fn seats_that_are_not_held_any_more_cannot_be_bought() {
    let (stage, shop) = house();
    stage
        .released
        .lock()
        .expect("released")
        .push(HoldId(Uuid::from_u128(1)));
    let (status, html) = text(&shop.checkout(&cx(), show_id(), order_id(1)).await);
    assert!(status == 410 && html.contains("not held any more"), "{html}");
    let form = Purchase {
        show: show_id().to_string(),
        ..Purchase::default()
    };
    let (status, html) = text(&shop.buy(&cx(), order_id(1), form.clone()).await);
    assert!(
        status == 410 && html.contains(&format!("/shows/{}", show_id())),
        "{html}"
    );
    stage.no_seating.store(true, SeqCst);
    assert_eq!(text(&shop.buy(&cx(), order_id(1), form).await).0, 503);
}
