//! `/docs/events`: what the modules tell others, as a page and as an AsyncAPI document.

use askama::Template;
use axum::{
    Router,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::Value;
use strangler::{
    Contract,
    asyncapi::{self, ASYNCAPI_JSON, About},
};

use crate::modules::MODULES;

const CSS: &str = include_str!("../../../templates/docs/docs.css");
/// The page needs its style sheet and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'none'; base-uri 'none'; \
                      frame-ancestors 'none'";
const DESCRIPTION: &str = "What happens in Banyan, as its modules tell it to each other: facts in the past tense, each as a \
                           CloudEvents 1.0 envelope in JSON, in one log per module. `banyan events tail` prints them as they \
                           come.";

/// The AsyncAPI document of these contracts' events.
pub fn document(contracts: impl IntoIterator<Item = &'static Contract>) -> Value {
    let about = About {
        title: "Banyan: what happens",
        version: env!("CARGO_PKG_VERSION"),
        description: DESCRIPTION,
    };
    asyncapi::document(about, contracts)
}

pub(super) fn router() -> Router {
    Router::new()
        .route("/docs/events", get(events))
        .route("/docs/events.json", get(|| async { as_json() }))
        .route(
            "/docs/events.css",
            get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], CSS) }),
        )
}

fn of_all() -> Value {
    document(MODULES.iter().map(|m| m.contract))
}

async fn events(headers: HeaderMap) -> Response {
    let mut answer = if wants_json(&headers) { as_json() } else { as_page() };
    answer
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("accept"));
    answer
}

/// Whether JSON is preferred to a page: it is named, and HTML is not, or later.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim())
        .collect();
    let json = accepted
        .iter()
        .position(|r| *r == "application/json" || r.ends_with("+json"));
    let html = accepted.iter().position(|r| *r == "text/html");
    match (json, html) {
        (Some(json), Some(html)) => json < html,
        (json, _) => json.is_some(),
    }
}

fn as_json() -> Response {
    let text = of_all().to_string();
    ([(header::CONTENT_TYPE, ASYNCAPI_JSON)], text).into_response()
}

fn as_page() -> Response {
    let document = of_all();
    match Page::of(&document).render() {
        Ok(html) => {
            let head = [
                (header::CONTENT_TYPE, "text/html; charset=utf-8"),
                (header::CONTENT_SECURITY_POLICY, POLICY),
            ];
            (head, html).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the page of the events cannot be rendered");
            (StatusCode::INTERNAL_SERVER_ERROR, "This page cannot be shown\n").into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "docs/events.html")]
struct Page<'a> {
    title: &'a str,
    description: &'a str,
    channels: Vec<Channel<'a>>,
    schemas: Vec<Shape<'a>>,
}

/// A module's log.
struct Channel<'a> {
    name: &'a str,
    description: &'a str,
    messages: Vec<Message<'a>>,
}

/// An event.
struct Message<'a> {
    /// Where on the page it is.
    anchor: &'a str,
    name: &'a str,
    version: u64,
    summary: &'a str,
    data: Kind<'a>,
}

/// A schema with a name.
struct Shape<'a> {
    name: &'a str,
    description: &'a str,
    kind: Kind<'a>,
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    name: &'a str,
    description: &'a str,
    kind: Kind<'a>,
    required: bool,
}

/// What a value is, in words; and the named schema among them, which is on the same page.
#[derive(Debug, PartialEq)]
struct Kind<'a> {
    words: String,
    shape: Option<&'a str>,
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value))
}

impl<'a> Page<'a> {
    fn of(document: &'a Value) -> Self {
        let messages = &document["components"]["messages"];
        let message = |(anchor, _): (&'a str, &'a Value)| {
            let message = &messages[anchor];
            let properties = &message["payload"]["allOf"][1]["properties"];
            Message {
                anchor,
                name: text(message, "name"),
                version: properties["dataversion"]["const"].as_u64().unwrap_or(1),
                summary: text(message, "summary"),
                data: kind(&properties["data"]),
            }
        };
        let channel = |(name, channel): (&'a str, &'a Value)| Channel {
            name,
            description: text(channel, "description"),
            messages: entries(&channel["messages"]).map(message).collect(),
        };
        Self {
            title: text(&document["info"], "title"),
            description: text(&document["info"], "description"),
            channels: entries(&document["channels"]).map(channel).collect(),
            schemas: entries(&document["components"]["schemas"]).map(shape).collect(),
        }
    }
}

fn shape<'a>((name, schema): (&'a str, &'a Value)) -> Shape<'a> {
    let required = |name: &str| {
        schema["required"]
            .as_array()
            .is_some_and(|all| all.iter().any(|r| r == name))
    };
    let field = |(name, schema): (&'a str, &'a Value)| Field {
        name,
        description: text(schema, "description"),
        kind: kind(schema),
        required: required(name),
    };
    Shape {
        name,
        description: text(schema, "description"),
        kind: kind(schema),
        fields: entries(&schema["properties"]).map(field).collect(),
    }
}

fn kind(schema: &Value) -> Kind<'_> {
    let plain = |words: String| Kind { words, shape: None };
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|r| r.rsplit_once('/'))
        .map(|(_, name)| name)
    {
        return Kind {
            words: String::new(),
            shape: Some(name),
        };
    }
    if !schema["const"].is_null() {
        return plain(format!("always {}", schema["const"]));
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<_> = values.iter().map(Value::to_string).collect();
        return plain(format!("one of {}", values.join(", ")));
    }
    let either = ["oneOf", "anyOf", "allOf"]
        .into_iter()
        .find_map(|key| schema[key].as_array());
    if let Some(either) = either {
        let null = either.iter().any(|s| s["type"] == "null");
        let kinds: Vec<_> = either.iter().filter(|s| s["type"] != "null").map(kind).collect();
        let or_null = if null { " or null" } else { "" };
        return match <[Kind<'_>; 1]>::try_from(kinds) {
            Ok([one]) => Kind {
                words: format!("{}{or_null}", one.words),
                ..one
            },
            Err(kinds) => {
                let words = kinds
                    .iter()
                    .map(|k| format!("{}{}", k.words, k.shape.unwrap_or_default()));
                plain(format!("{}{or_null}", words.collect::<Vec<_>>().join(" or ")))
            }
        };
    }
    if schema["type"] == "array" {
        let items = kind(&schema["items"]);
        return Kind {
            words: format!("list of {}", items.words).trim_end().to_owned(),
            ..items
        };
    }
    let types: Vec<_> = match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let mut words = match types.is_empty() {
        true => "anything".to_owned(),
        false => types.join(" or "),
    };
    if let Some(format) = schema["format"].as_str() {
        words.push_str(&format!(" ({format})"));
    }
    let bounds = [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "length at least"),
        ("maxLength", "length at most"),
        ("minItems", "items at least"),
        ("maxItems", "items at most"),
        ("pattern", "like"),
    ];
    for (key, said) in bounds {
        if !schema[key].is_null() {
            words.push_str(&format!(
                ", {said} {}",
                schema[key]
                    .as_str()
                    .map_or_else(|| schema[key].to_string(), str::to_owned)
            ));
        }
    }
    plain(words)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_answered_to_who_prefers_it() {
        let wants = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            wants_json(&headers)
        };
        assert!(wants("application/json") && wants("application/vnd.aai.asyncapi+json;version=3.0.0"));
        assert!(wants("application/json, text/html;q=0.5"));
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert!(!wants(browser) && !wants("*/*") && !wants_json(&HeaderMap::new()));
    }

    #[test]
    fn a_kind_is_told_in_words() {
        let told = |schema: Value| {
            let kind = kind(&schema);
            format!("{}|{}", kind.words, kind.shape.unwrap_or_default())
        };
        let reference = json!({"$ref": "#/components/schemas/catalog.Act", "description": "Who."});
        assert_eq!(told(reference.clone()), "|catalog.Act");
        assert_eq!(
            told(json!({"type": "array", "items": reference})),
            "list of|catalog.Act"
        );
        assert_eq!(
            told(json!({"oneOf": [{"type": "null"}, reference]})),
            " or null|catalog.Act"
        );
        assert_eq!(
            told(json!({"type": ["string", "null"], "maxLength": 9})),
            "string or null, length at most 9|"
        );
        assert_eq!(told(json!({"type": "integer", "format": "int64"})), "integer (int64)|");
        assert_eq!(told(json!({"enum": ["a", "b"]})), "one of \"a\", \"b\"|");
        assert_eq!(told(json!({})), "anything|");
    }

    #[test]
    fn the_page_names_everything_and_escapes_it() {
        let mut document = of_all();
        let html = Page::of(&document).render().unwrap();
        let names = ["messages", "schemas"].map(|part| entries(&document["components"][part]).count());
        assert!(names[0] >= 7 && names[1] > 7, "{names:?}");
        for part in ["messages", "schemas"] {
            for (name, _) in entries(&document["components"][part]) {
                assert!(html.contains(&format!("id=\"{name}\"")), "{name} is not on the page");
            }
        }
        // Every link on the page leads to a place on it.
        for link in html.split("href=\"#").skip(1) {
            let target = link.split('"').next().unwrap();
            assert!(html.contains(&format!("id=\"{target}\"")), "#{target} is nowhere");
        }
        document["components"]["messages"]["catalog.act.announced.v1"]["summary"] = "<script>alert(1)</script>".into();
        let html = Page::of(&document).render().unwrap();
        assert!(!html.contains("<script") && html.contains("&#60;script&#62;"));
    }
}
