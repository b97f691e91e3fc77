//! Where each schema's data is, and opening it: a SQLite file in the data folder, or a schema and a role of its own on
//! PostgreSQL. The control plane has a schema like any module.

use std::path::Path;

use strangler_store::{Db, DbOptions, Exclusive, provision};
use uuid::Uuid;

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
    let db = connect(settings, schema, Worker::Monolith).await?;
    migrate(&db).await?;
    Ok(db)
}

/// Opens a module's schema in a process that joins. It makes nothing: data of its own would be other data than the
/// monolith's, and what is written there would be lost when the module is taken back.
///
/// # Errors
/// A sentence that says what happened, where, and what to do next.
pub async fn open_existing(settings: &Settings, schema: &str, worker: &str) -> Result<Db, String> {
    let url = url(settings, schema, false).await?;
    if let Some(file) = url.strip_prefix("sqlite:") {
        let path = percent_encoding::percent_decode_str(file).decode_utf8_lossy();
        let path = path.split_once('?').map_or(&*path, |(path, _)| path);
        if !Path::new(path).exists() {
            return Err(format!(
                "there is no {path}: a process that joins serves the monolith's data; name its folder with --data, or its \
                 database with modules.{schema}.database_url"
            ));
        }
    }
    let db = connect(settings, schema, Worker::Joined(worker)).await?;
    migrate(&db).await?;
    Ok(db)
}

/// Which data this is: the incarnation of its event log, drawn when it was made.
pub async fn incarnation(db: &Db) -> Result<Uuid, String> {
    db.log()
        .head()
        .await
        .map(|head| head.incarnation)
        .map_err(|e| e.to_string())
}

/// Makes sure that no other monolith works on the same PostgreSQL database; the data folder has a lock of its own.
/// Held until it is dropped.
pub async fn hold(settings: &Settings) -> Result<Option<Exclusive>, String> {
    let Some(server) = &settings.database.url else {
        return Ok(None);
    };
    let held = Exclusive::take(server.expose(), "banyan monolith")
        .await
        .map_err(|e| e.to_string())?;
    held.map(Some).ok_or_else(|| {
        let shown = crate::settings::hide_password(server.expose());
        format!("another banyan works on the database {shown}: end that one, or set database.url to another")
    })
}

/// Brings the schema's tables up to date and says how many migrations that took.
pub async fn migrate(db: &Db) -> Result<u32, String> {
    let list = migrations::of(db.schema()).ok_or_else(|| format!("there is no schema `{}`", db.schema()))?;
    db.migrate(list).await.map_err(|e| e.to_string())
}

/// Who opens a schema: its name as a holder of leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker<'a> {
    /// The monolith. There is one (see [`hold`] and its data folder's lock): what it had leased when it was killed is its
    /// own. It makes schema and role on PostgreSQL where they are missing.
    Monolith,
    /// A process that joined, of this name.
    Joined(&'a str),
}

/// Opens the schema as it is.
pub async fn connect(settings: &Settings, schema: &str, worker: Worker<'_>) -> Result<Db, String> {
    let url = url(settings, schema, worker == Worker::Monolith).await?;
    let worker = match worker {
        Worker::Monolith => "monolith",
        Worker::Joined(name) => name,
    };
    let options = DbOptions {
        worker: Some(worker.to_owned()),
        ..DbOptions::default()
    };
    Db::open(&url, schema, options).await.map_err(|e| e.to_string())
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
    // In the address of a database, these three mean something else.
    let escaped = file.replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    Ok(format!("sqlite:{escaped}"))
}
