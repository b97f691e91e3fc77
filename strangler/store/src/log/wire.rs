//! What travels between a log and those who follow it from another process. Client and server are both in this crate, and
//! both read it tolerantly: fields that are not known are ignored.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::Head;

/// Where logs are served: `…/{module}`, `…/{module}/head`, `…/{module}/wait`, `…/{module}/readers/{name}`.
pub const LOGS: &str = "/control/v1/logs/";

/// The most events of one answer.
pub(super) const MOST_EVENTS: u64 = 1000;
/// The most bytes of events in one answer, unless the first alone has more.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// The longest answer that is read, and so the largest event that can be followed from another process, with what is around
/// it.
pub(super) const LONGEST_ANSWER: usize = 16 << 20;
/// The longest that a server waits for an event before it answers that there is none.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// `GET …/{module}`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReadQuery {
    pub(super) after: i64,
    #[serde(default = "most_events")]
    pub(super) limit: u64,
}

fn most_events() -> u64 {
    MOST_EVENTS
}

/// `GET …/{module}/wait`: answers when the log is not at `after` in this `incarnation`, or when `patience_ms` have passed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WaitQuery {
    pub(super) after: i64,
    #[serde(default)]
    pub(super) incarnation: Option<Uuid>,
    pub(super) patience_ms: u64,
}

/// The answer to a read. Events are written one by one, so that their sizes are known.
#[derive(Debug, Serialize)]
pub(super) struct BatchOut {
    pub(super) incarnation: Uuid,
    pub(super) events: Vec<Box<RawValue>>,
}

/// The same as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct BatchIn {
    pub(super) incarnation: Uuid,
    pub(super) events: Vec<crate::Envelope>,
}

/// The answer to `head` and `wait`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeadWire {
    pub(super) incarnation: Uuid,
    pub(super) position: i64,
    pub(super) floor: i64,
}

impl From<Head> for HeadWire {
    fn from(head: Head) -> Self {
        Self {
            incarnation: head.incarnation,
            position: head.position,
            floor: head.floor,
        }
    }
}

impl From<HeadWire> for Head {
    fn from(head: HeadWire) -> Self {
        Self {
            incarnation: head.incarnation,
            position: head.position,
            floor: head.floor,
        }
    }
}

/// `PUT …/{module}/readers/{name}`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ReportBody {
    pub(super) position: i64,
}

/// What a problem document says besides when events are gone: status 410.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct GoneExtra {
    pub(super) after: i64,
    pub(super) floor: i64,
}

/// The path of a module's log.
pub(super) fn path(module: &str) -> String {
    format!("{LOGS}{}", utf8_percent_encode(module, NON_ALPHANUMERIC))
}

/// The path of one of its readers.
pub(super) fn reader_path(module: &str, reader: &str) -> String {
    format!(
        "{}/readers/{}",
        path(module),
        utf8_percent_encode(reader, NON_ALPHANUMERIC)
    )
}
