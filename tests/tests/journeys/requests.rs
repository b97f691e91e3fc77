//! What happened to a request: its calls over all processes, and who calls whom.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use system_tests::{Options, Service, System, eventually, office, sales::Placed};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SOON: Duration = Duration::from_secs(30);

fn keeping(requests: usize) -> Options {
    Options {
        env: vec![("BANYAN_CONSOLE__REQUESTS".to_owned(), requests.to_string())],
        ..Options::default()
    }
}

/// Every call of a tree, with its depth.
fn flat(calls: &Value, depth: usize) -> Vec<(usize, Value)> {
    let calls = calls.as_array().cloned().unwrap_or_default();
    calls
        .into_iter()
        .flat_map(|call| {
            let below = flat(&call["calls"], depth + 1);
            std::iter::once((depth, call)).chain(below)
        })
        .collect()
}

async fn requests(system: &System, query: &str) -> Value {
    let path = format!("/control/v1/requests?{query}");
    system.control(&path).await.expect("the requests")
}

async fn arrow(system: &System, from: &str, to: &str, kind: &str) -> Value {
    let map = system.control("/control/v1/map").await.expect("the map");
    let arrows = map["arrows"].as_array().expect("arrows").clone();
    let is = |a: &Value| a["from"] == from && a["to"] == to && a["kind"] == kind;
    arrows.into_iter().find(is).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_one_tree_over_two_processes() {
    let system = System::start().await;
    let service = Service::start(&system, "ordering", &[]).await;
    let hall = system.hall(1, 4).await;
    system.stage("ordering", "remote").await;
    let order = Placed::new(&hall, &hall.seats[..2], "tok_ok");
    let headers = [
        ("content-type", "application/json"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        // What only another process may say.
        ("strangler-caller", "payments"),
    ];
    let answer = system
        .send(Method::PUT, &order.path(), &headers, order.body().to_string())
        .await;
    assert_eq!(answer.expect("an answer").status, 202);
    assert_eq!(system.settled(order.id).await["status"], "confirmed");

    let path = format!("/control/v1/requests/{TRACE}");
    let sheet = eventually("the saga's last call", SOON, || async {
        let sheet = system.control(&path).await?;
        flat(&sheet["calls"], 0)
            .iter()
            .any(|(_, c)| c["operation"] == "seating.assign")
            .then_some(sheet)
    })
    .await;
    assert_eq!(sheet["not_asked"], Value::Array(vec![]));
    let all = flat(&sheet["calls"], 0);
    let placed = &all[0].1;
    let of = |call: &Value| {
        (
            call["side"].clone(),
            call["process"]["pid"].clone(),
            call["caller"].clone(),
        )
    };
    let (monolith, extracted) = (system.pid(), service.pid());
    assert_eq!(placed["operation"], "ordering.place");
    assert_eq!(
        of(placed),
        ("remote".into(), extracted.into(), "outside".into()),
        "{placed}"
    );
    assert_eq!(
        (&placed["status"], &placed["subject"]),
        (&202.into(), &order.id.to_string().into())
    );
    assert!(
        placed["took_ms"].as_f64() >= placed["own_ms"].as_f64() && placed["own_ms"].as_f64() > Some(0.0),
        "{placed}"
    );
    for operation in [
        "seating.hold",
        "payments.authorise",
        "seating.commit",
        "payments.capture",
        "seating.assign",
    ] {
        let seen: Vec<_> = all.iter().filter(|(_, c)| c["operation"] == operation).collect();
        let [(_, call)] = &seen[..] else {
            panic!("{operation} once: {sheet}")
        };
        assert_eq!(of(call), ("local".into(), monolith.into(), "ordering".into()), "{call}");
    }
    let text = sheet.to_string();
    assert!(
        !text.contains("ada") && !text.contains("tok_ok"),
        "nothing personal is kept: {text}"
    );

    let shown = system.run(&["requests", "show", TRACE]).await;
    assert!(
        shown.contains("ordering.place from outside  remote") && shown.contains("seating.hold"),
        "{shown}"
    );
    let listed = requests(&system, "module=payments").await;
    assert_eq!(
        (&listed["found"], &listed["requests"][0]["trace"]),
        (&1.into(), &TRACE.into()),
        "{listed}"
    );
    assert!(listed["requests"][0]["calls"].as_u64() >= Some(6), "{listed}");

    // And the map knows who called whom, wherever they are.
    for (from, to) in [
        ("outside", "ordering"),
        ("ordering", "seating"),
        ("ordering", "payments"),
    ] {
        let arrow = arrow(&system, from, to, "call").await;
        assert!(
            arrow["declared"] == true && arrow["observed"] == true,
            "{from} → {to}: {arrow}"
        );
        assert!(
            arrow["requests"].as_u64() > Some(0) && arrow["per_minute"].as_u64() > Some(0),
            "{arrow}"
        );
    }
    assert_eq!(
        arrow(&system, "outside", "payments", "call").await,
        Value::Null,
        "nobody outside calls payments"
    );
    let hears = arrow(&system, "catalog", "seating", "event").await;
    assert_eq!(
        (&hears["observed"], &hears["subscriptions"][0]),
        (&true.into(), &"seating-from-catalog".into()),
        "{hears}"
    );
    let map = system.run(&["map"]).await;
    assert!(map.contains("ordering") && map.contains("events"), "{map}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_shows_with_what_was_tried() {
    let system = System::start().await;
    let mut service = Service::start(&system, "catalog", &[]).await;
    let show = system.shows(1).await.remove(0);
    system.run(&["stage", "catalog", "remote", "--fallback", "local"]).await;
    service.kill();
    assert_eq!(system.get(&office::show_path(&show)).await.status, 200);
    let last = requests(&system, "limit=1").await["requests"][0].clone();
    assert_eq!(
        (&last["side"], &last["status"]),
        (&"fallback".into(), &200.into()),
        "{last}"
    );
    service.kill_and_restart(&system);
    service.ready(&system).await;
    system.run(&["stage", "catalog", "remote", "--fallback", "none"]).await;
    assert_eq!(system.get(&office::show_path(&show)).await.status, 200);
    service.kill();
    let failed = system.get(&office::show_path(&show)).await;
    assert!(failed.status >= 500, "{failed:?}");
    let missing = system.get(&office::show_path(office::id())).await;
    assert!(missing.status >= 400, "{missing:?}");
    let errors = requests(&system, "outcome=error&operation=catalog.show").await;
    let line = errors["requests"]
        .as_array()
        .and_then(|all| all.last())
        .expect("the error")
        .clone();
    assert_eq!(
        (&line["status"], &line["side"], &line["subject"]),
        (&failed.status.into(), &"remote".into(), &show.as_str().into())
    );
    let trace = failed
        .header("traceparent")
        .split('-')
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    assert_eq!(line["trace"], trace.as_str());
    let sheet = system
        .control(&format!("/control/v1/requests/{trace}"))
        .await
        .expect("the request");
    assert_eq!(sheet["calls"][0]["process"], Value::Null, "nobody was reached: {sheet}");

    let found = arrow(&system, "outside", "catalog", "call").await;
    assert!(found["errors"].as_u64() >= Some(1), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_requests_are_kept_and_no_more() {
    let system = System::with(keeping(100)).await;
    for n in 0..250 {
        let answer = system.get(&format!("/api/v1/catalog/shows?limit={}", n % 3 + 1)).await;
        assert_eq!(answer.status, 200);
    }
    let mut seen = std::collections::BTreeSet::new();
    let (mut cursor, mut pages) = (String::new(), 0);
    loop {
        let page = requests(&system, &format!("limit=30&cursor={cursor}")).await;
        assert_eq!((&page["capacity"], &page["found"]), (&100.into(), &100.into()));
        let lines = page["requests"].as_array().expect("requests");
        seen.extend(lines.iter().map(|line| line["trace"].to_string()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (100, 4));
    let all = requests(&system, "limit=1000").await.to_string();
    assert!(!all.contains("limit="), "no query is kept");
    for (query, said) in [
        ("module=nowhere", "there is no module"),
        ("operation=catalog.odd", "there is no operation"),
        ("outcome=odd", "there are: error, refused, slow"),
        ("min_ms=soon", "soon"),
        ("cursor=odd", "no cursor"),
    ] {
        let path = format!("/control/v1/requests?{query}");
        let answer = system
            .inside(Method::GET, &path, Some(&system.token()), "")
            .await
            .expect("an answer");
        assert!(
            answer.status == 400 && answer.json().to_string().contains(said),
            "{query}: {answer:?}"
        );
    }
    assert_eq!(
        requests(&system, "outcome=&module=&min_ms=&q=").await["found"],
        100,
        "empty fields of a form"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_when_it_is_switched_off() {
    let system = System::with(keeping(0)).await;
    system.get("/api/v1/catalog/shows").await;
    assert_eq!(requests(&system, "").await["recording"], false);
    let map = system.control("/control/v1/map").await.expect("the map");
    assert_eq!(map["recording"], false);
    let arrows = map["arrows"].as_array().expect("arrows");
    assert!(
        arrows.iter().all(|a| a["declared"] == true && a["requests"] == 0),
        "{map}"
    );
    let refused = system.cli(&["requests", "show", TRACE]).await;
    assert_eq!(refused.status.code(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_operator_sees_requests() {
    let system = System::start().await;
    let service = Service::start(&system, "catalog", &[]).await;
    let join = system.join_token();
    for path in [
        "/control/v1/map",
        "/control/v1/requests",
        &format!("/control/v1/requests/{TRACE}"),
    ] {
        for (token, status) in [(None, 401), (Some("nonsense"), 401), (Some(join.as_str()), 403)] {
            let answer = system.inside(Method::GET, path, token, "").await.expect("an answer");
            assert_eq!(answer.status, status, "{path} with {token:?}");
        }
    }
    let url = format!("{}/control/v1/calls?trace={TRACE}", service.url());
    for token in [None, Some(join), Some(system.token())] {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let answer = system
            .client()
            .send(Method::GET, &url, &headers, "")
            .await
            .expect("an answer");
        assert_eq!(
            answer.status, 401,
            "a service believes only what the monolith signed: {answer:?}"
        );
    }
    let (code, none) = (
        system.cli(&["requests", "show", TRACE]).await,
        system.cli(&["requests", "show", "odd"]).await,
    );
    assert_eq!((code.status.code(), none.status.code()), (Some(2), Some(2)));
}
