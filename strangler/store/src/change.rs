//! Statements that are sent together. Each statement is a trip of its own: to a thread and back on SQLite, to the server and
//! back on PostgreSQL. An order is some hundred of them, and the trips cost more than what is done at their ends.

use sea_orm::{DbBackend, Statement, Values};
use sea_orm_migration::sea_query::{CommonTableExpression, InsertStatement, UpdateStatement, WithClause};

use crate::Engine;

/// A change that must find exactly one row, and what is written along with it.
pub(crate) struct Change {
    head: Head,
    along: InsertStatement,
    /// How many rows `along` writes.
    rows: u64,
}

pub(crate) enum Head {
    Insert(InsertStatement),
    Update(UpdateStatement),
}

/// A statement, and how many rows it has to affect.
pub(crate) struct Sent {
    pub(crate) statement: Statement,
    pub(crate) rows: u64,
}

impl Change {
    pub(crate) fn new(head: Head, along: InsertStatement, rows: u64) -> Self {
        Self { head, along, rows }
    }

    /// As one statement. What is written along is written even if the head row is not found: whoever gets other than
    /// [`Sent::rows`] has to roll back.
    pub(crate) fn build(self, engine: Engine) -> Sent {
        let Self { head, along, rows } = self;
        match engine {
            Engine::Sqlite => {
                let backend = DbBackend::Sqlite;
                let head = match head {
                    Head::Insert(insert) => backend.build(&insert),
                    Head::Update(update) => backend.build(&update),
                };
                let along = backend.build(&along);
                Sent::join([(head, 1), (along, rows)].map(|(statement, rows)| Sent { statement, rows }))
            }
            Engine::Postgres => {
                let cte = CommonTableExpression::new().table_name("along").query(along).to_owned();
                let with = WithClause::new().cte(cte).to_owned();
                let query = match head {
                    Head::Insert(insert) => insert.with(with),
                    Head::Update(update) => update.with(with),
                };
                Sent {
                    statement: DbBackend::Postgres.build(&query),
                    rows: 1,
                }
            }
        }
    }
}

impl Sent {
    /// One after the other, in one trip; for SQLite, whose parameters have no numbers.
    pub(crate) fn join(all: impl IntoIterator<Item = Self>) -> Self {
        let mut all = all.into_iter();
        let none = || Statement::from_string(DbBackend::Sqlite, "");
        let mut joined = all.next().unwrap_or_else(|| Self {
            statement: none(),
            rows: 0,
        });
        for Self { statement, rows } in all {
            joined.statement.sql.push_str("; ");
            joined.statement.sql.push_str(&statement.sql);
            let values = joined.statement.values.get_or_insert_with(|| Values(Vec::new()));
            values.0.extend(statement.values.into_iter().flatten());
            joined.rows += rows;
        }
        joined
    }
}
