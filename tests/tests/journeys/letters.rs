//! Dead letters and stuck sagas, as an operator meets them: listed, shown, decided about, audited, on the map and among the
//! metrics. The letters are real: the control plane's own subscription meets a table that refuses its rows.

use std::time::Duration;

use http::Method;
use sea_orm::{ConnectionTrait, Database as Connect, DatabaseConnection, Statement, Value as Bound};
use serde_json::{Value, json};
use strangler::{Clock, SystemClock};
use system_tests::{Database, Options, System, eventually, holds_soon, office, prometheus};
use uuid::Uuid;

pub const SOON: Duration = Duration::from_secs(20);
/// A name that may stand in no log.
const PERSONAL: &str = "Ada Personal";

/// A schema of the running system, as somebody with its database's password sees it.
pub struct Schema {
    connection: DatabaseConnection,
    /// What its tables' names begin with.
    prefix: String,
}

impl Schema {
    pub async fn of(system: &System, database: Option<&Database>, schema: &str) -> Self {
        let (url, prefix) = match database {
            Some(database) => (database.url(), format!("{schema}.")),
            None => {
                let file = system.data().join(format!("{schema}.db"));
                (format!("sqlite:{}", file.display()), String::new())
            }
        };
        let connection = Connect::connect(url).await.expect("opened");
        Self { connection, prefix }
    }

    pub async fn run(&self, sql: &str) {
        let sql = sql.replace("SCHEMA.", &self.prefix);
        self.connection.execute_unprepared(&sql).await.expect(&sql);
    }

    pub async fn bind(&self, sql: &str, values: Vec<Bound>) {
        let sql = sql.replace("SCHEMA.", &self.prefix);
        let statement = Statement::from_sql_and_values(self.connection.get_database_backend(), &sql, values);
        self.connection.execute_raw(statement).await.expect(&sql);
    }

    /// From now on what happened to acts cannot be written down.
    pub async fn break_it(&self) {
        if self.prefix.is_empty() {
            let refuse = "SELECT RAISE(ABORT, 'refused as told')";
            return self
                .run(&format!("CREATE TRIGGER broken BEFORE INSERT ON happened WHEN NEW.kind = 'catalog.act.changed' BEGIN {refuse}; END"))
                .await;
        }
        self.run("CREATE OR REPLACE FUNCTION SCHEMA.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused as told'; END $$")
            .await;
        self.run("CREATE TRIGGER broken BEFORE INSERT ON SCHEMA.happened FOR EACH ROW WHEN (NEW.kind = 'catalog.act.changed') EXECUTE FUNCTION SCHEMA.refuse()")
            .await;
    }

    pub async fn mend(&self) {
        let on = if self.prefix.is_empty() {
            ""
        } else {
            " ON SCHEMA.happened"
        };
        self.run(&format!("DROP TRIGGER broken{on}")).await;
    }
}

pub async fn json_of(system: &System, args: &[&str]) -> Value {
    serde_json::from_str(&system.run(args).await).expect("JSON")
}

/// Exit status and what was said on stderr.
pub async fn refused(system: &System, args: &[&str]) -> (Option<i32>, String) {
    let out = system.cli(args).await;
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

/// Changes an act until a letter of it is parked; `events` are its changes, the first of which fails. Answers its line.
async fn parked(system: &System, schema: &Schema, changes: usize) -> Value {
    let act = format!("/api/v1/catalog/acts/{}", office::id());
    for n in 0..=changes {
        let answer = system.put(&act, &office::act(&format!("{PERSONAL} {n}"))).await;
        assert!(answer.status < 300, "{answer:?}");
    }
    eventually("a dead letter", SOON, || async {
        // Seven attempts less to wait for: the eighth is the last.
        schema
            .run("UPDATE SCHEMA.set_aside SET attempts = 7 WHERE due_at IS NOT NULL")
            .await;
        let list = json_of(system, &["dead-letters", "list", "--json"]).await;
        let first = list["dead_letters"].as_array().and_then(|l| l.first().cloned());
        first.filter(|letter| letter["waiting"] == changes - 1)
    })
    .await
}

async fn metrics(system: &System) -> prometheus::Metrics {
    let answer = system
        .inside(Method::GET, "/metrics", None, "")
        .await
        .expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = String::from_utf8(answer.body.to_vec()).expect("text");
    prometheus::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

async fn decided(system: &System, database: Option<&Database>) {
    let schema = Schema::of(system, database, "strangler").await;
    assert_eq!(
        json_of(system, &["dead-letters", "list", "--json"]).await["dead_letters"],
        json!([])
    );
    let (code, told) = refused(system, &["dead-letters", "retry", "--all"]).await;
    assert!(
        code == Some(3) && told.contains("there are no dead letters"),
        "{code:?} {told}"
    );

    schema.break_it().await;
    let letter = parked(system, &schema, 2).await;
    let id = letter["id"].as_str().expect("an id").to_owned();
    let (subscription, event) = (&letter["subscription"], &letter["event"]);
    assert_eq!(
        (&letter["module"], subscription),
        (&"strangler".into(), &"happened-catalog".into())
    );
    assert_eq!(
        (event, &letter["source"]),
        (&"catalog.act.changed".into(), &"catalog".into())
    );
    assert!(
        letter["attempts"].as_u64() >= Some(2) && letter["first_at"].as_str() < letter["last_at"].as_str(),
        "{letter}"
    );
    assert!(
        letter["error"].as_str().is_some_and(|e| e.contains("refused as told")),
        "{letter}"
    );
    assert!(!letter.to_string().contains(PERSONAL), "a list shows no event's data");
    let table = system
        .run(&["dead-letters", "list", "strangler/happened-catalog"])
        .await;
    assert!(table.contains(&id) && table.lines().count() == 2, "{table}");
    assert!(system.cli(&["dead-letters", "list", "catalog"]).await.stdout.is_empty());

    let shown = json_of(system, &["dead-letters", "show", &id, "--json"]).await;
    assert_eq!(shown["envelope"]["data"]["name"], format!("{PERSONAL} 1"));
    assert!(
        shown["envelope"]["traceparent"].as_str().is_some_and(|t| t.len() == 55),
        "{shown}"
    );
    assert_eq!(
        (shown["state"].as_str(), &shown["resolved_by"]),
        (Some("parked"), &Value::Null)
    );
    let text = system.run(&["dead-letters", "show", &id]).await;
    assert!(
        text.contains(PERSONAL) && text.contains("tried") && text.contains("refused as told"),
        "{text}"
    );

    // It is on the map, among the metrics, and no reason to take the system out of service.
    let status = json_of(system, &["status", "--json"]).await;
    assert_eq!(
        (&status["health"], &status["control"]["health"]),
        (&"degraded".into(), &"degraded".into())
    );
    assert_eq!(status["control"]["backlog"]["dead_letters"]["parked"], 1);
    assert_eq!(status["control"]["backlog"]["dead_letters"]["set_aside"], 1);
    assert_eq!(status["modules"][0]["health"], "ok");
    assert!(
        system
            .run(&["status"])
            .await
            .contains("1 dead letter of strangler: see `banyan dead-letters list`")
    );
    assert_eq!(system.get("/readyz").await.status, 200);
    holds_soon("the metrics follow", SOON, || async {
        let page = metrics(system).await;
        page.value("banyan_dead_letters", &[("module", "strangler")]) == Some(1.0)
            && page.value("banyan_degraded", &[("module", "strangler")]) == Some(1.0)
    })
    .await;

    // Wrong names, and what nobody may do.
    for (args, code) in [
        (&["dead-letters", "show", "strangler/happened-catalog/999999"][..], 2),
        (&["dead-letters", "show", "nonsense"], 2),
        (&["dead-letters", "retry"], 2),
        (&["dead-letters", "retry", &id, "--all"], 2),
        (&["dead-letters", "discard", "strangler/happened-catalog/999999"], 2),
        (&["dead-letters", "retry", "--of", "nowhere"], 2),
        (&["dead-letters", "retry", "--of", "catalog"], 3),
    ] {
        let (exit, told) = refused(system, args).await;
        assert!(exit == Some(code) && told.len() > 30, "{args:?}: {exit:?} {told}");
    }

    // Mended and retried: it is handled, and the one behind it too.
    schema.mend().await;
    assert_eq!(
        system.run(&["dead-letters", "retry", &id, "--why", "mended"]).await,
        "1 dead letter retried\n"
    );
    let (code, told) = refused(system, &["dead-letters", "retry", &id]).await;
    assert!(
        code == Some(3) && told.contains("retried by operator already"),
        "{code:?} {told}"
    );
    holds_soon("all is well again", SOON, || async {
        let status = json_of(system, &["status", "--json"]).await;
        let backlog = &status["control"]["backlog"];
        status["health"] == "ok" && backlog["dead_letters"]["set_aside"] == 0 && backlog["subscriptions"][0]["lag"] == 0
    })
    .await;
    let shown = json_of(system, &["dead-letters", "show", &id, "--json"]).await;
    assert_eq!(
        (&shown["state"], &shown["resolved_by"]),
        (&"retried".into(), &"operator".into())
    );

    // Discarded: gone for good, and what was behind it goes on.
    schema.break_it().await;
    let second = parked(system, &schema, 1).await;
    let done = json_of(
        system,
        &[
            "dead-letters",
            "discard",
            "--of",
            "strangler/happened-catalog",
            "--json",
        ],
    )
    .await;
    assert_eq!(done, json!({"done": 1, "more": false}));
    schema.mend().await;
    assert_eq!(
        json_of(system, &["dead-letters", "list", "--json"]).await["dead_letters"],
        json!([])
    );

    let audit = json_of(system, &["audit", "--json"]).await;
    let lines: Vec<_> = audit["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .rev()
        .take(2)
        .collect();
    let line =
        |n: usize| ["by", "target", "from", "to"].map(|key| lines[n][key].as_str().unwrap_or_default().to_owned());
    let target = |letter: &Value| format!("dead-letter {}", letter["id"].as_str().unwrap_or_default());
    assert_eq!(line(0), ["operator", &target(&second), "parked", "discarded"]);
    assert_eq!(line(1), ["operator", &target(&letter), "parked", "retried"]);
    assert_eq!((&lines[1]["why"], &lines[0]["why"]), (&"mended".into(), &Value::Null));
    assert!(!system.log().contains(PERSONAL), "an event's data stood in the log");
}

async fn resumed(system: &System, database: Option<&Database>) {
    let schema = Schema::of(system, database, "catalog").await;
    let (stuck, running) = (office::id(), office::id());
    let now = SystemClock.now();
    for (id, status, overdue) in [(running, "running", true), (stuck, "stuck", false)] {
        let values: Vec<Bound> = vec![
            id.into(),
            status.into(),
            overdue.into(),
            json!({"email": PERSONAL}).into(),
            json!({"stuck": {"step": "capture"}}).into(),
            now.into(),
        ];
        let insert = "INSERT INTO SCHEMA.sagas (id, kind, version, status, undoing, step, state, attempts, due_at, deadline, \
                      overdue, reason, traceparent, began_at, changed_at) \
                      VALUES ($1, 'purchase', 3, $2, FALSE, 'capture', $4, 2, NULL, $6, $3, $5, '00-1-2-01', $6, $6)";
        schema.bind(insert, values).await;
        let step = "INSERT INTO SCHEMA.saga_steps (saga, step, deed, state, attempts, at, outcome) \
                    VALUES ($1, 'capture', 'do', 'started', 2, $2, NULL)";
        schema.bind(step, vec![id.into(), now.into()]).await;
    }
    let list = json_of(system, &["sagas", "list", "--json"]).await;
    let lines = list["sagas"].as_array().expect("sagas");
    let ids: Vec<_> = lines.iter().map(|s| s["id"].as_str().unwrap_or_default()).collect();
    assert_eq!(
        ids,
        [stuck.to_string(), running.to_string()],
        "what needs a person comes first"
    );
    assert!(
        lines[1]["overdue"] == true && !list.to_string().contains(PERSONAL),
        "{list}"
    );
    let table = system
        .run(&["sagas", "list", "--status", "stuck", "--module", "catalog"])
        .await;
    assert!(
        table.contains(&stuck.to_string()) && !table.contains(&running.to_string()),
        "{table}"
    );

    let status = json_of(system, &["status", "--json"]).await;
    let sagas = &status["modules"][0]["backlog"]["sagas"];
    assert_eq!(
        (&sagas["stuck"], &sagas["overdue"], &sagas["running"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(
        (&status["health"], &status["modules"][0]["health"]),
        (&"degraded".into(), &"degraded".into())
    );
    let page = eventually("the metrics follow", SOON, || async {
        let page = metrics(system).await;
        let stuck = page.value("banyan_sagas", &[("module", "catalog"), ("state", "stuck")]);
        (stuck == Some(1.0)).then_some(page)
    })
    .await;
    assert_eq!(page.value("banyan_sagas_overdue", &[("module", "catalog")]), Some(1.0));

    let shown = json_of(system, &["sagas", "show", &stuck.to_string(), "--json"]).await;
    assert_eq!(
        (&shown["state"]["email"], &shown["steps"][0]["state"]),
        (&PERSONAL.into(), &"started".into())
    );
    let named = format!("catalog/{stuck}");
    assert!(system.run(&["sagas", "show", &named]).await.contains("capture"));
    for (args, code) in [
        (&["sagas", "resume", &running.to_string()][..], 3),
        (&["sagas", "resume", &office::id().to_string()], 2),
        (&["sagas", "show", "nonsense"], 2),
        (&["sagas", "list", "--status", "odd"], 2),
        (&["sagas", "resume", "--module", "strangler"], 3),
        (&["sagas", "resume"], 2),
    ] {
        let (exit, told) = refused(system, args).await;
        assert!(exit == Some(code) && told.len() > 30, "{args:?}: {exit:?} {told}");
    }
    let done = json_of(system, &["sagas", "resume", "--all", "--why", "mended", "--json"]).await;
    assert_eq!(done, json!({"resumed": 1, "more": false}));
    let shown = json_of(system, &["sagas", "show", &named, "--json"]).await;
    assert!(shown["due_at"].is_string(), "whoever works on it finds it: {shown}");
    let audit = json_of(system, &["audit", "--json"]).await;
    let last = audit["entries"].as_array().and_then(|e| e.last()).expect("an entry");
    let line = ["by", "target", "from", "to", "why"].map(|key| last[key].as_str().unwrap_or_default().to_owned());
    assert_eq!(
        line,
        ["operator", &format!("saga {named}"), "stuck", "resumed", "mended"]
    );
    assert!(
        !system.log().contains(PERSONAL),
        "what a saga works on stood in the log"
    );
    let unused: Uuid = office::id();
    assert!(
        system
            .cli(&["sagas", "show", &unused.to_string()])
            .await
            .stdout
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_decides_about_what_could_not_be_handled() {
    let system = System::start().await;
    decided(&system, None).await;
    resumed(&system, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_decides_about_what_could_not_be_handled_on_postgres() {
    let Some(database) = Database::make("dead letters and sagas").await else {
        return;
    };
    let system = System::with(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    decided(&system, Some(&database)).await;
    resumed(&system, Some(&database)).await;
    drop(system);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_does_not_answer_delays_no_status() {
    let system = System::start().await;
    let schema = Schema::of(&system, None, "catalog").await;
    // Its tables as nobody expects them: the figures of this module are unknown, all others are there.
    schema.run("ALTER TABLE saga_steps RENAME TO elsewhere").await;
    schema.run("ALTER TABLE sagas RENAME TO nowhere").await;
    let status = json_of(&system, &["status", "--json"]).await;
    let module = &status["modules"][0];
    assert_eq!(
        (&module["backlog"], &module["health"]),
        (&Value::Null, &"degraded".into())
    );
    assert!(
        status["control"]["backlog"].is_object() && status["control"]["health"] == "ok",
        "{status}"
    );
    let page = metrics(&system).await;
    assert_eq!(page.value("banyan_sagas_overdue", &[("module", "catalog")]), None);
    assert_eq!(
        page.value("banyan_sagas_overdue", &[("module", "strangler")]),
        Some(0.0)
    );
    let list = json_of(&system, &["sagas", "list", "--json"]).await;
    assert_eq!(list["not_read"].as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(system.get("/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_count_what_was_asked() {
    let system = System::start().await;
    let (show, _) = system.announce().await;
    for _ in 0..3 {
        assert_eq!(system.get(&office::show_path(show)).await.status, 200);
    }
    let act = format!("/api/v1/catalog/acts/{}", office::id());
    let answer = system
        .send(Method::PUT, &act, &[], office::act("Nobody").to_string())
        .await;
    assert_eq!(answer.expect("an answer").status, 401);
    let page = metrics(&system).await;
    let of = |name: &str, operation: &str, more: &[(&str, &str)]| {
        let labels: Vec<_> = [("module", "catalog"), ("operation", operation)]
            .iter()
            .chain(more)
            .copied()
            .collect();
        page.value(name, &labels)
    };
    assert_eq!(
        of("banyan_operation_answered_total", "show", &[("side", "local")]),
        Some(3.0)
    );
    assert_eq!(
        of("banyan_operation_answered_total", "show", &[("side", "remote")]),
        Some(0.0)
    );
    assert_eq!(
        of("banyan_operation_duration_seconds_count", "show", &[("side", "local")]),
        Some(3.0)
    );
    assert_eq!(of("banyan_operation_refused_total", "announce_act", &[]), Some(1.0));
    assert_eq!(of("banyan_operation_failures_total", "show", &[]), Some(0.0));
    assert_eq!(
        page.value(
            "banyan_parallel_run_total",
            &[("module", "catalog"), ("verdict", "matched")]
        ),
        Some(0.0)
    );
    assert_eq!(
        page.value("banyan_instances", &[("module", "catalog"), ("state", "healthy")]),
        Some(0.0)
    );
    let memory = page.value("process_resident_memory_bytes", &[]).expect("memory");
    assert!((1e6..1e9).contains(&memory), "{memory}");
    let started = page.value("process_start_time_seconds", &[]).expect("a start");
    let age = SystemClock.now().timestamp() as f64 - started;
    assert!((-2.0..120.0).contains(&age), "started {age} s ago");
    holds_soon("the log and who reads it", SOON, || async {
        let page = metrics(&system).await;
        let lag = page.value(
            "banyan_subscription_lag_events",
            &[("subscription", "happened-catalog")],
        );
        page.value("banyan_event_log_head", &[("module", "catalog")]) > Some(40.0) && lag == Some(0.0)
    })
    .await;
    // What callers send is no label.
    let text = format!("{:?}", page.samples);
    assert!(
        !text.contains(&show.to_string()) && page.samples.len() < 1000,
        "{} samples",
        page.samples.len()
    );
}
