//! Shows for which nothing is sold any more: cancelled, or begun.

use ordering_contract::OrderStatus;
use seating_contract::SeatId;

use super::*;

async fn hold(shop: &StorefrontModule) {
    let form = chosen(Some(1), &["Stalls-A-1"]);
    shop.choose(&cx(), show_id(), None, form).await.expect("a page");
}

#[tokio::test]
async fn the_checkout_of_a_cancelled_show_says_so_and_sells_nothing() {
    let (stage, shop) = house();
    hold(&shop).await;
    stage.cancelled.store(true, SeqCst);
    for page in [
        shop.checkout(&cx(), show_id(), order_id(1)).await,
        shop.buy(&cx(), order_id(1), purchase()).await,
        // Of seats that went back when it was cancelled.
        shop.checkout(&cx(), show_id(), order_id(2)).await,
    ] {
        let (status, html) = text(&page);
        assert!(status == 410 && html.contains("This show was cancelled"), "{html}");
        assert!(html.contains("nothing is owed") && !html.contains("Buy for"), "{html}");
    }
    assert!(stage.orders.lock().expect("orders").is_empty());
}

#[tokio::test]
async fn an_order_of_a_cancelled_show_says_so_and_nobody_is_told_to_print() {
    let (stage, shop) = house();
    hold(&shop).await;
    shop.buy(&cx(), order_id(1), purchase()).await.expect("a page");
    stage.cancelled.store(true, SeqCst);
    let (status, html) = text(&shop.order(&cx(), order_id(1)).await);
    assert!(status == 200 && html.contains("Your show was cancelled"), "{html}");
    assert!(
        html.contains("Cancel the order") && html.contains("it does not take place"),
        "{html}"
    );
    for wrong in ["Print", "/tickets", "cannot be shown at the moment"] {
        assert!(!html.contains(wrong), "{wrong}: {html}");
    }
    let (status, html) = text(&shop.tickets(&cx(), order_id(1)).await);
    assert!(status == 410 && html.contains("not good any more"), "{html}");
    assert!(!html.contains("<svg") && !html.contains("Print"), "{html}");
    // Placed is placed: the checkout and its form lead there, whatever became of the show.
    let order = format!("/orders/{}", order_id(1));
    assert_eq!(to(&shop.checkout(&cx(), show_id(), order_id(1)).await), order);
    assert_eq!(to(&shop.buy(&cx(), order_id(1), purchase()).await), order);
}

#[tokio::test]
async fn a_refused_order_of_a_show_that_is_gone_leads_to_the_season() {
    let (stage, shop) = house();
    hold(&shop).await;
    shop.buy(&cx(), order_id(1), purchase()).await.expect("a page");
    {
        let mut orders = stage.orders.lock().expect("orders");
        orders[0].status = OrderStatus::Refused;
        orders[0].tickets.clear();
        let seats: Vec<SeatId> = orders[0].seats.clone();
        orders[0].reason = Some(strangler::ContractError::to_problem(
            &seating_contract::SeatingError::SeatsTaken { seats },
        ));
    }
    let seats = format!("href=\"/shows/{}?seat=", show_id());
    let (_, html) = text(&shop.order(&cx(), order_id(1)).await);
    assert!(html.contains(&seats), "{html}");
    for gone in [&stage.begun, &stage.cancelled] {
        gone.store(true, SeqCst);
        let (_, html) = text(&shop.order(&cx(), order_id(1)).await);
        assert!(!html.contains(&seats) && html.contains("See what is on"), "{html}");
    }
}

#[tokio::test]
async fn nothing_is_sold_for_a_show_that_has_begun() {
    let (stage, shop) = house();
    hold(&shop).await;
    stage.begun.store(true, SeqCst);
    let basket = Some(order_id(1));
    let (status, html) = text(&shop.show(&cx(), show_id(), SeatChoice::default(), basket).await);
    assert!(status == 200 && html.contains("This show has begun"), "{html}");
    assert!(
        !html.contains("name=\"seat\"") && !html.contains("/checkout/"),
        "{html}"
    );
    for page in [
        shop.choose(&cx(), show_id(), basket, chosen(Some(2), &["Stalls-A-2"]))
            .await,
        shop.checkout(&cx(), show_id(), order_id(1)).await,
        shop.buy(&cx(), order_id(1), purchase()).await,
    ] {
        let (status, html) = text(&page);
        assert!(status == 410 && html.contains("This show has begun"), "{html}");
        assert!(!html.contains("Buy for"), "{html}");
    }
    assert_eq!(stage.holds.lock().expect("holds").len(), 1);
    assert!(stage.orders.lock().expect("orders").is_empty());
}
