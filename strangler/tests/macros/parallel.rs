//! The parallel run: what counts as a mismatch, and what does not.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strangler::{
    BoxFuture, Clock, Compared, Contract, Cx, Fault, ManualClock, Principal, Serve, SystemClock, Transport,
    compare::DifferenceKind as Kind,
    contract,
    parallel::{Group, GroupKey, GroupStore, ParallelLimits, ParallelRun, ParallelSummary, redact::Redactor},
    problems,
    routes::Side,
    wire::{Answered, Ask, Asked},
};
use utoipa::ToSchema;

/// A line of a receipt.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Compared)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What.
    pub name: String,
    /// When it was printed.
    #[compare(ignore)]
    pub printed_at: u64,
}

/// A receipt.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, Compared)]
pub struct Receipt {
    /// How much, in euros.
    #[compare(tolerance = 0.01)]
    pub total: f64,
    /// In any order.
    #[compare(unordered)]
    pub lines: Vec<Line>,
    /// Whose.
    #[serde(rename = "mail")]
    #[compare(private)]
    pub email: String,
}

/// What can go wrong.
#[problems("desk")]
#[derive(Clone, Debug, PartialEq)]
pub enum DeskError {
    /// There is none.
    #[problem(404, "No receipt")]
    None,
}

/// A desk.
#[contract(name = "desk", version = 1)]
pub trait Desk {
    /// The receipt.
    #[query(get = "/receipt", auth = public)]
    async fn receipt(&self, cx: &Cx) -> Result<Receipt, DeskError>;
}

type Says = Arc<dyn Fn() -> Value + Send + Sync>;

fn answered(value: &Value) -> Answered {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Answered {
        status: StatusCode::OK,
        headers,
        body: value.to_string().into(),
    }
}

struct Voice(Says);

impl Serve for Voice {
    fn contract(&self) -> &'static Contract {
        &DESK
    }

    fn serve<'a>(&'a self, _: usize, _: &'a Cx, _: Asked<'a>) -> BoxFuture<'a, Answered> {
        let answer = answered(&(self.0)());
        Box::pin(async move { answer })
    }
}

impl Transport for Voice {
    fn send<'a>(&'a self, _: &'a Cx, _: &'static Contract, _: Ask) -> BoxFuture<'a, Result<Answered, Fault>> {
        let answer = answered(&(self.0)());
        Box::pin(async move { Ok(answer) })
    }
}

struct Pair {
    run: ParallelRun,
    monolith: Says,
    service: Says,
    worker: tokio::task::JoinHandle<()>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

fn pair(
    monolith: impl Fn() -> Value + Send + Sync + 'static,
    service: impl Fn() -> Value + Send + Sync + 'static,
) -> Pair {
    let (monolith, service): (Says, Says) = (Arc::new(monolith), Arc::new(service));
    let limits = ParallelLimits {
        in_flight: 1,
        ..ParallelLimits::default()
    };
    let (run, worker) = ParallelRun::new(
        &DESK,
        limits,
        Arc::new(SystemClock),
        Arc::new(Redactor::of([&DESK])),
        Arc::new(Voice(service.clone())),
        Arc::new(Voice(monolith.clone())),
    );
    Pair {
        run,
        monolith,
        service,
        worker: tokio::spawn(worker),
    }
}

impl Pair {
    /// So many calls that `by` answers, one after the other; what came of all so far.
    async fn calls(&self, times: u64, by: Side) -> ParallelSummary {
        for _ in 0..times {
            let before = self.run.summary().eligible;
            let offer = self.run.offer(0, by).unwrap();
            let seen = answered(&match by {
                Side::Monolith => (self.monolith)(),
                Side::Service => (self.service)(),
            });
            let ask = Ask {
                index: 0,
                target: "/api/v1/desk/receipt".to_owned(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                most: 1 << 20,
            };
            offer.fill(&Cx::new(Principal::ANYBODY), move || (Ok(ask), seen));
            let judged = async {
                while self.run.summary().eligible == before {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), judged).await.unwrap();
        }
        self.run.summary()
    }

    fn groups(&self) -> Vec<(String, Kind, String, u64)> {
        let groups = self.run.groups().into_iter();
        groups.map(|g| (g.place, g.kind, g.shape, g.count)).collect()
    }
}

fn counter() -> impl Fn() -> u64 + Send + Sync + 'static {
    let n = AtomicU64::new(0);
    move || n.fetch_add(1, SeqCst)
}

#[tokio::test]
async fn what_the_contract_lets_differ_is_no_mismatch() {
    let one = json!({"total": 10.0, "lines": [{"name": "a", "printedAt": 1}, {"name": "b", "printedAt": 2}], "mail": "a@b.c"});
    let other = json!({"total": 10.01, "lines": [{"name": "b", "printedAt": 8}, {"name": "a"}], "mail": "a@b.c"});
    let p = pair(move || one.clone(), move || other.clone());
    let summary = p.calls(5, Side::Monolith).await;
    assert_eq!((summary.matched, summary.mismatched), (5, 0), "{:?}", p.groups());
}

#[tokio::test]
async fn what_is_private_is_compared_and_never_kept() {
    let says = |mail: &'static str, name: &'static str| move || json!({"total": 1, "lines": [{"name": name}], "mail": mail, "deeper": {"mail": {"to": mail}}});
    let p = pair(says("ada@example.org", "x"), says("eve@example.org", "y"));
    p.calls(1, Side::Monolith).await;
    let places: Vec<_> = p.groups().into_iter().map(|g| g.0).collect();
    assert_eq!(places, ["/deeper/mail/to", "/lines/*/name", "/mail"]);
    let store = Kept::default();
    p.run.keep(&store).await.unwrap();
    let kept = format!("{:?} {:?}", p.run.groups(), store.0.lock().unwrap());
    assert!(!kept.contains("ada@") && !kept.contains("eve@"), "{kept}");
    assert!(kept.contains("hidden-"), "{kept}");
}

#[tokio::test]
async fn a_field_that_is_always_another_becomes_noise_and_hides_nothing_else() {
    for by in [Side::Monolith, Side::Service] {
        let (one, other) = (counter(), counter());
        let wrong = Arc::new(AtomicU64::new(0));
        let seen = wrong.clone();
        let id = |n: u64, side: u64| format!("0198f2d4-0000-7000-8000-{side:04x}{n:08x}");
        let p = pair(
            move || json!({"request": id(one(), 1), "total": 5}),
            move || match seen.load(SeqCst) {
                0 => json!({"request": id(other(), 2), "total": 5}),
                1 => json!({"request": id(other(), 2), "total": 6}),
                _ => json!({"request": "no such thing", "total": 5}),
            },
        );
        let first = p.calls(100, by).await;
        assert_eq!(first.mismatched, 0, "{by:?}: {:?}", p.groups());
        assert!(first.inconclusive >= 29 && first.matched >= 60, "{by:?}: {first:?}");
        assert_eq!(first.open["state_moved"], first.inconclusive);
        let noise = p.run.noise();
        assert_eq!(
            (noise.len(), noise[0].place.as_str(), noise[0].shape.as_str()),
            (1, "/request", "uuid")
        );
        wrong.store(1, SeqCst);
        p.calls(3, by).await;
        assert_eq!(
            p.groups(),
            [("/total".into(), Kind::Value, "number".into(), 3)],
            "{by:?}"
        );
        let example = &p.run.groups()[0].example;
        assert_eq!((&example.local, &example.remote), (&json!(5), &json!(6)), "{by:?}");
        wrong.store(2, SeqCst);
        p.calls(2, by).await;
        let texts: Vec<_> = p.groups().into_iter().filter(|g| g.0 == "/request").collect();
        match by {
            Side::Monolith => assert_eq!(
                texts,
                [],
                "the monolith's is another each time: that is not held against a text yet"
            ),
            Side::Service => assert_eq!(texts, [("/request".into(), Kind::Value, "uuid to text".into(), 2)]),
        }
    }
}

#[tokio::test]
async fn races_are_no_mismatches_and_a_bug_among_them_is_found() {
    let seed = rand::random();
    println!("seed {seed}");
    for by in [Side::Monolith, Side::Service] {
        // Often, so that the places become noise; and seldom, so that they never do.
        for often in [0.4, 0.01] {
            let state = Arc::new(Mutex::new((StdRng::seed_from_u64(seed), 0_u64)));
            // Between any two looks the state may move.
            let look = |wrong: u64| {
                let state = state.clone();
                move || {
                    let mut state = state.lock().unwrap();
                    if state.0.random_bool(often) {
                        state.1 += 1;
                    }
                    json!({"version": state.1 + wrong, "twice": state.1 * 2, "fixed": 7 + wrong})
                }
            };
            let faithful = pair(look(0), look(0));
            let summary = faithful.calls(3_000, by).await;
            assert_eq!(summary.mismatched, 0, "{by:?} {often}: {:?}", faithful.groups());
            assert!(
                summary.inconclusive > 0 && summary.matched > 2_000,
                "{by:?} {often}: {summary:?}"
            );
            let wrong = pair(look(0), look(1));
            wrong.calls(300, by).await;
            let found = wrong.groups();
            assert!(
                found.iter().any(|g| g.0 == "/fixed" && g.3 > 200),
                "{by:?} {often}: {found:?}"
            );
            assert!(found.iter().any(|g| g.0 == "/version"), "{by:?} {often}: {found:?}");
        }
    }
}

#[tokio::test]
async fn a_bug_in_every_element_is_one_group() {
    let says = |add: u64| move || json!({"items": (0..20).map(|i| json!({"n": i + add})).collect::<Vec<_>>()});
    let p = pair(says(0), says(100));
    p.calls(4, Side::Monolith).await;
    assert_eq!(p.groups(), [("/items/*/n".into(), Kind::Value, "number".into(), 4)]);
    assert_eq!(p.run.groups()[0].path, "/items/0/n");
}

/// Groups as they were kept.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<String, Group>>);

fn name(key: &GroupKey) -> String {
    format!("{key:?}")
}

impl GroupStore for Kept {
    fn save<'a>(&'a self, _: &'a str, groups: Vec<Group>, removed: Vec<GroupKey>) -> BoxFuture<'a, Result<(), String>> {
        let mut kept = self.0.lock().unwrap();
        removed.iter().for_each(|key| _ = kept.remove(&name(key)));
        kept.extend(groups.into_iter().map(|group| (name(&group.key()), group)));
        Box::pin(async { Ok(()) })
    }

    fn load<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Group>, String>> {
        let all = self.0.lock().unwrap().values().cloned().collect();
        Box::pin(async move { Ok(all) })
    }
}

#[tokio::test]
async fn groups_are_bounded_and_survive_and_can_be_known_or_forgotten() {
    let field = counter();
    let p = pair(
        || json!({"a": 1}),
        move || json!({"a": 1, format!("x{}", char::from_u32(0x4e00 + field() as u32 / 2).unwrap()): 1}),
    );
    let summary = p.calls(230, Side::Monolith).await;
    assert_eq!(summary.mismatched, 230);
    assert_eq!((p.groups().len(), p.run.unlisted()), (200, 30));
    let store = Kept::default();
    p.run.keep(&store).await.unwrap();
    let again = pair(|| json!({}), || json!({}));
    again.run.restore(&store).await.unwrap();
    let whole = |groups: Vec<Group>| groups.iter().map(|g| (g.key(), g.count)).collect::<Vec<_>>();
    assert_eq!(whole(again.run.groups()), whole(p.run.groups()));
    let group = again.run.groups().remove(0);
    assert!(group.example.answers.is_some());
    assert!(
        again
            .run
            .acknowledge(&group.key(), Some(SystemClock.now() + chrono::TimeDelta::days(1)))
    );
    assert_eq!(again.run.groups().last().unwrap().key(), group.key());
    again.run.keep(&store).await.unwrap();
    assert!(
        store.0.lock().unwrap()[&name(&group.key())]
            .acknowledged_until
            .is_some()
    );
    assert!(again.run.forget(&group.key()) && !again.run.forget(&group.key()));
    again.run.keep(&store).await.unwrap();
    assert_eq!((again.groups().len(), store.0.lock().unwrap().len()), (199, 199));
}

#[tokio::test]
async fn an_old_group_makes_room() {
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let field = counter();
    let voice = move || json!({ format!("x{}", char::from_u32(0x4e00 + field() as u32 / 2).unwrap()): 1 });
    let (service, monolith): (Says, Says) = (Arc::new(voice), Arc::new(|| json!({})));
    let (run, worker) = ParallelRun::new(
        &DESK,
        ParallelLimits::default(),
        clock.clone(),
        Arc::new(Redactor::of([&DESK])),
        Arc::new(Voice(service.clone())),
        Arc::new(Voice(monolith.clone())),
    );
    let p = Pair {
        run,
        monolith,
        service,
        worker: tokio::spawn(worker),
    };
    p.calls(200, Side::Monolith).await;
    clock.advance(chrono::TimeDelta::hours(25));
    p.calls(10, Side::Monolith).await;
    assert_eq!((p.groups().len(), p.run.unlisted()), (200, 0));
}
