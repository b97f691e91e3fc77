//! A PostgreSQL database of a test's own.

use sea_orm::{ConnectionTrait, Database as Connect};
use uuid::Uuid;

/// A database that is made for one test and dropped with its roles when the test is over.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes one, on the server that `BANYAN_TEST_POSTGRES` names. `None`, said loudly, when it names none.
    #[expect(clippy::disallowed_methods, reason = "a test's own settings")]
    pub async fn make(test: &str) -> Option<Self> {
        let Ok(server) = std::env::var("BANYAN_TEST_POSTGRES") else {
            println!("SKIPPED (BANYAN_TEST_POSTGRES is not set): {test} on PostgreSQL");
            return None;
        };
        let server = server.trim_end_matches('/').to_owned();
        let name = format!(
            "banyan_test_{}",
            &Uuid::from_u128(rand::random()).simple().to_string()[..12]
        );
        let database = Self { server, name };
        database
            .execute("postgres", &format!("CREATE DATABASE \"{}\"", database.name))
            .await;
        Some(database)
    }

    /// Its address, as the user who made it.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's address, without a database.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Runs a statement in `database` of the same server.
    pub async fn execute(&self, database: &str, sql: &str) {
        let connection = Connect::connect(format!("{}/{database}", self.server))
            .await
            .expect("PostgreSQL answers");
        connection.execute_unprepared(sql).await.expect(sql);
        connection.close().await.expect("closes");
    }

    /// Drops it, with the roles that were made for it.
    pub async fn drop(self) {
        self.execute(
            "postgres",
            &format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name),
        )
        .await;
        for schema in migrations::SCHEMAS {
            self.execute("postgres", &format!("DROP ROLE IF EXISTS \"{}_{schema}\"", self.name))
                .await;
        }
    }
}
