//! A database for one test, a clock that stands still, and what ordering and the catalog tell.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use kernel::Uuid;
use notifications::{
    NotificationsModule, Sender,
    post::Post,
    sender,
    subscriptions::{FromCatalog, FromOrdering},
};
use notifications_contract::{Mail, MailFilter, MailId, MailStatus, NotificationsService};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};
use strangler::{Cx, ManualClock};
use strangler_store::{Db, DbOptions, Envelope, Handler, Retry, provision::provision};

/// To whom the mails of these tests go.
pub const ADA: &str = "ada@example.org";

/// Notifications over a schema of their own.
pub struct Office {
    pub db: Db,
    pub notifications: NotificationsModule,
    pub clock: ManualClock,
    pub cx: Cx,
    url: String,
}

impl Office {
    async fn open(url: &str) -> Self {
        let clock = ManualClock::new(DateTime::<Utc>::from_timestamp(1_900_000_000, 0).unwrap());
        let db = handle(url, &clock).await;
        db.migrate(migrations::of("notifications").unwrap()).await.unwrap();
        let (notifications, cx) = (NotificationsModule::new(db.clone()), Cx::system("test"));
        let url = url.to_owned();
        Self {
            db,
            notifications,
            clock,
            cx,
            url,
        }
    }

    /// Another process' handle to the same data.
    pub async fn other(&self) -> Db {
        handle(&self.url, &self.clock).await
    }

    /// A sender that tries again after a second, four times in all.
    pub fn sender(&self, post: Arc<dyn Post>) -> Sender {
        sender_of(&self.db, post)
    }

    /// Delivers an event as a subscription does.
    pub async fn hear(&self, event: &Envelope) {
        let mut uow = self.db.begin(&self.cx).await.unwrap();
        match event.source.as_str() {
            "catalog" => FromCatalog.handle(&mut uow, event).await.unwrap(),
            _ => FromOrdering.handle(&mut uow, event).await.unwrap(),
        }
        uow.commit().await.unwrap();
    }

    /// The names of show 8 are known from here on.
    pub async fn know_show(&self) {
        for event in [act(5, 1, "Ólöf Arnalds"), venue(7, 1, "House"), show(8, 1, 5, 7)] {
            self.hear(&event).await;
        }
    }

    /// Mails about so many orders, whose events have the ids from 1000 on.
    pub async fn queue(&self, orders: u128) -> Vec<MailId> {
        self.know_show().await;
        self.queue_from(1000, orders).await
    }

    /// The same, from this id on, of a show that is known.
    pub async fn queue_from(&self, first: u128, orders: u128) -> Vec<MailId> {
        for n in first..first + orders {
            self.hear(&confirmed(n, 1000 + n, 2)).await;
        }
        (first..first + orders).map(|n| MailId(Uuid::from_u128(n))).collect()
    }

    pub async fn mail(&self, id: MailId) -> Mail {
        self.notifications.mail(&self.cx, id).await.unwrap()
    }

    pub async fn state(&self, id: MailId) -> MailStatus {
        self.mail(id).await.state
    }

    pub async fn count(&self, state: MailStatus) -> usize {
        let filter = MailFilter {
            state: Some(state),
            limit: Some(100.try_into().unwrap()),
            ..MailFilter::default()
        };
        self.notifications.mails(&self.cx, filter).await.unwrap().items.len()
    }

    pub fn later(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }
}

pub fn sender_of(db: &Db, post: Arc<dyn Post>) -> Sender {
    let retry = Retry {
        first: Duration::from_secs(1),
        longest: Duration::from_secs(1),
        attempts: 4,
    };
    sender(db.clone(), post).with_retry(retry)
}

async fn handle(url: &str, clock: &ManualClock) -> Db {
    let options = DbOptions {
        clock: Arc::new(clock.clone()),
        acquire_timeout: Duration::from_secs(60),
        busy_timeout: Duration::from_secs(60),
        ..DbOptions::default()
    };
    Db::open(url, "notifications", options).await.unwrap()
}

/// Waits until it is so.
pub async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            // Nothing tells of it: it is asked again.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    waited.unwrap_or_else(|_| panic!("{what}: not within a minute"));
}

fn envelope(id: u128, event_type: &str, subject: u128, version: i64, data: &Value) -> Envelope {
    let source = event_type.split('.').next().unwrap();
    let event = json!({
        "specversion": "1.0", "id": Uuid::from_u128(id), "source": source, "type": event_type, "dataversion": 1,
        "subject": Uuid::from_u128(subject), "aggregateversion": version, "time": "2027-01-01T00:00:00Z",
        "traceparent": "", "datacontenttype": "application/json", "data": data, "position": 1,
    });
    serde_json::from_value(event).unwrap()
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// An act at this version.
pub fn act(id: u128, version: i64, name: &str) -> Envelope {
    let data = json!({"id": uuid(id), "version": version, "name": name, "genre": "folk"});
    envelope(1, "catalog.act.announced", id, version, &data)
}

/// A venue at this version.
pub fn venue(id: u128, version: i64, name: &str) -> Envelope {
    let data = json!({
        "id": uuid(id), "version": version, "name": name, "city": "Wien", "time_zone": "Europe/Vienna",
        "sections": [{"name": "Stalls", "rows": 1, "seats_per_row": 1}],
    });
    envelope(1, "catalog.venue.changed", id, version, &data)
}

/// A show at this version.
pub fn show(id: u128, version: i64, act: u128, venue: u128) -> Envelope {
    let data = json!({
        "id": uuid(id), "version": version, "act": uuid(act), "venue": uuid(venue),
        "starts_at": format!("2031-05-{version:02}T19:30:00Z"), "prices": [],
    });
    envelope(1, "catalog.show.announced", id, version, &data)
}

fn order(order: u128, more: Value) -> Value {
    let mut data = json!({"order": uuid(order), "show": uuid(8), "seats": ["Stalls-A-1"], "email": ADA});
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    data
}

/// The event with this id: this order is confirmed at this version.
pub fn confirmed(event: u128, of: u128, version: i64) -> Envelope {
    let more = json!({
        "total": {"amount": 4500, "currency": "EUR"}, "tickets": [{"id": uuid(77), "seat": "Stalls-A-1"}],
    });
    envelope(event, "ordering.order.confirmed", of, version, &order(of, more))
}

/// The same for one that is refused.
pub fn refused(event: u128, of: u128, version: i64) -> Envelope {
    let reason = json!({
        "type": "urn:problem-type:seating:seats-taken", "title": "Seats are taken", "status": 409, "seats": ["Stalls-A-1"],
    });
    envelope(
        event,
        "ordering.order.refused",
        of,
        version,
        &order(of, json!({"reason": reason})),
    )
}

/// The same for one that is cancelled.
pub fn cancelled(event: u128, of: u128, version: i64) -> Envelope {
    let refunded = json!({"refunded": {"amount": 4500, "currency": "EUR"}});
    envelope(event, "ordering.order.cancelled", of, version, &order(of, refunded))
}

pub async fn on_sqlite(test: impl AsyncFnOnce(&Office)) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notifications.db");
    test(&Office::open(&format!("sqlite:{}", file.display())).await).await;
}

pub async fn on_postgres(test: impl AsyncFnOnce(&Office)) {
    let Ok(server) = std::env::var("BANYAN_TEST_POSTGRES") else {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        println!("SKIPPED (BANYAN_TEST_POSTGRES is not set): {name}");
        return;
    };
    let database = format!(
        "banyan_notifications_{}_{:x}",
        std::process::id(),
        rand::random::<u32>()
    );
    let maintenance = connect(&format!("{server}/postgres")).await;
    let run = async |sql: String| maintenance.execute_unprepared(&sql).await.unwrap();
    run(format!("CREATE DATABASE {database}")).await;
    let url = provision(&format!("{server}/{database}"), "notifications", "pw").await;
    let office = Office::open(&url.unwrap()).await;
    let outcome = AssertUnwindSafe(test(&office)).catch_unwind().await;
    office.db.close().await;
    run(format!("DROP DATABASE {database} WITH (FORCE)")).await;
    run(format!("DROP ROLE {database}_notifications")).await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}
