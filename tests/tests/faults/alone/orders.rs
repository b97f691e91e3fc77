//! Orders while everything moves: processes come, go and are killed, and the books balance afterwards.

use std::{collections::BTreeSet, time::Duration};

use rand::{Rng, seq::IndexedRandom};
use system_tests::{Buyers, Database, Options, Placed, Purse, System, eventually, holds_soon, sales, seed};

/// What an order takes part in, in the order in which they are put together.
const MODULES: [&str; 5] = ["catalog", "seating", "payments", "ordering", "notifications"];

/// Every module alone, every pair, and all at once.
fn companies() -> Vec<Vec<&'static str>> {
    let pairs = MODULES
        .iter()
        .enumerate()
        .flat_map(|(n, a)| MODULES[n + 1..].iter().map(move |b| vec![*a, *b]));
    let alone = MODULES.iter().map(|m| vec![*m]);
    alone.chain(pairs).chain([MODULES.to_vec()]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_come_and_go_while_orders_flow() {
    come_and_go(Options::default(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_come_and_go_while_orders_flow_on_postgres() {
    let Some(database) = Database::make("modules come and go").await else {
        return;
    };
    come_and_go(on(&database), false).await;
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extracted_modules_are_killed_while_orders_flow() {
    come_and_go(Options::default(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extracted_modules_are_killed_while_orders_flow_on_postgres() {
    let Some(database) = Database::make("extracted modules are killed").await else {
        return;
    };
    come_and_go(on(&database), true).await;
    database.drop().await;
}

fn on(database: &Database) -> Options {
    Options {
        database: Some(database.url()),
        ..Options::default()
    }
}

async fn come_and_go(options: Options, kill: bool) {
    let mut random = seed("modules_come_and_go_while_orders_flow");
    let system = System::with(options).await;
    let halls = [system.hall(40, 50).await];
    let buyers = Buyers::start(&system, &halls, 3, Purse::Mixed, &mut random);
    let companies = companies();
    for (n, company) in companies.iter().enumerate() {
        for module in company {
            system.run(&["extract", module]).await;
            system.run(&["stage", module, "remote", "--why", "it goes"]).await;
        }
        buyers.go_on(5).await;
        if kill {
            for module in company {
                for pid in system.healthy_pids(module).await {
                    system_tests::system::signal("KILL", u32::try_from(pid).expect("a pid"));
                }
                // The moment is what is drawn; nothing is waited for.
                tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
                system.run(&["extract", module]).await;
            }
            buyers.go_on(5).await;
        }
        for module in company {
            system.run(&["merge-back", module]).await;
        }
        buyers.go_on(2).await;
        println!("{n}: {company:?}, {} orders", buyers.placed());
    }
    let orders = buyers.end().await;
    let confirmed = system.books_balance(&orders).await;
    println!("{} orders, {confirmed} confirmed", orders.len());
    assert!(confirmed > 0 && orders.len() > companies.len());
    nothing_is_left(&system).await;
}

/// Nobody runs beside the monolith, and nothing panicked.
async fn nothing_is_left(system: &System) {
    for module in MODULES {
        assert_eq!(system.status(module).await["stage"], "local");
        assert!(system.healthy_pids(module).await.is_empty(), "{module}");
    }
    let logs = std::fs::read_dir(system.data().join("logs"))
        .into_iter()
        .flatten()
        .flatten();
    let logs = logs.map(|entry| std::fs::read_to_string(entry.path()).unwrap_or_default());
    for log in logs.chain([system.log()]) {
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// How often the monolith is killed. `.ci/run` asks for ten rounds; a patient person for two hundred.
#[expect(clippy::disallowed_methods, reason = "a test's own settings")]
fn kills() -> u32 {
    let asked = std::env::var("BANYAN_TEST_ORDER_KILLS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(4)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_during_orders_every_one_ends() {
    killed(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_during_orders_every_one_ends_on_postgres() {
    let Some(database) = Database::make("killed during orders").await else {
        return;
    };
    killed(on(&database)).await;
    database.drop().await;
}

async fn killed(options: Options) {
    let mut random = seed("killed_during_orders_every_one_ends");
    let mut system = System::with(options).await;
    let rounds = kills();
    let mut orders = Vec::new();
    // A hall holds as many orders as some rounds need.
    for first in (0..rounds).step_by(10) {
        let halls = [system.hall(20, 50).await];
        let buyers = Buyers::start(&system, &halls, 6, Purse::Mixed, &mut random);
        for _ in first..rounds.min(first + 10) {
            buyers.go_on(random.random_range(1..12)).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
            system.kill();
            system.start_again().await;
        }
        orders.extend(buyers.end().await);
    }
    let confirmed = system.books_balance(&orders).await;
    println!("{rounds} kills, {} orders, {confirmed} confirmed", orders.len());
    assert!(confirmed > 0 && !system.log().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_buyers_want_two_hundred_seats() {
    crowd(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_buyers_want_two_hundred_seats_on_postgres() {
    let Some(database) = Database::make("two thousand buyers").await else {
        return;
    };
    crowd(on(&database)).await;
    database.drop().await;
}

/// Places an order. Who is one too many at once is told so, or not let in, and comes again.
async fn insist(system: &System, order: &Placed) {
    eventually("the order is acknowledged", Duration::from_secs(60), || async move {
        let answer = sales::place(system.client(), &system.public(), order).await.ok()?;
        assert!(answer.status == 202 || answer.status == 503, "{answer:?}");
        (answer.status == 202).then_some(())
    })
    .await;
}

async fn crowd(options: Options) {
    let mut random = seed("two_thousand_buyers_want_two_hundred_seats");
    let system = System::with(options).await;
    let hall = system.hall(10, 20).await;
    let orders: Vec<_> = (0..2000)
        .map(|_| {
            let seats: Vec<_> = hall
                .seats
                .choose_multiple(&mut random, 2)
                .cloned()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect();
            Placed::new(&hall, &seats, "tok_ok")
        })
        .collect();
    let began = std::time::Instant::now();
    futures_util::future::join_all(orders.iter().map(|order| insist(&system, order))).await;
    let confirmed = system.books_balance(&orders).await;
    println!("2000 orders ended in {:.1?}, {confirmed} confirmed", began.elapsed());
    let seats = system.seats(hall.show).await;
    let sold = seats.values().filter(|state| *state == "sold").count();
    // Whoever is refused only because two want each other's seats may come again; nobody does here.
    assert!(sold >= 100, "{sold} of 200 seats were sold");
    holds_soon("nothing stays held", Duration::from_secs(60), || async {
        system.seats(hall.show).await.values().all(|state| state != "held")
    })
    .await;
}
