//! What waits in a schema, by subscription and by queue: for an operator who looks. [`Db::backlog`] has the sums.

use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

use crate::{Db, MOST_COUNTED, StoreError, queue, view::Reader};

/// What waits in a schema. No count goes beyond [`MOST_COUNTED`] over all of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Events set aside, by subscription.
    pub set_aside: Vec<(String, u64)>,
    /// Dead letters, by subscription; those of queues are with their queue.
    pub parked: Vec<(String, u64)>,
    /// Queues that have been used, by name.
    pub queues: Vec<QueueWaiting>,
}

/// What waits in a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueWaiting {
    /// Its name.
    pub name: String,
    /// Commands that may be taken now.
    pub ready: u64,
    /// Commands that are being carried out, wait for another attempt, or are not to be taken yet.
    pub later: u64,
    /// Commands among the dead letters.
    pub parked: u64,
}

const SET_ASIDE: &str = r#"SELECT "subscription" AS "name", count(*) AS "n"
    FROM (SELECT "subscription" FROM "set_aside" LIMIT $1) AS "a" GROUP BY "subscription" ORDER BY 1"#;
const PARKED: &str = r#"SELECT "subscription" AS "name", count(*) AS "n"
    FROM (SELECT "subscription" FROM "dead_letters" WHERE "resolved_at" IS NULL LIMIT $1) AS "a"
    GROUP BY "subscription" ORDER BY 1"#;
const QUEUES: &str = r#"SELECT "queue" AS "name", count(CASE WHEN "due_at" <= $2 THEN 1 END) AS "ready",
    count(CASE WHEN "due_at" > $2 THEN 1 END) AS "later", count(CASE WHEN "due_at" IS NULL THEN 1 END) AS "parked"
    FROM (SELECT "queue", "due_at" FROM "queue_messages" WHERE "ended_at" IS NULL LIMIT $1) AS "a"
    GROUP BY "queue" ORDER BY 1"#;

impl Db {
    /// What waits in this schema. Three statements, bounded.
    ///
    /// # Errors
    /// The database's.
    pub async fn waiting(&self) -> Result<Waiting, StoreError> {
        let reader = Reader { db: self };
        let backend = reader.get_database_backend();
        let most = i64::try_from(MOST_COUNTED).unwrap_or(i64::MAX);
        let number = |row: &QueryResult, name: &str| -> Result<u64, DbErr> {
            Ok(u64::try_from(row.try_get::<i64>("", name)?).unwrap_or_default())
        };
        let named = async |sql: &str| {
            let ask = Statement::from_sql_and_values(backend, sql, [most.into()]);
            let rows = reader.query_all_raw(ask).await?;
            let pair = |row: &QueryResult| Ok((row.try_get("", "name")?, number(row, "n")?));
            rows.iter().map(pair).collect::<Result<Vec<(String, u64)>, DbErr>>()
        };
        let read = async {
            let (set_aside, mut parked) = (named(SET_ASIDE).await?, named(PARKED).await?);
            parked.retain(|(name, _)| !queue::is_queue(name));
            let ask = Statement::from_sql_and_values(backend, QUEUES, [most.into(), self.now().into()]);
            let rows = reader.query_all_raw(ask).await?;
            let queue = |row: &QueryResult| {
                Ok(QueueWaiting {
                    name: row.try_get("", "name")?,
                    ready: number(row, "ready")?,
                    later: number(row, "later")?,
                    parked: number(row, "parked")?,
                })
            };
            let queues = rows.iter().map(queue).collect::<Result<Vec<_>, DbErr>>()?;
            Ok(Waiting {
                set_aside,
                parked,
                queues,
            })
        };
        read.await
            .map_err(|e: DbErr| self.place().error("counting what waits where", &e))
    }
}
