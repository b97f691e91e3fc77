//! What a call through a contract costs in this process: nanoseconds and allocations of a call that is ready at once.
//!
//! `cargo bench -p strangler --bench calls`

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use divan::{AllocProfiler, Bencher, black_box};
use strangler::{
    BoxFuture, Contract, Cx, Fault, ModuleStats, Principal, Scopes, Switch, SystemClock, Transport,
    calls::Recorder,
    contract,
    parallel::{ParallelLimits, ParallelRun},
    problems,
    routes::{ModuleRoutes, Route, RouteTable, Stage},
    share::Share,
    wire::{Answered, Ask},
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// What can go wrong: nothing here.
#[problems("numbers")]
#[derive(Clone, Debug, PartialEq)]
pub enum NumbersError {
    /// Too large.
    #[problem(422, "Too large")]
    TooLarge,
}

/// Numbers.
#[contract(name = "numbers", version = 1)]
pub trait Numbers {
    /// The next number.
    #[query(get = "/next/{number}", auth = public)]
    async fn next(&self, cx: &Cx, number: u64) -> Result<u64, NumbersError>;
    /// The next number, for those who may know.
    #[query(get = "/secret/{number}", auth = scope("numbers:read"))]
    async fn secret(&self, cx: &Cx, number: u64) -> Result<u64, NumbersError>;
}

struct Counting;

impl NumbersService for Counting {
    async fn next(&self, _: &Cx, number: u64) -> Result<u64, NumbersError> {
        number.checked_add(1).ok_or(NumbersError::TooLarge)
    }

    async fn secret(&self, _: &Cx, number: u64) -> Result<u64, NumbersError> {
        number.checked_add(1).ok_or(NumbersError::TooLarge)
    }
}

/// The same by hand, with nothing in front.
trait Direct: Send + Sync {
    fn next<'a>(&'a self, cx: &'a Cx, number: u64) -> BoxFuture<'a, Result<u64, NumbersError>>;
}

impl Direct for Counting {
    fn next<'a>(&'a self, cx: &'a Cx, number: u64) -> BoxFuture<'a, Result<u64, NumbersError>> {
        Box::pin(NumbersService::next(self, cx, number))
    }
}

/// A service that answers at once.
struct Echo;

impl Transport for Echo {
    fn send<'a>(&'a self, _: &'a Cx, _: &'static Contract, _: Ask) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async { Ok(Answered::value(&2u64)) })
    }
}

fn stats() -> Arc<ModuleStats> {
    Arc::new(ModuleStats::new(NUMBERS.operations.len()))
}

fn guarded() -> Arc<dyn Numbers> {
    Counting.guarded(stats())
}

/// A switch at this stage.
fn switched(stage: Stage) -> Arc<dyn Numbers> {
    routed(Route::at(stage))
}

/// A switch with this route; the parallel run's worker is not started, so its queue fills up.
fn routed(route: Route) -> Arc<dyn Numbers> {
    let (local, stats, way) = (guarded(), stats(), Arc::new(Echo));
    let client = NumbersClient::new(way.clone(), stats.clone());
    let server = Arc::new(NumbersServer::new(local.clone()));
    let (parallel, worker) = ParallelRun::new(
        &NUMBERS,
        ParallelLimits::default(),
        Arc::new(SystemClock),
        Arc::new(strangler::parallel::redact::Redactor::of([&NUMBERS])),
        way,
        server,
    );
    // Kept, or the queue is closed.
    std::mem::forget(worker);
    let routes = Arc::new(RouteTable::new(&NUMBERS));
    routes.set(ModuleRoutes {
        module: route,
        ..ModuleRoutes::default()
    });
    Arc::new(NumbersSwitch::new(
        Arc::new(Switch::new(routes, stats, parallel)),
        local,
        client,
    ))
}

fn cx() -> Cx {
    Cx::new(Principal::known(
        "bench",
        Scopes::Some(["numbers:write".into(), "numbers:read".into()].into()),
    ))
}

/// The answer of a call that is ready at once.
fn now<T>(call: impl Future<Output = T>) -> T {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("every call here is ready at once"),
    }
}

#[divan::bench(sample_size = 1000)]
fn direct(bencher: Bencher<'_, '_>) {
    let (numbers, cx): (Arc<dyn Direct>, _) = (Arc::new(Counting), cx());
    bencher.bench_local(|| now(black_box(&numbers).next(&cx, black_box(1))));
}

#[divan::bench(sample_size = 1000)]
fn guard(bencher: Bencher<'_, '_>) {
    let (numbers, cx) = (guarded(), cx());
    bencher.bench_local(|| now(black_box(&numbers).next(&cx, black_box(1))));
}

#[divan::bench(sample_size = 1000)]
fn guard_and_switch(bencher: Bencher<'_, '_>) {
    let (numbers, cx) = (switched(Stage::Local), cx());
    bencher.bench_local(|| now(black_box(&numbers).next(&cx, black_box(1))));
}

#[divan::bench(sample_size = 1000)]
fn guard_and_recorder(bencher: Bencher<'_, '_>) {
    let recorder = Arc::new(Recorder::of_monolith(&["numbers", "bench"], 1000, &SystemClock));
    let stats = ModuleStats::new(NUMBERS.operations.len()).recorded(Some(recorder));
    let (numbers, cx) = (Counting.guarded(Arc::new(stats)), cx().of_module("bench"));
    bencher.bench_local(|| now(black_box(&numbers).next(&cx, black_box(1))));
}

#[divan::bench(sample_size = 1000)]
fn guard_and_switch_with_scope_and_deadline(bencher: Bencher<'_, '_>) {
    let (numbers, cx) = (switched(Stage::Local), cx().within(Duration::from_secs(3600)));
    bencher.bench_local(|| now(black_box(&numbers).secret(&cx, black_box(1))));
}

#[divan::bench(sample_size = 1000)]
fn shadow_with_a_full_queue(bencher: Bencher<'_, '_>) {
    let (numbers, cx) = (switched(Stage::Shadow), cx());
    for _ in 0..=ParallelLimits::default().queue {
        let _ = now(numbers.next(&cx, 1));
    }
    bencher.bench_local(|| now(black_box(&numbers).next(&cx, black_box(1))));
}

#[divan::bench]
fn shadow(bencher: Bencher<'_, '_>) {
    let cx = cx();
    bencher
        .with_inputs(|| switched(Stage::Shadow))
        .bench_local_refs(|numbers| now(black_box(&*numbers).next(&cx, black_box(1))));
}

#[divan::bench(sample_size = 1000)]
fn remote_without_a_network(bencher: Bencher<'_, '_>) {
    let (numbers, cx) = (switched(Stage::Remote), cx());
    bencher.bench_local(|| now(black_box(&numbers).next(&cx, black_box(1))));
}

/// In a canary, a caller whom the monolith answers.
#[divan::bench(sample_size = 1000)]
fn canary_answered_here(bencher: Bencher<'_, '_>) {
    let (numbers, cx) = (routed(Route::at(Stage::Canary)), cx());
    bencher.bench_local(|| now(black_box(&numbers).next(&cx, black_box(1))));
}

/// In shadow, a call that is not picked to be compared.
#[divan::bench(sample_size = 1000)]
fn shadow_not_sampled(bencher: Bencher<'_, '_>) {
    let (numbers, cx) = (
        routed(Route {
            sample: Share::NONE,
            ..Route::at(Stage::Shadow)
        }),
        cx(),
    );
    bencher.bench_local(|| now(black_box(&numbers).next(&cx, black_box(1))));
}

/// Two readings of the clock: what the guard cannot do without.
#[divan::bench(sample_size = 1000)]
fn two_readings_of_the_clock() -> Duration {
    black_box(std::time::Instant::now()).elapsed()
}

fn main() {
    divan::main();
}
