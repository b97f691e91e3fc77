//! Makes a schema of its own in PostgreSQL, with a login role that reaches nothing else.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbErr, QueryResult, SqlxPostgresConnector, Statement, TransactionTrait,
    Value,
    sqlx::{ConnectOptions, postgres::PgPoolOptions},
};

use crate::{Engine, StoreError, error::Place, postgres};

/// PostgreSQL cuts longer names off without saying so in time.
const LONGEST_NAME: usize = 63;

/// Everything but what RFC 3986 calls unreserved.
const USERINFO: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Makes the role `<database>_<schema>` (it may log in and nothing more), the schema, owned by it, and sets the role's
/// password and `search_path`; takes all rights on the schema `public` from PUBLIC. Answers the role's URL. Repeating it
/// changes nothing but the password, and any number of processes may do it at once.
///
/// `admin_url` is a role with CREATEROLE that may create schemas in the database; a superuser is not needed.
///
/// # Errors
/// [`StoreError::Refused`] for names that cannot be used, and when the role or the schema exists and belongs to somebody
/// else; [`StoreError::ReadOnly`] when the admin role lacks a right.
pub async fn provision(admin_url: &str, schema: &str, password: &str) -> Result<String, StoreError> {
    let unnamed = Place::new(Engine::Postgres, schema, String::new());
    let (connect, shown) = postgres::parse(admin_url).map_err(|why| unnamed.refused("reading the admin URL", why))?;
    let place = Place::new(Engine::Postgres, schema, shown);
    check_schema(schema).map_err(|why| place.refused("provisioning", why))?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(10))
        .connect_with(connect.disable_statement_logging())
        .await
        .map_err(|e| place.sqlx("connecting", &e))?;
    let connection = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
    let done = async {
        let tx = connection.begin().await.map_err(|e| place.error("provisioning", &e))?;
        Provisioning {
            place: &place,
            tx: &tx,
            schema,
        }
        .run(password)
        .await?;
        tx.commit().await.map_err(|e| place.error("provisioning", &e))
    }
    .await;
    drop(connection.close().await);
    done?;
    role_url(admin_url, schema, password)
}

/// The URL of the role that [`provision`] makes: the admin's, with host, database and parameters as they are, and the
/// role's name and password instead of the admin's.
///
/// # Errors
/// [`StoreError::Refused`] when the URL is none of PostgreSQL's, or the role's name would be too long.
pub fn role_url(admin_url: &str, schema: &str, password: &str) -> Result<String, StoreError> {
    let place = Place::new(Engine::Postgres, schema, String::new());
    let refuse = |why: String| place.refused("reading the admin URL", why);
    let (scheme, rest) = admin_url
        .split_once("://")
        .filter(|(scheme, _)| matches!(*scheme, "postgres" | "postgresql"))
        .ok_or_else(|| refuse("it does not begin with postgres://".into()))?;
    let (options, _) = postgres::parse(admin_url).map_err(refuse)?;
    let (before, query) = rest
        .split_once('?')
        .map_or((rest, None), |(before, query)| (before, Some(query)));
    let (authority, path) = before.split_once('/').unwrap_or((before, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    let role = role_name(database, schema).map_err(|why| place.refused("provisioning", why))?;
    let encode = |text: &str| utf8_percent_encode(text, USERINFO).to_string();
    // A URL without a database means the one that is called like the user, and the user changes here.
    let path = if path.is_empty() {
        encode(database)
    } else {
        path.to_owned()
    };
    let mut url = format!("{scheme}://{}:{}@{host}/{path}", encode(&role), encode(password));
    // These would overrule the role that stands in front.
    let overrules = |parameter: &&str| {
        let name = parameter.split('=').next().unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8_lossy();
        name != "user" && name != "password"
    };
    let kept: Vec<&str> = query.into_iter().flat_map(|q| q.split('&')).filter(overrules).collect();
    if !kept.is_empty() {
        url.push('?');
        url.push_str(&kept.join("&"));
    }
    Ok(url)
}

fn role_name(database: &str, schema: &str) -> Result<String, String> {
    check_schema(schema)?;
    let role = format!("{database}_{schema}");
    if role.len() > LONGEST_NAME {
        return Err(format!(
            "the role would be called {role}, which is {} bytes long, and PostgreSQL allows {LONGEST_NAME}; give the \
             database or the schema a shorter name",
            role.len()
        ));
    }
    Ok(role)
}

fn check_schema(schema: &str) -> Result<(), String> {
    if schema.is_empty() || schema.len() > LONGEST_NAME || schema.contains('\0') {
        return Err(format!(
            "a schema's name has 1 to {LONGEST_NAME} bytes, and `{schema}` does not"
        ));
    }
    if schema == "public" || schema == "information_schema" || schema.starts_with("pg_") {
        return Err(format!(
            "the schema {schema} belongs to PostgreSQL itself; choose another name"
        ));
    }
    Ok(())
}

struct Provisioning<'a> {
    place: &'a Place,
    tx: &'a DatabaseTransaction,
    schema: &'a str,
}

impl Provisioning<'_> {
    async fn run(&self, password: &str) -> Result<(), StoreError> {
        // Catalog rows that two sessions change at once fail with "tuple concurrently updated". The lock holds for the
        // database, as the names made from it do.
        self.ask(
            "SELECT pg_advisory_xact_lock(hashtextextended('strangler-provision', 0))::text AS x",
            [],
        )
        .await?;
        let me = self
            .ask(
                "SELECT current_database()::text AS database, current_user::text AS name, rolsuper FROM pg_roles \
                 WHERE rolname = current_user",
                [],
            )
            .await?;
        let database: String = self.column(&me, "database")?;
        let superuser: bool = self.column(&me, "rolsuper")?;
        let role = role_name(&database, self.schema).map_err(|why| self.place.refused("provisioning", why))?;
        self.make_role(&role, &database, password).await?;
        self.make_schema(&role, superuser).await?;
        self.close_public(&database).await?;
        let connects = self
            .ask(
                "SELECT has_database_privilege($1, current_database(), 'CONNECT') AS may",
                [role.as_str().into()],
            )
            .await?;
        if !self.column::<bool>(&connects, "may")? {
            self.run_formatted("GRANT CONNECT ON DATABASE %I TO %I", &[&database, &role])
                .await?;
        }
        Ok(())
    }

    async fn make_role(&self, role: &str, database: &str, password: &str) -> Result<(), StoreError> {
        // `a_b` + `c` and `a` + `b_c` make the same name, so the role says whose it is.
        let mark = format!("schema {} of database {database}", self.schema);
        let found = self
            .ask(
                "SELECT rolsuper, shobj_description(oid, 'pg_authid') AS mark FROM pg_roles WHERE rolname = $1",
                [role.into()],
            )
            .await?;
        match found {
            None => {
                self.run_formatted("CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE", &[role])
                    .await?;
                self.run_formatted("COMMENT ON ROLE %I IS %L", &[role, &mark]).await?;
            }
            Some(_) => {
                let foreign: Option<String> = self.column(&found, "mark")?;
                if self.column::<bool>(&found, "rolsuper")? || foreign.as_deref() != Some(mark.as_str()) {
                    let cause = format!(
                        "the role {role} exists already and was not made for {mark}; rename it, or choose another name for \
                         the schema"
                    );
                    return Err(self.place.refused("provisioning", cause));
                }
            }
        }
        self.run_formatted("ALTER ROLE %I LOGIN PASSWORD %L", &[role, password])
            .await?;
        self.run_formatted("ALTER ROLE %I SET search_path = %I", &[role, self.schema])
            .await
    }

    async fn make_schema(&self, role: &str, superuser: bool) -> Result<(), StoreError> {
        let owner = self
            .ask(
                "SELECT pg_get_userbyid(nspowner)::text AS owner FROM pg_namespace WHERE nspname = $1",
                [self.schema.into()],
            )
            .await?;
        if owner.is_some() {
            let owner: String = self.column(&owner, "owner")?;
            if owner != role {
                let cause =
                    format!("the schema exists already and belongs to {owner}; choose another name, or drop it");
                return Err(self.place.refused("provisioning", cause));
            }
            return Ok(());
        }
        // Who is no superuser can only make a schema for a role that it is a member of; it stays one no longer than that.
        let member = self
            .ask("SELECT pg_has_role(current_user, $1, 'MEMBER') AS is", [role.into()])
            .await?;
        let join = !superuser && !self.column::<bool>(&member, "is")?;
        let version = self
            .ask("SELECT current_setting('server_version_num')::int AS version", [])
            .await?;
        // From version 16 on, whoever makes a role administers it, which lets it join without being able to act for it.
        let join = join || (!superuser && self.column::<i32>(&version, "version")? >= 160_000);
        if join {
            self.run_formatted("GRANT %I TO CURRENT_USER", &[role]).await?;
        }
        self.run_formatted("CREATE SCHEMA %I AUTHORIZATION %I", &[self.schema, role])
            .await?;
        if join {
            self.run_formatted("REVOKE %I FROM CURRENT_USER", &[role]).await?;
        }
        Ok(())
    }

    async fn close_public(&self, database: &str) -> Result<(), StoreError> {
        if !self.public_is_open().await? {
            return Ok(());
        }
        // Only its owner can do that. For others PostgreSQL warns, or fails, and neither may undo the rest.
        let savepoint = self.tx.begin().await.map_err(|e| self.failed(&e))?;
        match savepoint
            .execute_unprepared("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            .await
        {
            Ok(_) => savepoint.commit().await.map_err(|e| self.failed(&e))?,
            Err(_) => savepoint.rollback().await.map_err(|e| self.failed(&e))?,
        }
        if self.public_is_open().await? {
            tracing::warn!(
                database,
                "every role may still use the schema public; its owner should run: REVOKE ALL ON SCHEMA public FROM PUBLIC"
            );
        }
        Ok(())
    }

    async fn public_is_open(&self) -> Result<bool, StoreError> {
        let open = self
            .ask(
                "SELECT EXISTS (SELECT FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a \
                 WHERE n.nspname = 'public' AND a.grantee = 0) AS open",
                [],
            )
            .await?;
        self.column(&open, "open")
    }

    /// Runs a statement that takes no parameters, with names (%I) and text (%L) quoted by the server itself.
    async fn run_formatted(&self, template: &str, arguments: &[&str]) -> Result<(), StoreError> {
        let places: String = (2..arguments.len() + 2).map(|n| format!(", ${n}")).collect();
        let values = std::iter::once(&template)
            .chain(arguments)
            .map(|text| Value::from(*text));
        let format = format!("SELECT format($1{places}) AS statement");
        let row = self.ask(&format, values).await?;
        let statement: String = self.column(&row, "statement")?;
        self.tx
            .execute_unprepared(&statement)
            .await
            .map(drop)
            .map_err(|e| self.failed(&e))
    }

    async fn ask(&self, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<Option<QueryResult>, StoreError> {
        let statement = Statement::from_sql_and_values(self.tx.get_database_backend(), sql, values);
        self.tx.query_one_raw(statement).await.map_err(|e| self.failed(&e))
    }

    fn column<T: sea_orm::TryGetable>(&self, row: &Option<QueryResult>, name: &str) -> Result<T, StoreError> {
        let row = row
            .as_ref()
            .ok_or_else(|| self.failed(&DbErr::RecordNotFound("a catalog row".into())))?;
        row.try_get("", name).map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &DbErr) -> StoreError {
        self.place.error("provisioning", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_url_keeps_what_is_not_the_user() {
        let url = role_url(
            "postgres://admin:x@db:5433/box?sslmode=disable&password=y",
            "catalog",
            "a/b c",
        )
        .expect("fits");
        assert_eq!(url, "postgres://box_catalog:a%2Fb%20c@db:5433/box?sslmode=disable");
        let url = role_url("postgres://postgres@127.0.0.1:5432", "catalog", "p").expect("fits");
        assert_eq!(url, "postgres://postgres_catalog:p@127.0.0.1:5432/postgres");
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let long = "x".repeat(60);
        let error = role_url("postgres://admin@db/box", &long, "p").expect_err("64 bytes");
        assert!(error.to_string().contains("64 bytes long"), "{error}");
        assert!(role_url("postgres://admin@db/box", "public", "p").is_err());
        assert!(role_url("mysql://admin@db/box", "catalog", "p").is_err());
    }
}
