//! Every page, looked at in every way: nothing that axe finds, nothing covered, cut off or wider than the window, nothing that
//! the browser complains of. Each is left as a picture in `target/screenshots`.

use system_tests::{Browser, System, View};

use crate::{console::sign_in, traces};

/// Pages whose answer says that it is none: a browser calls that an error.
const REFUSED: [&str; 2] = ["requests-mistake", "request-absent"];

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
    ] {
        found.extend(faults(&browser, &system, name, path).await);
    }
    browser.close().await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}
