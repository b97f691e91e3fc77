//! Ordering, seating and payments as they are wired, without a process around them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::Method;
use kernel::Uuid;
use ordering::OrderingModule;
use ordering_contract::{Order, OrderDraft, OrderId, OrderStatus, Ordering, OrderingService};
use payments::{HttpProvider, PaymentsModule};
use payments_contract::{PaymentId, PaymentStatus, Payments, PaymentsError, PaymentsService};
use seating::{SeatingModule, subscriptions::FromCatalog};
use seating_contract::{HoldId, HoldStatus, SeatState, Seating, SeatingService, ShowId};
use serde_json::{Value, json};
use strangler::{Cx, Failure, ModuleStats};
use strangler_store::{Db, DbOptions, Handler, Sagas, provision::provision};
use system_tests::{Client, Database, eventually};
use tokio::{net::TcpListener, sync::oneshot};

use crate::faults::{Faults, FaultyPayments, FaultySeating};

const SHOW: Uuid = Uuid::from_u128(8);
const PRICE: i64 = 4500;
/// The longest an order may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// The three modules, with failures between them.
pub struct House {
    cx: Cx,
    ordering: Arc<dyn Ordering>,
    sagas: Sagas,
    seating: Arc<dyn Seating>,
    payments: Arc<dyn Payments>,
    /// The provider's address.
    sandbox: String,
    pub faults: Arc<Faults>,
}

fn stats() -> Arc<ModuleStats> {
    Arc::new(ModuleStats::new(10))
}

async fn open(url: &str, schema: &str) -> Db {
    let options = DbOptions {
        max_connections: 16,
        acquire_timeout: Duration::from_secs(60),
        ..DbOptions::default()
    };
    let db = Db::open(url, schema, options).await.unwrap();
    db.migrate(migrations::of(schema).unwrap()).await.unwrap();
    db
}

impl House {
    async fn run(urls: [String; 3], test: impl AsyncFnOnce(&Self)) {
        let [seating_db, payments_db, ordering_db] = [
            open(&urls[0], "seating").await,
            open(&urls[1], "payments").await,
            open(&urls[2], "ordering").await,
        ];
        hear_of_a_show(&seating_db).await;
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sandbox = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let ledger = folder.path().to_owned();
        let provider = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            payments::sandbox::serve(listener, &ledger, stopped).await
        });
        let seating = SeatingModule::new(seating_db.clone()).guarded(stats());
        let through = Arc::new(HttpProvider::new(&sandbox).unwrap());
        let payments = PaymentsModule::new(payments_db.clone(), through).guarded(stats());
        let faults = Faults::new();
        let faulty_seating = FaultySeating {
            inner: seating.clone(),
            faults: faults.clone(),
        };
        let faulty_payments = FaultyPayments {
            inner: payments.clone(),
            faults: faults.clone(),
        };
        let (to_seating, to_payments) = (faulty_seating.guarded(stats()), faulty_payments.guarded(stats()));
        let sagas = ordering::sagas(ordering_db.clone(), to_seating.clone(), to_payments.clone());
        let house = Self {
            cx: Cx::system("test"),
            ordering: OrderingModule::new(ordering_db.clone(), to_seating, to_payments).guarded(stats()),
            // Longer than the slow token takes.
            sagas: sagas.with_step_timeout(Duration::from_secs(3)),
            seating,
            payments,
            sandbox,
            faults,
        };
        test(&house).await;
        drop(house);
        stop.send(()).unwrap();
        provider.await.unwrap().unwrap();
        for db in [seating_db, payments_db, ordering_db] {
            db.close().await;
        }
    }

    pub async fn on_sqlite(test: impl AsyncFnOnce(&Self)) {
        let folder = tempfile::tempdir().unwrap();
        let url = |schema: &str| format!("sqlite:{}", folder.path().join(format!("{schema}.db")).display());
        Self::run(["seating", "payments", "ordering"].map(url), test).await;
    }

    pub async fn on_postgres(name: &str, test: impl AsyncFnOnce(&Self)) {
        let Some(database) = Database::make(name).await else {
            return;
        };
        let mut urls = Vec::new();
        for schema in ["seating", "payments", "ordering"] {
            urls.push(provision(&database.url(), schema, "pw").await.unwrap());
        }
        Self::run(urls.try_into().unwrap(), test).await;
        database.drop().await;
    }

    pub async fn place(&self, id: OrderId, token: &str) {
        let n = id.0.as_u128();
        let seats = [format!("Stalls-A-{n}"), format!("Stalls-B-{n}")];
        let body = json!({"show": SHOW, "seats": seats, "email": "ada@example.org", "payment_token": token});
        let draft: OrderDraft = serde_json::from_value(body).unwrap();
        self.ordering.place(&self.cx, id, draft).await.unwrap();
    }

    pub async fn cancel(&self, id: OrderId) {
        self.ordering.cancel(&self.cx, id).await.unwrap();
    }

    pub async fn until_called(&self, id: OrderId, operation: &str) {
        eventually(&format!("{operation} of {id}"), PATIENCE, async || {
            self.faults.called(id.0).contains(&operation).then_some(())
        })
        .await;
    }

    pub async fn ends(&self, id: OrderId, ends: &[OrderStatus]) {
        eventually(&format!("{id} is one of {ends:?}"), PATIENCE, async || {
            let order = self.order(id).await;
            assert_ne!(order.status, OrderStatus::Stuck, "{order:?}");
            ends.contains(&order.status).then_some(())
        })
        .await;
    }

    async fn order(&self, id: OrderId) -> Order {
        self.ordering.order(&self.cx, id).await.unwrap()
    }

    /// Works on the orders while `during` runs.
    pub async fn working<T>(&self, during: impl Future<Output = T>) -> T {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = self.sagas.run(async {
            let _ = stopped.await;
        });
        let during = async {
            let answer = during.await;
            let _ = stop.send(());
            answer
        };
        tokio::join!(worker, during).1
    }

    /// The seats and the money are where the order says, by seating's and payments' own word.
    pub async fn assert_settled(&self, id: OrderId) {
        let order = self.order(id).await;
        let hold = self.seating.held(&self.cx, HoldId(id.0)).await;
        let payment = self.payments.payment(&self.cx, PaymentId(id.0)).await;
        if order.status == OrderStatus::Confirmed {
            let (hold, payment) = (hold.unwrap(), payment.unwrap());
            assert_eq!(
                (hold.status, payment.status),
                (HoldStatus::Sold, PaymentStatus::Captured)
            );
            assert_eq!((order.total, payment.amount), (Some(hold.total), Some(hold.total)));
            assert_eq!(order.tickets.len(), 2);
        } else {
            assert!(hold.is_err(), "{order:?} holds {hold:?}");
            let fair = match &payment {
                Ok(payment) => matches!(
                    payment.status,
                    PaymentStatus::Voided | PaymentStatus::Declined | PaymentStatus::Refunded
                ),
                Err(failure) => matches!(failure, Failure::Module(PaymentsError::NoSuchPayment { .. })),
            };
            assert!(fair, "{order:?} owes {payment:?}");
            assert!(order.tickets.is_empty());
        }
    }

    /// No seat is anybody's but a confirmed order's, and the provider moved no money but theirs, once.
    pub async fn assert_nothing_else_moved(&self, orders: &[OrderId]) {
        let mut paid = BTreeSet::new();
        for id in orders {
            if self.order(*id).await.status == OrderStatus::Confirmed {
                let payment = self.payments.payment(&self.cx, PaymentId(id.0)).await.unwrap();
                paid.insert(payment.reference.unwrap());
            }
        }
        assert!(!paid.is_empty(), "some are confirmed");
        let map = self.seating.seats(&self.cx, ShowId(SHOW)).await.unwrap();
        let of = |state| map.seats.iter().filter(|seat| seat.state == state).count();
        assert_eq!((of(SeatState::Sold), of(SeatState::Held)), (2 * paid.len(), 0));
        let ledger = Client::default()
            .send(Method::GET, &format!("{}/ledger", self.sandbox), &[], "")
            .await
            .unwrap()
            .json();
        let entries = ledger["entries"].as_array().unwrap();
        let mut taken = BTreeSet::new();
        for entry in entries {
            let id = entry["id"].as_str().unwrap().to_owned();
            match entry["state"].as_str().unwrap() {
                "captured" => {
                    assert_eq!(entry["amount"], 2 * PRICE);
                    assert!(taken.insert(id), "money moved twice: {entry}");
                }
                state => assert!(["voided", "declined", "refunded"].contains(&state), "{entry}"),
            }
        }
        assert_eq!(taken, paid);
        assert!(entries.len() <= orders.len(), "one payment for an order at most");
    }
}

/// Tells seating of a venue with two rows and a show in it, as the catalog does.
async fn hear_of_a_show(db: &Db) {
    let venue = Uuid::from_u128(7);
    let envelope = |event_type: &str, subject: Uuid, data: Value| {
        serde_json::from_value(json!({
            "specversion": "1.0", "id": Uuid::from_u128(1), "source": "catalog", "type": event_type, "dataversion": 1,
            "subject": subject, "aggregateversion": 1, "time": "2027-01-01T00:00:00Z", "traceparent": "",
            "datacontenttype": "application/json", "data": data, "position": 1,
        }))
        .unwrap()
    };
    let sections = json!([{"name": "Stalls", "rows": 2, "seats_per_row": 300}]);
    let house = json!({
        "id": venue, "version": 1, "name": "House", "city": "Wien", "time_zone": "Europe/Vienna", "sections": sections,
    });
    let price = json!({"amount": PRICE, "currency": "EUR"});
    let show = json!({
        "id": SHOW, "version": 1, "act": Uuid::from_u128(5), "venue": venue, "starts_at": "2031-05-01T19:30:00Z",
        "prices": [{"section": "Stalls", "price": price}],
    });
    for event in [
        envelope("catalog.venue.registered", venue, house),
        envelope("catalog.show.announced", SHOW, show),
    ] {
        let mut uow = db.begin(&Cx::system("test")).await.unwrap();
        FromCatalog.handle(&mut uow, &event).await.unwrap();
        uow.commit().await.unwrap();
    }
}
