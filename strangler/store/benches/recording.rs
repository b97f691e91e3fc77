//! What recording costs a unit of work: the same command on SQLite with and without a tape, in turns, so that whatever else
//! the machine does happens to both; and what the tape alone costs.
//!
//! `cargo bench -p strangler-store --bench recording`. A command loads a row of 1 KiB and one that is not there, asks a query, draws
//! an id, saves, changes another row and leaves an event.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark stops when it cannot go on, says what it measured, and makes up ids"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, PaginatorTrait};
use sea_orm_migration::{MigrationName, SchemaManager, async_trait};
use serde::{Deserialize, Serialize};
use serde_json::json;
use strangler::{Clock, Cx, Event, SystemClock, tape::Tape};
use strangler_store::{Aggregate, Db, DbOptions, MigrationTrait, Query, StoreError, Write};
use uuid::Uuid;

/// How many commands of each kind.
const TIMES: usize = 4000;
/// How much of one is kept.
const LIMIT: usize = 1 << 20;

mod thing {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "things")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub version: i64,
        pub text: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

struct Tables;

impl MigrationName for Tables {
    fn name(&self) -> &str {
        "bench_0001"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Tables {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let schema = sea_orm::Schema::new(manager.get_database_backend());
        manager
            .create_table(schema.create_table_from_entity(thing::Entity))
            .await
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Thing {
    id: Uuid,
    version: i64,
    text: String,
}

impl Aggregate for Thing {
    const KIND: &'static str = "thing";
    type Entity = thing::Entity;

    fn id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn from_model(model: thing::Model) -> Result<Self, StoreError> {
        let thing::Model { id, version, text } = model;
        Ok(Self { id, version, text })
    }

    fn to_model(&self) -> thing::ActiveModel {
        thing::Model {
            id: self.id,
            version: self.version,
            text: self.text.clone(),
        }
        .into()
    }

    fn id_column() -> thing::Column {
        thing::Column::Id
    }

    fn version_column() -> thing::Column {
        thing::Column::Version
    }
}

#[derive(Serialize)]
struct Count;

impl Query for Count {
    const NAME: &'static str = "count";
    type Answer = u64;
    const ANSWERS: bool = false;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<u64, DbErr> {
        thing::Entity::find().count(connection).await
    }
}

#[derive(Serialize)]
struct Nothing {
    about: Uuid,
}

impl Write for Nothing {
    const NAME: &'static str = "nothing";

    async fn run<C: ConnectionTrait>(self, _: &C) -> Result<(), DbErr> {
        Ok(())
    }
}

#[derive(Serialize)]
struct Happened {
    text: String,
}

impl Event for Happened {
    fn event_type(&self) -> &'static str {
        "bench.thing.happened"
    }
}

async fn command(db: &Db, cx: &Cx, id: Uuid) {
    let mut uow = db.begin(cx).await.unwrap();
    let there = uow.load::<Thing>(id).await.unwrap();
    black_box(uow.peek::<Thing>(Uuid::nil()).await.unwrap());
    black_box(uow.find(Count).await.unwrap());
    let next = Thing {
        id,
        version: there.map_or(1, |there| there.version + 1),
        text: "what a row holds ".repeat(60),
    };
    uow.save(&next);
    let about = uow.new_id();
    uow.put(Nothing { about });
    uow.emit(
        id,
        next.version,
        &Happened {
            text: next.text.clone(),
        },
    );
    uow.commit().await.unwrap();
}

fn said(what: &str, took: &mut [Duration]) -> Duration {
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{what:<18} {:>8.1} µs at p50, {:>8.1} µs at p99",
        us(at(50)),
        us(at(99))
    );
    at(50)
}

fn us(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

/// What the tape itself does for such a command.
fn tape_alone() -> Duration {
    let (id, now) = (Uuid::now_v7(), SystemClock.now());
    let thing = Thing {
        id,
        version: 1,
        text: "what a row holds ".repeat(60),
    };
    let state = serde_json::to_value(&thing).unwrap();
    let began = Instant::now();
    for _ in 0..TIMES {
        let tape = Tape::recording(LIMIT);
        let record = tape.as_record().unwrap();
        let unit = record.begin(now);
        record.row(Some(unit), "thing", id, Some(&thing));
        record.row(Some(unit), "thing", Uuid::nil(), None::<&Thing>);
        record.query(Some(unit), "count", record.question(&Count), &7);
        record.save(unit, "thing", id, 2, &state);
        record.id(Some(unit), id);
        record.put(unit, "nothing", &Nothing { about: id });
        record.emit(unit, "bench.thing.happened", id, 2, &json!({ "text": thing.text }));
        record.committed(unit);
        black_box(&tape);
    }
    began.elapsed() / TIMES as u32
}

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    let db = Db::open(&url, "bench", DbOptions::default()).await.unwrap();
    let mut migrations = strangler_store::migrations();
    migrations.push(Box::new(Tables));
    db.migrate(migrations).await.unwrap();
    let (plain, ids) = (Cx::system("bench"), [Uuid::now_v7(), Uuid::now_v7()]);
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for n in 0..TIMES * 2 {
        let taped = n % 2 == 1;
        let began = Instant::now();
        if taped {
            let cx = plain.clone().with_tape(Tape::recording(LIMIT));
            command(&db, &cx, ids[1]).await;
        } else {
            command(&db, &plain, ids[0]).await;
        }
        if n >= TIMES / 10 {
            let into = if taped { &mut with } else { &mut without };
            into.push(began.elapsed());
        }
    }
    let (without, with) = (said("without", &mut without), said("recorded", &mut with));
    println!("ratio at p50: {:.3}", with.as_secs_f64() / without.as_secs_f64());
    println!("the tape alone: {:.2} µs", us(tape_alone()));
    db.close().await;
}
