//! The pages over a house of cards.

mod cards;
mod gone;

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use cards::{Cards, SHOW, Stage, time};
use catalog_contract::CatalogService;
use kernel::Uuid;
use ordering_contract::OrderingService;
use seating_contract::{HoldId, HoldStatus, SeatingService};
use storefront_contract::{OrderId, Purchase, SeasonFilter, SeatChoice, StorefrontError, StorefrontService};
use strangler::{Cx, ManualClock, ModuleStats, Principal, WebPage};

use super::{Shop, StorefrontModule};

const OTHER: u128 = 0xdead;

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

fn purchase() -> Purchase {
    Purchase {
        show: show_id().to_string(),
        email: "ada@example.org".to_owned(),
        card: "tok_ok".to_owned(),
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
async fn what_is_being_paid_is_not_given_back() {
    let (stage, shop) = house();
    let form = chosen(Some(1), &["Stalls-A-1"]);
    let page = shop.choose(&cx(), show_id(), None, form).await;
    assert!(to(&page).ends_with(&order_id(1).to_string()));
    let page = shop.buy(&cx(), order_id(1), purchase()).await;
    assert_eq!(to(&page), format!("/orders/{}", order_id(1)));
    // Back to the map, and another seat: that is another order, and the first keeps what it has.
    let others = chosen(Some(1), &["Stalls-A-2"]);
    let page = shop.choose(&cx(), show_id(), None, others).await;
    assert_eq!(to(&page), format!("/shows/{}/checkout/{}", show_id(), order_id(OTHER)));
    assert!(stage.released.lock().expect("released").is_empty());
    let held: Vec<_> = stage.holds.lock().expect("holds").iter().map(|h| h.0).collect();
    assert_eq!(held, [HoldId(Uuid::from_u128(1)), HoldId(Uuid::from_u128(OTHER))]);
}

#[tokio::test]
async fn nothing_is_given_back_while_nobody_can_tell_what_was_placed() {
    let (stage, shop) = house();
    let form = chosen(Some(1), &["Stalls-A-1"]);
    shop.choose(&cx(), show_id(), None, form).await.expect("a page");
    stage.no_ordering.store(true, SeqCst);
    let others = chosen(Some(1), &["Stalls-A-2"]);
    let page = shop.choose(&cx(), show_id(), None, others).await;
    assert_eq!(to(&page), format!("/shows/{}/checkout/{}", show_id(), order_id(OTHER)));
    assert!(stage.released.lock().expect("released").is_empty());
}

#[tokio::test]
async fn an_order_that_nobody_answers_ends_on_its_checkout_in_time() {
    let (stage, shop) = house();
    let form = chosen(Some(1), &["Stalls-A-1"]);
    shop.choose(&cx(), show_id(), None, form).await.expect("a page");
    stage.ordering_hangs.store(true, SeqCst);
    let visitor = cx().with_budget(Duration::from_millis(400));
    let (status, html) = text(&shop.buy(&visitor, order_id(1), purchase()).await);
    assert!(visitor.time_left().is_some_and(|left| !left.is_zero()), "too late");
    assert!(
        status == 503 && html.contains("never placed twice") && html.contains("value=\"ada@example.org\""),
        "{html}"
    );
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
async fn a_seat_named_often_is_one_seat_and_what_is_none_is_said() {
    let (stage, shop) = house();
    let named = |seats: &[&str]| {
        let pairs = seats.iter().map(|seat| ("seat".to_owned(), (*seat).to_owned()));
        let order = ("order".to_owned(), order_id(1).to_string());
        SeatChoice::from(pairs.chain([order]).collect::<Vec<_>>())
    };
    let mut often = vec!["Stalls-A-1"; 30];
    often.push("Stalls-A-2");
    let page = shop.choose(&cx(), show_id(), None, named(&often)).await;
    assert_eq!(to(&page), format!("/shows/{}/checkout/{}", show_id(), order_id(1)));
    assert_eq!(stage.holds.lock().expect("holds")[0].1.len(), 2);
    let strange = named(&["Stalls-A-3", "\0", "Stalls-A-4"]);
    let (status, html) = text(&shop.choose(&cx(), show_id(), None, strange.clone()).await);
    assert!(status == 422 && html.contains("is no seat of this house"), "{html}");
    for kept in ["Stalls-A-3", "Stalls-A-4"] {
        assert!(html.contains(&format!("value=\"{kept}\" checked")), "{kept}: {html}");
    }
    let (_, html) = text(&shop.show(&cx(), show_id(), strange, None).await);
    assert!(html.contains("is no seat of this house"), "{html}");
    let many: Vec<String> = (1..40).map(|n| format!("Stalls-A-{n}")).collect();
    let many = named(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let (_, html) = text(&shop.show(&cx(), show_id(), many, None).await);
    assert!(html.contains("at most 20 seats"), "{html}");
    assert_eq!(stage.holds.lock().expect("holds").len(), 1);
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
