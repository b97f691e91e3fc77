//! The console, by clicking and by keys.

use system_tests::{Browser, System};
use thirtyfour::Key;

/// Signs in with the operator's token.
pub async fn sign_in(browser: &Browser, system: &System) {
    browser.go(&format!("{}/console/login", system.public())).await;
    browser.fill("#token", &system.token()).await;
    browser.press("Sign in").await;
    browser.find("form[action='/console/logout']").await;
}

/// The checks of the pages find what is wrong with one that was made wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_wrong_is_found_out() {
    let Some(browser) = Browser::open("a page that is wrong").await else {
        return;
    };
    let system = System::start().await;
    browser.go(&format!("{}/console/login", system.public())).await;
    assert_eq!(browser.faults().await, [""; 0]);
    for (change, said) in [
        ("document.querySelector('label').remove()", "label"),
        ("document.documentElement.lang = ''", "html-has-lang"),
        ("document.querySelector('h1').style.width = '3000px'", "sideways"),
        (
            "document.body.insertAdjacentHTML('beforeend', '<div></div>'); Object.assign(document.body.lastChild.style, {position: 'fixed', inset: 0})",
            "covered",
        ),
        (
            "Object.assign(document.querySelector('h1').style, {width: '20px', overflow: 'hidden', whiteSpace: 'nowrap'})",
            "cut off",
        ),
        (
            "document.querySelector('.muted').style.color = '#ccc'; document.querySelector('.muted').style.background = '#fff'",
            "color-contrast",
        ),
    ] {
        browser.reload().await;
        browser.run(change).await;
        let found = browser.faults().await;
        assert!(found.iter().any(|fault| fault.starts_with(said)), "{said}: {found:?}");
    }
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_entered_and_left_by_keys() {
    let Some(browser) = Browser::open("the console by keys").await else {
        return;
    };
    let system = System::start().await;
    browser.go(&format!("{}/console/login", system.public())).await;
    // The field has the focus already.
    browser.keys(&system.token()).await;
    browser.key(Key::Enter).await;
    browser.sees("Migration map").await;
    browser.tab_to("form[action='/console/logout'] button", 20).await;
    browser.key(Key::Enter).await;
    browser.find("#token").await;
    browser.close().await;
}
