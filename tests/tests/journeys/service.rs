//! A process that joined: under another address, with rotating keys, asked by those it must not believe.

use std::{
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use banyan::identity::KeyRing;
use http::Method;
use strangler::{Principal, Scopes, SystemClock};
use system_tests::{Bear, Load, Options, Service, System, office, seed};
use tokio::net::{TcpListener, TcpStream};

/// `{"alg":"none"}` as a token's head.
const UNSIGNED: &str = "eyJhbGciOiJub25lIn0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_joins_under_another_address() {
    let system = System::start().await;
    let (front, passed) = (
        TcpListener::bind("127.0.0.1:0").await.expect("a port"),
        Arc::<AtomicU64>::default(),
    );
    let (behind, counted) = (Arc::<OnceLock<SocketAddr>>::default(), passed.clone());
    let advertised = format!("http://{}", front.local_addr().expect("an address"));
    let target = behind.clone();
    let sidecar = tokio::spawn(async move {
        while let Ok((mut caller, _)) = front.accept().await {
            let Some(&service) = target.get() else { continue };
            counted.fetch_add(1, Relaxed);
            tokio::spawn(async move {
                let Ok(mut service) = TcpStream::connect(service).await else {
                    return;
                };
                _ = tokio::io::copy_bidirectional(&mut caller, &mut service).await;
            });
        }
    });
    let service = Service::launch(&system, "catalog", &["--advertise", &advertised]);
    let address = service.url().trim_start_matches("http://").parse().expect("an address");
    behind.set(address).expect("set once");
    service.ready(&system).await;
    assert_eq!(system.status("catalog").await["instances"][0]["url"], advertised);
    system.stage("catalog", "remote").await;
    let answer = system.get("/api/v1/catalog/shows").await;
    assert_eq!((answer.status, answer.served("catalog")), (200, "remote"));
    assert!(passed.load(Relaxed) > 0);
    sidecar.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_while_calls_flow() {
    let mut random = seed("keys_rotate_while_calls_flow");
    // Tokens live as short as they may, so that some end on the way.
    let env = vec![("BANYAN_IDENTITY__TOKEN_TTL_S".to_owned(), "10".to_owned())];
    let system = System::with(Options {
        env,
        ..Options::default()
    })
    .await;
    let _service = Service::start(&system, "catalog", &[]).await;
    system.stage("catalog", "remote").await;
    let load = Load::start(&system, 2, 2, Bear::Nothing, &mut random).await;
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..5 {
        load.goes_on(20, 20).await;
        let said = system.run(&["keys", "rotate"]).await;
        assert!(keys.insert(said.clone()), "another key each time: {said}");
    }
    load.goes_on(50, 50).await;
    let promises = load.end().await;
    promises.are_kept(&system, false).await;
    let answered = &system.status("catalog").await["answered"];
    assert_eq!(answered["fallback"], 0, "the service itself answered: {answered}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_believes_only_tokens_made_for_it() {
    let system = System::start().await;
    let service = Service::start(&system, "catalog", &[]).await;
    let keys = KeyRing::open(&system.data(), 60, 3600, Arc::new(SystemClock)).expect("the system's keys");
    let known = Principal::known("ada", Scopes::All);
    let good = keys.issue_for(&known, "catalog").expect("a token").to_string();
    let elsewhere = keys.issue_for(&known, "seating").expect("a token").to_string();
    let parts: Vec<_> = good.split('.').collect();
    let (head, claims, signature) = (parts[0], parts[1], parts[2]);
    let other: Vec<_> = elsewhere.split('.').collect();
    let forged = [
        ("nothing", None),
        ("for another module", Some(elsewhere.clone())),
        ("unsigned", Some(format!("{UNSIGNED}.{claims}."))),
        ("signature dropped", Some(format!("{head}.{claims}."))),
        (
            "another token's claims",
            Some(format!("{head}.{}.{signature}", other[1])),
        ),
        (
            "unsigned, signature kept",
            Some(format!("{UNSIGNED}.{claims}.{signature}")),
        ),
        ("the operator's", Some(system.token())),
        ("the join token", Some(system.join_token())),
        ("garbage", Some("garbage".to_owned())),
    ];
    let act = format!("{}/api/v1/catalog/acts/{}", service.url(), office::id());
    for (what, token) in forged {
        let bearer = token.map(|t| format!("Bearer {t}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.iter().map(|b| ("authorization", b.as_str())));
        for (method, url) in [
            (Method::GET, format!("{}/api/v1/catalog/shows", service.url())),
            (Method::PUT, act.clone()),
        ] {
            let answer = system
                .client()
                .send(method.clone(), &url, &headers, office::act("Forged").to_string())
                .await;
            let answer = answer.expect("an answer");
            assert!(
                answer.status == 401 && answer.is_problem(),
                "{what}, {method}: {answer:?}"
            );
        }
    }
    let bearer = format!("Bearer {good}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = system
        .client()
        .send(Method::PUT, &act, &headers, office::act("Good").to_string())
        .await;
    assert_eq!(answer.expect("an answer").status, 201);
    for (path, status) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/control/v1/status", 404),
        ("/console", 404),
        ("/docs", 404),
    ] {
        let answer = system
            .client()
            .send(Method::GET, &format!("{}{path}", service.url()), &[], "")
            .await;
        assert_eq!(answer.expect("an answer").status, status, "{path}");
    }
}
