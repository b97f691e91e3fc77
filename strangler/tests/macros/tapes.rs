//! Calls through a switch and through a client, on tape: recorded once, by the caller alone, and answered from that.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use strangler::{
    Accepted, BoxFuture, Contract, Cx, Done, Failure, Fault, Put, Transport,
    shadow::{self, replay},
    tape::{CommandAsked, Given, Recording, Replayed, ShadowAsk, Tape, Taping, Wants, When},
    wire::{Answered, Ask},
};

use super::*;
use crate::wire::gibberish;

/// Every kind of answer, and both kinds of failure.
async fn calls(catalog: &dyn Catalog, cx: &Cx) -> Vec<String> {
    let put: Result<Put<Show>, _> = catalog.announce(cx, ShowId(1), None, draft("Lear")).await;
    let again = catalog
        .announce(cx, ShowId(1), "\"9\"".parse().ok(), draft("Lear"))
        .await;
    let moved: Result<Accepted<Show>, _> = catalog
        .relocate(cx, ShowId(1), "the attic".to_owned(), draft("Lear"))
        .await;
    let show = catalog.show(cx, ShowId(1)).await;
    let shows = catalog.shows(cx, ShowFilter::default()).await;
    let done: Result<Done, _> = catalog.cancel(cx, ShowId(1)).await;
    let forbidden = catalog.cancel(&anybody().on_behalf_of(cx), ShowId(1)).await;
    vec![
        format!("{put:?}"),
        format!("{again:?}"),
        format!("{moved:?}"),
        format!("{show:?}"),
        format!("{shows:?}"),
        format!("{done:?}"),
        format!(
            "{:?}",
            forbidden.map_err(|failure| match failure {
                Failure::Way(fault) => fault.kind(),
                other => panic!("{other:?}"),
            })
        ),
    ]
}

fn taken(taping: &Arc<Tape>) -> Given {
    let record = taping.as_record().expect("it records");
    record.given().expect("all of it")
}

#[tokio::test]
async fn calls_are_recorded_by_the_caller_and_answered_from_that() {
    for stage in [Stage::Local, Stage::Shadow, Stage::Remote] {
        let w = world(InMemory::default(), InMemory::default());
        w.stage(stage, Fallback::None);
        let tape = Tape::recording(1 << 20);
        let live = calls(&w.switch, &writer().with_tape(tape.clone())).await;
        let given = taken(&tape);
        let ports: Vec<_> = given.calls.iter().map(|call| call.port.as_str()).collect();
        let expected = ["announce", "announce", "relocate", "show", "shows", "cancel", "cancel"];
        assert_eq!(
            ports,
            expected.map(|name| format!("catalog.{name}")),
            "{stage}: each once"
        );
        assert_eq!(given.calls[1].request["headers"], json!({"if-match": "\"9\""}));
        assert_eq!(given.calls[2].answer["headers"]["location"], "/api/v2/catalog/moves/1");
        assert_eq!(
            (given.units.len(), given.ids.len()),
            (0, 0),
            "what the called one did is its own"
        );

        // The same through a client, which knows of no switch.
        let (sent, local) = (
            w.way.sent.load(SeqCst),
            w.local_stats.operation(ANNOUNCE).local.load(Relaxed),
        );
        for catalog in [&w.switch as &dyn Catalog, &w.client] {
            let run = |tape| async move { json!(calls(catalog, &writer().shadow().with_tape(tape)).await) };
            let replayed = replay(given.clone(), run, |said| panic!("{said}")).await;
            assert_eq!((replayed.answer, replayed.missing), (json!(live), None), "{stage}");
            assert_eq!(replayed.then.calls.len(), expected.len());
        }
        assert_eq!(w.way.sent.load(SeqCst), sent, "nobody was called");
        assert_eq!(w.local_stats.operation(ANNOUNCE).local.load(Relaxed), local);
    }
}

#[tokio::test]
async fn a_client_records_what_comes_back() {
    let w = world(InMemory::default(), InMemory::default());
    let tape = Tape::recording(1 << 20);
    let live = calls(&w.client, &writer().with_tape(tape.clone())).await;
    let given = taken(&tape);
    assert_eq!(given.calls.len(), 7);
    let run = |tape| {
        let client = &w.client;
        async move { json!(calls(client, &writer().shadow().with_tape(tape)).await) }
    };
    let replayed = replay(given, run, |said| panic!("{said}")).await;
    assert_eq!(replayed.answer, json!(live));
    // What cannot be understood is an answer, too.
    *w.way.instead.lock().unwrap() = Some(gibberish());
    let tape = Tape::recording(1 << 20);
    let failed = w.client.show(&writer().with_tape(tape.clone()), ShowId(1)).await;
    assert!(failed.is_err());
    let run = |tape| {
        let client = &w.client;
        async move { json!(format!("{:?}", client.show(&writer().with_tape(tape), ShowId(1)).await)) }
    };
    let replayed = replay(taken(&tape), run, |said| panic!("{said}")).await;
    assert_eq!(replayed.answer, format!("{failed:?}"));
}

/// A service that does commands again, over a server; or says what it is told to.
struct Again {
    server: Arc<CatalogServer>,
    instead: Option<fn(&mut Replayed)>,
    hangs: bool,
}

impl Transport for Again {
    fn send<'a>(&'a self, _: &'a Cx, _: &'static Contract, _: Ask) -> BoxFuture<'a, Result<Answered, Fault>> {
        panic!("a command is never asked of a service as it is")
    }

    fn shadow<'a>(
        &'a self,
        cx: &'a Cx,
        _: &'static Contract,
        body: Bytes,
        _: usize,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            if self.hangs {
                std::future::pending::<()>().await;
            }
            let ask: ShadowAsk = serde_json::from_slice(&body).expect("an ask");
            let When::Command(asked) = &ask.when else {
                panic!("{ask:?}")
            };
            assert_eq!(cx.subject(), Some("ada"), "as whoever asked");
            let replayed = shadow::command(&*self.server, cx, asked, ask.given).await;
            let mut replayed = replayed.expect("a command of the contract");
            if let Some(change) = self.instead {
                change(&mut replayed);
            }
            Ok(Answered::value(&replayed))
        })
    }
}

/// A switch in shadow over a service of this kind, and its parallel run.
fn shadowed(
    instead: Option<fn(&mut Replayed)>,
    hangs: bool,
    limits: ParallelLimits,
) -> (CatalogSwitch, ParallelRun, strangler::parallel::Worker) {
    let local = InMemory::default().guarded(stats());
    let server = Arc::new(CatalogServer::new(InMemory::default().guarded(stats())));
    let way = Arc::new(Again { server, instead, hangs });
    let monolith = Arc::new(CatalogServer::new(local.clone()));
    let (parallel, worker) = ParallelRun::new(
        &CATALOG,
        limits,
        Arc::new(SystemClock),
        Arc::new(strangler::parallel::redact::Redactor::of([&CATALOG])),
        way.clone(),
        monolith,
    );
    let routes = Arc::new(RouteTable::new(&CATALOG));
    routes.set(ModuleRoutes {
        module: Route::at(Stage::Shadow),
        ..ModuleRoutes::default()
    });
    let switch = Arc::new(Switch::new(routes, stats(), parallel.clone()));
    let client = CatalogClient::new(way, stats());
    (CatalogSwitch::new(switch, local, client), parallel, worker)
}

async fn judged(parallel: &ParallelRun, eligible: u64) {
    let judged = async {
        while parallel.summary().eligible < eligible {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), judged)
        .await
        .expect("judged");
}

#[tokio::test]
async fn a_command_is_done_again_and_compared() {
    let (switch, parallel, worker) = shadowed(None, false, ParallelLimits::default());
    let cx = writer();
    switch.announce(&cx, ShowId(1), None, draft("Lear")).await.unwrap();
    switch
        .relocate(&cx, ShowId(1), "a/b".to_owned(), draft("Lear"))
        .await
        .unwrap();
    assert!(
        switch
            .announce(&cx, ShowId(2), None, draft("one too many"))
            .await
            .is_err()
    );
    let worker = tokio::spawn(worker);
    judged(&parallel, 3).await;
    let summary = parallel.summary();
    assert_eq!(
        (summary.matched, summary.compared),
        (3, 3),
        "{summary:?} {:?}",
        parallel.groups()
    );
    worker.abort();

    let wrong: fn(&mut Replayed) = |said| said.answer["body"]["title"] = json!("Hamlet");
    let (switch, parallel, worker) = shadowed(Some(wrong), false, ParallelLimits::default());
    switch.announce(&cx, ShowId(1), None, draft("Lear")).await.unwrap();
    let worker = tokio::spawn(worker);
    judged(&parallel, 1).await;
    let groups = parallel.groups();
    assert_eq!((groups.len(), groups[0].path.as_str()), (1, "/title"));
    let case = groups[0].example.case.clone().expect("a case");
    let case: Recording = serde_json::from_value((*case).clone()).expect("a recording");
    assert!(matches!(case.when, When::Command(CommandAsked { ref operation, .. }) if operation == "catalog.announce"));
    worker.abort();

    let missing: fn(&mut Replayed) = |said| said.missing = Some(format!("row show {}", uuid()));
    let (switch, parallel, worker) = shadowed(Some(missing), false, ParallelLimits::default());
    switch.announce(&cx, ShowId(1), None, draft("Lear")).await.unwrap();
    switch.announce(&cx, ShowId(1), None, draft("Hamlet")).await.unwrap();
    let worker = tokio::spawn(worker);
    judged(&parallel, 2).await;
    assert_eq!(parallel.summary().open, [("row show".to_owned(), 2)].into());
    worker.abort();
}

fn uuid() -> String {
    format!("{:08x}-0000-7000-8000-000000000000", rand::random::<u32>())
}

/// The candidate never answers. Whoever waits for it waits for ever, and so does a test of that.
#[tokio::test]
async fn callers_do_not_wait_for_a_service_that_hangs() {
    let limits = ParallelLimits {
        queue: 16,
        in_flight: 2,
        timeout: Duration::from_secs(3600),
        ..ParallelLimits::default()
    };
    let (switch, parallel, worker) = shadowed(None, true, limits);
    let worker = tokio::spawn(worker);
    let all = async {
        for n in 1..=100 {
            let put = switch.announce(&writer(), ShowId(n), None, draft("Lear")).await;
            assert!(matches!(put, Ok(Put::Created(_))));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("nobody waits");
    let summary = parallel.summary();
    // What is neither under way nor in the queue was dropped, and is counted.
    assert!(summary.skips["queue_full"] >= 100 - 16 - 2 - 1, "{summary:?}");
    assert_eq!(summary.eligible, summary.dropped);
    worker.abort();
}

#[tokio::test]
async fn who_wants_it_is_asked_for_each() {
    struct Nobody;
    impl Wants for Nobody {
        fn place(&self, _: strangler::tape::Subject<'_>) -> Option<Box<dyn strangler::tape::Place>> {
            None
        }

        fn limit(&self) -> usize {
            0
        }
    }
    let deck = strangler::tape::Deck::default();
    let step = strangler::tape::Subject::Step {
        saga: "a",
        step: "b",
        deed: "do",
    };
    assert!(deck.begin(step).is_none());
    deck.connect(Arc::new(Nobody));
    let taping: Option<Taping> = deck.begin(step);
    assert!(taping.is_none());
    assert_eq!(step.name(&CATALOG), "a:b:do");
}
