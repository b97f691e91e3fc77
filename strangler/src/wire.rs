//! Bytes in, bytes out: how one call of an operation looks on the wire, on both ends. The generated code calls these
//! plain functions; nothing here knows a module's types but for their serde and text forms.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER,
        WWW_AUTHENTICATE,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BoxFuture, Cx,
    contract::Contract,
    fault::{Failure, Fault, FaultKind},
    problem::{ContractError, PROBLEM_JSON, Problem},
};

/// The largest query string that is read, in bytes.
const QUERY_LIMIT: usize = 16 * 1024;

/// A request that was matched to an operation.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The path's parameters in the order of the path, still percent-encoded.
    pub params: &'a [&'a str],
    /// The query string without its question mark.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body, within the limit.
    pub body: &'a Bytes,
}

/// An answer, ready for the wire.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers that matter to the contract: content type, entity tag, location, link.
    pub headers: HeaderMap,
    /// The body; empty for 204 and 304.
    pub body: Bytes,
}

/// A contract's operations behind bytes: what the gateway and an extracted process mount.
pub trait Serve: Send + Sync + 'static {
    /// Which contract.
    fn contract(&self) -> &'static Contract;

    /// Answers one request to the operation with this index. Every failure is an answer, too.
    fn serve<'a>(&'a self, index: usize, cx: &'a Cx, asked: Asked<'a>) -> BoxFuture<'a, Answered>;
}

/// A value that creates or keeps what a PUT named: 201 or 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put<T> {
    /// It was not there before (201).
    Created(T),
    /// It was there; it is now as the request says (200).
    Kept(T),
}

impl<T> Put<T> {
    /// What is there now.
    pub fn value(&self) -> &T {
        let (Self::Created(value) | Self::Kept(value)) = self;
        value
    }

    /// What is there now.
    pub fn into_value(self) -> T {
        let (Self::Created(value) | Self::Kept(value)) = self;
        value
    }
}

/// It is done and there is nothing to say about it (204).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done;

/// It is accepted and goes on (202); `location` is where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted<T> {
    /// Path of the thing, below the contract's prefix.
    pub location: String,
    /// How it looks now.
    pub value: T,
}

/// An `If-Match` header: the versions the caller is willing to change. What is not one of our tags never matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: any version, but there must be one.
    Any,
    /// One of these versions.
    Versions(Vec<i64>),
}

impl IfMatch {
    /// Whether a thing at this version (`None`: it is not there) may be changed.
    pub fn allows(&self, version: Option<i64>) -> bool {
        match (self, version) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Versions(list), Some(v)) => list.contains(&v),
        }
    }
}

impl FromStr for IfMatch {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "*" {
            return Ok(Self::Any);
        }
        // If-Match compares strongly (RFC 9110, 13.1.1), so a weak tag is none of ours either.
        let version = |tag: &str| tag.trim().strip_prefix('"')?.strip_suffix('"')?.parse().ok();
        Ok(Self::Versions(text.split(',').filter_map(version).collect()))
    }
}

impl Display for IfMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Versions(list) if list.is_empty() => f.write_str("\"none\""),
            Self::Versions(list) => {
                let tags: Vec<_> = list.iter().map(|v| format!("\"{v}\"")).collect();
                f.write_str(&tags.join(", "))
            }
        }
    }
}

// ---- reading a request -------------------------------------------------------------------------------------------

fn decode(text: &str) -> Option<Cow<'_, str>> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok()
}

/// The path parameter at `place`, called `name` in messages.
pub fn path_param<T: FromStr>(asked: &Asked<'_>, place: usize, name: &str) -> Result<T, Fault>
where
    T::Err: Display,
{
    let raw = asked.params.get(place).copied().unwrap_or_default();
    let text = decode(raw).ok_or_else(|| malformed(format!("`{name}` in the path is not UTF-8")))?;
    text.parse()
        .map_err(|e| malformed(format!("`{name}` in the path: {e}")))
}

/// The query string as a value; unknown parameters are ignored.
pub fn query<T: DeserializeOwned>(asked: &Asked<'_>) -> Result<T, Fault> {
    let text = asked.query.unwrap_or_default();
    if text.len() > QUERY_LIMIT {
        return Err(malformed(format!(
            "the query string is longer than {QUERY_LIMIT} bytes"
        )));
    }
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded(text));
    serde_path_to_error::deserialize(pairs).map_err(|e| malformed(format!("the query: {}", at(&e))))
}

fn form_urlencoded(text: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(text.as_bytes())
}

/// The header `name` as an optional value.
pub fn header<T: FromStr>(asked: &Asked<'_>, name: &'static str) -> Result<Option<T>, Fault>
where
    T::Err: Display,
{
    let name = HeaderName::from_static(name);
    let mut values = asked.headers.get_all(&name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let mut text = first
        .to_str()
        .map_err(|_| malformed(format!("the header {name} is not text")))?
        .to_owned();
    for more in values {
        text.push(',');
        text.push_str(
            more.to_str()
                .map_err(|_| malformed(format!("the header {name} is not text")))?,
        );
    }
    text.parse()
        .map(Some)
        .map_err(|e| malformed(format!("the header {name}: {e}")))
}

/// The body as a value. Another media type than JSON is refused; bad JSON is `Malformed`, a value that cannot be is
/// `Invalid` and says where.
pub fn body<T: DeserializeOwned>(asked: &Asked<'_>) -> Result<T, Fault> {
    let media = asked.headers.get(CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?"));
    if !media.is_some_and(is_json) {
        return Err(Fault::new(
            FaultKind::UnsupportedMediaType,
            format!("send `content-type: application/json`, not {}", media.unwrap_or("none")),
        ));
    }
    // Taken as it is, a body that says it is coded would be read as something else than its sender meant.
    let coding = asked.headers.get(CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?"));
    if let Some(coding) = coding.filter(|c| !c.trim().eq_ignore_ascii_case("identity")) {
        let detail = format!("send the body without `content-encoding: {coding}`");
        return Err(Fault::new(FaultKind::UnsupportedMediaType, detail));
    }
    let mut json = serde_json::Deserializer::from_slice(asked.body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let wrong_value = e.inner().classify() == serde_json::error::Category::Data;
        let kind = if wrong_value {
            FaultKind::Invalid
        } else {
            FaultKind::Malformed
        };
        Fault::new(kind, format!("the body: {}", at(&e)))
    })?;
    json.end().map_err(|e| malformed(format!("the body: {e}")))?;
    Ok(value)
}

/// Whether a media type is JSON.
pub fn is_json(media: &str) -> bool {
    let essence = media.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5
            && essence.is_char_boundary(essence.len() - 5)
            && essence[essence.len() - 5..].eq_ignore_ascii_case("+json"))
}

fn at<E: Display>(error: &serde_path_to_error::Error<E>) -> String {
    match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    }
}

fn malformed(detail: String) -> Fault {
    Fault::new(FaultKind::Malformed, detail)
}

// ---- writing an answer -------------------------------------------------------------------------------------------

const JSON: HeaderValue = HeaderValue::from_static("application/json");

impl Answered {
    fn bare(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => {
                let mut headers = HeaderMap::with_capacity(4);
                headers.insert(CONTENT_TYPE, JSON);
                Self {
                    status,
                    headers,
                    body: bytes.into(),
                }
            }
            Err(e) => Fault::new(FaultKind::Broken, format!("the answer cannot be written as JSON: {e}")).into(),
        }
    }

    /// A 200 with this value.
    pub fn value<T: Serialize>(value: &T) -> Self {
        Self::json(StatusCode::OK, value)
    }

    /// A 201 or 200 with what is there now.
    pub fn put<T: Serialize>(put: &Put<T>) -> Self {
        let status = if matches!(put, Put::Created(_)) {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Self::json(status, put.value())
    }

    /// A 204.
    pub fn done(_: &Done) -> Self {
        Self::bare(StatusCode::NO_CONTENT)
    }

    /// A 202 that says where to look.
    pub fn accepted<T: Serialize>(contract: &Contract, accepted: &Accepted<T>) -> Self {
        let mut answer = Self::json(StatusCode::ACCEPTED, &accepted.value);
        if let Ok(to) = HeaderValue::from_str(&format!("{}{}", contract.prefix(), accepted.location)) {
            answer.headers.insert(LOCATION, to);
        }
        answer
    }

    /// The same answer with `version` as its entity tag; a request that has this version already gets 304.
    pub fn etag(mut self, version: impl Display, asked: &Asked<'_>, kind: crate::contract::Kind) -> Self {
        let tag = format!("\"{version}\"");
        let Ok(value) = HeaderValue::from_str(&tag) else {
            return self;
        };
        self.headers.insert(ETAG, value);
        if kind == crate::contract::Kind::Query && self.status == StatusCode::OK && has(asked.headers, &tag) {
            self.status = StatusCode::NOT_MODIFIED;
            self.headers.remove(CONTENT_TYPE);
            self.body = Bytes::new();
        }
        self
    }

    /// The same answer with a link to the next page, when there is one.
    pub fn next(mut self, cursor: Option<&str>, asked: &Asked<'_>) -> Self {
        let Some(cursor) = cursor else { return self };
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded(asked.query.unwrap_or_default()).filter(|(k, _)| k != "cursor") {
            query.append_pair(&key, &value);
        }
        query.append_pair("cursor", cursor);
        if let Ok(link) = HeaderValue::from_str(&format!("<?{}>; rel=\"next\"", query.finish())) {
            self.headers.insert(LINK, link);
        }
        self
    }

    /// A problem document.
    pub fn problem(problem: &Problem) -> Self {
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut answer = Self::bare(status);
        answer
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            answer
                .headers
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            answer.headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer.body = serde_json::to_vec(problem).unwrap_or_default().into();
        answer
    }

    /// The answer to a call that failed.
    pub fn failure<E: ContractError>(failure: &Failure<E>) -> Self {
        Self::problem(&failure.to_problem())
    }
}

impl From<Fault> for Answered {
    fn from(fault: Fault) -> Self {
        Self::problem(&fault.to_problem())
    }
}

/// Whether `If-None-Match` names this tag; it compares weakly (RFC 9110, 13.1.2).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|t| {
            let t = t.trim();
            t == "*" || t.strip_prefix("W/").unwrap_or(t) == tag
        })
}

// ---- the client's side -------------------------------------------------------------------------------------------

/// A request as the client writes it: everything but the address and the token.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The operation's index.
    pub index: usize,
    /// Path and query, from the contract's prefix on.
    pub target: String,
    /// Headers that the contract names.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The largest answer that is read, in bytes.
    pub most: usize,
}

/// The largest answer of a service that is read into memory unless somebody wants less, in bytes.
pub const ANSWER: usize = 16 << 20;

/// What the path may carry unencoded in a parameter (RFC 3986 unreserved).
const UNRESERVED: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Ask {
    /// A request to the operation `index`; `params` fill the braces of its path in order.
    pub fn new(contract: &Contract, index: usize, params: &[&dyn Display]) -> Self {
        let mut target = contract.prefix();
        let mut params = params.iter();
        for segment in contract.operations[index].path.split('/').skip(1) {
            target.push('/');
            match params.next_if_braces(segment) {
                Some(value) => target.extend(percent_encoding::utf8_percent_encode(&value.to_string(), &UNRESERVED)),
                None => target.push_str(segment),
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, application/problem+json"),
        );
        Self {
            index,
            target,
            headers,
            body: Bytes::new(),
            most: ANSWER,
        }
    }

    /// With this query string.
    pub fn query<T: Serialize>(mut self, value: &T) -> Result<Self, Fault> {
        let text = serde_urlencoded::to_string(value).map_err(|e| malformed(format!("the query: {e}")))?;
        if !text.is_empty() {
            self.target.push('?');
            self.target.push_str(&text);
        }
        Ok(self)
    }

    /// With this header, when there is a value.
    pub fn header<T: Display>(mut self, name: &'static str, value: &Option<T>) -> Result<Self, Fault> {
        if let Some(value) = value {
            let text = HeaderValue::from_str(&value.to_string())
                .map_err(|_| malformed(format!("the header {name} has characters a header cannot carry")))?;
            self.headers.insert(HeaderName::from_static(name), text);
        }
        Ok(self)
    }

    /// With this body.
    pub fn body<T: Serialize>(mut self, value: &T) -> Result<Self, Fault> {
        let bytes = serde_json::to_vec(value).map_err(|e| malformed(format!("the body: {e}")))?;
        self.body = bytes.into();
        self.headers.insert(CONTENT_TYPE, JSON);
        Ok(self)
    }
}

trait NextIfBraces<'a> {
    fn next_if_braces(&mut self, segment: &str) -> Option<&'a dyn Display>;
}

impl<'a> NextIfBraces<'a> for std::slice::Iter<'a, &'a dyn Display> {
    fn next_if_braces(&mut self, segment: &str) -> Option<&'a dyn Display> {
        if segment.starts_with('{') {
            self.next().copied()
        } else {
            None
        }
    }
}

impl Answered {
    /// The value of a 200.
    pub fn into_value<T: DeserializeOwned, E: ContractError>(self) -> Result<T, Failure<E>> {
        self.ok_or_failure()?.read()
    }

    /// The value of a 201 or 200.
    pub fn into_put<T: DeserializeOwned, E: ContractError>(self) -> Result<Put<T>, Failure<E>> {
        let answer = self.ok_or_failure()?;
        let created = answer.status == StatusCode::CREATED;
        let value = answer.read()?;
        Ok(if created { Put::Created(value) } else { Put::Kept(value) })
    }

    /// A 204.
    pub fn into_done<E: ContractError>(self) -> Result<Done, Failure<E>> {
        self.ok_or_failure().map(|_| Done)
    }

    /// The value of a 202 and where to look.
    pub fn into_accepted<T: DeserializeOwned, E: ContractError>(
        self,
        contract: &Contract,
    ) -> Result<Accepted<T>, Failure<E>> {
        let answer = self.ok_or_failure()?;
        let location = answer
            .headers
            .get(LOCATION)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default();
        let location = location.strip_prefix(&contract.prefix()).unwrap_or(location).to_owned();
        Ok(Accepted {
            location,
            value: answer.read()?,
        })
    }

    fn ok_or_failure<E: ContractError>(self) -> Result<Self, Failure<E>> {
        if self.status.is_success() {
            return Ok(self);
        }
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => Err(Failure::from_problem(&problem)),
            Err(_) => Err(bad(format!(
                "it answered status {} without a problem document",
                self.status.as_u16()
            ))
            .into()),
        }
    }

    fn read<T: DeserializeOwned, E>(self) -> Result<T, Failure<E>> {
        let mut json = serde_json::Deserializer::from_slice(&self.body);
        serde_path_to_error::deserialize(&mut json)
            .map_err(|e| bad(format!("the answer (status {}): {}", self.status.as_u16(), at(&e))).into())
    }
}

fn bad(detail: String) -> Fault {
    Fault::new(FaultKind::BadAnswer, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_match_reads_what_there_is() {
        let parse = |s: &str| s.parse::<IfMatch>().unwrap_or(IfMatch::Any);
        assert_eq!(parse("*"), IfMatch::Any);
        assert_eq!(parse("\"3\", \"4\""), IfMatch::Versions(vec![3, 4]));
        assert_eq!(parse("\"no-such-version\""), IfMatch::Versions(vec![]));
        assert_eq!(parse("W/\"3\""), IfMatch::Versions(vec![]));
        assert!(!parse("\"x\"").allows(Some(1)) && !IfMatch::Any.allows(None) && IfMatch::Any.allows(Some(9)));
        assert_eq!(parse(&parse("\"3\"").to_string()), parse("\"3\""));
    }

    #[test]
    fn media_types() {
        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/Problem+JSON",
        ] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["", "text/plain", "application/x-www-form-urlencoded", "äjson", "+json"] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
