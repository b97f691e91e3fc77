//! Runs migrations: all that are missing, in one transaction, under a lock, so that any number of processes may start at
//! once. `sea-orm-migration`'s own runner has no lock and, on SQLite, no transaction.

use std::collections::HashSet;

use sea_orm::{
    ActiveValue::Set, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QuerySelect, Schema, Statement,
};
use sea_orm_migration::{MigrationTrait, SchemaManager};

use crate::{Db, Engine, StoreError, entity::migrations, error::no_such_table};

pub(crate) async fn migrate(db: &Db, list: Vec<Box<dyn MigrationTrait>>) -> Result<u32, StoreError> {
    let mut known = HashSet::new();
    for migration in &list {
        if !known.insert(migration.name()) {
            let cause = format!(
                "two migrations are called {}; give one of them another name",
                migration.name()
            );
            return Err(db.place().refused("migrating", cause));
        }
    }
    // The common case, a start with nothing to do, takes no lock and writes nothing.
    let applied = match names(db.reader()).await {
        Ok(applied) => applied,
        Err(error) if no_such_table(&error) => Vec::new(),
        Err(error) => return Err(db.place().error("looking which migrations are done", &error)),
    };
    refuse_unknown(db, &known, &applied)?;
    if applied.len() == list.len() {
        return Ok(0);
    }
    let tx = db.begin_long("migrating").await?;
    let outcome = run(db, tx.whole(), &known, &list).await?;
    tx.commit()
        .await
        .map_err(|e| db.place().error("committing migrations", &e))?;
    if !outcome.is_empty() {
        tracing::info!(schema = db.schema(), applied = outcome.len(), "migrated");
        tracing::debug!(schema = db.schema(), database = db.display_url(), migrations = ?outcome, "migrated");
    }
    Ok(u32::try_from(outcome.len()).unwrap_or(u32::MAX))
}

async fn run(
    db: &Db,
    tx: &DatabaseTransaction,
    known: &HashSet<&str>,
    list: &[Box<dyn MigrationTrait>],
) -> Result<Vec<String>, StoreError> {
    let fail = |doing: &str, error: DbErr| db.place().error(doing, &error);
    if db.engine() == Engine::Postgres {
        // Waiting for another process's migrations may take longer than a command would wait for a row.
        tx.execute_unprepared("SET LOCAL lock_timeout = 0")
            .await
            .map_err(|e| fail("migrating", e))?;
        let lock = format!("strangler-migrate/{}", db.schema());
        let lock = Statement::from_sql_and_values(
            tx.get_database_backend(),
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
            [lock.into()],
        );
        tx.execute_raw(lock)
            .await
            .map_err(|e| fail("waiting for other migrations", e))?;
    }
    let mut table = Schema::new(tx.get_database_backend()).create_table_from_entity(migrations::Entity);
    tx.execute(table.if_not_exists())
        .await
        .map_err(|e| fail("creating the table of migrations", e))?;
    let applied = names(tx)
        .await
        .map_err(|e| fail("looking which migrations are done", e))?;
    refuse_unknown(db, known, &applied)?;
    let mut done = Vec::new();
    let manager = SchemaManager::new(tx);
    for migration in list.iter().filter(|m| !applied.iter().any(|name| name == m.name())) {
        let name = migration.name().to_owned();
        migration
            .up(&manager)
            .await
            .map_err(|e| fail(&format!("running migration {name}"), e))?;
        let row = migrations::ActiveModel {
            name: Set(name.clone()),
            applied_at: Set(db.now()),
        };
        let insert = migrations::Entity::insert(row).exec_without_returning(tx).await;
        insert.map_err(|e| fail(&format!("recording migration {name}"), e))?;
        done.push(name);
    }
    Ok(done)
}

async fn names(connection: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let select = migrations::Entity::find()
        .select_only()
        .column(migrations::Column::Name);
    select.into_tuple().all(connection).await
}

fn refuse_unknown(db: &Db, known: &HashSet<&str>, applied: &[String]) -> Result<(), StoreError> {
    let unknown: Vec<&str> = applied
        .iter()
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let cause = format!(
        "the database has had migrations that this binary does not know ({}), so a newer version has written to it; start \
         that version, or restore a backup from before it",
        unknown.join(", ")
    );
    Err(db.place().refused("migrating", cause))
}
