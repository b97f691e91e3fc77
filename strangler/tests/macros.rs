//! What `#[contract]` and `#[problems]` write, at work; and what they say to those who write something wrong.

// Test code: a failed expectation is meant to panic.
#![allow(clippy::unwrap_used)]

#[path = "macros/example.rs"]
mod example;
#[path = "macros/parallel.rs"]
mod parallel;
#[path = "macros/stages.rs"]
mod stages;
#[path = "macros/tapes.rs"]
mod tapes;
#[path = "macros/wire.rs"]
mod wire;

use std::{
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use example::*;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use strangler::{
    Accepted, Auth, ContractError, Cx, Done, Failure, FaultKind, IfMatch, Kind, ModuleStats, Principal, Put, Scopes,
    Serve, Switch, SystemClock,
    parallel::{ParallelLimits, ParallelRun},
    routes::{Fallback, ModuleRoutes, Route, RouteTable, Stage},
};
use wire::{InMemoryWay, gibberish, request, unavailable};

const SHOW: usize = 0;
const ANNOUNCE: usize = 2;

#[test]
fn mistakes_are_explained() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

/// A monolith, a service, a way between them, and a switch in front.
struct World {
    local: Arc<dyn Catalog>,
    local_stats: Arc<ModuleStats>,
    way: Arc<InMemoryWay>,
    client: CatalogClient,
    server: Arc<CatalogServer>,
    routes: Arc<RouteTable>,
    switch: CatalogSwitch,
    parallel: ParallelRun,
    worker: Option<strangler::parallel::Worker>,
}

fn stats() -> Arc<ModuleStats> {
    Arc::new(ModuleStats::new(CATALOG.operations.len()))
}

fn world(local: InMemory, service: InMemory) -> World {
    let local_stats = stats();
    let local = local.guarded(local_stats.clone());
    let server = Arc::new(CatalogServer::new(service.guarded(stats())));
    let way = Arc::new(InMemoryWay::new(server.clone()));
    let client = CatalogClient::new(way.clone(), local_stats.clone());
    let routes = Arc::new(RouteTable::new(&CATALOG));
    let monolith = Arc::new(CatalogServer::new(local.clone()));
    let (parallel, worker) = ParallelRun::new(
        &CATALOG,
        ParallelLimits::default(),
        Arc::new(SystemClock),
        Arc::new(strangler::parallel::redact::Redactor::of([&CATALOG])),
        way.clone(),
        monolith,
    );
    let switch = Arc::new(Switch::new(routes.clone(), local_stats.clone(), parallel.clone()));
    let switch = CatalogSwitch::new(switch, local.clone(), client.clone());
    World {
        local,
        local_stats,
        way,
        client,
        server,
        routes,
        switch,
        parallel,
        worker: Some(worker),
    }
}

impl World {
    fn stage(&self, stage: Stage, fallback: Fallback) {
        self.routes.set(ModuleRoutes {
            module: Route {
                fallback,
                ..Route::at(stage)
            },
            ..Default::default()
        });
    }

    fn last_target(&self) -> String {
        self.way.last.lock().unwrap().as_ref().unwrap().0.target.clone()
    }
}

fn anybody() -> Cx {
    Cx::new(Principal::ANYBODY)
}

fn writer() -> Cx {
    let scopes = Scopes::Some(["catalog:write".into()].into());
    Cx::new(Principal::known("ada", scopes)).within(Duration::from_secs(5))
}

fn draft(title: &str) -> ShowDraft {
    ShowDraft {
        title: title.to_owned(),
    }
}

#[test]
fn the_contract_describes_itself() {
    assert_eq!((CATALOG.name, CATALOG.version), ("catalog", 2));
    assert_eq!(
        CATALOG.doc,
        "What the rest of the system may know about the catalog.\n\nMore of it."
    );
    let ids: Vec<_> = CATALOG.operations.iter().map(|o| o.id).collect();
    assert_eq!(
        ids,
        [
            "catalog.show",
            "catalog.shows",
            "catalog.announce",
            "catalog.cancel",
            "catalog.relocate",
            "catalog.never"
        ]
    );
    let announce = &CATALOG.operations[ANNOUNCE];
    assert_eq!(
        (announce.name, announce.kind, announce.path),
        ("announce", Kind::Command, "/shows/{id}")
    );
    assert_eq!(
        (&announce.method, announce.auth),
        (&Method::PUT, Auth::Scope("catalog:write"))
    );
    assert_eq!(
        announce.doc,
        "Announces the show; the same show put twice is announced once."
    );
}

#[test]
fn the_document_has_every_operation() {
    let document = serde_json::to_value((CATALOG.openapi)()).unwrap();
    let show = &document["paths"]["/api/v2/catalog/shows/{id}"];
    assert!(show["get"]["responses"]["200"]["headers"]["etag"].is_object(), "{show}");
    assert_eq!(show["put"]["parameters"][1]["name"], "if-match");
    assert!(show["put"]["requestBody"].is_object() && show["delete"]["responses"]["204"].is_object());
    assert!(document["paths"]["/api/v2/catalog/shows"]["get"]["responses"]["200"]["headers"]["link"].is_object());
    assert!(document["components"]["schemas"]["Show"].is_object());
}

#[tokio::test]
async fn values_go_there_and_back() {
    let w = world(InMemory::default(), InMemory::with(7, "Hamlet"));
    let show = w.client.show(&anybody(), ShowId(7)).await.unwrap();
    assert_eq!(
        show,
        Show {
            id: ShowId(7),
            title: "Hamlet".into(),
            version: 1
        }
    );
    assert_eq!(w.last_target(), "/api/v2/catalog/shows/7");
    assert_eq!(w.local_stats.operation(SHOW).remote.load(Relaxed), 1);
}

#[tokio::test]
async fn put_keeps_apart_what_it_made_and_what_it_kept() {
    let w = world(InMemory::default(), InMemory::default());
    let put = |title| {
        w.client
            .announce(&*Box::leak(Box::new(writer())), ShowId(1), None, draft(title))
    };
    assert!(matches!(put("Lear").await, Ok(Put::Created(Show { version: 1, .. }))));
    assert!(matches!(put("King Lear").await, Ok(Put::Kept(Show { version: 2, .. }))));
    let (_, answer) = w.way.last.lock().unwrap().clone().unwrap();
    assert_eq!(
        (answer.status, &answer.headers["etag"]),
        (StatusCode::OK, &HeaderValue::from_static("\"2\""))
    );
}

#[tokio::test]
async fn done_and_accepted() {
    let w = world(InMemory::default(), InMemory::with(1, "Lear"));
    assert_eq!(w.client.cancel(&writer(), ShowId(1)).await, Ok(Done));
    let accepted = w
        .client
        .relocate(&writer(), ShowId(3), "a place/of its own".into(), draft("Lear"))
        .await
        .unwrap();
    let value = Show {
        id: ShowId(3),
        title: "Lear at a place/of its own".into(),
        version: 1,
    };
    assert_eq!(
        accepted,
        Accepted {
            location: "/moves/3".into(),
            value
        }
    );
    assert_eq!(
        w.last_target(),
        "/api/v2/catalog/places/a%20place%2Fof%20its%20own/shows/3/move"
    );
}

#[tokio::test]
async fn queries_and_pages() {
    let service = InMemory::with(1, "Lear");
    for id in 2..5 {
        service.announce(&writer(), ShowId(id), None, draft("x")).await.unwrap();
    }
    let w = world(InMemory::default(), service);
    let filter = ShowFilter {
        limit: Some(2),
        cursor: None,
    };
    let page = w.client.shows(&anybody(), filter).await.unwrap();
    assert_eq!((page.items.len(), page.next.as_deref()), (2, Some("3")));
    assert_eq!(w.last_target(), "/api/v2/catalog/shows?limit=2");
    let (_, answer) = w.way.last.lock().unwrap().clone().unwrap();
    assert_eq!(answer.headers["link"], "<?limit=2&cursor=3>; rel=\"next\"");
}

#[tokio::test]
async fn a_known_version_is_not_sent_again() {
    let w = world(InMemory::default(), InMemory::with(7, "Hamlet"));
    let headers = HeaderMap::from_iter([(http::header::IF_NONE_MATCH, HeaderValue::from_static("\"1\""))]);
    let target = "/api/v2/catalog/shows/7";
    let answer = request(
        &*w.server,
        &CATALOG,
        &Principal::ANYBODY,
        SHOW,
        target,
        &headers,
        &Bytes::new(),
    )
    .await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::NOT_MODIFIED, 0));
}

#[tokio::test]
async fn errors_come_back_as_the_same_variant() {
    let w = world(InMemory::default(), InMemory::with(1, "Lear"));
    let stale = w
        .client
        .announce(&writer(), ShowId(1), Some(IfMatch::Versions(vec![9])), draft("x"))
        .await;
    assert_eq!(
        stale,
        Err(Failure::Module(CatalogError::Stale {
            current: 1,
            hint: None,
            extra: 7
        }))
    );
    let missing = w.client.show(&anybody(), ShowId(2)).await;
    assert_eq!(
        missing,
        Err(Failure::Module(CatalogError::NoSuchShow { id: ShowId(2) }))
    );
    let full = w
        .client
        .announce(&writer(), ShowId(1), None, draft("one too many"))
        .await;
    assert_eq!(full, Err(Failure::Module(CatalogError::HouseFull)));
}

#[test]
fn problems_say_what_the_enum_says() {
    let stale = CatalogError::Stale {
        current: 3,
        hint: Some("reload".into()),
        extra: 7,
    };
    assert_eq!(
        stale.to_string(),
        "Changed meanwhile: the show is at version 3, in {braces}"
    );
    let problem = stale.to_problem();
    assert_eq!(
        (&*problem.kind, problem.status),
        ("urn:problem-type:catalog:stale", 412)
    );
    assert_eq!(serde_json::to_value(&problem).unwrap()["hint"], "reload");
    assert_eq!(CatalogError::from_problem(&problem), Some(stale));
    let full = CatalogError::HouseFull.to_problem();
    assert_eq!(
        full.detail.as_deref(),
        Some("The catalog takes no more shows; come back tomorrow.")
    );
    let kinds: Vec<_> = CatalogError::KINDS
        .iter()
        .map(|k| (k.kind, k.title, k.status))
        .collect();
    assert_eq!(kinds[0], ("urn:problem-type:catalog:no-such-show", "No such show", 404));
    assert_eq!(kinds[2], ("urn:problem-type:catalog:house-full", "Full", 409));
}

#[test]
fn a_problem_with_a_field_that_does_not_fit_is_none_of_ours() {
    let mut problem = CatalogError::NoSuchShow { id: ShowId(1) }.to_problem();
    problem.extra.insert("id".into(), "one".into());
    assert_eq!(CatalogError::from_problem(&problem), None);
    problem.extra.remove("id");
    assert_eq!(CatalogError::from_problem(&problem), None);
    problem.kind = "urn:problem-type:catalog:unheard-of".into();
    assert!(
        matches!(Failure::<CatalogError>::from_problem(&problem), Failure::Way(f) if f.kind() == FaultKind::BadAnswer)
    );
}

#[tokio::test]
async fn nobody_unauthorised_has_anything_read() {
    let w = world(InMemory::default(), InMemory::default());
    let target = "/api/v2/catalog/shows/0";
    let rubbish = Bytes::from_static(b"}");
    let ask = async |principal: Principal| {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        request(&*w.server, &CATALOG, &principal, ANNOUNCE, target, &headers, &rubbish)
            .await
            .status
    };
    assert_eq!(ask(Principal::ANYBODY).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Principal::known("bob", Scopes::None)).await, StatusCode::FORBIDDEN);
    assert_eq!(ask(writer().principal().clone()).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_local_call_is_authorised_as_well() {
    let w = world(InMemory::default(), InMemory::default());
    let refused = w.local.cancel(&anybody(), ShowId(1)).await;
    assert!(matches!(refused, Err(Failure::Way(f)) if f.kind() == FaultKind::Unauthenticated));
    let refused = w.local.relocate(&anybody(), ShowId(1), String::new(), draft("")).await;
    assert!(matches!(refused, Err(Failure::Way(f)) if f.kind() == FaultKind::Unauthenticated));
    assert_eq!(w.local_stats.total(|o| &o.refused), 2);
}

#[tokio::test]
async fn a_malformed_request_says_where() {
    let w = world(InMemory::default(), InMemory::default());
    let answer = request(
        &*w.server,
        &CATALOG,
        &Principal::ANYBODY,
        SHOW,
        "/api/v2/catalog/shows/x",
        &HeaderMap::new(),
        &Bytes::new(),
    )
    .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(&answer.body).contains("`id` in the path: `x` is no show's id"));
}

#[tokio::test]
async fn an_operation_that_is_not_there() {
    let w = world(InMemory::default(), InMemory::default());
    let asked = strangler::wire::Asked {
        params: &[],
        query: None,
        headers: &HeaderMap::new(),
        body: &Bytes::new(),
    };
    assert_eq!(
        w.server.serve(99, &anybody(), asked).await.status,
        StatusCode::NOT_FOUND
    );
    assert!(std::ptr::eq(w.server.contract(), &CATALOG));
}

#[tokio::test]
async fn the_deadline_ends_a_call() {
    let w = world(InMemory::default(), InMemory::default());
    let cx = anybody().within(Duration::from_millis(20));
    for catalog in [&w.local, &(Arc::new(w.client.clone()) as Arc<dyn Catalog>)] {
        let late = catalog.never(&cx).await;
        assert!(matches!(late, Err(Failure::Way(f)) if f.kind() == FaultKind::TimedOut));
    }
    let late = w.local.show(&cx, ShowId(1)).await;
    assert!(matches!(late, Err(Failure::Way(f)) if f.certainly_had_no_effect()));
}

#[tokio::test]
async fn what_a_service_does_before_its_first_await_is_guarded_too() {
    struct Eager(Arc<std::sync::atomic::AtomicUsize>);

    impl CatalogService for Eager {
        fn cancel(&self, _: &Cx, _: ShowId) -> impl Future<Output = Result<Done, CatalogError>> + Send {
            self.0.fetch_add(1, SeqCst);
            std::future::ready(Ok(Done))
        }
        async fn show(&self, _: &Cx, id: ShowId) -> Result<Show, CatalogError> {
            Err(CatalogError::NoSuchShow { id })
        }
        async fn shows(&self, _: &Cx, _: ShowFilter) -> Result<Page<Show>, CatalogError> {
            Err(CatalogError::HouseFull)
        }
        async fn announce(
            &self,
            _: &Cx,
            _: ShowId,
            _: Option<IfMatch>,
            _: ShowDraft,
        ) -> Result<Put<Show>, CatalogError> {
            Err(CatalogError::HouseFull)
        }
        async fn relocate(&self, _: &Cx, _: ShowId, _: String, _: ShowDraft) -> Result<Accepted<Show>, CatalogError> {
            Err(CatalogError::HouseFull)
        }
        async fn never(&self, _: &Cx) -> Result<String, CatalogError> {
            Err(CatalogError::HouseFull)
        }
    }

    let calls = Arc::default();
    let catalog = Eager(Arc::clone(&calls)).guarded(stats());
    assert!(catalog.cancel(&anybody(), ShowId(1)).await.is_err());
    assert_eq!(calls.load(SeqCst), 0);
    assert_eq!(catalog.cancel(&writer(), ShowId(1)).await, Ok(Done));
    assert_eq!(calls.load(SeqCst), 1);
}

#[tokio::test]
async fn the_switch_follows_the_stage() {
    let w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    let title = async || w.switch.show(&anybody(), ShowId(1)).await.unwrap().title;
    assert_eq!(title().await, "here");
    w.stage(Stage::Remote, Fallback::None);
    assert_eq!(title().await, "there");
    w.stage(Stage::Local, Fallback::None);
    assert_eq!(title().await, "here");
    assert_eq!(w.way.sent.load(SeqCst), 1);
}

#[tokio::test]
async fn the_side_is_chosen_when_the_operation_is_called() {
    let w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    let cx = anybody();
    let called = w.switch.show(&cx, ShowId(1));
    w.stage(Stage::Remote, Fallback::None);
    let then = w.switch.show(&cx, ShowId(1));
    w.stage(Stage::Local, Fallback::None);
    assert_eq!(called.await.unwrap().title, "here");
    assert_eq!(then.await.unwrap().title, "there");
}

#[tokio::test]
async fn the_monolith_answers_a_query_that_the_service_cannot() {
    let w = world(InMemory::with(1, "here"), InMemory::with(1, "there"));
    w.stage(Stage::Remote, Fallback::Local);
    for failure in [gibberish(), unavailable()] {
        *w.way.instead.lock().unwrap() = Some(failure);
        assert_eq!(w.switch.show(&anybody(), ShowId(1)).await.unwrap().title, "here");
    }
    let counts = w.local_stats.operation(SHOW);
    assert_eq!((counts.fallback.load(Relaxed), counts.local.load(Relaxed)), (2, 0));
    w.stage(Stage::Remote, Fallback::None);
    let failed = w.switch.show(&anybody(), ShowId(1)).await;
    assert!(matches!(failed, Err(Failure::Way(f)) if f.kind() == FaultKind::Unavailable));
}

#[tokio::test]
async fn an_error_of_the_module_is_an_answer() {
    let w = world(InMemory::with(1, "here"), InMemory::default());
    w.stage(Stage::Remote, Fallback::Local);
    let missing = w.switch.show(&anybody(), ShowId(1)).await;
    assert_eq!(
        missing,
        Err(Failure::Module(CatalogError::NoSuchShow { id: ShowId(1) }))
    );
}

#[tokio::test]
async fn a_command_falls_back_only_when_it_certainly_had_no_effect() {
    let w = world(InMemory::default(), InMemory::default());
    w.stage(Stage::Remote, Fallback::Local);
    *w.way.instead.lock().unwrap() = Some(gibberish());
    let failed = w.switch.announce(&writer(), ShowId(1), None, draft("Lear")).await;
    assert!(matches!(failed, Err(Failure::Way(f)) if f.kind() == FaultKind::BadAnswer));
    *w.way.instead.lock().unwrap() = Some(unavailable());
    let put = w.switch.announce(&writer(), ShowId(1), None, draft("Lear")).await;
    assert!(matches!(put, Ok(Put::Created(_))));
}

#[tokio::test]
async fn a_shadow_is_compared_and_not_waited_for() {
    let mut w = world(InMemory::with(1, "same"), InMemory::with(1, "same"));
    w.stage(Stage::Shadow, Fallback::Local);
    assert_eq!(w.switch.show(&anybody(), ShowId(1)).await.unwrap().title, "same");
    assert!(w.switch.show(&anybody(), ShowId(2)).await.is_err());
    assert_eq!(w.way.sent.load(SeqCst), 0);
    let worker = tokio::spawn(w.worker.take().unwrap());
    let done = tokio::time::timeout(Duration::from_secs(5), async {
        while w.parallel.summary().eligible < 2 {
            tokio::task::yield_now().await;
        }
    });
    done.await.unwrap();
    let summary = w.parallel.summary();
    assert_eq!((summary.matched, summary.compared), (2, 2), "{summary:?}");
    worker.abort();
}

#[tokio::test]
async fn a_command_in_the_shadow_stage_runs_once() {
    let w = world(InMemory::default(), InMemory::default());
    w.stage(Stage::Shadow, Fallback::Local);
    assert!(
        w.switch
            .announce(&writer(), ShowId(1), None, draft("Lear"))
            .await
            .is_ok()
    );
    assert_eq!((w.way.sent.load(SeqCst), w.parallel.summary().eligible), (0, 0));
}
