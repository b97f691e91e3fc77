//! The parallel run of writes: what a service would do, against what the monolith did. Callers must not notice any of it, and
//! nothing of it may be seen anywhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::Method;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, Statement};
use serde_json::{Value, json};
use system_tests::{
    Answer, Buyers, Fault, Options, Placed, Purse, Service, System, Tampered, eventually, holds_soon, office, seed,
};
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(60);
const MODULES: [&str; 6] = [
    "catalog",
    "seating",
    "payments",
    "ordering",
    "notifications",
    "storefront",
];

/// Nothing is dropped here, and whoever is held is waited for.
fn patient() -> Options {
    let env = [
        ("BANYAN_PARALLEL_RUN__QUEUE", "4096"),
        ("BANYAN_PARALLEL_RUN__TIMEOUT_MS", "60000"),
        ("BANYAN_REMOTE__TIMEOUT_MS", "60000"),
    ];
    Options {
        env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Options::default()
    }
}

/// The counts of a module's parallel run, once so many were judged; their sum is checked.
async fn judged(system: &System, module: &str, eligible: u64) -> Value {
    eventually("everything is judged", SOON, || async {
        let run = system.on_map(module).await["parallel_run"].clone();
        let of = |keys: &[&str]| keys.iter().map(|k| run[*k].as_u64().expect("a count")).sum::<u64>();
        assert_eq!(
            of(&["eligible"]),
            of(&["compared", "candidate_error", "timed_out", "inconclusive", "dropped"]),
            "{run}"
        );
        (of(&["eligible"]) >= eligible).then_some(run)
    })
    .await
}

/// What units of work were not given when they were done again. Reads may meet a state that has moved; these cannot.
fn not_recorded(run: &Value) -> Vec<&str> {
    let open = run["open"].as_object().expect("names");
    let of_reads = ["state_moved", "not_asked_again"];
    open.keys()
        .map(String::as_str)
        .filter(|name| !of_reads.contains(name))
        .collect()
}

/// The groups of a module's mismatches: operation, place and kind.
async fn groups(system: &System, module: &str) -> BTreeSet<(String, String, String)> {
    let said: Value = serde_json::from_str(&system.run(&["diffs", module, "--json"]).await).expect("JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let groups = said["groups"].as_array().cloned().unwrap_or_default();
    groups
        .iter()
        .map(|g| (text(&g["operation"]), text(&g["path"]), text(&g["kind"])))
        .collect()
}

/// A venue with two sections.
fn house() -> Value {
    let mut venue = office::venue(2, 5);
    let more = json!({"name": "Circle", "rows": 1, "seats_per_row": 3});
    venue["sections"].as_array_mut().expect("a list").push(more);
    venue
}

fn evening(act: Uuid, venue: Uuid) -> Value {
    let mut show = office::show(act, venue);
    let more = json!({"section": "Circle", "price": {"amount": 3000, "currency": "EUR"}});
    show["prices"].as_array_mut().expect("a list").push(more);
    show
}

/// Every command of the catalog, and some that are refused or done already. Answers how many those were.
async fn season(system: &System) -> u64 {
    let (act, venue, show) = (office::id(), office::id(), office::id());
    let catalog = "/api/v1/catalog";
    let (acts, venues, shows) = (
        format!("{catalog}/acts/{act}"),
        format!("{catalog}/venues/{venue}"),
        office::show_path(show),
    );
    let evening = evening(act, venue);
    let mut told = Vec::new();
    let mut tell = |answer: Answer| {
        assert_eq!(answer.served("catalog"), "local", "{answer:?}");
        told.push(answer.status);
    };
    tell(system.put(&shows, &evening).await);
    tell(system.put(&acts, &office::act("Test Act")).await);
    tell(system.put(&venues, &house()).await);
    tell(system.put(&shows, &evening).await);
    tell(system.put(&shows, &evening).await);
    tell(system.put(&acts, &office::act("Another Act")).await);
    let mut later = evening.clone();
    later["starts_at"] = json!("2031-05-02T19:30:00Z");
    tell(system.put(&shows, &later).await);
    let bearer = format!("Bearer {}", system.token());
    let stale = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("if-match", "\"1\""),
    ];
    let body = evening.to_string();
    tell(system.send(Method::PUT, &shows, &stale, body).await.expect("an answer"));
    tell(
        system
            .send(Method::DELETE, &shows, &stale[..1], "")
            .await
            .expect("an answer"),
    );
    assert_eq!(told, [422, 201, 201, 201, 200, 200, 200, 412, 204]);
    told.len() as u64
}

/// Whether this is about that operation, and did something.
fn is(ask: &Value, said: &Value, operation: &str) -> bool {
    let done = said["answer"]["status"].as_u64().is_some_and(|status| status < 300);
    ask["when"]["command"]["operation"] == operation && done
}

fn announced(ask: &Value, said: &Value) -> bool {
    is(ask, said, "catalog.announce") && said["then"]["events"].as_array().is_some_and(|e| !e.is_empty())
}

/// What is done to the answers, and the one group in which it is found.
const FAULTS: [(&str, Fault, (&str, &str, &str)); 11] = [
    (
        "a wrong value",
        |ask, said| {
            announced(ask, said) && {
                said["answer"]["body"]["prices"][0]["price"]["amount"] = json!(1);
                true
            }
        },
        ("catalog.announce", "/prices/0/price/amount", "value"),
    ),
    (
        "rounding",
        |ask, said| {
            announced(ask, said) && {
                let starts = said["answer"]["body"]["starts_at"].as_str().expect("a time");
                let rounded = starts.replace(":30:00", ":30:01");
                said["answer"]["body"]["starts_at"] = json!(rounded);
                true
            }
        },
        ("catalog.announce", "/starts_at", "value"),
    ),
    (
        "another type",
        |ask, said| {
            announced(ask, said) && {
                said["answer"]["body"]["version"] = json!("1");
                true
            }
        },
        ("catalog.announce", "/version", "type"),
    ),
    (
        "a missing field",
        |ask, said| {
            announced(ask, said)
                && said["answer"]["body"]
                    .as_object_mut()
                    .expect("a show")
                    .remove("venue")
                    .is_some()
        },
        ("catalog.announce", "/venue", "missing"),
    ),
    (
        "an extra field",
        |ask, said| {
            announced(ask, said) && {
                said["answer"]["body"]["sold_out"] = json!(false);
                true
            }
        },
        ("catalog.announce", "/sold_out", "extra"),
    ),
    (
        "another order",
        |ask, said| {
            announced(ask, said) && {
                said["answer"]["body"]["prices"]
                    .as_array_mut()
                    .expect("a list")
                    .reverse();
                true
            }
        },
        ("catalog.announce", "/prices", "order"),
    ),
    (
        "another status",
        |ask, said| {
            announced(ask, said) && {
                said["answer"]["status"] = json!(202);
                true
            }
        },
        ("catalog.announce", "", "status"),
    ),
    (
        "a missing event",
        |ask, said| {
            is(ask, said, "catalog.announce_act") && {
                let events = said["then"]["events"].as_array_mut().expect("a list");
                events.retain(|event| event["type"] != "catalog.act.announced");
                events.is_empty()
            }
        },
        ("catalog.announce_act", "/then/events/catalog.act.announced", "effect"),
    ),
    (
        "a doubled event",
        |ask, said| {
            is(ask, said, "catalog.register_venue") && {
                let events = said["then"]["events"].as_array_mut().expect("a list");
                events.extend(events.first().cloned());
                true
            }
        },
        (
            "catalog.register_venue",
            "/then/events/catalog.venue.registered",
            "effect",
        ),
    ),
    (
        "an extra row",
        |ask, said| {
            announced(ask, said) && {
                let rows = said["then"]["rows"].as_array_mut().expect("a list");
                let mut more = rows[0].clone();
                more["id"] = json!(Uuid::nil());
                rows.insert(0, more);
                true
            }
        },
        ("catalog.announce", "/then/rows/show", "effect"),
    ),
    (
        "a wrong row",
        |ask, said| {
            announced(ask, said) && {
                said["then"]["rows"][0]["state"]["cancelled"] = json!(true);
                true
            }
        },
        ("catalog.announce", "/then/rows/show/state/cancelled", "effect"),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_in_a_write_is_one_group() {
    let system = System::with(patient()).await;
    let catalog = Tampered::start(&system, "catalog", false).await;
    system.stage("catalog", "shadow").await;
    let mut eligible = season(&system).await;
    let run = judged(&system, "catalog", eligible).await;
    assert_eq!(
        (&run["matched"], &run["compared"]),
        (&eligible.into(), &eligible.into()),
        "{run}"
    );
    let mut known = groups(&system, "catalog").await;
    assert_eq!(known, BTreeSet::new(), "a faithful one");
    for (what, fault, (operation, path, kind)) in FAULTS {
        let before = catalog.changed();
        catalog.tamper(Some(fault));
        eligible += season(&system).await;
        let run = judged(&system, "catalog", eligible).await;
        assert_eq!(run["compared"], eligible, "{what}: {run}");
        assert!(catalog.changed() > before, "{what} was not done");
        let found = groups(&system, "catalog").await;
        let new: Vec<_> = found.difference(&known).collect();
        let expected = (operation.to_owned(), path.to_owned(), kind.to_owned());
        assert_eq!(new, [&expected], "{what}");
        known = found;
    }
    catalog.tamper(None);
    let mismatched = judged(&system, "catalog", eligible).await["mismatched"].clone();
    assert_eq!(mismatched, catalog.changed(), "each of them, and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_would_be_taken_twice_is_one_group() {
    let system = System::with(patient()).await;
    let payments = Tampered::start(&system, "payments", false).await;
    system.stage("payments", "shadow").await;
    payments.tamper(Some(|ask, said| {
        is(ask, said, "payments.capture") && {
            let calls = said["then"]["calls"].as_array_mut().expect("a list");
            let taken = calls.iter().find(|call| call["port"] == "provider.capture").cloned();
            let twice = taken.is_some();
            calls.extend(taken);
            twice
        }
    }));
    let hall = system.hall(1, 4).await;
    let order = Placed::new(&hall, &hall.seats[..2], "tok_ok");
    assert_eq!(system.place(&order).await.status, 202);
    assert_eq!(system.settled(order.id).await["status"], "confirmed");
    // It was authorised, and taken.
    let run = judged(&system, "payments", 2).await;
    assert_eq!((&run["mismatched"], &run["matched"]), (&1.into(), &1.into()), "{run}");
    let expected = ("payments.capture", "/then/calls/provider.capture", "effect");
    let expected = (expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned());
    assert_eq!(groups(&system, "payments").await, BTreeSet::from([expected]));
    let taken = system.ledger().await;
    assert_eq!(taken.len(), 1, "and nobody's money was: {taken:?}");
}

/// Every row of every table, and every mail, but for what keeps time: leases, positions and what was counted.
async fn everything(system: &System) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for module in MODULES {
        let file = system.data().join(format!("{module}.db"));
        if !file.exists() {
            continue;
        }
        let mut options = ConnectOptions::new(format!("sqlite:{}", file.display()));
        options.max_connections(1).sqlx_logging(false);
        let db = Database::connect(options).await.expect("a database");
        let ask = async |sql: String| {
            let rows = db
                .query_all_raw(Statement::from_string(db.get_database_backend(), sql))
                .await;
            let rows = rows.expect("rows");
            let texts = rows
                .iter()
                .map(|row| row.try_get_by_index::<String>(0).expect("a text"));
            texts.collect::<Vec<_>>()
        };
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
        for table in ask(tables.to_owned()).await {
            if ["leases", "event_log_readers", "subscriptions"].contains(&table.as_str()) {
                continue;
            }
            let columns = ask(format!("SELECT name FROM pragma_table_info('{table}')")).await;
            let row: Vec<_> = columns.iter().map(|c| format!("quote(\"{c}\")")).collect();
            let mut rows = ask(format!("SELECT {} FROM \"{table}\"", row.join(" || '|' || "))).await;
            rows.sort();
            all.insert(format!("{module}.{table}"), rows);
        }
        db.close().await.expect("closed");
    }
    let mails = std::fs::read_dir(system.data().join("mail"))
        .into_iter()
        .flatten()
        .flatten();
    let mut mails: Vec<_> = mails
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect();
    mails.sort();
    all.insert("mails".to_owned(), mails);
    all.insert(
        "ledger".to_owned(),
        system.ledger().await.iter().map(Value::to_string).collect(),
    );
    all
}

/// Holds seats and gives them back, on the pages.
async fn browse(system: &System, show: Uuid, seat: &str) {
    let (origin, form) = (system.public(), format!("seat={seat}"));
    let headers = [
        ("accept", "text/html"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", origin.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let path = format!("/shows/{show}/hold");
    let held = system
        .send(Method::POST, &path, &headers, form)
        .await
        .expect("an answer");
    assert_eq!(held.status, 303, "{held:?}");
    let order = held
        .header("location")
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let form = format!("show={show}&email=ada%40example.org&card=tok_ok");
    let bought = system
        .send(Method::POST, &format!("/orders/{order}"), &headers, form)
        .await
        .expect("an answer");
    assert_eq!(bought.status, 303, "{bought:?}");
    system.settled(order.parse().expect("an order")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_it_and_nothing_of_it_is_seen() {
    let system = System::with(patient()).await;
    let mut services = BTreeMap::new();
    for module in MODULES {
        services.insert(module, Tampered::start(&system, module, true).await);
    }
    for module in MODULES {
        system.stage(module, "shadow").await;
    }
    // All of this is answered and done before any of them has said a word.
    let mut commands = season(&system).await;
    let hall = system.hall(2, 5).await;
    commands += 3;
    let mut orders = Vec::new();
    for (n, token) in ["tok_ok", "tok_declined", "tok_ok"].into_iter().enumerate() {
        let order = Placed::new(&hall, &hall.seats[2 * n..2 * n + 2], token);
        assert_eq!(system.place(&order).await.status, 202);
        // Placed again, it is the same.
        assert_eq!(system.place(&order).await.status, 202);
        orders.push(order);
    }
    for order in &orders {
        system.settled(order.id).await;
    }
    let cancelled = system
        .send(
            Method::DELETE,
            &format!("/api/v1/ordering/orders/{}", orders[0].id),
            &[("authorization", &format!("Bearer {}", system.token()))],
            "",
        )
        .await
        .expect("an answer");
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    holds_soon("it is cancelled", SOON, || async {
        system.order(orders[0].id).await["status"] == "cancelled"
    })
    .await;
    browse(&system, hall.show, &hall.seats[7]).await;
    for (module, service) in &services {
        assert_eq!(
            service.answered(),
            0,
            "{module} has answered before everybody was served"
        );
    }
    // Mails are written when their events are heard.
    holds_soon("every mail is written", SOON, || async {
        std::fs::read_dir(system.data().join("mail")).is_ok_and(|mails| mails.count() >= 5)
    })
    .await;
    let before = everything(&system).await;
    assert!(before.values().map(Vec::len).sum::<usize>() > 100, "{before:?}");

    services.values().for_each(Tampered::release);
    let least = [
        ("catalog", commands),
        // Three shows' facts, and for each order a hold and what becomes of it.
        ("seating", 12),
        ("payments", 6),
        ("ordering", 20),
        ("notifications", 8),
        ("storefront", 2),
    ];
    for (module, least) in least {
        let run = judged(&system, module, least).await;
        println!("{module}: {run}");
    }
    for module in MODULES {
        // Whatever was recorded is answered, and then judged.
        holds_soon("whatever was recorded is judged", SOON, || async {
            let run = system.on_map(module).await["parallel_run"].clone();
            run["eligible"].as_u64() >= Some(services[module].asked())
        })
        .await;
        let run = system.on_map(module).await["parallel_run"].clone();
        let said = system.run(&["diffs", module]).await;
        assert_eq!(
            run["mismatched"], 0,
            "{module}: {run}
{said}"
        );
        assert_eq!(not_recorded(&run), [] as [&str; 0], "{module}: {run}");
        let of = |key: &str| run[key].as_u64().expect("a count");
        assert_eq!(of("matched") + of("inconclusive"), of("eligible"), "{module}: {run}");
        println!("{module}: {:?}", services[module].subjects());
    }
    let subjects: BTreeSet<_> = services.values().flat_map(|s| s.subjects().into_keys()).collect();
    for expected in [
        "catalog.cancel",
        "seating.hold",
        "seating-from-catalog:catalog.show.announced",
        "payments.capture",
        "ordering.place",
        "ordering.cancel",
        "purchase:hold:do",
        "purchase:hold:undo",
        "cancellation:refund:do",
        "notifications-from-ordering:ordering.order.confirmed",
        "storefront.choose",
        "storefront.buy",
    ] {
        assert!(subjects.contains(expected), "{expected} is not among {subjects:?}");
    }
    let after = everything(&system).await;
    for (table, rows) in &before {
        assert_eq!(Some(rows), after.get(table), "{table} is not as it was");
    }
}

/// Everything at once, and faithful services: no mismatch, and nothing that could not be compared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_office_under_load_finds_nothing_to_complain_of() {
    let mut random = seed("a_box_office_under_load_finds_nothing_to_complain_of");
    let system = System::with(patient()).await;
    let mut services = Vec::new();
    for module in MODULES {
        services.push(Service::launch(&system, module, &[]));
    }
    for service in &services {
        service.ready(&system).await;
    }
    for module in MODULES {
        system.stage(module, "shadow").await;
    }
    let halls = [system.hall(5, 8).await, system.hall(5, 8).await];
    let buyers = Buyers::start(&system, &halls, 6, Purse::Mixed, &mut random);
    for _ in 0..4 {
        season(&system).await;
    }
    buyers.go_on(usize::MAX / 2).await;
    let orders = buyers.end().await;
    let confirmed = system.books_balance(&orders).await;
    println!("{} orders, {confirmed} confirmed", orders.len());
    let (placed, confirmed) = (orders.len() as u64, confirmed as u64);
    let least = [42, placed, 2 * confirmed, 3 * placed, confirmed, 0];
    for (module, least) in MODULES.into_iter().zip(least) {
        let run = judged(&system, module, least).await;
        println!("{module}: {run}");
        let said = system.run(&["diffs", module]).await;
        assert_eq!(
            run["mismatched"], 0,
            "{module}: {run}
{said}"
        );
        assert_eq!(not_recorded(&run), [] as [&str; 0], "{module}: {run}");
        assert_eq!(run["candidate_error"], 0, "{module}: {run}");
    }
}
