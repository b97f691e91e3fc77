//! The audit trail: who changed what, when and why. Lines are added, never changed.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde::{Deserialize, Serialize};
use strangler::routes::AuditEntry;
use strangler_store::{Query, StoreError, Write};

use super::{
    super::{cursor, text::searchable},
    ControlStore,
};

/// The most lines that one page has.
const MOST: u64 = 1000;

mod lines {
    //! Who changed what.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "audit")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub at: DateTimeUtc,
        pub by: String,
        pub target: String,
        pub from: String,
        pub to: String,
        pub why: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

fn entry(row: lines::Model) -> AuditEntry {
    AuditEntry {
        at: row.at,
        by: row.by,
        target: row.target,
        from: row.from,
        to: row.to,
        why: row.why,
    }
}

/// Which lines of the audit trail are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditQuery {
    /// Those whose target has this in it: `catalog` has `catalog.show` in it.
    pub target: Option<String>,
    /// Those whose target is exactly this.
    pub exactly: Option<String>,
    /// Those of this person.
    pub by: Option<String>,
    /// Those of that time or later.
    pub since: Option<DateTime<Utc>>,
    /// Those of that time or earlier.
    pub until: Option<DateTime<Utc>>,
    /// How many at most, the newest.
    pub limit: Option<u64>,
    /// The `next` of the page before: older lines.
    pub cursor: Option<String>,
}

/// Some lines of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditPage {
    /// The lines, newest last.
    pub entries: Vec<AuditEntry>,
    /// The cursor of older ones; `null` when there are none.
    #[serde(default)]
    pub next: Option<String>,
}

/// Adds a line.
#[derive(Serialize)]
pub(super) struct AddAudit(pub(super) AuditEntry);

impl Write for AddAudit {
    const NAME: &'static str = "add-audit";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let AuditEntry {
            at,
            by,
            target,
            from,
            to,
            why,
        } = self.0;
        let row = lines::ActiveModel {
            at: Set(at),
            by: Set(by),
            target: Set(target),
            from: Set(from),
            to: Set(to),
            why: Set(why),
            ..Default::default()
        };
        lines::Entity::insert(row)
            .exec_without_returning(connection)
            .await
            .map(|_| ())
    }
}

/// Lines before a number, newest first.
#[derive(Serialize)]
struct Lines {
    query: AuditQuery,
    before: Option<i64>,
    limit: u64,
}

impl Query for Lines {
    const NAME: &'static str = "audit-lines";
    type Answer = Vec<(i64, AuditEntry)>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Self::Answer, DbErr> {
        use lines::Column as C;
        let AuditQuery {
            target,
            exactly,
            by,
            since,
            until,
            ..
        } = self.query;
        let meant = Condition::all()
            .add_option(target.map(|part| C::Target.contains(part)))
            .add_option(exactly.map(|target| C::Target.eq(target)))
            .add_option(by.map(|by| C::By.eq(by)))
            .add_option(since.map(|at| C::At.gte(at)))
            .add_option(until.map(|at| C::At.lte(at)))
            .add_option(self.before.map(|id| C::Id.lt(id)));
        let rows = lines::Entity::find()
            .filter(meant)
            .order_by_desc(C::Id)
            .limit(self.limit)
            .all(connection)
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, entry(row))).collect())
    }
}

impl ControlStore {
    /// The last `limit` lines of the audit trail, newest last.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit(&self, limit: u64) -> Result<Vec<AuditEntry>, StoreError> {
        let lines = Lines {
            query: AuditQuery::default(),
            before: None,
            limit,
        };
        let lines = self.db.view(&Self::cx()).find(lines).await?;
        Ok(lines.into_iter().rev().map(|(_, entry)| entry).collect())
    }

    /// A page of the audit trail.
    ///
    /// # Errors
    /// A sentence: the cursor is none, or what the database said.
    pub async fn audit_page(&self, query: &AuditQuery) -> Result<AuditPage, AuditError> {
        for (name, text) in [
            ("target", &query.target),
            ("target", &query.exactly),
            ("person", &query.by),
        ] {
            searchable(name, text.as_deref()).map_err(AuditError::Wrong)?;
        }
        let before = cursor::decode(query.cursor.as_deref()).map_err(AuditError::Wrong)?;
        let limit = query.limit.unwrap_or(MOST).clamp(1, MOST);
        let lines = Lines {
            query: query.clone(),
            before,
            limit: limit + 1,
        };
        let lines = self.db.view(&Self::cx()).find(lines).await;
        let mut lines = lines.map_err(AuditError::Failed)?;
        let more = lines.len() as u64 > limit;
        lines.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = lines.last().filter(|_| more).map(|(id, _)| cursor::encode(id));
        Ok(AuditPage {
            entries: lines.into_iter().rev().map(|(_, entry)| entry).collect(),
            next,
        })
    }
}

/// Why there is no such page.
#[derive(Debug)]
pub enum AuditError {
    /// What was asked makes no sense.
    Wrong(String),
    /// The database's.
    Failed(StoreError),
}

impl std::fmt::Display for AuditError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wrong(why) => f.write_str(why),
            Self::Failed(error) => error.fmt(f),
        }
    }
}
