//! A database for one test, a clock that stands still, and what the catalog tells.

use std::{panic::AssertUnwindSafe, sync::Arc};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use kernel::Uuid;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use seating::{SeatingModule, subscriptions::FromCatalog};
use seating_contract::{HoldDraft, HoldId, SeatId, SeatState, SeatingService, ShowId};
use serde_json::{Value, json};
use strangler::{Cx, ManualClock};
use strangler_store::{Db, DbOptions, Envelope, Handler, provision::provision};

/// Seating over a schema of its own.
pub struct Office {
    pub db: Db,
    pub seating: SeatingModule,
    pub clock: ManualClock,
    pub cx: Cx,
}

impl Office {
    async fn open(url: &str) -> Self {
        let clock = ManualClock::new(DateTime::<Utc>::from_timestamp(1_900_000_000, 0).unwrap());
        let options = DbOptions {
            clock: Arc::new(clock.clone()),
            max_connections: 16,
            acquire_timeout: std::time::Duration::from_secs(60),
            ..DbOptions::default()
        };
        let db = Db::open(url, "seating", options).await.unwrap();
        db.migrate(migrations::of("seating").unwrap()).await.unwrap();
        let (seating, cx) = (SeatingModule::new(db.clone()), Cx::system("test"));
        Self { db, seating, clock, cx }
    }

    /// Delivers an event as a subscription does.
    pub async fn hear(&self, event: &Envelope) {
        let mut uow = self.db.begin(&self.cx).await.unwrap();
        FromCatalog.handle(&mut uow, event).await.unwrap();
        uow.commit().await.unwrap();
    }

    /// A show that seating has heard of, with one section of this size, 45.00 EUR a seat.
    pub async fn show(&self, rows: u32, seats_per_row: u32) -> ShowId {
        let (venue, show) = (Uuid::from_u128(7), Uuid::from_u128(8));
        self.hear(&venue_event(venue, 1, &[("Stalls", rows, seats_per_row)]))
            .await;
        self.hear(&show_event(show, 1, venue, &[("Stalls", 4500)])).await;
        ShowId(show)
    }

    /// The names of the seats that stand so.
    pub async fn seats(&self, show: ShowId, state: SeatState) -> Vec<String> {
        let map = self.seating.seats(&self.cx, show).await.unwrap();
        let seats = map.seats.into_iter().filter(|seat| seat.state == state);
        seats.map(|seat| seat.id.to_string()).collect()
    }
}

pub fn draft(show: ShowId, seats: &[&str]) -> HoldDraft {
    HoldDraft::new(show, seats.iter().map(|s| seat(s)).collect()).unwrap()
}

pub fn seat(name: &str) -> SeatId {
    SeatId::try_from(name.to_owned()).unwrap()
}

pub fn id(n: u128) -> HoldId {
    HoldId(Uuid::from_u128(n))
}

fn envelope(event_type: &str, subject: Uuid, version: i64, data: &Value) -> Envelope {
    let event = json!({
        "specversion": "1.0", "id": Uuid::from_u128(1), "source": "catalog", "type": event_type, "dataversion": 1,
        "subject": subject, "aggregateversion": version, "time": "2027-01-01T00:00:00Z", "traceparent": "",
        "datacontenttype": "application/json", "data": data, "position": 1,
    });
    serde_json::from_value(event).unwrap()
}

/// A venue at this version, as the catalog tells it: sections with rows and seats per row.
pub fn venue_event(id: Uuid, version: i64, sections: &[(&str, u32, u32)]) -> Envelope {
    let sections = sections
        .iter()
        .map(|(name, rows, seats)| json!({"name": name, "rows": rows, "seats_per_row": seats}));
    let data = json!({
        "id": id, "version": version, "name": "House", "city": "Wien", "time_zone": "Europe/Vienna",
        "sections": sections.collect::<Vec<_>>(),
    });
    let happened = if version == 1 { "registered" } else { "changed" };
    envelope(&format!("catalog.venue.{happened}"), id, version, &data)
}

/// A show at this version, as the catalog tells it: sections with prices.
pub fn show_event(id: Uuid, version: i64, venue: Uuid, prices: &[(&str, i64)]) -> Envelope {
    let prices = prices
        .iter()
        .map(|(name, amount)| json!({"section": name, "price": {"amount": amount, "currency": "EUR"}}));
    let data = json!({
        "id": id, "version": version, "act": Uuid::from_u128(5), "venue": venue, "starts_at": "2031-05-01T19:30:00Z",
        "prices": prices.collect::<Vec<_>>(),
    });
    let happened = if version == 1 { "announced" } else { "changed" };
    envelope(&format!("catalog.show.{happened}"), id, version, &data)
}

/// A show is cancelled at this version.
pub fn cancelled_event(id: Uuid, version: i64) -> Envelope {
    envelope(
        "catalog.show.cancelled",
        id,
        version,
        &json!({"id": id, "version": version}),
    )
}

pub async fn on_sqlite(test: impl AsyncFnOnce(&Office)) {
    let folder = tempfile::tempdir().unwrap();
    test(&Office::open(&format!("sqlite:{}", folder.path().join("seating.db").display())).await).await;
}

pub async fn on_postgres(test: impl AsyncFnOnce(&Office)) {
    let Ok(server) = std::env::var("BANYAN_TEST_POSTGRES") else {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        println!("SKIPPED (BANYAN_TEST_POSTGRES is not set): {name}");
        return;
    };
    let database = format!("banyan_seating_{}_{:x}", std::process::id(), rand::random::<u32>());
    let maintenance = connect(&format!("{server}/postgres")).await;
    let run = async |sql: String| maintenance.execute_unprepared(&sql).await.unwrap();
    run(format!("CREATE DATABASE {database}")).await;
    let url = provision(&format!("{server}/{database}"), "seating", "pw")
        .await
        .unwrap();
    let office = Office::open(&url).await;
    let outcome = AssertUnwindSafe(test(&office)).catch_unwind().await;
    office.db.close().await;
    run(format!("DROP DATABASE {database} WITH (FORCE)")).await;
    run(format!("DROP ROLE {database}_seating")).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}
