//! What waits in a schema, counted in one cheap statement: for health, for the operator's map and for metrics.

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryOrder, Statement, entity::prelude::DateTimeUtc,
};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};
use serde::{Deserialize, Serialize};

use crate::{Db, StoreError, entity::subscriptions, view::Reader};

/// No count goes further than this: what is so far behind needs a person, and a count must stay cheap.
pub const MOST_COUNTED: u64 = 10_000;

/// What waits in one schema. No count exceeds [`MOST_COUNTED`]; one that reaches it may stand for more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Events that this schema's subscriptions could not handle.
    pub dead_letters: LetterBacklog,
    /// Events that are committed and not in the log yet.
    pub outbox: OutboxBacklog,
    /// The schema's own event log.
    pub log: LogEnds,
    /// How far each subscription of this schema has come, by name.
    pub subscriptions: Vec<SubscriptionBacklog>,
    /// Sagas that are not over.
    pub sagas: SagaBacklog,
}

/// Events that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterBacklog {
    /// Dead letters: parked until a person decides.
    pub parked: u64,
    /// Since when the oldest of them has been parked.
    pub oldest: Option<DateTime<Utc>>,
    /// Events that failed and are tried again by themselves, and those of the same subjects that wait behind them or
    /// behind a dead letter.
    pub set_aside: u64,
}

/// Events on their way into the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxBacklog {
    /// How many.
    pub depth: u64,
    /// When the first of them was decided.
    pub oldest: Option<DateTime<Utc>>,
}

/// Where the log begins and ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnds {
    /// The position of the last event; 0 when there has been none.
    pub head: i64,
    /// Events up to this position have been pruned.
    pub floor: i64,
}

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionBacklog {
    /// Its name, unique in the schema.
    pub name: String,
    /// Whose log it reads.
    pub source: String,
    /// Up to where it has handled that log.
    pub position: i64,
    /// How many events of that log are still before it; `None` when the log is not within reach.
    pub lag: Option<u64>,
}

/// Sagas that are not over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SagaBacklog {
    /// Going forward.
    pub running: u64,
    /// Going back.
    pub compensating: u64,
    /// Waiting for a person.
    pub stuck: u64,
    /// Of all these, the ones whose deadline passed after the point of no return.
    pub overdue: u64,
    /// Since when the one that has been stuck longest is.
    pub oldest_stuck: Option<DateTime<Utc>>,
}

impl Backlog {
    /// What needs a person, as sentences; none when the schema is well. `schema` is how the commands name it.
    pub fn complaints(&self, schema: &str) -> Vec<String> {
        let plural = |n: u64| if n == 1 { "" } else { "s" };
        let least = |n: u64| match n >= MOST_COUNTED {
            true => format!("{n} or more"),
            false => n.to_string(),
        };
        let mut found = Vec::new();
        let parked = self.dead_letters.parked;
        if parked > 0 {
            let s = plural(parked);
            found.push(format!(
                "{} dead letter{s} of {schema}: see `banyan dead-letters list`",
                least(parked)
            ));
        }
        for (n, what) in [(self.sagas.stuck, "stuck"), (self.sagas.overdue, "overdue")] {
            if n > 0 {
                let s = plural(n);
                found.push(format!(
                    "{} {what} saga{s} of {schema}: see `banyan sagas list`",
                    least(n)
                ));
            }
        }
        found
    }
}

#[derive(FromQueryResult)]
struct Row {
    parked: i64,
    oldest_parked: Option<DateTimeUtc>,
    set_aside: i64,
    depth: i64,
    oldest_event: Option<DateTimeUtc>,
    head: Option<i64>,
    floor: Option<i64>,
    running: i64,
    compensating: i64,
    stuck: i64,
    oldest_stuck: Option<DateTimeUtc>,
    overdue: i64,
}

/// Every part of it is answered from an index and bounded by `$1`, so it costs the same however much there is.
const COUNT: &str = r#"SELECT
    (SELECT count(*) FROM (SELECT 1 FROM "dead_letters" WHERE "resolved_at" IS NULL LIMIT $1) AS "a") AS "parked",
    (SELECT "parked_at" FROM "dead_letters" WHERE "resolved_at" IS NULL ORDER BY "parked_at" LIMIT 1) AS "oldest_parked",
    (SELECT count(*) FROM (SELECT 1 FROM "set_aside" LIMIT $1) AS "b") AS "set_aside",
    (SELECT count(*) FROM (SELECT 1 FROM "outbox" LIMIT $1) AS "c") AS "depth",
    (SELECT "time" FROM "outbox" ORDER BY "id" LIMIT 1) AS "oldest_event",
    (SELECT "position" FROM "event_log_head" WHERE "id" = 1) AS "head",
    (SELECT "floor" FROM "event_log_head" WHERE "id" = 1) AS "floor",
    (SELECT count(*) FROM (SELECT 1 FROM "sagas" WHERE "status" = 'running' LIMIT $1) AS "d") AS "running",
    (SELECT count(*) FROM (SELECT 1 FROM "sagas" WHERE "status" = 'compensating' LIMIT $1) AS "e") AS "compensating",
    (SELECT count(*) FROM (SELECT 1 FROM "sagas" WHERE "status" = 'stuck' LIMIT $1) AS "f") AS "stuck",
    (SELECT min("changed_at") FROM (SELECT "changed_at" FROM "sagas" WHERE "status" = 'stuck' LIMIT $1) AS "g")
        AS "oldest_stuck",
    (SELECT count(*) FROM (SELECT 1 FROM "sagas" WHERE "overdue" AND "status" IN ('running', 'compensating', 'stuck')
        LIMIT $1) AS "h") AS "overdue""#;

impl Db {
    /// What waits in this schema. Two statements, both answered from indexes and bounded. The lag of subscriptions is not
    /// known here: their logs are in other schemas.
    ///
    /// # Errors
    /// The database's.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let reader = Reader { db: self };
        let read = async {
            let most = i64::try_from(MOST_COUNTED).unwrap_or(i64::MAX);
            let ask = Statement::from_sql_and_values(reader.get_database_backend(), COUNT, [most.into()]);
            let row = reader
                .query_one_raw(ask)
                .await?
                .ok_or_else(|| DbErr::RecordNotFound("a statement without FROM answered no row".into()))?;
            let row = Row::from_query_result(&row, "")?;
            let subscriptions = subscriptions::Entity::find()
                .order_by_asc(subscriptions::Column::Name)
                .all(&reader)
                .await?;
            Ok((row, subscriptions))
        };
        let (row, subscriptions) = read
            .await
            .map_err(|e: DbErr| self.place().error("counting what waits", &e))?;
        let count = |n: i64| u64::try_from(n).unwrap_or_default();
        let subscription = |row: subscriptions::Model| SubscriptionBacklog {
            name: row.name,
            source: row.source,
            position: row.position,
            lag: None,
        };
        Ok(Backlog {
            dead_letters: LetterBacklog {
                parked: count(row.parked),
                oldest: row.oldest_parked,
                set_aside: count(row.set_aside),
            },
            outbox: OutboxBacklog {
                depth: count(row.depth),
                oldest: row.oldest_event,
            },
            log: LogEnds {
                head: row.head.unwrap_or_default(),
                floor: row.floor.unwrap_or_default(),
            },
            subscriptions: subscriptions.into_iter().map(subscription).collect(),
            sagas: SagaBacklog {
                running: count(row.running),
                compensating: count(row.compensating),
                stuck: count(row.stuck),
                overdue: count(row.overdue),
                oldest_stuck: row.oldest_stuck,
            },
        })
    }
}

/// What was resolved stays in its table, and so do sagas that are over: the few that are not get indexes of their own.
pub(crate) struct BacklogIndexes;

impl MigrationName for BacklogIndexes {
    fn name(&self) -> &str {
        "strangler_0006_backlog"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for BacklogIndexes {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for index in [
            r#"CREATE INDEX "dead_letters_parked" ON "dead_letters" ("parked_at", "position") WHERE "resolved_at" IS NULL"#,
            r#"CREATE INDEX "sagas_overdue" ON "sagas" ("status") WHERE "overdue""#,
        ] {
            connection.execute_unprepared(index).await?;
        }
        Ok(())
    }
}
