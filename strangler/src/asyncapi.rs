//! The AsyncAPI 3.0 document (<https://www.asyncapi.com/docs/reference/specification/v3.0.0>) of what modules tell others:
//! one channel for each module's event log, one message for each event, put together from the events' types.

use serde_json::{Map, Value, json};

use crate::{Contract, EventInfo, openapi::Schemas};

/// The media type of an event as it travels: CloudEvents 1.0, structured.
pub const CLOUDEVENTS_JSON: &str = "application/cloudevents+json";
/// The media type of the document.
pub const ASYNCAPI_JSON: &str = "application/vnd.aai.asyncapi+json;version=3.0.0";

const ENVELOPE: &str = "Envelope";

/// What is told of the system as a whole.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// What the document is called.
    pub title: &'a str,
    /// The version of the system.
    pub version: &'a str,
    /// What a reader should know first.
    pub description: &'a str,
}

/// How a message is called in the document: `catalog.show.announced.v1`.
pub fn message_name(event: &EventInfo) -> String {
    format!("{}.v{}", event.event_type, event.version)
}

/// The document of these contracts' events. A module without events has no channel.
///
/// # Panics
/// When two different types of one contract have the same name.
pub fn document(about: About<'_>, contracts: impl IntoIterator<Item = &'static Contract>) -> Value {
    let (mut channels, mut operations) = (Map::new(), Map::new());
    let (mut messages, mut schemas) = (Map::new(), Map::new());
    schemas.insert(ENVELOPE.to_owned(), envelope());
    for contract in contracts.into_iter().filter(|c| !c.events.is_empty()) {
        let module = contract.name;
        let mut found = Schemas::default();
        let (mut of_channel, mut of_operation) = (Map::new(), Vec::new());
        for event in contract.events {
            let name = message_name(event);
            let data = serde_json::to_value((event.data)(&mut found)).unwrap_or_default();
            messages.insert(name.clone(), message(module, event, own(module, data)));
            of_channel.insert(name.clone(), json!({"$ref": format!("#/components/messages/{name}")}));
            of_operation.push(json!({"$ref": format!("#/channels/{module}/messages/{name}")}));
        }
        for (name, schema) in found.into_map() {
            let schema = serde_json::to_value(schema).unwrap_or_default();
            schemas.insert(format!("{module}.{name}"), own(module, schema));
        }
        let channel = json!({
            "address": module,
            "title": format!("The event log of {module}"),
            "description": format!(
                "What happened in {module}, numbered without gaps in `position`. Events of one subject come in the order in \
                 which they happened. Each is delivered at least once; its `id` tells a repeat."
            ),
            "messages": of_channel,
        });
        channels.insert(module.to_owned(), channel);
        let operation = json!({
            "action": "send",
            "title": format!("{module} tells what happened"),
            "channel": {"$ref": format!("#/channels/{module}")},
            "messages": of_operation,
        });
        operations.insert(format!("{module}.tells"), operation);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {"title": about.title, "version": about.version, "description": about.description},
        "defaultContentType": CLOUDEVENTS_JSON,
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    })
}

fn message(module: &str, event: &EventInfo, data: Value) -> Value {
    let this = json!({
        "type": "object",
        "properties": {
            "source": {"const": module},
            "type": {"const": event.event_type},
            "dataversion": {"const": event.version},
            "data": data,
        },
    });
    json!({
        "name": event.event_type,
        "title": event.event_type,
        "summary": event.doc,
        "contentType": CLOUDEVENTS_JSON,
        "payload": {"allOf": [{"$ref": format!("#/components/schemas/{ENVELOPE}")}, this]},
    })
}

/// A schema whose references lead to the module's own: two modules may call different things by one name.
fn own(module: &str, schema: Value) -> Value {
    match schema {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| {
                let name = value.as_str().and_then(|r| r.strip_prefix("#/components/schemas/"));
                match name {
                    Some(name) if key == "$ref" => (key, format!("#/components/schemas/{module}.{name}").into()),
                    _ => (key, own(module, value)),
                }
            })
            .collect(),
        Value::Array(list) => list.into_iter().map(|value| own(module, value)).collect(),
        plain => plain,
    }
}

/// The envelope of every event. `strangler-store` writes it.
fn envelope() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let uuid = |description: &str| json!({"type": "string", "format": "uuid", "description": description});
    let count =
        |description: &str| json!({"type": "integer", "format": "int64", "minimum": 1, "description": description});
    let fixed = |value: &str, description: &str| json!({"const": value, "description": description});
    let properties = json!({
        "specversion": fixed("1.0", "The version of CloudEvents."),
        "id": uuid("The event's own id, version 7: the key by which a repeat is known."),
        "source": text("The module that it comes from."),
        "type": text("What happened: module, aggregate and the fact in the past tense."),
        "dataversion": count("The version of the shape of `data`."),
        "subject": uuid("The id of what it happened to."),
        "aggregateversion": count("The version that the subject has since."),
        "time": {"type": "string", "format": "date-time", "description": "When it was decided, UTC."},
        "traceparent": text("The W3C trace context of the call that caused it."),
        "datacontenttype": fixed("application/json", "The media type of `data`."),
        "data": {"description": "The fact itself."},
        "position": count("Its place in its log, without gaps."),
    });
    let required: Vec<_> = properties
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect();
    json!({
        "type": "object",
        "description": "A CloudEvents 1.0 structured event with the extensions `dataversion`, `aggregateversion`, `traceparent` \
                        and `position`. Readers ignore attributes that they do not know.",
        "properties": properties,
        "required": required,
    })
}
