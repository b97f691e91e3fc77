//! A schema for one test, those whom ordering calls, and what must be true in the end.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering as Atomically},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt, stream};
use kernel::{Money, Uuid};
use ordering::OrderingModule;
use ordering_contract::{Order, OrderDraft, OrderId, OrderStatus, Ordering, OrderingService, StepState};
use payments_contract::{PaymentStatus, Payments, PaymentsService};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use seating_contract::{HoldStatus, SeatId, Seating, SeatingService, ShowId};
use serde_json::{Value, json};
use strangler::{Clock, Cx, ModuleStats};
use strangler_store::{Db, DbOptions, Sagas, provision::provision};

use crate::{
    fakes::{FakePayments, FakeSeating, PRICE, euros},
    faults::{Faults, FaultyPayments, FaultySeating},
};

/// Ordering over a schema of its own, with seating and payments in memory behind faults.
pub struct Office {
    url: String,
    pub db: Db,
    pub cx: Cx,
    pub ordering: Arc<dyn Ordering>,
    pub seating: FakeSeating,
    pub payments: FakePayments,
    pub faults: Arc<Faults>,
    next: AtomicU64,
}

impl Office {
    async fn open(url: &str) -> Self {
        let db = open(url, None).await;
        db.migrate(migrations::of("ordering").unwrap()).await.unwrap();
        let (seating, payments, faults) = (FakeSeating::default(), FakePayments::default(), Faults::new());
        let (to_seating, to_payments) = behind(&faults, &seating, &payments);
        Self {
            url: url.to_owned(),
            ordering: OrderingModule::new(db.clone(), to_seating, to_payments).guarded(stats()),
            db,
            cx: Cx::system("test"),
            seating,
            payments,
            faults,
            next: AtomicU64::new(1),
        }
    }

    /// Another handle to the same schema, as another process has it; with this clock if there is one.
    pub async fn handle(&self, clock: Option<Arc<dyn Clock>>) -> Db {
        open(&self.url, clock).await
    }

    /// Ordering over this handle.
    pub fn module(&self, db: &Db) -> Arc<dyn Ordering> {
        let (seating, payments) = behind(&self.faults, &self.seating, &self.payments);
        OrderingModule::new(db.clone(), seating, payments).guarded(stats())
    }

    /// Who works on the orders, with little patience.
    pub fn sagas(&self, db: &Db) -> Sagas {
        let (seating, payments) = behind(&self.faults, &self.seating, &self.payments);
        ordering::sagas(db.clone(), seating, payments).with_step_timeout(Duration::from_millis(400))
    }

    /// The id of an order that was not placed yet.
    pub fn id(&self) -> OrderId {
        OrderId(Uuid::from_u128(self.next.fetch_add(1, Atomically::Relaxed).into()))
    }

    /// Places an order of two seats that nobody else wants.
    pub async fn place(&self) -> OrderId {
        let id = self.id();
        self.place_with(id, draft(id, "tok_ok")).await;
        id
    }

    pub async fn place_with(&self, id: OrderId, draft: OrderDraft) -> Order {
        self.ordering.place(&self.cx, id, draft).await.unwrap().value
    }

    pub async fn order(&self, id: OrderId) -> Order {
        self.ordering.order(&self.cx, id).await.unwrap()
    }

    /// Waits until the order has this status.
    pub async fn reaches(&self, id: OrderId, status: OrderStatus) -> Order {
        let look = async || self.order(id).await;
        eventually(&format!("{id} is {status}"), look, |order| order.status == status).await
    }

    /// Waits until this operation was called for the order.
    pub async fn until_called(&self, id: OrderId, operation: &str) {
        let look = async || self.faults.called(id.0);
        eventually(&format!("{operation} of {id}"), look, |called| {
            called.contains(&operation)
        })
        .await;
    }

    /// Works on the orders while `during` runs.
    pub async fn working<T>(&self, during: impl Future<Output = T>) -> T {
        working(&self.sagas(&self.db), during).await
    }

    /// The types of the events of this order, in their order.
    pub async fn events(&self, id: OrderId) -> Vec<(String, Value)> {
        self.db.relay().pass().await.unwrap();
        let log = self.db.log();
        let mut told = Vec::new();
        let mut after = 0;
        loop {
            let batch = log.read(after, 500).await.unwrap();
            let Some(last) = batch.events.last() else { return told };
            after = last.position;
            let of = batch.events.iter().filter(|event| event.subject == id.0);
            told.extend(of.map(|event| (event.event_type.clone(), event.data.clone())));
        }
    }

    /// Whatever happened on the way: the seats and the money are where the order says.
    pub fn assert_settled(&self, order: &Order) {
        use PaymentStatus::{Authorised, Captured, Declined, Refunded, Voided};
        let id = order.id.0;
        let moves = self.payments.moves(id);
        let total = euros(PRICE * i64::try_from(order.seats.len()).unwrap());
        match order.status {
            OrderStatus::Confirmed => {
                assert_eq!(self.seating.stands(id), Some(HoldStatus::Sold), "{order:?}");
                assert_eq!(moves, [Authorised, Captured], "{order:?}");
                assert_eq!((order.total, self.payments.amount(id)), (Some(total), Some(total)));
                assert_eq!(order.tickets.len(), order.seats.len());
                assert!(order.tickets.iter().map(|t| &t.seat).eq(&order.seats), "{order:?}");
                assert!(order.steps.iter().all(|s| s.state == StepState::Done), "{order:?}");
                assert_eq!(order.reason, None);
            }
            OrderStatus::Refused | OrderStatus::Cancelled => {
                assert_eq!(self.seating.stands(id), None, "{order:?}");
                let fair: [&[PaymentStatus]; 5] = [
                    &[],
                    &[Declined],
                    &[Authorised, Declined],
                    &[Authorised, Voided],
                    &[Authorised, Captured, Refunded],
                ];
                assert!(fair.contains(&&moves[..]), "{moves:?}: {order:?}");
                assert!(order.tickets.is_empty(), "{order:?}");
                assert_eq!(order.reason.is_some(), order.status == OrderStatus::Refused);
            }
            OrderStatus::Placed | OrderStatus::Stuck => panic!("it is not settled: {order:?}"),
        }
    }
}

fn behind(
    faults: &Arc<Faults>,
    seating: &FakeSeating,
    payments: &FakePayments,
) -> (Arc<dyn Seating>, Arc<dyn Payments>) {
    let seating = FaultySeating {
        inner: seating.clone().guarded(stats()),
        faults: faults.clone(),
    };
    let payments = FaultyPayments {
        inner: payments.clone().guarded(stats()),
        faults: faults.clone(),
    };
    (seating.guarded(stats()), payments.guarded(stats()))
}

pub fn stats() -> Arc<ModuleStats> {
    Arc::new(ModuleStats::new(10))
}

/// Follows many orders, some at a time: each looks again and again, and must leave the others room to go on.
pub async fn all<T>(follow: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    stream::iter(follow).buffer_unordered(16).collect().await
}

/// Runs a worker while `during` runs.
pub async fn working<T>(sagas: &Sagas, during: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = sagas.run(async {
        let _ = stopped.await;
    });
    let during = async {
        let answer = during.await;
        let _ = stop.send(());
        answer
    };
    tokio::join!(worker, during).1
}

/// Looks until what is seen is as hoped; panics when that takes too long.
pub async fn eventually<T: std::fmt::Debug>(what: &str, look: impl AsyncFn() -> T, hoped: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let seen = look().await;
        if hoped(&seen) {
            return seen;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "never: {what}; last {seen:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub const SHOW: ShowId = ShowId(Uuid::from_u128(8));

pub fn seat(name: &str) -> SeatId {
    SeatId::try_from(name.to_owned()).unwrap()
}

/// What so many seats cost.
pub fn euros_of(seats: i64) -> Money {
    euros(PRICE * seats)
}

/// Two seats of the order's own.
pub fn draft(id: OrderId, token: &str) -> OrderDraft {
    let n = id.0.as_u128();
    draft_of(&[&format!("Stalls-A-{n}"), &format!("Stalls-B-{n}")], token)
}

pub fn draft_of(seats: &[&str], token: &str) -> OrderDraft {
    serde_json::from_value(body(seats, token)).unwrap()
}

pub fn body(seats: &[&str], token: &str) -> Value {
    json!({"show": SHOW, "seats": seats, "email": "ada@example.org", "payment_token": token})
}

async fn open(url: &str, clock: Option<Arc<dyn Clock>>) -> Db {
    let mut options = DbOptions {
        max_connections: 16,
        acquire_timeout: Duration::from_secs(60),
        ..DbOptions::default()
    };
    if let Some(clock) = clock {
        options.clock = clock;
    }
    Db::open(url, "ordering", options).await.unwrap()
}

pub async fn on_sqlite(test: impl AsyncFnOnce(&Office)) {
    let folder = tempfile::tempdir().unwrap();
    test(&Office::open(&format!("sqlite:{}", folder.path().join("ordering.db").display())).await).await;
}

pub async fn on_postgres(test: impl AsyncFnOnce(&Office)) {
    let Ok(server) = std::env::var("BANYAN_TEST_POSTGRES") else {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        println!("SKIPPED (BANYAN_TEST_POSTGRES is not set): {name}");
        return;
    };
    let database = format!("banyan_ordering_{}_{:x}", std::process::id(), rand::random::<u32>());
    let maintenance = connect(&format!("{server}/postgres")).await;
    let run = async |sql: String| maintenance.execute_unprepared(&sql).await.unwrap();
    run(format!("CREATE DATABASE {database}")).await;
    let url = provision(&format!("{server}/{database}"), "ordering", "pw")
        .await
        .unwrap();
    let office = Office::open(&url).await;
    let outcome = AssertUnwindSafe(test(&office)).catch_unwind().await;
    office.db.close().await;
    run(format!("DROP DATABASE {database} WITH (FORCE)")).await;
    run(format!("DROP ROLE {database}_ordering")).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}
