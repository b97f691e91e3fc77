//! A candidate in another language takes part in a parallel run: `tests/candidate`, in Python, with data of its own.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::Method;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use serde_json::{Value, json};
use system_tests::{Answer, Options, PythonCatalog, Random, System, banyan, eventually, office, seed};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::readme::commands;

const SOON: Duration = Duration::from_secs(120);

/// A box office whose catalog is compared, and how many of its calls were.
#[derive(Clone)]
struct Compared {
    system: Arc<System>,
    in_shadow: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
}

impl Compared {
    /// Everything is compared, however slow the machine is.
    async fn start(timeout_ms: u32) -> Self {
        let env = [("QUEUE", 16_384), ("IN_FLIGHT", 64), ("TIMEOUT_MS", timeout_ms)];
        let env = env.map(|(key, value)| (format!("BANYAN_PARALLEL_RUN__{key}"), value.to_string()));
        // No call may have less time than a comparison.
        let env = env
            .into_iter()
            .chain([("BANYAN_REMOTE__TIMEOUT_MS".to_owned(), "60000".to_owned())]);
        let options = Options {
            env: env.collect(),
            ..Options::default()
        };
        Self {
            system: Arc::new(System::with(options).await),
            in_shadow: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// Compares the catalog from now on, or does not.
    async fn stage(&self, stage: &str) {
        self.system.stage("catalog", stage).await;
        self.in_shadow.store(stage == "shadow", Relaxed);
    }

    /// Asks the catalog; the monolith has to answer, as if nobody compared anything.
    async fn get(&self, path: &str) -> Answer {
        let answer = self.system.get(&format!("/api/v1/catalog/{path}")).await;
        self.answered(answer)
    }

    async fn put(&self, path: &str, body: &Value) -> Answer {
        let answer = self.system.put(&format!("/api/v1/catalog/{path}"), body).await;
        self.answered(answer)
    }

    async fn cancel(&self, show: Uuid) {
        let token = format!("Bearer {}", self.system.token());
        let answer = self
            .system
            .send(
                Method::DELETE,
                &office::show_path(show),
                &[("authorization", &token)],
                "",
            )
            .await;
        assert_eq!(self.answered(answer.expect("an answer")).status, 204);
    }

    fn answered(&self, answer: Answer) -> Answer {
        assert_eq!(answer.served("catalog"), "local", "{answer:?}");
        assert!(answer.status < 500, "{answer:?}");
        self.asked.fetch_add(u64::from(self.in_shadow.load(Relaxed)), Relaxed);
        answer
    }

    /// Announces a show with two prices, neither of them round.
    async fn announce(&self) -> Uuid {
        let (act, venue, show) = (office::id(), office::id(), office::id());
        let section = |name: &str| json!({"name": name, "rows": 2, "seats_per_row": 5});
        let house = json!({"name": "The Test House", "city": "Graz", "time_zone": "Europe/Vienna",
            "sections": [section("Stalls"), section("Balcony")]});
        for (path, body) in [
            (format!("acts/{act}"), office::act("Test Act")),
            (format!("venues/{venue}"), house),
            (format!("shows/{show}"), priced(act, venue, 4455)),
        ] {
            let answer = self.put(&path, &body).await;
            assert_eq!(answer.status, 201, "{answer:?}");
        }
        show
    }

    /// The counts, once every call was judged.
    async fn judged(&self) -> Value {
        let asked = self.asked.load(Relaxed);
        eventually("every call is judged", SOON, || async {
            let run = self.system.on_map("catalog").await["parallel_run"].clone();
            (run["eligible"] == asked).then_some(run)
        })
        .await
    }

    /// The groups of mismatches: of which operation, where and in what way.
    async fn groups(&self) -> Vec<[String; 3]> {
        let said = self.system.run(&["diffs", "catalog", "--json"]).await;
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let groups = said["groups"].as_array().expect("groups");
        let of = |group: &Value, key: &str| group[key].as_str().expect("a text").to_owned();
        let group = |g: &Value| ["operation", "path", "kind"].map(|key| of(g, key));
        groups.iter().map(group).collect()
    }
}

/// The body of a show. Its time is written in another zone than the answer will have.
fn priced(act: Uuid, venue: Uuid, amount: u64) -> Value {
    let price =
        |section: &str, amount: u64| json!({"section": section, "price": {"amount": amount, "currency": "EUR"}});
    json!({"act": act, "venue": venue, "starts_at": "2031-05-01T19:30:00.25+02:00",
        "prices": [price("Stalls", amount), price("Balcony", amount + 1001)]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_in_python_agrees_with_everything() {
    if !PythonCatalog::can_run("a catalog in Python agrees") {
        return;
    }
    let mut random = seed("a_catalog_in_python_agrees_with_everything");
    let compared = Compared::start(30_000).await;
    let system = compared.system.clone();
    // The log may be far behind here: the disk is everybody's.
    let candidate = PythonCatalog::start(&system, &["--own-ids", "--own-clock", "--grace", "1"]).await;
    compared.stage("shadow").await;
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        clients.spawn(promoter(compared.clone(), Random::seed_from_u64(random.random())));
    }
    while let Some(done) = clients.join_next().await {
        done.expect("a promoter ends in order");
    }
    let run = compared.judged().await;
    assert_eq!(compared.groups().await, Vec::<[String; 3]>::new(), "{run}");
    for none in ["mismatched", "candidate_error", "timed_out", "dropped"] {
        assert_eq!(run[none], 0, "{run}");
    }
    // Lists that others write to while they are compared tell nothing; most answers do.
    let (matched, eligible) = (run["matched"].as_u64(), run["eligible"].as_u64());
    assert!(matched.zip(eligible).is_some_and(|(m, e)| m * 3 > e * 2), "{run}");
    candidate.end(&system).await;
}

/// Announces, changes and cancels shows, and looks at what is there at every turn.
async fn promoter(compared: Compared, mut random: Random) {
    let mut shows = Vec::new();
    for _ in 0..12 {
        let show = compared.announce().await;
        let seen = compared.get(&format!("shows/{show}")).await.json();
        let id = |key: &str| {
            seen[key]
                .as_str()
                .and_then(|id| id.parse::<Uuid>().ok())
                .expect("an id")
        };
        let (act, venue) = (id("act"), id("venue"));
        shows.push(show);
        if random.random_ratio(1, 2) {
            let amount = random.random_range(1..1_000_000);
            compared
                .put(&format!("shows/{show}"), &priced(act, venue, amount))
                .await;
        }
        if random.random_ratio(1, 4) {
            compared.cancel(show).await;
        }
        // Just so already, and refused. (What cannot be read is refused in the words of each side.)
        let (nobody, path) = (office::id(), format!("shows/{show}"));
        for (body, status) in [
            (priced(act, venue, 4455), &[200, 410][..]),
            (priced(nobody, venue, 4455), &[422, 410]),
        ] {
            let answer = compared.put(&path, &body).await;
            assert!(status.contains(&answer.status), "{answer:?}");
        }
        let some = shows.choose(&mut random).copied().unwrap_or(show);
        let (from, limit) = (random.random_range(10..28), random.random_range(1..=100));
        for path in [
            format!("shows/{show}"),
            format!("shows/{some}"),
            format!("acts/{act}"),
            format!("venues/{venue}"),
            format!("shows/{act}"),
            format!("shows?from=2026-12-{from}T00:00:00Z&limit={limit}"),
            format!("shows?act={act}"),
            "shows?city=GRAZ&limit=3".to_owned(),
            "shows?search=the&limit=7".to_owned(),
            "shows?limit=0".to_owned(),
        ] {
            let answer = compared.get(&path).await;
            if let Some(next) = answer.json()["next"].as_str() {
                let more = if path.contains('?') {
                    format!("{path}&cursor={next}")
                } else {
                    path
                };
                compared.get(&more).await;
            }
        }
    }
}

/// Each mistake, and the one group that it is: of which operation, where and in what way.
const MISTAKES: [(&str, [&str; 3]); 18] = [
    ("value", ["catalog.show", "/prices/0/price/amount", "value"]),
    ("rounding", ["catalog.show", "/prices/0/price/amount", "value"]),
    ("type", ["catalog.show", "/prices/0/price/amount", "type"]),
    ("missing", ["catalog.show", "/venue", "missing"]),
    ("extra", ["catalog.show", "/sold_out", "extra"]),
    ("order", ["catalog.show", "/prices", "order"]),
    ("status", ["catalog.show", "", "status"]),
    (
        "value@catalog.announce",
        ["catalog.announce", "/prices/0/price/amount", "value"],
    ),
    (
        "rounding@catalog.announce",
        ["catalog.announce", "/prices/0/price/amount", "value"],
    ),
    (
        "type@catalog.announce",
        ["catalog.announce", "/prices/0/price/amount", "type"],
    ),
    ("missing@catalog.announce", ["catalog.announce", "/venue", "missing"]),
    ("extra@catalog.announce", ["catalog.announce", "/sold_out", "extra"]),
    ("order@catalog.announce", ["catalog.announce", "/prices", "order"]),
    ("status@catalog.announce", ["catalog.announce", "", "status"]),
    (
        "missing-event",
        ["catalog.announce", "/then/events/catalog.show.announced", "effect"],
    ),
    (
        "doubled-event",
        ["catalog.announce", "/then/events/catalog.show.announced", "effect"],
    ),
    ("extra-row", ["catalog.announce", "/then/rows/poster", "effect"]),
    (
        "wrong-row",
        [
            "catalog.announce",
            "/then/rows/show/state/show/prices/0/price/amount",
            "effect",
        ],
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mistake_in_python_is_one_group() {
    if !PythonCatalog::can_run("each mistake in Python is one group") {
        return;
    }
    let compared = Compared::start(30_000).await;
    let system = compared.system.clone();
    let mut mismatched = 0;
    let mut wrong = Vec::new();
    for (mistake, group) in MISTAKES {
        let show = compared.announce().await;
        let candidate = PythonCatalog::start(&system, &["--mistake", mistake]).await;
        compared.stage("shadow").await;
        for _ in 0..3 {
            assert_eq!(compared.get(&format!("shows/{show}")).await.status, 200);
            compared.announce().await;
        }
        let run = compared.judged().await;
        mismatched += 3;
        let found = compared.groups().await;
        if run["mismatched"] != mismatched || found != [group.map(str::to_owned)] {
            wrong.push(format!("{mistake}: {found:?}\n{run}"));
            mismatched = run["mismatched"].as_u64().expect("a count");
        }
        system.run(&["diffs", "catalog", "--forget", "--why", "mended"]).await;
        compared.stage("local").await;
        candidate.end(&system).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_a_python_that_does_not_answer() {
    if !PythonCatalog::can_run("nobody notices a Python that does not answer") {
        return;
    }
    let compared = Compared::start(1_000).await;
    let system = compared.system.clone();
    let show = compared.announce().await;
    for mistake in ["hang", "huge", "halfway", "crash"] {
        let mut candidate = PythonCatalog::start(&system, &["--mistake", mistake]).await;
        compared.stage("shadow").await;
        let before = compared.judged().await;
        for _ in 0..10 {
            assert_eq!(compared.get(&format!("shows/{show}")).await.status, 200);
        }
        let run = compared.judged().await;
        let lost = |run: &Value| {
            run["timed_out"]
                .as_u64()
                .zip(run["candidate_error"].as_u64())
                .map(|(t, e)| t + e)
        };
        assert_eq!(lost(&run), lost(&before).map(|n| n + 10), "{mistake}: {run}");
        assert_eq!(
            (&run["compared"], compared.groups().await.len()),
            (&json!(0), 0),
            "{mistake}: {run}"
        );
        if mistake == "hang" {
            assert_eq!(run["timed_out"], 10, "{run}");
        }
        compared.stage("local").await;
        if mistake == "crash" {
            eventually("it has ended", SOON, || {
                std::future::ready(candidate.has_ended().then_some(()))
            })
            .await;
        } else {
            candidate.end(&system).await;
        }
    }
}

#[tokio::test]
async fn the_guide_runs_as_written() {
    if !PythonCatalog::can_run("the guide to a candidate in another language") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = std::fs::read_to_string(root.join("docs/guides/try-a-candidate.md")).expect("the guide");
    let system = System::start().await;
    let sections = ["Start it", "Compare", "Be wrong", "End it"];
    let blocks: Vec<_> = sections.iter().flat_map(|section| commands(&guide, section)).collect();
    assert_eq!(blocks.len(), sections.len());
    // One shell, as for a person. Only the addresses and places are those of this test.
    let said = |n: usize| format!("echo '--- {n}'\n");
    let script: String = blocks
        .iter()
        .enumerate()
        .map(|(n, block)| said(n) + block.as_str())
        .collect();
    let script = script
        .replace("http://127.0.0.1:8080", &system.public())
        .replace("http://127.0.0.1:8081", &system.internal())
        .replace("target/debug/banyan", &banyan().display().to_string())
        .replace("tests/candidate/", &root.join("tests/candidate/").display().to_string());
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &script])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(system.folder());
    let model = system.command(&[]);
    command.envs(model.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let run = tokio::task::spawn_blocking(move || command.output());
    let out = tokio::time::timeout(SOON, run)
        .await
        .expect("it ends")
        .expect("joined")
        .expect("bash runs");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    let said = |n: usize| text.split("--- ").nth(n + 1).expect("a part").to_owned();
    assert!(
        said(1).contains("100.00 %") && !said(1).contains("catalog.show "),
        "{text}"
    );
    assert!(said(2).contains("\"amount\":4455"), "{text}");
    assert!(said(2).contains("/prices/0/price/amount"), "{text}");
    assert!(said(3).contains("catalog: shadow → local"), "{text}");
}
