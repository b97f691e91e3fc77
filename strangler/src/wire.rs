//! Bytes in, bytes out: how one call of an operation looks on the wire, on both ends. The generated code calls these
//! plain functions; nothing here knows a module's types but for their serde and text forms.

mod client;
mod objects;

use std::{borrow::Cow, fmt::Display, str::FromStr};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
    },
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    BoxFuture, Cx,
    contract::Contract,
    fault::{Failure, Fault, FaultKind},
    page::WebPage,
    problem::{ContractError, PROBLEM_JSON, Problem},
};

pub use client::{ANSWER, Ask};
use objects::Objects;

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

/// What every fault says that is about a path's parameter, after its name.
pub(crate) const IN_THE_PATH: &str = " in the path";

/// The path parameter at `place`, called `name` in messages.
pub fn path_param<T: FromStr>(asked: &Asked<'_>, place: usize, name: &str) -> Result<T, Fault>
where
    T::Err: Display,
{
    let raw = asked.params.get(place).copied().unwrap_or_default();
    let text = decode(raw).ok_or_else(|| malformed(format!("`{name}`{IN_THE_PATH} is not UTF-8")))?;
    text.parse()
        .map_err(|e| malformed(format!("`{name}`{IN_THE_PATH}: {e}")))
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

/// The cookie `name` as an optional value. Cookies are old, or of somebody else on this host: one that cannot be read is none.
pub fn cookie<T: FromStr>(asked: &Asked<'_>, name: &'static str) -> Result<Option<T>, Fault> {
    let text = crate::cx::cookie(asked.headers, name).and_then(decode);
    Ok(text.and_then(|text| text.parse().ok()))
}

/// The body as a browser sends a form. Another media type is refused. What is in the form is for its type to judge: a person
/// who mistyped something is shown the page again.
pub fn form<T: DeserializeOwned>(asked: &Asked<'_>) -> Result<T, Fault> {
    let media = asked.headers.get(CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?"));
    let is_form = |media: &str| {
        let essence = media.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && is_utf8(media)
    };
    if !media.is_some_and(is_form) {
        return Err(Fault::new(
            FaultKind::UnsupportedMediaType,
            format!(
                "send `content-type: application/x-www-form-urlencoded`, not {}",
                media.unwrap_or("none")
            ),
        ));
    }
    not_coded(asked)?;
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(asked.body));
    serde_path_to_error::deserialize(pairs).map_err(|e| Fault::new(FaultKind::Invalid, format!("the form: {}", at(&e))))
}

/// Taken as it is, a body that says it is coded would be read as something else than its sender meant.
fn not_coded(asked: &Asked<'_>) -> Result<(), Fault> {
    let coding = asked.headers.get(CONTENT_ENCODING).map(|v| v.to_str().unwrap_or("?"));
    match coding.filter(|c| !c.trim().eq_ignore_ascii_case("identity")) {
        Some(coding) => {
            let detail = format!("send the body without `content-encoding: {coding}`");
            Err(Fault::new(FaultKind::UnsupportedMediaType, detail))
        }
        None => Ok(()),
    }
}

/// The body as a value. Another media type than JSON in UTF-8 is refused; bad JSON is `Malformed`, a value that cannot be is
/// `Invalid` and says where.
pub fn body<T: DeserializeOwned>(asked: &Asked<'_>) -> Result<T, Fault> {
    let media = asked.headers.get(CONTENT_TYPE).map(|v| v.to_str().unwrap_or("?"));
    if !media.is_some_and(|media| is_json(media) && is_utf8(media)) {
        return Err(Fault::new(
            FaultKind::UnsupportedMediaType,
            format!("send `content-type: application/json`, not {}", media.unwrap_or("none")),
        ));
    }
    not_coded(asked)?;
    let mut json = serde_json::Deserializer::from_slice(asked.body);
    let mut path = serde_path_to_error::Track::new();
    let strict = Objects(serde_path_to_error::Deserializer::new(&mut json, &mut path));
    let value = T::deserialize(strict).map_err(|e| serde_path_to_error::Error::new(path.path(), e));
    let value = value.map_err(|e| {
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

/// JSON is UTF-8 and has no parameter that says so (RFC 8259, 11); who says something else means something else.
fn is_utf8(media: &str) -> bool {
    let parameters = media.split(';').skip(1).filter_map(|p| p.split_once('='));
    parameters
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .all(|(_, charset)| charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"))
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
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

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

    /// A page, with the headers that every page has.
    pub fn page(page: &WebPage) -> Self {
        page.to_wire()
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
        for (media, utf8) in [
            ("application/json", true),
            ("application/json; Charset=\"UTF-8\"", true),
            ("application/json;v=1; charset=utf-8", true),
            ("application/json; charset=latin1", false),
            ("application/json; v=1; charset = utf-16", false),
        ] {
            assert_eq!(is_utf8(media), utf8, "{media}");
        }
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(try_from = "RawOuter")]
    struct Outer {
        inner: Vec<Inner>,
        pair: (u8, bool),
        choice: Option<Choice>,
    }

    #[derive(serde::Deserialize)]
    struct RawOuter {
        inner: Vec<Inner>,
        pair: (u8, bool),
        choice: Option<Choice>,
    }

    impl TryFrom<RawOuter> for Outer {
        type Error = String;

        fn try_from(raw: RawOuter) -> Result<Self, String> {
            let RawOuter { inner, pair, choice } = raw;
            Ok(Self { inner, pair, choice })
        }
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Inner {
        name: String,
        amount: i64,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Choice {
        Named { id: u8 },
        Plain(Inner),
    }

    fn read(text: &str) -> Result<Outer, (FaultKind, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, JSON);
        let asked = Asked {
            params: &[],
            query: None,
            headers: &headers,
            body: &Bytes::copy_from_slice(text.as_bytes()),
        };
        body(&asked).map_err(|fault| (fault.kind(), fault.detail().to_owned()))
    }

    #[test]
    fn what_has_fields_is_an_object() {
        let inner = r#"{"name": "a", "amount": 7}"#;
        let all =
            |inner: &str, choice: &str| format!(r#"{{"inner": [{inner}], "pair": [1, true], "choice": {choice}}}"#);
        for (choice, read_as) in [
            ("null", None),
            (r#"{"named": {"id": 3}}"#, Some(Choice::Named { id: 3 })),
        ] {
            let outer = read(&all(inner, choice)).expect("it is as it should be");
            assert_eq!((outer.pair, outer.choice), ((1, true), read_as));
            assert_eq!(outer.inner[0].amount, 7);
        }
        let bad = [
            (r#"[[], [1, true], null]"#.to_owned(), "the body: "),
            ("7".to_owned(), "the body: "),
            (all(r#"["a", 7]"#, "null"), "the body: inner[0]: "),
            (all(inner, r#"{"named": [3]}"#), "the body: choice.named: "),
            (all(inner, r#"{"plain": ["a", 7]}"#), "the body: choice.plain: "),
        ];
        for (text, at) in bad {
            let (kind, told) = read(&text).expect_err(&text);
            assert!(kind == FaultKind::Invalid && told.starts_with(at), "{text}: {told}");
            assert!(told.contains("expected an object"), "{text}: {told}");
            assert!(!told.contains("struct") && !told.contains("Raw"), "{text}: {told}");
        }
    }
}
