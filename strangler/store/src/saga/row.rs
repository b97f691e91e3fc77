//! Sagas and their steps as rows.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, IntoActiveModel};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;

use super::Deed;
use crate::StoreError;

pub(crate) mod sagas {
    //! One row per saga.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "sagas")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub kind: String,
        pub version: i64,
        pub status: String,
        pub undoing: bool,
        pub step: String,
        pub state: Json,
        pub attempts: i32,
        pub due_at: Option<DateTimeUtc>,
        pub deadline: Option<DateTimeUtc>,
        pub overdue: bool,
        pub reason: Option<Json>,
        pub traceparent: String,
        pub began_at: DateTimeUtc,
        pub changed_at: DateTimeUtc,
        pub worker: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) mod saga_steps {
    //! One row per saga, step and direction.
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "saga_steps")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub saga: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub step: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub deed: String,
        pub state: String,
        pub attempts: i32,
        pub at: DateTimeUtc,
        pub outcome: Option<Json>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Where a saga stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SagaStatus {
    /// Going forward.
    Running,
    /// Going back.
    Compensating,
    /// Every step is done.
    Done,
    /// Every step that may have happened is undone.
    Undone,
    /// It can go neither way by itself; a person looks, and resumes it or gives it up.
    Stuck,
    /// It was stuck where there is no way back, and a person gave it up: what takes it back was begun in its stead.
    Abandoned,
}

impl SagaStatus {
    /// All there are, what needs a person first.
    pub const ALL: [Self; 6] = [
        Self::Stuck,
        Self::Compensating,
        Self::Running,
        Self::Abandoned,
        Self::Undone,
        Self::Done,
    ];

    /// As it stands in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Compensating => "compensating",
            Self::Done => "done",
            Self::Undone => "undone",
            Self::Stuck => "stuck",
            Self::Abandoned => "abandoned",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| StoreError::corrupt_row(format_args!("`{text}` is no status of a saga")))
    }
}

/// One saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Saga {
    /// Its id.
    pub id: Uuid,
    /// The name of its definition.
    pub kind: String,
    /// Raised by every change.
    pub version: i64,
    /// Where it stands.
    pub status: SagaStatus,
    /// Whether it has turned round, even if it is stuck now.
    pub undoing: bool,
    /// The step it is at.
    pub step: String,
    /// What its steps work on.
    pub state: Value,
    /// Attempts at the step so far, the one that is running included.
    pub attempts: u32,
    /// When a worker looks at it next. While a step runs that is when its worker is given up for lost.
    pub due_at: Option<DateTime<Utc>>,
    /// Until when it should be done.
    pub deadline: Option<DateTime<Utc>>,
    /// Whether the deadline passed after the point of no return.
    pub overdue: bool,
    /// Why it turned round or is stuck.
    pub reason: Option<Value>,
    /// The trace of what began it.
    pub traceparent: String,
    /// When it began.
    pub began_at: DateTime<Utc>,
    /// When it last changed.
    pub changed_at: DateTime<Utc>,
    /// Who has begun the step it is at, and has not answered yet: the name that [`DbOptions::worker`](crate::DbOptions) gave.
    pub worker: Option<String>,
}

impl Saga {
    /// Its state as what its definition is about.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is something else.
    pub fn state_as<S: DeserializeOwned>(&self) -> Result<S, StoreError> {
        S::deserialize(&self.state)
            .map_err(|e| StoreError::corrupt_row(format_args!("saga {} has another state: {e}", self.id)))
    }

    /// Whether its steps go on by themselves.
    pub fn is_active(&self) -> bool {
        matches!(self.status, SagaStatus::Running | SagaStatus::Compensating)
    }

    pub(super) fn from_model(row: sagas::Model) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id,
            kind: row.kind,
            version: row.version,
            status: SagaStatus::parse(&row.status)?,
            undoing: row.undoing,
            step: row.step,
            state: row.state,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            due_at: row.due_at,
            deadline: row.deadline,
            overdue: row.overdue,
            reason: row.reason,
            traceparent: row.traceparent,
            began_at: row.began_at,
            changed_at: row.changed_at,
            worker: row.worker,
        })
    }

    /// Every column is set.
    pub(super) fn to_model(&self) -> sagas::ActiveModel {
        let row = sagas::Model {
            id: self.id,
            kind: self.kind.clone(),
            version: self.version,
            status: self.status.as_str().to_owned(),
            undoing: self.undoing,
            step: self.step.clone(),
            state: self.state.clone(),
            attempts: i32::try_from(self.attempts).unwrap_or(i32::MAX),
            due_at: self.due_at,
            deadline: self.deadline,
            overdue: self.overdue,
            reason: self.reason.clone(),
            traceparent: self.traceparent.clone(),
            began_at: self.began_at,
            changed_at: self.changed_at,
            worker: self.worker.clone(),
        };
        row.into_active_model().reset_all()
    }
}

/// Where one direction of a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// An undo that will be run if the saga turns round.
    Recorded,
    /// It may have happened.
    Started,
    /// It has happened.
    Done,
    /// It was refused.
    Refused,
    /// It has been undone.
    Undone,
}

impl StepState {
    /// As it stands in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Started => "started",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Undone => "undone",
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let all = [Self::Recorded, Self::Started, Self::Done, Self::Refused, Self::Undone];
        let found = all.into_iter().find(|s| s.as_str() == text);
        found.ok_or_else(|| StoreError::corrupt_row(format_args!("`{text}` is no state of a saga's step")))
    }
}

/// What is known of one direction of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's name.
    pub step: String,
    /// Do or undo.
    pub deed: Deed,
    /// Where it stands.
    pub state: StepState,
    /// How often it was tried.
    pub attempts: u32,
    /// When this last changed.
    pub at: DateTime<Utc>,
    /// What its last attempt came to, if that is known: `{"refused": …}` or `{"retry": "why"}`.
    pub outcome: Option<Value>,
}

impl StepRecord {
    pub(super) fn from_model(row: saga_steps::Model) -> Result<Self, StoreError> {
        Ok(Self {
            deed: row.deed.parse().map_err(StoreError::corrupt_row)?,
            state: StepState::parse(&row.state)?,
            step: row.step,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            at: row.at,
            outcome: row.outcome,
        })
    }

    pub(super) fn to_model(&self, saga: Uuid) -> saga_steps::ActiveModel {
        saga_steps::ActiveModel {
            saga: Set(saga),
            step: Set(self.step.clone()),
            deed: Set(self.deed.as_str().to_owned()),
            state: Set(self.state.as_str().to_owned()),
            attempts: Set(i32::try_from(self.attempts).unwrap_or(i32::MAX)),
            at: Set(self.at),
            outcome: Set(self.outcome.clone()),
        }
    }
}
