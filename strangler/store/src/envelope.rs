//! The form in which events travel: CloudEvents 1.0 (<https://github.com/cloudevents/spec>), as JSON.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// One event, as it stands in an event log. Its JSON is a CloudEvents 1.0 structured event with the extensions
/// `dataversion`, `aggregateversion`, `traceparent` and `position`; unknown attributes are ignored when it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Always `1.0`.
    pub specversion: String,
    /// The event's own id (UUID v7): the key by which effects outside a schema are made idempotent.
    pub id: Uuid,
    /// The module (schema) it comes from, such as `catalog`.
    pub source: String,
    /// What happened, such as `catalog.show.announced`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The version of the shape of `data`.
    pub dataversion: u32,
    /// The id of the aggregate it happened to.
    pub subject: Uuid,
    /// The version that the aggregate had afterwards.
    pub aggregateversion: i64,
    /// When the unit of work decided it; microseconds, UTC.
    pub time: DateTime<Utc>,
    /// The W3C trace context of the call that caused it.
    pub traceparent: String,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// The fact itself.
    pub data: Value,
    /// Its place in its log: dense, starting at 1.
    pub position: i64,
}

impl Envelope {
    /// The value of `specversion`.
    pub const SPEC_VERSION: &'static str = "1.0";

    /// The value of `datacontenttype`.
    pub const CONTENT_TYPE: &'static str = "application/json";
}

/// What an event type happens to: `catalog.show` of `catalog.show.announced`. Versions are counted per such stream and
/// subject, because ids come from clients and a show may have the id of an act.
pub(crate) fn stream(event_type: &str) -> &str {
    event_type.rsplit_once('.').map_or(event_type, |(stream, _)| stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_type_without_what_happened() {
        assert_eq!(stream("catalog.show.announced"), "catalog.show");
        assert_eq!(stream("announced"), "announced");
    }
}
