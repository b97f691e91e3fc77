//! What happened to a request, and who calls whom: looked at by clicking and by keys.

use std::time::Duration;

use http::Method;
use system_tests::{Browser, Service, System, eventually, sales::Placed};
use thirtyfour::Key;

use crate::console::sign_in;

/// Has seats bought, and answers where the request is looked at that began it.
pub async fn bought(system: &System) -> String {
    let hall = system.hall(1, 4).await;
    let order = Placed::new(&hall, &hall.seats[..2], "tok_ok");
    let headers = [("content-type", "application/json")];
    let answer = system
        .send(Method::PUT, &order.path(), &headers, order.body().to_string())
        .await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 202);
    assert_eq!(system.settled(order.id).await["status"], "confirmed");
    let trace = answer
        .header("traceparent")
        .split('-')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    eventually("its last call is kept", Duration::from_secs(20), || async {
        let sheet = system.control(&format!("/control/v1/requests/{trace}")).await?;
        sheet.to_string().contains("seating.assign").then_some(())
    })
    .await;
    format!("/console/requests/{trace}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_found_and_looked_at() {
    let Some(browser) = Browser::open("a request").await else {
        return;
    };
    let system = System::start().await;
    let service = Service::start(&system, "ordering", &[]).await;
    system.stage("ordering", "remote").await;
    bought(&system).await;
    system.get("/api/v1/catalog/shows?limit=1").await;
    sign_in(&browser, &system).await;
    browser.go(&format!("{}/console/requests", system.public())).await;
    browser.sees("catalog.shows").await;
    // Only those that came to payments: one purchase. What was chosen is in the address.
    browser
        .run("document.querySelector('[name=module]').value = 'payments'")
        .await;
    browser.press("Show").await;
    browser.sees("1 of the last 1000 requests").await;
    assert!(browser.at().await.contains("module=payments"), "{}", browser.at().await);
    browser.press("ordering.place").await;
    browser.sees("Where the time went").await;
    let text = browser.text().await;
    for said in [
        "payments.capture",
        "asked by ordering",
        &format!("monolith, pid {}", system.pid()),
        &format!("{}, pid {}", service.url(), service.pid()),
    ] {
        assert!(text.contains(said), "{said} is not in:\n{text}");
    }
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_map_is_walked_by_keys_and_stays_up_to_date() {
    let Some(browser) = Browser::open("the map").await else {
        return;
    };
    let system = System::start().await;
    sign_in(&browser, &system).await;
    browser.sees("Who calls whom").await;
    browser.sees("Live").await;
    let label = "#said-call-outside-catalog";
    assert_eq!(browser.find(label).await.text().await.expect("a label"), "");
    for _ in 0..20 {
        system.get("/api/v1/catalog/shows?limit=1").await;
    }
    eventually("the arrow says what goes along it", Duration::from_secs(20), || async {
        let text = browser.find(label).await.text().await.ok()?;
        (text.contains("20/min") && text.contains("p99")).then_some(())
    })
    .await;
    let row = browser
        .find("#row-call-outside-catalog")
        .await
        .text()
        .await
        .expect("a row");
    assert!(
        row.contains("outside") && row.contains("20 in all") && row.contains("0 errors"),
        "{row}"
    );
    browser.tab_to("a[href='/console/modules/seating']", 30).await;
    browser.key(Key::Enter).await;
    eventually("the module is looked at", Duration::from_secs(20), || async {
        browser.at().await.ends_with("/console/modules/seating").then_some(())
    })
    .await;
    browser.close().await;
}
