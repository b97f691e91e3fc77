//! A canary: a share of the callers, always the same, whichever way their calls come; and cohorts ahead of it.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use http::Method;
use serde_json::{Value, json};
use system_tests::{Answer, Behaviour, Candidate, Service, System, holds_soon, office};

const PEOPLE: usize = 400;

async fn ask(system: &System, path: &str, headers: &[(&str, &str)]) -> Answer {
    let answer = system.send(Method::GET, path, headers, "").await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

/// Whom the service answers, of so many people.
async fn remote(system: &System, path: &str) -> BTreeSet<usize> {
    let asked = (0..PEOPLE).map(|person| async move {
        let cookie = format!("session=person-{person}");
        let answer = ask(system, path, &[("cookie", &cookie)]).await;
        (answer.served("catalog") == "remote").then_some(person)
    });
    stream::iter(asked)
        .buffer_unordered(8)
        .filter_map(async |p| p)
        .collect()
        .await
}

/// How often either side of the catalog has answered.
async fn answered(system: &System) -> [u64; 2] {
    let map = system.on_map("catalog").await;
    ["local", "remote"].map(|side| map["answered"][side].as_u64().expect("a count"))
}

/// The shop's first page asks the catalog for its visitor, who is always on the same side.
async fn pages_agree(system: &System, remote: &BTreeSet<usize>) {
    for person in 0..20 {
        let cookie = format!("session=person-{person}");
        let before = answered(system).await;
        ask(system, "/", &[("cookie", &cookie), ("accept", "text/html")]).await;
        let after = answered(system).await;
        let [local, there] = [0, 1].map(|side| after[side] - before[side]);
        let want = remote.contains(&person);
        assert!(
            (there > 0) == want && (local > 0) != want,
            "person {person}, remote {want}: {local} answered by the monolith, {there} by the service"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_on_one_side_whichever_way_their_calls_come() {
    let mut system = System::start().await;
    let service = Service::start(&system, "catalog", &[]).await;
    let show = office::show_path(&system.shows(1).await[0]);
    let put = async |system: &System, percent: &str| {
        system.run(&["stage", "catalog", "canary", "--percent", percent]).await;
    };
    put(&system, "10").await;
    let ten = remote(&system, &show).await;
    assert_eq!(
        ten,
        remote(&system, "/api/v1/catalog/shows").await,
        "every operation alike"
    );
    put(&system, "30.5").await;
    let thirty = remote(&system, &show).await;
    // Five standard deviations of a binomial.
    assert!(
        (10..=70).contains(&ten.len()) && (76..=168).contains(&thirty.len()),
        "{} and {}",
        ten.len(),
        thirty.len()
    );
    assert!(ten.is_subset(&thirty), "a larger share only adds");
    let status = system.status("catalog").await;
    assert_eq!((&status["stage"], &status["percent"]), (&json!("canary"), &json!(30.5)));

    pages_agree(&system, &thirty).await;
    // From another process it is that process which asks; whom it asks for is still known.
    let _shop = Service::start(&system, "storefront", &[]).await;
    system.stage("storefront", "remote").await;
    pages_agree(&system, &thirty).await;

    // Away and back, and over a restart, everybody is where they were.
    system.stage("catalog", "local").await;
    put(&system, "10").await;
    assert!(system.stop().success());
    system.start_again().await;
    service.ready(&system).await;
    assert_eq!(remote(&system, &show).await, ten);
    put(&system, "100").await;
    assert_eq!(remote(&system, &show).await.len(), PEOPLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cohort_goes_ahead_of_the_share() {
    let system = System::start().await;
    let _service = Service::start(&system, "catalog", &[]).await;
    let show = office::show_path(&system.shows(1).await[0]);
    let cohorts = [
        "beta=header:x-beta=1",
        "gold=attribute:tier=gold",
        "desk=principal:operator",
    ];
    let mut args = vec!["stage", "catalog", "canary", "--percent", "0", "--why", "test"];
    args.extend(cohorts.iter().flat_map(|cohort| ["--cohort", cohort]));
    system.run(&args).await;
    assert_eq!(system.status("catalog").await["cohorts"], json!(cohorts));

    let bearer = format!("Bearer {}", system.token());
    let asked = async |headers: &[(&str, &str)]| ask(&system, &show, headers).await.served("catalog").to_owned();
    for (header, side) in [
        (("x-beta", "1"), "remote"),
        (("x-beta", "2"), "local"),
        (("baggage", "a=b, tier=gold;since=2020"), "remote"),
        (("baggage", "tier=silver"), "local"),
        (("authorization", bearer.as_str()), "remote"),
        (("cookie", "session=somebody"), "local"),
        // What only processes tell each other is not believed from outside.
        (("strangler-noted", "x-beta=1"), "local"),
        (("strangler-key", "0000000000000000"), "local"),
    ] {
        assert_eq!(asked(&[header]).await, side, "{header:?}");
    }
    let keyless = system.status("catalog").await["keyless"].as_u64();
    assert_eq!(keyless, Some(4), "{keyless:?} callers cannot be told from others");

    // For whom the shop's pages ask is known in the shop's own process, too.
    let _shop = Service::start(&system, "storefront", &[]).await;
    for stage in ["local", "remote"] {
        system.stage("storefront", stage).await;
        for (header, side) in [
            (("x-beta", "1"), 1),
            (("baggage", "tier=gold"), 1),
            (("authorization", bearer.as_str()), 1),
            (("x-beta", "2"), 0),
        ] {
            let before = answered(&system).await;
            ask(&system, "/", &[header, ("accept", "text/html")]).await;
            let after = answered(&system).await;
            assert!(
                after[side] > before[side] && after[1 - side] == before[1 - side],
                "storefront {stage}, {header:?}: {before:?}, {after:?}"
            );
        }
    }
    // A canary that grows keeps them; one that is told so does not.
    system.run(&["stage", "catalog", "canary", "--percent", "0.01"]).await;
    assert_eq!(asked(&[("x-beta", "1")]).await, "remote");
    system
        .run(&["stage", "catalog", "canary", "--percent", "0", "--cohort", "none"])
        .await;
    assert_eq!(asked(&[("x-beta", "1")]).await, "local");
    let audit: Value =
        serde_json::from_str(&system.run(&["audit", "--json", "--target", "catalog"]).await).expect("JSON");
    let to: Vec<_> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|e| e["to"].clone())
        .collect();
    let with = |percent: &str| format!("canary {percent}, cohorts {}", cohorts.join(" "));
    assert_eq!(to, [with("0%"), with("0.01%"), "canary 0%".to_owned()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_canarys_service_fails_the_monolith_answers() {
    let system = System::start().await;
    let show = office::show_path(&system.shows(1).await[0]);
    let truth = system.get(&show).await.json();
    let candidate = Candidate::start(&system, 1, false, |asked| match asked.path.contains("acts") {
        true => Behaviour::Close,
        false => Behaviour::Json(500, json!({"oh": "no"})),
    })
    .await;
    system.run(&["stage", "catalog", "canary", "--percent", "100"]).await;
    let answer = ask(&system, &show, &[("cookie", "session=a")]).await;
    assert_eq!((answer.served("catalog"), answer.json()), ("fallback", truth));
    let act = format!("/api/v1/catalog/acts/{}", office::id());
    let answer = system.put(&act, &office::act("Perhaps")).await;
    assert!(
        answer.status == 502 && answer.served("catalog") == "remote",
        "nobody knows what became of it: {answer:?}"
    );
    assert_eq!(candidate.asked(), 2);
    assert_eq!(system.status("catalog").await["answered"]["fallback"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_makes_no_sense_is_refused_with_a_sentence() {
    let system = System::start().await;
    let told = async |args: &[&str], code: i32| {
        let out = system.cli(&[&["stage", "catalog"], args].concat()).await;
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{args:?}: {told}");
        told
    };
    assert!(told(&["canary"], 2).await.contains("--percent 5"));
    for percent in ["-1", "101", "5.001", "some", "NaN"] {
        let why = told(&["canary", &format!("--percent={percent}")], 2).await;
        assert!(why.contains("0 to 100"), "{percent}: {why}");
    }
    assert!(
        told(&["remote", "--percent", "5"], 2)
            .await
            .contains("belongs to `canary`")
    );
    assert!(
        told(&["canary", "--percent", "5", "--sample", "5"], 2)
            .await
            .contains("`shadow` and `verify`")
    );
    assert!(
        told(&["canary", "--percent", "5", "--cohort", "beta"], 2)
            .await
            .contains("name=principal:ada")
    );
    for stage in [&["canary", "--percent", "5"][..], &["verify"]] {
        assert!(told(stage, 3).await.contains("banyan extract catalog"));
    }
    assert_eq!(system.status("catalog").await["stage"], "local");
    assert_eq!(
        system
            .change(json!({"target": "catalog", "stage": "canary", "percent": "5"}))
            .await,
        422
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_verify_the_service_answers_and_the_monolith_is_compared() {
    let system = System::start().await;
    let shows = system.shows(10).await;
    let path = office::show_path(&shows[0]);
    let truth = system.get(&path).await.json();
    let mut said = truth.clone();
    said["starts_at"] = json!("1999-01-01T00:00:00Z");
    let pages = [
        "/api/v1/catalog/shows?limit=100",
        "/api/v1/catalog/shows?limit=99",
        "/api/v1/catalog/shows?limit=98",
    ];
    let (answer, page) = (said.clone(), system.get(pages[2]).await.json());
    let truly = page.clone();
    let _candidate = Candidate::start(&system, 1, false, move |asked| {
        match pages.iter().position(|page| *page == asked.path) {
            Some(0) => Behaviour::Huge(8 << 20),
            Some(1) => Behaviour::Pieces("x".repeat(8 << 20).into()),
            Some(_) => Behaviour::Pieces(truly.clone()),
            None => Behaviour::Json(200, answer.clone()),
        }
    })
    .await;
    system.stage("catalog.show", "verify").await;
    for _ in 0..5 {
        let answer = system.get(&path).await;
        assert_eq!((answer.served("catalog"), answer.json()), ("remote", said.clone()));
    }
    let judged = async |eligible: u64| {
        holds_soon("they are judged", std::time::Duration::from_secs(20), async || {
            system.on_map("catalog").await["parallel_run"]["eligible"] == eligible
        })
        .await;
        system.on_map("catalog").await["parallel_run"].clone()
    };
    let run = judged(5).await;
    assert_eq!((&run["mismatched"], &run["dropped"]), (&json!(5), &json!(0)), "{run}");
    let diffs: Value = serde_json::from_str(&system.run(&["diffs", "catalog", "--json"]).await).expect("JSON");
    let group = &diffs["groups"][0];
    assert_eq!(
        (diffs["groups"].as_array().map(Vec::len), &group["path"]),
        (Some(1), &json!("/starts_at")),
        "{diffs}"
    );
    // Whichever side answered: `local` is the monolith's and `remote` the service's.
    assert_eq!(
        (&group["example"]["local"], &group["example"]["remote"]),
        (&truth["starts_at"], &said["starts_at"])
    );

    // What is asked of HEAD has no body, and what is too large is not kept; the caller gets it whole.
    let head = system.send(Method::HEAD, &path, &[], "").await.expect("an answer");
    assert_eq!((head.status, head.served("catalog")), (200, "remote"));
    system.stage("catalog.shows", "verify").await;
    for path in &pages[..2] {
        let huge = system.get(path).await;
        assert_eq!((huge.status, huge.body.len()), (200, (8 << 20) + 2));
    }
    // Of what comes in pieces, all are compared.
    assert_eq!(system.get(pages[2]).await.json(), page);
    let run = judged(8).await;
    assert_eq!(
        (&run["skips"]["too_large"], &run["mismatched"], &run["matched"]),
        (&json!(2), &json!(5), &json!(1)),
        "{run}"
    );

    // A quarter of the calls, spread evenly.
    system.run(&["stage", "catalog.show", "verify", "--sample", "25"]).await;
    for _ in 0..40 {
        assert_eq!(system.get(&path).await.served("catalog"), "remote");
    }
    // Which calls are picked is the same everywhere: 12 of the first 40.
    let run = judged(20).await;
    assert_eq!(run["mismatched"], 17, "{run}");
    let status = system.status("catalog").await;
    assert_eq!(
        status["operations"]["catalog.show"],
        json!({"stage": "verify", "percent": null, "sample": 25})
    );
}
