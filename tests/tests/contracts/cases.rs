//! One request, and what is expected of its answer.

use bytes::Bytes;
use http::Method;
use rand::Rng;
use serde_json::Value;
use system_tests::{Address, Answer, Random, System};
use uuid::Uuid;

use crate::{
    document::{FORM, Operation, Parameter},
    values::Values,
};

/// What an answer must be, besides being an answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// A success that the document names, or an error of the module's own: what was asked fits the document, so the way
    /// has nothing to refuse.
    Taken,
    /// Refused before the module saw it.
    Refused,
    /// Exactly this status.
    Status(u16),
    /// Any answer that the document or the way names.
    Anything,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it.
    pub what: String,
    /// Which address is asked.
    pub address: Address,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// What is expected.
    pub expect: Expect,
}

/// The header that carries a token.
pub const AUTHORIZATION: &str = "authorization";

impl Case {
    /// The same request with another name and expectation.
    pub fn but(&self, what: impl Into<String>, expect: Expect) -> Self {
        Self {
            what: what.into(),
            expect,
            ..self.clone()
        }
    }

    /// With this header instead of any of that name; `None` removes it.
    pub fn header(mut self, name: &str, value: Option<&str>) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.extend(value.map(|v| (name.to_owned(), v.to_owned())));
        self
    }

    /// With this body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// With this path and query.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = target.into();
        self
    }

    /// With this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Method::from_bytes(method.as_bytes()).expect("a method");
        self
    }

    /// At this address.
    pub fn at(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    /// Sends it to a system, as its operator unless it says otherwise.
    pub async fn send(&self, system: &System) -> Result<Answer, String> {
        let headers: Vec<_> = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        system
            .send_to(
                self.address,
                self.method.clone(),
                &self.target,
                &headers,
                self.body.clone(),
            )
            .await
    }

    /// A line that says what was asked.
    pub fn line(&self) -> String {
        let short = |text: &str| text.chars().take(300).collect::<String>();
        let body = short(&String::from_utf8_lossy(&self.body));
        let headers = self.headers.iter().filter(|(n, _)| n != AUTHORIZATION);
        let headers: Vec<_> = headers.map(|(n, v)| format!("{n}: {}", short(v))).collect();
        format!(
            "{}: {} {} {headers:?} {body}",
            self.what,
            self.method,
            short(&self.target)
        )
    }
}

/// A request that the document allows, with ids out of so many. Parameters that may be missing are there half the time;
/// conditions are left out, as they make any answer a right one.
pub fn valid(operation: &Operation, token: &str, random: Option<&mut Random>, ids: u64) -> Case {
    let document = operation.document.clone();
    let mut values = Values {
        document: &document,
        random,
        ids,
    };
    let mut target = operation.path.clone();
    let mut query = Vec::new();
    for parameter in &operation.parameters {
        match parameter.place.as_str() {
            "path" => {
                let value = percent_encoded(&plain(&values.of(&parameter.schema)));
                target = target.replace(&format!("{{{}}}", parameter.name), &value);
            }
            "query" => query.extend(query_pair(parameter, &mut values)),
            _ => {}
        }
    }
    if !query.is_empty() {
        target = format!("{target}?{}", query.join("&"));
    }
    let case = Case {
        what: "as the document says".to_owned(),
        address: operation.address,
        method: operation.method.clone(),
        target,
        headers: vec![(AUTHORIZATION.to_owned(), format!("Bearer {token}"))],
        body: Bytes::new(),
        expect: Expect::Taken,
    };
    match (&operation.body, &operation.form) {
        (None, None) => case,
        (_, Some(schema)) => {
            let form = form(&values.of(schema));
            case.header("content-type", Some(FORM)).body(form)
        }
        (Some(schema), None) => {
            let body = values.of(schema);
            case.header("content-type", Some("application/json"))
                .body(body.to_string())
        }
    }
}

/// A form with these fields; a list is as many fields of one name.
pub fn form(fields: &Value) -> String {
    let fields = fields.as_object().into_iter().flatten();
    let pairs = fields.flat_map(|(name, value)| match value {
        Value::Array(all) => all.iter().map(|one| encoded(name, one)).collect(),
        Value::Null => Vec::new(),
        one => vec![encoded(name, one)],
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn encoded(name: &str, value: &Value) -> String {
    format!("{name}={}", percent_encoded(&plain(value)))
}

/// A text as it can stand anywhere in a URL or a form.
fn percent_encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// `name=value`. A cursor cannot be made up, so it is left out as long as it may be.
fn query_pair(parameter: &Parameter, values: &mut Values<'_>) -> Option<String> {
    let there = parameter.required || values.random.as_mut().is_some_and(|r| r.random());
    let opaque = !parameter.required && parameter.name == "cursor";
    if !there || opaque {
        return None;
    }
    match values.of(&parameter.schema) {
        Value::Array(all) => {
            let each: Vec<_> = all.iter().map(|one| encoded(&parameter.name, one)).collect();
            Some(each.join("&"))
        }
        value => Some(encoded(&parameter.name, &value)),
    }
}

/// A value as it stands in a path or a query.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// An id that nobody has.
pub fn nobodys() -> Uuid {
    Uuid::from_u128(0xdead_0000_0000_7000_8000_0000_0000_0000)
}
