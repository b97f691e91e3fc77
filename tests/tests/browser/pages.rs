//! Every page, looked at in every way: nothing that axe finds, nothing covered, cut off or wider than the window, nothing that
//! the browser complains of. Each is left as a picture in `target/screenshots`.

use std::time::Duration;

use serde_json::json;
use system_tests::{Browser, System, View, eventually, office, system::signal};

use crate::{console::sign_in, shop::small, traces, trouble::Trouble};

/// Pages whose answer says that it is none: a browser calls that an error.
const REFUSED: [&str; 3] = ["requests-mistake", "request-absent", "messages-problem"];

/// Looks at one page in every way, and answers what is wrong with it.
async fn faults(browser: &Browser, system: &System, name: &str, path: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for view in View::ALL {
        browser.view(view).await;
        browser.go(&format!("{}{path}", system.public())).await;
        let view = view.name();
        browser.shoot(&format!("{name}-{view}")).await;
        let mut complaints = browser.complaints().await;
        if REFUSED.contains(&name) {
            complaints.retain(|said| !said.contains("the server responded with a status of 4"));
        }
        let found = browser.faults().await.into_iter().chain(complaints);
        faults.extend(found.map(|fault| format!("{path} at {view}: {fault}")));
    }
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_wrong_with_any_page() {
    let Some(browser) = Browser::open("every page").await else {
        return;
    };
    let system = System::start().await;
    let mut found = faults(&browser, &system, "sign-in", "/console/login").await;
    sign_in(&browser, &system).await;
    let request = traces::bought(&system).await;
    for (name, path) in [
        ("map", "/console"),
        ("event-documents", "/docs/events"),
        ("requests", "/console/requests"),
        ("requests-none", "/console/requests?module=notifications&min_ms=60000"),
        ("requests-mistake", "/console/requests?min_ms=soon"),
        ("request", request.as_str()),
        ("request-absent", "/console/requests/4bf92f3577b34da6a3ce929d0e0e4736"),
        ("parallel-run-empty", "/console/parallel-run"),
        ("messages-empty", "/console/messages"),
        ("sagas-empty", "/console/sagas"),
        ("audit-empty", "/console/audit"),
    ] {
        found.extend(faults(&browser, &system, name, path).await);
    }
    browser.close().await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Looks at the page that the browser is at in every way, as it is.
async fn looked_at(browser: &Browser, name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for view in View::ALL {
        browser.view(view).await;
        let view = view.name();
        browser.shoot(&format!("{name}-{view}")).await;
        let found = browser.faults().await;
        faults.extend(found.into_iter().map(|fault| format!("{name} at {view}: {fault}")));
    }
    faults
}

/// Buys a seat of a show over HTTP; the order's id.
async fn bought(system: &System, show: uuid::Uuid, seat: &str, card: &str) -> uuid::Uuid {
    let order = office::id();
    let body = json!({"show": show, "seats": [seat], "email": "ada@example.org", "payment_token": card});
    let path = format!("/api/v1/ordering/orders/{order}");
    assert_eq!(system.put(&path, &body).await.status, 202);
    eventually("the order has ended", Duration::from_secs(30), || async {
        (system.get(&path).await.json()["status"] != "placed").then_some(())
    })
    .await;
    order
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_wrong_with_any_page_of_the_shop() {
    let Some(browser) = Browser::open("every page of the shop").await else {
        return;
    };
    let system = System::start().await;
    let show = small(&system).await;
    let order = bought(&system, show, "Stalls-A-1", "tok_ok").await;
    let declined = bought(&system, show, "Stalls-A-2", "tok_declined").await;
    let held = office::id();
    let hold = json!({"show": show, "seats": ["Stalls-A-5", "Stalls-A-6"]});
    assert_eq!(
        system.put(&format!("/api/v1/seating/holds/{held}"), &hold).await.status,
        201
    );
    // Slow enough to be looked at while it goes on.
    let moving = office::id();
    let body = json!({"show": show, "seats": ["Stalls-B-1"], "email": "ada@example.org", "payment_token": "tok_slow"});
    let mut found = Vec::new();
    for (name, path) in [
        ("season", "/".to_owned()),
        (
            "season-filtered",
            "/?q=lantern&city=vienna&from=2031-05-01&to=2031-05-01".to_owned(),
        ),
        ("season-empty", "/?q=nobody+at+all".to_owned()),
        ("show", format!("/shows/{show}?seat=Stalls-A-3&seat=Stalls-A-4")),
        ("checkout", format!("/shows/{show}/checkout/{held}")),
        ("order", format!("/orders/{order}")),
        ("order-refused", format!("/orders/{declined}")),
        ("tickets", format!("/orders/{order}/tickets")),
    ] {
        found.extend(faults(&browser, &system, &format!("shop-{name}"), &path).await);
    }
    assert_eq!(
        system
            .put(&format!("/api/v1/ordering/orders/{moving}"), &body)
            .await
            .status,
        202
    );
    browser.go(&format!("{}/orders/{moving}", system.public())).await;
    browser.shoot("shop-order-moving").await;
    found.extend(browser.faults().await);
    browser.sees("Your tickets are yours").await;
    found.extend(browser.complaints().await);
    // Pages that say what is wrong: the browser tells their status as an error.
    for (name, path) in [
        ("mistake", "/?from=soon&to=later".to_owned()),
        ("no-order", format!("/orders/{}", office::id())),
        ("not-held", format!("/shows/{show}/checkout/{}", office::id())),
        ("fault", "/shows/nonsense".to_owned()),
    ] {
        let faults = faults(&browser, &system, &format!("shop-{name}"), &path).await;
        found.extend(
            faults
                .into_iter()
                .filter(|fault| !fault.contains("Failed to load resource")),
        );
    }
    // A checkout with mistakes in it.
    for view in View::ALL {
        browser.view(view).await;
        browser
            .go(&format!("{}/shows/{show}/checkout/{held}", system.public()))
            .await;
        browser.fill("#email", "ada@").await;
        browser.press("Buy for").await;
        browser.sees("This is not a mail address.").await;
        browser.shoot(&format!("shop-checkout-mistake-{}", view.name())).await;
        found.extend(browser.faults().await);
    }
    // Somebody was faster; then seats that are one's own; then nobody who knows of seats.
    browser
        .go(&format!(
            "{}/shows/{show}?seat=Stalls-C-1&seat=Stalls-C-2",
            system.public()
        ))
        .await;
    browser.find("[data-map]").await;
    let faster = json!({"show": show, "seats": ["Stalls-C-1"]});
    let path = format!("/api/v1/seating/holds/{}", office::id());
    assert_eq!(system.put(&path, &faster).await.status, 201);
    browser.press("Hold these seats").await;
    browser.sees("Somebody else was faster").await;
    found.extend(looked_at(&browser, "shop-conflict").await);
    browser.press("Hold these seats").await;
    browser.sees("Checkout").await;
    browser.press("Back to the seats").await;
    browser.sees("Some seats are held for you").await;
    found.extend(looked_at(&browser, "shop-mine").await);
    system.run(&["extract", "seating"]).await;
    system
        .run(&["stage", "seating", "remote", "--fallback", "none", "--why", "test"])
        .await;
    for pid in system.healthy_pids("seating").await {
        signal("KILL", u32::try_from(pid).expect("a pid"));
    }
    eventually("the page says so", Duration::from_secs(30), || async {
        browser.reload().await;
        browser
            .text()
            .await
            .contains("Seats cannot be chosen at the moment")
            .then_some(())
    })
    .await;
    found.extend(looked_at(&browser, "shop-down").await);
    browser.close().await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_wrong_with_pages_that_have_much_to_show() {
    let Some(browser) = Browser::open("pages with much to show").await else {
        return;
    };
    let system = System::start().await;
    let trouble = Trouble::make(&system).await;
    sign_in(&browser, &system).await;
    let letter = format!("/console/messages/{}", trouble.letter);
    let saga = format!("/console/sagas/ordering/{}", trouble.stuck);
    let over = format!("/console/sagas/ordering/{}", trouble.done);
    let mut found = Vec::new();
    for (name, path) in [
        ("module", "/console/modules/catalog"),
        ("module-process", "/console/modules/ordering"),
        ("parallel-run", "/console/parallel-run?module=catalog"),
        ("mismatch", trouble.mismatch.as_str()),
        ("messages", "/console/messages"),
        ("messages-discarded", "/console/messages?state=discarded"),
        (
            "messages-problem",
            "/console/messages?subject=%3Cscript%3Ealert(1)%3C/script%3E",
        ),
        ("letter", letter.as_str()),
        ("sagas", "/console/sagas"),
        ("saga", saga.as_str()),
        ("saga-over", over.as_str()),
        ("audit", "/console/audit"),
    ] {
        found.extend(faults(&browser, &system, name, path).await);
    }
    browser.close().await;
    drop(trouble);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
