//! What an operator does in the console: by clicking, by keys alone, without script, and over a restart of the server.

use std::time::Duration;

use system_tests::{Browser, Service, System, holds_soon, office};
use thirtyfour::Key;

use crate::{
    console::sign_in,
    trouble::{Schema, dear, differ, json_of, names, park},
};

const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_is_extracted_compared_and_taken_back_by_clicking() {
    let Some(browser) = Browser::open("extracting by clicking").await else {
        return;
    };
    let system = System::start().await;
    sign_in(&browser, &system).await;
    browser
        .go(&format!("{}/console/modules/catalog", system.public()))
        .await;
    browser.sees("no process serves it beside the monolith").await;
    browser
        .fill("form[action$='/extract'] input[name=why]", "to try it")
        .await;
    browser.press("Extract").await;
    browser.sees("catalog also runs in process").await;
    // Who served until now was good; this one is not.
    let candidate = dear(&system).await;
    // The page grows with it; a click must not meet what has just moved away.
    browser.reload().await;
    browser.sees("Live as of").await;
    // On a busy machine an instance may be found unwell for a moment.
    browser.find("#flip-catalog button[value=shadow]:enabled").await;
    browser.fill("#flip-catalog input[name=why]", "first look").await;
    browser.sees("Still, while you fill in the form").await;
    browser.click("#flip-catalog button[value=shadow]").await;
    browser.sees("catalog went from local to shadow").await;
    browser.sees("Undo: catalog back to local").await;
    differ(&system).await;
    browser.press("Parallel run").await;
    browser.press("catalog.show").await;
    browser.sees("The service has another value there.").await;
    let marked = browser.all("mark").await;
    assert_eq!(marked.len(), 2, "the place that differs, on both sides");
    for side in marked {
        let said = side.text().await.expect("text");
        assert!(
            said.to_lowercase().contains("differs") && said.contains("amount"),
            "{said}"
        );
    }
    browser.press("Map").await;
    browser
        .go(&format!("{}/console/modules/catalog", system.public()))
        .await;
    browser
        .fill("form[action$='/merge-back'] input[name=why]", "it is too dear")
        .await;
    browser.press("Merge back").await;
    browser.sees("catalog is local again; 1 process was ended.").await;
    let trail = json_of(&system, &["audit", "--json"]).await.to_string();
    for why in ["to try it", "first look", "it is too dear"] {
        assert!(trail.contains(why), "{why}: {trail}");
    }
    assert_eq!(browser.complaints().await, [""; 0]);
    drop(candidate);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_is_given_its_share_by_clicking() {
    let Some(browser) = Browser::open("a canary by clicking").await else {
        return;
    };
    let system = System::start().await;
    let _service = Service::start(&system, "catalog", &[]).await;
    sign_in(&browser, &system).await;
    let [percent, sample] = ["percent", "sample"].map(|name| format!("#flip-catalog input[name={name}]"));
    let to = async |stage: &str, outcome: &str| {
        browser.click(&format!("#flip-catalog button[value={stage}]")).await;
        browser.sees(outcome).await;
    };
    for script in [true, false] {
        if !script {
            browser.without_script().await;
        }
        browser
            .go(&format!("{}/console/modules/catalog", system.public()))
            .await;
        to(
            "canary",
            "Not changed: say which share of the callers goes to the service",
        )
        .await;
        browser.fill(&percent, "5.25").await;
        to("canary", "catalog went from local to canary 5.25%").await;
        browser.fill(&percent, "30").await;
        to("canary", "catalog went from canary 5.25% to canary 30%").await;
        browser.fill(&sample, "10").await;
        to("verify", "catalog went from canary 30% to verify, sample 10%").await;
        browser.press("Undo").await;
        browser.sees("catalog went from verify, sample 10% to canary 30%").await;
        to("local", "catalog went from canary 30% to local").await;
    }
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_retried_by_clicking() {
    let Some(browser) = Browser::open("retrying by clicking").await else {
        return;
    };
    let system = System::start().await;
    let control = Schema::of(&system, "strangler").await;
    control.break_it().await;
    let letters = park(&system, &control, &names()).await;
    sign_in(&browser, &system).await;
    // What people call their acts is shown as they wrote it, and does nothing.
    let mut read = String::new();
    for letter in &letters {
        browser
            .go(&format!("{}/console/messages/{letter}", system.public()))
            .await;
        read += &browser.text().await;
    }
    for name in names() {
        assert!(read.contains(name.replace('"', "\\\"").trim()), "{name}: {read}");
    }
    browser.press("Messages").await;
    browser.sees("3 dead letters wait for a decision now.").await;
    browser.press("catalog.act.changed").await;
    browser.sees("refused as told").await;
    browser.sees("1 later event of the same subject.").await;
    control.mend().await;
    browser.fill("input[name=why]", "the table is mended").await;
    browser.press("Retry it").await;
    browser.sees("1 dead letter was put back to be handled.").await;
    browser.press("Messages").await;
    browser.press("Retry 2").await;
    browser.sees("2 dead letters were put back to be handled.").await;
    browser.sees("No dead letter waits for a decision now.").await;
    assert_ne!(browser.run("return document.title").await, "taken over");
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_is_worked_by_keys_alone() {
    let Some(browser) = Browser::open("the console by keys alone").await else {
        return;
    };
    let system = System::start().await;
    let control = Schema::of(&system, "strangler").await;
    control.break_it().await;
    park(&system, &control, &names()[..1]).await;
    sign_in(&browser, &system).await;
    browser.tab_to("header nav a[href='/console/messages']", 12).await;
    browser.key(Key::Enter).await;
    browser.tab_to(".letters a", 40).await;
    browser.key(Key::Enter).await;
    browser.sees("What is to become of it").await;
    browser.tab_to("form[action$='/retry'] input[name=why]", 40).await;
    browser.keys("by keys").await;
    browser.key(Key::Tab).await;
    browser.key(Key::Tab).await;
    browser.key(Key::Enter).await;
    browser.sees("1 dead letter was discarded.").await;
    browser
        .go(&format!("{}/console/modules/catalog", system.public()))
        .await;
    // Nothing happens by Enter in a field of reasons where several things could.
    browser.tab_to("#flip-catalog\\.show input[name=why]", 80).await;
    browser.keys("mine").await;
    browser.key(Key::Enter).await;
    assert!(!browser.text().await.contains("catalog.show went from"));
    browser
        .tab_to("#flip-catalog\\.announce_act button[value=local]", 80)
        .await;
    browser.key(Key::Enter).await;
    browser
        .sees("catalog.announce_act went from its module’s stage to local")
        .await;
    browser.tab_to(".undo button", 40).await;
    browser.key(Key::Enter).await;
    browser
        .sees("catalog.announce_act went from local to its module’s stage")
        .await;
    assert_eq!(browser.complaints().await, [""; 0]);
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_works_without_script() {
    let Some(browser) = Browser::open("the console without script").await else {
        return;
    };
    let system = System::start().await;
    let control = Schema::of(&system, "strangler").await;
    control.break_it().await;
    park(&system, &control, &names()[1..]).await;
    sign_in(&browser, &system).await;
    browser.without_script().await;
    browser.go(&format!("{}/console/messages", system.public())).await;
    browser.sees("Not live").await;
    browser.press("Discard 2").await;
    browser.sees("2 dead letters were discarded.").await;
    browser.sees("There are no dead letters.").await;
    browser
        .go(&format!("{}/console/messages?state=discarded", system.public()))
        .await;
    browser.press("Restore 2").await;
    browser.sees("2 dead letters were restored.").await;
    browser
        .go(&format!("{}/console/modules/seating", system.public()))
        .await;
    browser.click("[id='flip-seating.seats'] button[value=local]").await;
    browser
        .sees("seating.seats went from its module’s stage to local")
        .await;
    browser.press("Undo").await;
    browser
        .sees("seating.seats went from local to its module’s stage")
        .await;
    browser.press("Audit").await;
    browser.sees("2 discarded → restored").await;
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_outlives_the_server_and_says_so() {
    let Some(browser) = Browser::open("a restart").await else {
        return;
    };
    let mut system = System::start().await;
    sign_in(&browser, &system).await;
    for path in ["/console/audit", "/console/modules/catalog"] {
        browser.go(&format!("{}{path}", system.public())).await;
        holds_soon("it is live", SOON, || async {
            browser.run("return live.className").await == "on"
        })
        .await;
        browser.run("window.same = true").await;
        system.kill();
        browser.sees("Reconnecting…").await;
        system.start_again().await;
        let act = format!("/api/v1/catalog/acts/{}", office::id());
        assert_eq!(system.put(&act, &office::act("After the restart")).await.status, 201);
        system.run(&["stage", "catalog.act", "local", "--why", path]).await;
        browser.sees("Reconnected; the server was restarted at").await;
        if path.ends_with("audit") {
            browser.sees(path).await;
        } else {
            browser.sees("local, its own").await;
        }
        assert_eq!(browser.run("return window.same").await, true, "the page was not left");
    }
    browser.close().await;
}
