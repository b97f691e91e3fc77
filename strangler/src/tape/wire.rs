//! Calls of other modules, as they are on a tape: what would go over HTTP, and what would come back.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, ETAG, LOCATION},
};
use serde_json::{Map, Value, json};

use super::{CommandAsked, Tape};
use crate::{
    Contract,
    page::HTML,
    wire::{Answered, Ask, is_json},
};

/// What comes of a call that is on a tape.
pub enum Dialled {
    /// It was recorded once, and this was the answer.
    Answered(Answered),
    /// It has to be made, and the answer told.
    Live(Line),
}

/// A call that is being made and recorded.
pub struct Line {
    tape: Arc<Tape>,
    call: Option<usize>,
}

impl Line {
    /// This was the answer.
    pub fn heard(self, answer: Answered) {
        if let (Some(call), Tape::Record(record)) = (self.call, &*self.tape) {
            record.heard(call, answer);
        }
    }
}

impl Tape {
    /// The call of an operation of another module.
    pub async fn dial(self: &Arc<Self>, contract: &'static Contract, ask: &Ask) -> Dialled {
        let port = contract.operations[ask.index].id;
        match &**self {
            Self::Record(record) => Dialled::Live(Line {
                tape: self.clone(),
                call: record.ask(port, ask.clone()),
            }),
            Self::Replay(replay) => {
                let answer = replay.call(port, request_value(ask)).await;
                match answered(&answer) {
                    Some(answer) => Dialled::Answered(answer),
                    None => match replay.halt(format!("call {port}")).await {},
                }
            }
        }
    }
}

/// `{"target", "headers", "body"}`; headers are those the contract names.
pub(super) fn request_value(ask: &Ask) -> Value {
    let mut request = Map::new();
    request.insert("target".to_owned(), ask.target.as_str().into());
    let named = ask
        .headers
        .iter()
        .filter(|(name, _)| **name != ACCEPT && **name != CONTENT_TYPE);
    let headers = texts(named);
    if !headers.is_empty() {
        request.insert("headers".to_owned(), json!(headers));
    }
    request.insert("body".to_owned(), body_value(&ask.body));
    request.into()
}

/// `{"status", "body"}`, and the headers without which it cannot be understood. Pages are told by their status.
pub(super) fn answer_value(answer: &Answered) -> Value {
    let mut told = Map::new();
    told.insert("status".to_owned(), answer.status.as_u16().into());
    let page = answer.headers.get(CONTENT_TYPE).is_some_and(|media| media == HTML);
    let body = if page { Value::Null } else { body_value(&answer.body) };
    told.insert("body".to_owned(), body);
    let mut kept: BTreeMap<String, String> = [LOCATION, ETAG]
        .iter()
        .filter_map(|name| Some((name.as_str().to_owned(), text(answer.headers.get(name)?)?)))
        .collect();
    if let Some(media) = answer.headers.get(CONTENT_TYPE).and_then(text)
        && !is_json(&media)
    {
        kept.insert(CONTENT_TYPE.as_str().to_owned(), media);
    }
    if !kept.is_empty() {
        told.insert("headers".to_owned(), json!(kept));
    }
    told.into()
}

/// What a command's caller was told: `{"status", "body"}`.
pub(crate) fn told(answer: &Answered) -> Value {
    let mut told = answer_value(answer);
    if let Some(told) = told.as_object_mut() {
        told.remove("headers");
    }
    told
}

/// The answer that was told so.
fn answered(told: &Value) -> Option<Answered> {
    let status = told.get("status")?.as_u64()?;
    let body = told.get("body").unwrap_or(&Value::Null);
    let mut headers = HeaderMap::new();
    if !body.is_null() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in told.get("headers").and_then(Value::as_object).into_iter().flatten() {
        headers.insert(
            name.parse::<HeaderName>().ok()?,
            HeaderValue::from_str(value.as_str()?).ok()?,
        );
    }
    let plain = headers
        .get(CONTENT_TYPE)
        .and_then(text)
        .is_some_and(|media| !is_json(&media));
    let body = match body {
        Value::String(text) if plain => Bytes::copy_from_slice(text.as_bytes()),
        body => bytes(body),
    };
    Some(Answered {
        status: StatusCode::from_u16(u16::try_from(status).ok()?).ok()?,
        headers,
        body,
    })
}

/// A body as JSON; as a text where it is none, and null where there is none.
fn body_value(body: &Bytes) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}

fn bytes(body: &Value) -> Bytes {
    match body {
        Value::Null => Bytes::new(),
        value => serde_json::to_vec(value).unwrap_or_default().into(),
    }
}

/// A command as it was asked. A body that is no JSON is kept as a text, with its media type.
pub(crate) fn command(contract: &'static Contract, ask: &Ask) -> CommandAsked {
    let operation = &contract.operations[ask.index];
    let media = ask.headers.get(CONTENT_TYPE).and_then(text);
    let plain = media.as_deref().is_none_or(is_json);
    let kept = ask
        .headers
        .iter()
        .filter(|(name, _)| operation.headers.contains(&name.as_str()) || (!plain && **name == CONTENT_TYPE));
    let body = match plain {
        true => body_value(&ask.body),
        false => String::from_utf8_lossy(&ask.body).into_owned().into(),
    };
    CommandAsked {
        operation: operation.id.to_owned(),
        method: operation.method.to_string(),
        target: ask.target.clone(),
        headers: texts(kept),
        body,
    }
}

impl CommandAsked {
    /// The command as a request once more: which operation it is, and what it says; `None` when the contract has no such.
    pub fn ask(&self, contract: &'static Contract) -> Option<Ask> {
        let index = contract.operations.iter().position(|o| o.id == self.operation)?;
        let mut headers = HeaderMap::new();
        let mut plain = true;
        for (name, value) in &self.headers {
            let (name, value) = (name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?);
            plain &= name != CONTENT_TYPE;
            headers.insert(name, value);
        }
        let body = match &self.body {
            Value::String(text) if !plain => Bytes::copy_from_slice(text.as_bytes()),
            body => bytes(body),
        };
        if plain && !body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Some(Ask {
            index,
            target: self.target.clone(),
            headers,
            body,
            most: crate::wire::ANSWER,
        })
    }
}

fn text(value: &HeaderValue) -> Option<String> {
    value.to_str().ok().map(ToOwned::to_owned)
}

fn texts<'a>(headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> BTreeMap<String, String> {
    headers
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
        .collect()
}
