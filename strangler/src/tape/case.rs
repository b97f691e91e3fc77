//! A unit of work as given, when and then: the JSON in which recordings travel and in which they are kept.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// A unit of work that was done: what it was asked, what it was given, what it did, and what its caller was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// What it was asked.
    pub when: When,
    /// What it was given.
    pub given: Given,
    /// What it did.
    pub then: Then,
    /// What its caller was told; of a command `{"status": 201, "body": …}`.
    pub answer: Value,
}

/// What a service is asked: the same unit of work once more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowAsk {
    /// What it is asked.
    pub when: When,
    /// What it is given.
    pub given: Given,
}

/// What is asked of a unit of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// A command of the contract.
    Command(CommandAsked),
    /// A query of the contract; only cases have it, as queries are compared by asking both sides.
    Query(CommandAsked),
    /// A step of a saga.
    Step(StepTaken),
    /// An event, of its handler.
    Event(EventHeard),
}

/// A command, as it would come over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandAsked {
    /// The operation: `catalog.announce`.
    pub operation: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers that the contract names, and `content-type` where the body is no JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body: JSON, or a text when it is none.
    #[serde(default)]
    pub body: Value,
}

/// A step of a saga.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepTaken {
    /// The kind of saga.
    pub saga: String,
    /// The step's name.
    pub step: String,
    /// `do` or `undo`.
    pub deed: String,
    /// The saga's id.
    pub id: Uuid,
    /// The step's key, by which a repeat is known.
    pub key: String,
    /// What the step works on.
    pub state: Value,
}

/// An event, as a subscription gives it to its handler.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventHeard {
    /// The subscription's name.
    pub subscription: String,
    /// The event, as CloudEvents 1.0 has it.
    pub event: Value,
}

/// Everything that a unit of work was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Given {
    /// Its transactions, in their order.
    #[serde(default)]
    pub units: Vec<UnitGiven>,
    /// What it read outside of them.
    #[serde(default)]
    pub views: ViewsGiven,
    /// What others answered, in the order in which they were asked.
    #[serde(default)]
    pub calls: Vec<Called>,
    /// The ids it drew, in their order.
    #[serde(default)]
    pub ids: Vec<Uuid>,
}

/// What one transaction was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnitGiven {
    /// Its time.
    pub now: DateTime<Utc>,
    /// The rows that it loaded.
    #[serde(default)]
    pub rows: Vec<RowGiven>,
    /// What it asked beyond that.
    #[serde(default)]
    pub queries: Vec<Asked>,
}

/// What was read outside of transactions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewsGiven {
    /// The time when that was first asked for; `None` when it never was.
    #[serde(default)]
    pub now: Option<DateTime<Utc>>,
    /// The rows.
    #[serde(default)]
    pub rows: Vec<RowGiven>,
    /// What was asked beyond that.
    #[serde(default)]
    pub queries: Vec<Asked>,
}

/// A row that was loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowGiven {
    /// What kind of aggregate: `show`.
    pub kind: String,
    /// Which.
    pub id: Uuid,
    /// How it was; null when there was none.
    pub state: Value,
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The query's name.
    pub name: String,
    /// What it asked.
    pub question: Value,
    /// What it was answered.
    pub answer: Value,
}

/// A call and its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Called {
    /// Who was asked for what: `seating.hold`.
    pub port: String,
    /// With what.
    pub request: Value,
    /// What came back; null when nothing did.
    pub answer: Value,
}

/// What a unit of work did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Then {
    /// The rows that it left, in the order in which it left them.
    #[serde(default)]
    pub rows: Vec<RowLeft>,
    /// Its changes to rows that are no aggregates.
    #[serde(default)]
    pub writes: Vec<Written>,
    /// The events it left.
    #[serde(default)]
    pub events: Vec<EventLeft>,
    /// Whom it called.
    #[serde(default)]
    pub calls: Vec<Made>,
}

/// A row that was left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowLeft {
    /// What kind of aggregate: `show`.
    pub kind: String,
    /// Which.
    pub id: Uuid,
    /// The version it has now.
    pub version: i64,
    /// How it is now.
    pub state: Value,
}

/// A change to rows that are no aggregate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// The change's name.
    pub name: String,
    /// What it says.
    pub value: Value,
}

/// An event that was left to be published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventLeft {
    /// What happened: `catalog.show.announced`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// To whom.
    pub subject: Uuid,
    /// The version that it has since.
    pub version: i64,
    /// The fact itself.
    pub data: Value,
}

/// A call, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Who was asked for what.
    pub port: String,
    /// With what.
    pub request: Value,
}

/// What the other side says it would have done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Replayed {
    /// What its caller would have been told.
    pub answer: Value,
    /// What it would have done.
    #[serde(default)]
    pub then: Then,
    /// What its clock showed, if it goes by one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<DateTime<Utc>>,
    /// The ids that it drew, if it draws its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<Uuid>>,
    /// What it needed and was not given; the rest does not matter then.
    #[serde(default)]
    pub missing: Option<String>,
}
