use std::collections::BTreeMap;

use serde_json::json;
use strangler::parallel::ParallelSummary;

use super::*;
use crate::console::compared::{judge, percent};

fn run(compared: u64, mismatched: u64, dropped: u64) -> ParallelSummary {
    let eligible = compared + dropped;
    let rate = |a: u64, b: u64| (b > 0).then(|| a as f64 / b as f64);
    ParallelSummary {
        eligible,
        compared,
        matched: compared - mismatched,
        mismatched,
        candidate_error: 0,
        timed_out: 0,
        inconclusive: 0,
        dropped,
        coverage: rate(compared, eligible),
        match_rate: rate(compared - mismatched, compared),
        skips: BTreeMap::from([("queue_full".to_owned(), dropped)]),
        open: BTreeMap::new(),
    }
}

fn status(stage: &str) -> ModuleStatus {
    let nothing = run(0, 0, 0);
    let status = json!({
        "module": "catalog", "contract": 1, "stage": stage, "percent": null, "fallback": "local", "operations": {},
        "instances": [], "answered": {"local": 12_345, "remote": 0, "fallback": 0}, "parallel_run": nothing,
        "latency_ms": {"local": {"p50": 0.4, "p99": 12.34}, "remote": {"p50": null, "p99": null}},
        "data": {"database": "sqlite:data/<catalog>.db"},
    });
    serde_json::from_value(status).unwrap()
}

fn operation(own: Option<Stage>) -> [OperationFacts; 1] {
    let http = "GET /shows/{id}".to_owned();
    [OperationFacts {
        id: "catalog.show",
        name: "show",
        kind: Kind::Query,
        http,
        own: own.map(Route::at),
        answered: [1, 2, 3],
    }]
}

#[test]
fn green_needs_enough_and_enough_of_it() {
    let tone = |run: &ParallelSummary| judge(run).0;
    assert_eq!(tone(&run(100, 0, 0)), "good");
    assert_eq!(tone(&run(99, 0, 0)), "warn");
    assert_eq!(tone(&run(1000, 0, 1001)), "warn");
    assert_eq!(tone(&run(100_000, 1, 0)), "bad");
    assert_eq!(
        tone(&ParallelSummary {
            timed_out: 1,
            ..run(1000, 0, 0)
        }),
        "warn"
    );
}

#[test]
fn a_rate_is_never_rounded_up() {
    assert_eq!(percent(Some(1.0)), "100 %");
    assert_eq!(percent(Some(0.99999)), "99.9 %");
    assert_eq!(percent(Some(0.983)), "98.3 %");
    assert_eq!(percent(None), "–");
    assert_eq!(
        (grouped(9999), grouped(1_234_567)),
        ("9999".to_owned(), "1\u{202f}234\u{202f}567".to_owned())
    );
}

#[test]
fn a_button_that_cannot_work_is_off_and_says_why() {
    let ready = Err("no service is registered for catalog; start one with `banyan extract catalog`".to_owned());
    let view = ModuleView::new(
        &status("local"),
        "",
        &ready,
        &operation(None),
        Some(Typed {
            target: "catalog.show",
            why: "\"><i>",
            percent: "5 %",
            sample: "",
        }),
    );
    let html = &view.flip.html;
    assert!(
        html.contains("start one with <code>banyan extract catalog</code>"),
        "{html}"
    );
    for stage in ["shadow", "canary", "remote", "verify"] {
        let button = html
            .split("<button")
            .find(|b| b.contains(&format!("value=\"{stage}\"")))
            .unwrap();
        assert!(
            button.contains("disabled") && button.contains("aria-describedby=\"reason-catalog\""),
            "{button}"
        );
    }
    let operation = &view.operations[0].flip.html;
    assert!(
        operation.contains("value=\"inherit\"")
            && operation.contains("&#34;&#62;&#60;i&#62;")
            && operation.contains("value=\"5 %\""),
        "{operation}"
    );
    assert!(
        !view.flip.html.contains("&#34;"),
        "what was typed belongs to another form"
    );
    assert!(view.data.html.contains("&#60;catalog&#62;"));
}

#[test]
fn a_stage_without_a_service_is_warned_of_and_the_own_stage_is_marked() {
    let without = Err("no service of catalog is healthy".to_owned());
    let view = ModuleView::new(&status("remote"), "", &without, &operation(Some(Stage::Local)), None);
    assert!(
        view.stage.html.contains("no service of catalog is healthy"),
        "{}",
        view.stage.html
    );
    let view = ModuleView::new(&status("remote"), "", &Ok(()), &operation(Some(Stage::Local)), None);
    assert!(!view.stage.html.contains("class=\"warn\""), "{}", view.stage.html);
    let html = &view.operations[0].flip.html;
    let local = html.split("<button").find(|b| b.contains("value=\"local\"")).unwrap();
    assert!(local.contains("aria-current"), "{local}");
}

#[test]
fn a_canary_shows_its_share_and_can_be_given_another() {
    let mut status = status("canary");
    status.percent = Some("5.25".parse().unwrap());
    status.cohorts = vec!["beta=principal:ada".parse().unwrap()];
    status.keyless = 7;
    let own: Route = "verify, sample 10%".parse().unwrap();
    let mut operations = operation(None).into_iter().chain(operation(None)).collect::<Vec<_>>();
    operations[1].own = Some(own);
    let view = ModuleView::new(&status, "", &Ok(()), &operations, None);
    let stage = &view.stage.html;
    assert!(
        stage.contains("5.25%") && stage.contains("beta=principal:ada") && stage.contains("7 calls"),
        "{stage}"
    );
    let field = |html: &str, name: &str| {
        let fields = html.split("<input").find(|f| f.contains(&format!("name=\"{name}\"")));
        let value = fields.and_then(|f| f.split("value=\"").nth(1)?.split('"').next());
        value.unwrap_or("no field").to_owned()
    };
    let shares = |html: &str| [field(html, "percent"), field(html, "sample")];
    assert_eq!(shares(&view.flip.html), ["5.25", ""]);
    assert_eq!(shares(&view.operations[0].flip.html), ["5.25", ""]);
    assert_eq!(shares(&view.operations[1].flip.html), ["", "10"]);
    let button = |html: &str, stage: &str| {
        let button = html
            .split("<button")
            .find(|b| b.contains(&format!("value=\"{stage}\"")));
        button
            .map(|b| b.split('>').next().unwrap_or_default().to_owned())
            .unwrap_or_default()
    };
    let canary = button(&view.flip.html, "canary");
    assert!(
        canary.contains("aria-current") && !canary.contains("disabled"),
        "{canary}"
    );
    assert!(button(&view.operations[0].flip.html, "inherit").contains("disabled"));
}

#[test]
fn enter_in_a_field_flips_nothing() {
    let view = ModuleView::new(&status("shadow"), "", &Ok(()), &operation(None), None);
    for html in [&view.flip.html, &view.operations[0].flip.html] {
        let first = html.split("<button").nth(1).unwrap();
        assert!(
            first.contains("disabled") && first.contains("hidden"),
            "the form's default button is none: {first}"
        );
    }
}

#[test]
fn under_load_an_update_is_small() {
    let mut was = status("shadow");
    was.parallel_run = run(1180, 0, 20);
    let mut is = was.clone();
    is.answered.local += 1;
    is.parallel_run = run(1181, 0, 20);
    is.latency_ms.local.p50 = Some(0.5);
    let [was, is] = [was, is].map(|s| ModuleView::new(&s, "", &Ok(()), &operation(None), None));
    let mut update = String::new();
    for (was, is) in was.fragments().zip(is.fragments()) {
        is.bring_up(Some(&was.version), usize::MAX, &mut update);
    }
    assert!(
        !update.is_empty() && update.len() < 3000,
        "{} bytes: {update}",
        update.len()
    );
}
