//! Where each schema's data is, and opening it: a SQLite file in the data folder, or a schema and a role of its own on
//! PostgreSQL. The control plane has a schema like any module.

use std::path::Path;

use strangler_store::{Db, DbOptions, provision};

use crate::{
    identity::{DatabaseKey, derive_role_password},
    settings::Settings,
};

/// The control plane's schema.
pub const CONTROL: &str = "strangler";

/// Opens the schema and brings its tables up to date. With `database.url`, makes its schema and role first.
///
/// # Errors
/// A sentence that says what happened, where, and what to do next.
pub async fn open(settings: &Settings, schema: &str) -> Result<Db, String> {
    let db = connect(settings, schema, true).await?;
    migrate(&db).await?;
    Ok(db)
}

/// Brings the schema's tables up to date and says how many migrations that took.
pub async fn migrate(db: &Db) -> Result<u32, String> {
    let list = migrations::of(db.schema()).ok_or_else(|| format!("there is no schema `{}`", db.schema()))?;
    db.migrate(list).await.map_err(|e| e.to_string())
}

/// Opens the schema as it is. `make` makes schema and role on PostgreSQL where they are missing.
pub async fn connect(settings: &Settings, schema: &str, make: bool) -> Result<Db, String> {
    let url = url(settings, schema, make).await?;
    Db::open(&url, schema, DbOptions::default())
        .await
        .map_err(|e| e.to_string())
}

/// The address of the schema's database. It may carry a password.
pub async fn url(settings: &Settings, schema: &str, make: bool) -> Result<String, String> {
    if let Some(own) = settings.modules.get(schema).and_then(|m| m.database_url.as_ref()) {
        return Ok(own.expose().to_owned());
    }
    let Some(server) = &settings.database.url else {
        return sqlite(&settings.data.folder, schema);
    };
    let key = DatabaseKey::open(&settings.data.folder).map_err(|e| e.to_string())?;
    let server = server.expose();
    let password = derive_role_password(&key, schema);
    if make {
        provision::provision(server, schema, &password)
            .await
            .map_err(|e| e.to_string())
    } else {
        provision::role_url(server, schema, &password).map_err(|e| e.to_string())
    }
}

fn sqlite(folder: &Path, schema: &str) -> Result<String, String> {
    let file = folder.join(format!("{schema}.db"));
    let file = file
        .to_str()
        .ok_or_else(|| format!("the data folder's name {} is not UTF-8", folder.display()))?;
    Ok(format!("sqlite:{file}"))
}
