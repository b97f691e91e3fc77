//! Every page, looked at in every way: nothing that axe finds, nothing covered, cut off or wider than the window, nothing that
//! the browser complains of. Each is left as a picture in `target/screenshots`.

use system_tests::{Browser, System, View};

use crate::{console::sign_in, trouble::Trouble};

/// Looks at one page in every way, and answers what is wrong with it.
async fn faults(browser: &Browser, system: &System, name: &str, path: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for view in View::ALL {
        browser.view(view).await;
        browser.go(&format!("{}{path}", system.public())).await;
        let view = view.name();
        browser.shoot(&format!("{name}-{view}")).await;
        let found = browser.faults().await.into_iter().chain(browser.complaints().await);
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
    for (name, path) in [
        ("map", "/console"),
        ("event-documents", "/docs/events"),
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
