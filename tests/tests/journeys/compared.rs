//! The parallel run against services that are wrong in every way there is. Callers must not notice any of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use system_tests::{Behaviour, Candidate, Options, System, eventually, holds_soon, office};

const SOON: Duration = Duration::from_secs(60);

fn options(pairs: &[(&str, &str)]) -> Options {
    let env = pairs
        .iter()
        .map(|(k, v)| (format!("BANYAN_PARALLEL_RUN__{k}"), (*v).to_owned()))
        // No call may have less time than a comparison.
        .chain([("BANYAN_REMOTE__TIMEOUT_MS".to_owned(), "60000".to_owned())])
        .collect();
    Options {
        env,
        ..Options::default()
    }
}

/// What the monolith answers to each of its shows.
async fn truths(system: &System) -> Arc<BTreeMap<String, Value>> {
    let mut truths = BTreeMap::new();
    for show in system.shows(40).await {
        let path = office::show_path(&show);
        truths.insert(path.clone(), system.get(&path).await.json());
    }
    Arc::new(truths)
}

/// The counts, once so many calls were judged; their sum is checked at every look.
async fn judged(system: &System, eligible: u64) -> Value {
    eventually("every call is judged", SOON, || async {
        let run = system.on_map("catalog").await["parallel_run"].clone();
        let of = |keys: &[&str]| keys.iter().map(|k| run[*k].as_u64().expect("a count")).sum::<u64>();
        assert_eq!(
            of(&["eligible"]),
            of(&["compared", "candidate_error", "timed_out", "inconclusive", "dropped"]),
            "{run}"
        );
        assert_eq!(of(&["compared"]), of(&["matched", "mismatched"]), "{run}");
        (of(&["eligible"]) == eligible).then_some(run)
    })
    .await
}

/// Asks for every show `times` times; each answer must be the truth, from the monolith.
async fn ask_all(system: &System, truths: &BTreeMap<String, Value>, times: usize) -> u64 {
    for _ in 0..times {
        for (path, truth) in truths {
            let answer = system.get(path).await;
            assert_eq!((answer.status, answer.served("catalog")), (200, "local"), "{answer:?}");
            assert_eq!(answer.json(), *truth);
        }
    }
    (truths.len() * times) as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mistake_is_one_group_and_callers_never_wait() {
    // Nothing may be dropped here: the queue has room, and what waits at the barrier does not get too old.
    let system = System::with(options(&[("QUEUE", "4096"), ("TIMEOUT_MS", "60000")])).await;
    let truths = truths(&system).await;
    let mistaken = truths.clone();
    let mistakes = move |path: &str| -> Behaviour {
        let n = mistaken.keys().position(|p| p == path).unwrap_or(usize::MAX);
        let Some(truth) = mistaken.get(path) else {
            return Behaviour::Json(404, json!({}));
        };
        let mut said = truth.clone();
        match n % 8 {
            0 => said["prices"][0]["price"]["amount"] = json!(1),
            1 => said["starts_at"] = json!(1_900_000_000),
            2 => _ = said.as_object_mut().and_then(|o| o.remove("venue")),
            3 => said["sold_out"] = json!(false),
            4 if said["prices"].as_array().is_some_and(|p| p.len() > 1) => {
                said["prices"].as_array_mut().expect("a list").reverse();
            }
            5 => return Behaviour::Json(500, json!({"title": "broken"})),
            6 => said["prices"].as_array_mut().expect("a list").push(json!({})),
            _ => {}
        }
        Behaviour::Json(200, said)
    };
    let candidate = Candidate::start(&system, 1, true, move |asked| mistakes(&asked.path)).await;
    system.stage("catalog", "shadow").await;
    // Every caller is answered while the candidate has answered nobody.
    let asked = ask_all(&system, &truths, 3).await;
    assert_eq!(candidate.answered(), 0);
    assert_eq!(system.on_map("catalog").await["parallel_run"]["eligible"], 0);
    candidate.release();

    let run = judged(&system, asked).await;
    assert_eq!(run["compared"], asked, "{run}");
    let expected = |kind: usize| truths.keys().enumerate().filter(|(n, _)| n % 8 == kind).count() as u64 * 3;
    let reordered = truths.values().enumerate();
    let reordered = reordered
        .filter(|(n, t)| n % 8 == 4 && t["prices"].as_array().is_some_and(|p| p.len() > 1))
        .count() as u64
        * 3;
    let mut wanted: Vec<(Value, Value, u64)> = vec![
        ("/prices/0/price/amount".into(), "value".into(), expected(0)),
        ("/starts_at".into(), "type".into(), expected(1)),
        ("/venue".into(), "missing".into(), expected(2)),
        ("/sold_out".into(), "extra".into(), expected(3)),
        ("/prices".into(), "order".into(), reordered),
        ("".into(), "status".into(), expected(5)),
        ("/prices".into(), "length".into(), expected(6)),
    ];
    assert_eq!(run["mismatched"], wanted.iter().map(|w| w.2).sum::<u64>(), "{run}");
    let said: Value = serde_json::from_str(&system.run(&["diffs", "catalog", "--json"]).await).expect("JSON");
    let groups = said["groups"].as_array().expect("groups").clone();
    let key = |w: &(Value, Value, u64)| (w.0.to_string(), w.1.to_string());
    let mut got: Vec<_> = groups
        .iter()
        .map(|g| {
            (
                g["path"].clone(),
                g["kind"].clone(),
                g["count"].as_u64().expect("a count"),
            )
        })
        .collect();
    got.sort_by_key(key);
    wanted.sort_by_key(key);
    assert_eq!(got, wanted);
    for group in &groups {
        assert_eq!(group["operation"], "catalog.show");
        assert_ne!(group["example"]["local"], group["example"]["remote"]);
        assert_eq!(group["example"]["trace_id"].as_str().map(str::len), Some(32));
    }
    let table = system.run(&["diffs", "catalog"]).await;
    assert_eq!(table.lines().count(), groups.len() + 1, "{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_gives_no_usable_answer_is_counted_by_name() {
    let system = System::with(options(&[
        ("QUEUE", "4096"),
        ("TIMEOUT_MS", "1000"),
        ("IN_FLIGHT", "40"),
    ]))
    .await;
    let truths = truths(&system).await;
    let known = truths.clone();
    let behave = move |path: &str| match known.keys().position(|p| p == path).map(|n| n % 4) {
        Some(0) => Behaviour::Hang,
        Some(1) => Behaviour::Halfway,
        Some(2) => Behaviour::Html,
        _ => Behaviour::Json(200, known.get(path).cloned().unwrap_or_default()),
    };
    let _candidate = Candidate::start(&system, 1, false, move |asked| behave(&asked.path)).await;
    system.stage("catalog", "shadow").await;
    let asked = ask_all(&system, &truths, 1).await;
    let run = judged(&system, asked).await;
    let quarter = asked / 4;
    let counts = [
        "timed_out",
        "candidate_error",
        "matched",
        "mismatched",
        "inconclusive",
        "dropped",
    ]
    .map(|k| run[k].as_u64());
    assert_eq!(counts, [quarter, quarter * 2, quarter, 0, 0, 0].map(Some), "{run}");
    assert_eq!(run["coverage"], 0.25);
    assert_eq!(run["match_rate"], 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_dropped_and_counted_by_name() {
    let system = System::with(options(&[
        ("QUEUE", "4"),
        ("IN_FLIGHT", "1"),
        ("TIMEOUT_MS", "60000"),
        ("BODY_LIMIT", "4096"),
    ]))
    .await;
    let truths = truths(&system).await;
    let known = truths.clone();
    let answer = move |path: &str| {
        known
            .get(path)
            .map_or(Behaviour::Html, |t| Behaviour::Json(200, t.clone()))
    };
    let candidate = Candidate::start(&system, 1, true, move |asked| answer(&asked.path)).await;
    system.stage("catalog", "shadow").await;
    let asked = ask_all(&system, &truths, 2).await;
    // The worker holds one, and one more in its hand; four wait.
    holds_soon("the queue is full", SOON, || async {
        let run = system.on_map("catalog").await["parallel_run"].clone();
        run["skips"]["queue_full"].as_u64().is_some_and(|n| n >= asked - 6)
    })
    .await;
    candidate.release();
    let run = judged(&system, asked).await;
    assert_eq!(run["dropped"], run["skips"]["queue_full"], "{run}");
    assert_eq!(run["matched"], run["compared"], "{run}");

    // A whole page is larger than the limit.
    let page = system.get("/api/v1/catalog/shows?limit=100").await;
    assert!(page.status == 200 && page.body.len() > 4096);
    let run = judged(&system, asked + 1).await;
    assert_eq!(run["skips"]["too_large"], 1, "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_100_megabytes_do_not_fill_the_memory() {
    let system = System::start().await;
    let truths = truths(&system).await;
    let _candidate = Candidate::start(&system, 1, false, |_| Behaviour::Huge(100 << 20)).await;
    let before = office::memory_kib(system.pid());
    system.stage("catalog", "shadow").await;
    let asked = ask_all(&system, &truths, 1).await;
    let mut most = 0;
    let run = eventually("every call is judged", SOON, || {
        most = most.max(office::memory_kib(system.pid()));
        let system = &system;
        async move {
            let run = system.on_map("catalog").await["parallel_run"].clone();
            (run["eligible"] == asked).then_some(run)
        }
    })
    .await;
    println!(
        "memory: {before} KiB before, {most} KiB at most, {} KiB after",
        office::memory_kib(system.pid())
    );
    assert_eq!((&run["compared"], &run["matched"]), (&0.into(), &0.into()), "{run}");
    assert_eq!(
        run["candidate_error"]
            .as_u64()
            .zip(run["timed_out"].as_u64())
            .map(|(a, b)| a + b),
        Some(asked),
        "{run}"
    );
    assert!(most < before + 100 * 1024, "{before} KiB before, {most} KiB at most");
}
