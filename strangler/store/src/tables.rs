//! What a schema consists of, from its own catalog: for people who look, not for programs that decide.

use sea_orm::{ConnectionTrait, DbErr, Statement};

use crate::{Db, Engine, MOST_COUNTED, StoreError, view::Reader};

/// One table of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// How many rows it has; [`MOST_COUNTED`] stands for that many or more.
    pub rows: u64,
}

impl Db {
    /// The tables of this schema by name, each with its rows, counted up to [`MOST_COUNTED`]. Two statements.
    ///
    /// # Errors
    /// The database's.
    pub async fn tables(&self) -> Result<Vec<TableSize>, StoreError> {
        let reader = Reader { db: self };
        let backend = reader.get_database_backend();
        let names = match self.engine() {
            Engine::Sqlite => {
                r#"SELECT "name" FROM "sqlite_master" WHERE "type" = 'table' AND "name" NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY 1"#
            }
            Engine::Postgres => {
                r#"SELECT "c"."relname"::text AS "name" FROM "pg_class" AS "c" JOIN "pg_namespace" AS "n" ON "n"."oid" = "c"."relnamespace"
                   WHERE "n"."nspname" = current_schema() AND "c"."relkind" IN ('r', 'p') ORDER BY 1"#
            }
        };
        let read = async {
            let rows = reader.query_all_raw(Statement::from_string(backend, names)).await?;
            let names = rows.iter().map(|row| row.try_get::<String>("", "name"));
            let names = names.collect::<Result<Vec<_>, _>>()?;
            if names.is_empty() {
                return Ok(Vec::new());
            }
            let count = |name: &String| {
                let (text, table) = (name.replace('\'', "''"), name.replace('"', "\"\""));
                format!(
                    r#"SELECT '{text}' AS "name", count(*) AS "n" FROM (SELECT 1 FROM "{table}" LIMIT {MOST_COUNTED}) AS "t""#
                )
            };
            let count = names.iter().map(count).collect::<Vec<_>>().join(" UNION ALL ");
            let rows = reader.query_all_raw(Statement::from_string(backend, count)).await?;
            let size = |row: &sea_orm::QueryResult| {
                Ok(TableSize {
                    name: row.try_get("", "name")?,
                    rows: u64::try_from(row.try_get::<i64>("", "n")?).unwrap_or_default(),
                })
            };
            rows.iter().map(size).collect::<Result<Vec<_>, DbErr>>()
        };
        let tables = read.await;
        tables.map_err(|e: DbErr| self.place().error("looking at the tables", &e))
    }
}
