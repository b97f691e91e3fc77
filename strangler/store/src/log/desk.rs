//! The serving side: event logs over HTTP, for processes that have no other way to them.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use strangler::{Problem, problem::PROBLEM_JSON};

use super::{
    EventLog, Head, LogError,
    wire::{
        BatchOut, GoneExtra, HeadWire, LOGS, LONGEST_ANSWER, MOST_BYTES, MOST_EVENTS, PATIENCE, ReadQuery, ReportBody,
        WaitQuery,
    },
};

/// How many events are read from a log at a time: so much is in memory at once, however large they are.
const CHUNK: u64 = 64;

/// Serves event logs under [`LOGS`](crate::LOGS). It knows nothing of any web framework and asks nobody who they are: mount
/// it behind a door that does. Cheap to clone.
#[derive(Clone)]
pub struct LogDesk(Arc<BTreeMap<String, Arc<dyn EventLog>>>);

/// An answer that is none: a problem.
struct Refused {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    extra: Map<String, Value>,
}

impl LogDesk {
    /// Serves these, each under the name of its [`source`](EventLog::source).
    pub fn new(logs: impl IntoIterator<Item = Arc<dyn EventLog>>) -> Self {
        let by_name = logs.into_iter().map(|log| (log.source().to_owned(), log));
        Self(Arc::new(by_name.collect()))
    }

    /// Answers one request, whose path begins with [`LOGS`](crate::LOGS):
    ///
    /// * `GET …/{module}?after=&limit=`: `{"incarnation", "events": [envelope]}`, at most 1000 events and, unless the
    ///   first alone is larger, 1 MiB; 410 with `after` and `floor` when events after `after` have been pruned.
    /// * `GET …/{module}/head`: `{"incarnation", "position", "floor"}`.
    /// * `GET …/{module}/wait?after=&incarnation=&patience_ms=`: the same, as soon as the log is at another position than
    ///   `after` or of another incarnation, or when the patience (10 s at most) ends.
    /// * `PUT …/{module}/readers/{name}` with `{"position"}`: 204.
    ///
    /// What goes wrong is a problem document: 404, 405, 400, 410, 413 for an event that is too large, and 503 when the log
    /// cannot be read at the moment. `body` is bounded by who calls this.
    pub async fn answer(&self, method: &Method, path: &str, query: Option<&str>, body: &[u8]) -> Response<Bytes> {
        match self.serve(method, path, query.unwrap_or_default(), body).await {
            Ok(answer) => answer,
            Err(refused) => refused.into_response(),
        }
    }

    async fn serve(&self, method: &Method, path: &str, query: &str, body: &[u8]) -> Result<Response<Bytes>, Refused> {
        let rest = path
            .strip_prefix(LOGS)
            .ok_or_else(|| not_found("nothing is at this path".into()))?;
        let (module, what) = rest.split_once('/').unwrap_or((rest, ""));
        let module = decode(module)?;
        let Some(log) = self.0.get(&module) else {
            let all: Vec<&str> = self.0.keys().map(String::as_str).collect();
            let all = all.join(", ");
            return Err(not_found(format!(
                "no event log of `{module}` is served here; there are: {all}"
            )));
        };
        let (allowed, reader) = match what {
            "" | "head" | "wait" => (Method::GET, None),
            _ => match what.strip_prefix("readers/") {
                Some(reader) if !reader.is_empty() => (Method::PUT, Some(decode(reader)?)),
                _ => return Err(not_found(format!("an event log has nothing called `{what}`"))),
            },
        };
        if *method != allowed {
            let detail = format!("this path answers to {allowed}");
            return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "wrong", detail));
        }
        match (what, reader) {
            ("", _) => read(log.as_ref(), parse_query(query)?).await,
            ("head", _) => json(&HeadWire::from(log.head().await?)),
            ("wait", _) => json(&HeadWire::from(wait(log.as_ref(), parse_query(query)?).await?)),
            (_, reader) => {
                let report: ReportBody =
                    serde_json::from_slice(body).map_err(|e| wrong(format!("the body is no position: {e}")))?;
                log.report(&reader.unwrap_or_default(), report.position).await?;
                Ok(with_status(StatusCode::NO_CONTENT, Bytes::new()))
            }
        }
    }
}

/// Reads chunk by chunk until there is enough.
async fn read(log: &dyn EventLog, query: ReadQuery) -> Result<Response<Bytes>, Refused> {
    let mut left = query.limit.clamp(1, MOST_EVENTS);
    let mut after = query.after.max(0);
    let (mut incarnation, mut events, mut bytes) = (None, Vec::new(), 0);
    'enough: while left > 0 {
        let asked = left.min(CHUNK);
        let batch = match log.read(after, asked).await {
            Ok(batch) => batch,
            // What was read before is an answer; the next request meets the rest of the trouble.
            Err(_) if !events.is_empty() => break,
            Err(error) => return Err(error.into()),
        };
        if *incarnation.get_or_insert(batch.incarnation) != batch.incarnation {
            break;
        }
        let got = batch.events.len() as u64;
        for event in batch.events {
            let text = serde_json::to_string(&event)
                .and_then(RawValue::from_string)
                .map_err(|e| {
                    failed(format!(
                        "the event at position {} cannot be written: {e}",
                        event.position
                    ))
                })?;
            let size = text.get().len();
            if size > LONGEST_ANSWER - 1024 {
                if !events.is_empty() {
                    break 'enough;
                }
                let detail = format!(
                    "the event at position {} has {size} bytes, more than can be followed from another process",
                    event.position
                );
                return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail));
            }
            // A big event passes alone.
            if !events.is_empty() && bytes + size > MOST_BYTES {
                break 'enough;
            }
            bytes += size;
            after = event.position;
            events.push(text);
        }
        if got < asked || bytes > MOST_BYTES {
            break;
        }
        left -= got;
    }
    match incarnation {
        Some(incarnation) => json(&BatchOut { incarnation, events }),
        None => Err(failed("the log answered nothing".into())),
    }
}

async fn wait(log: &dyn EventLog, query: WaitQuery) -> Result<Head, LogError> {
    let head = log.head().await?;
    let same = query.incarnation.is_none_or(|known| known == head.incarnation);
    if head.position != query.after || !same {
        return Ok(head);
    }
    let patience = Duration::from_millis(query.patience_ms).min(PATIENCE);
    match tokio::time::timeout(patience, log.wait(query.after)).await {
        Ok(woken) => woken?,
        Err(_) => return Ok(head),
    }
    log.head().await
}

fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Refused> {
    serde_urlencoded::from_str(query).map_err(|e| wrong(format!("the query cannot be understood: {e}")))
}

fn decode(segment: &str) -> Result<String, Refused> {
    let text = percent_decode_str(segment).decode_utf8();
    text.map(Into::into)
        .map_err(|_| wrong("the path is not UTF-8 once the percent signs are decoded".into()))
}

fn json(value: &impl Serialize) -> Result<Response<Bytes>, Refused> {
    let body = serde_json::to_vec(value).map_err(|e| failed(e.to_string()))?;
    let mut answer = with_status(StatusCode::OK, body.into());
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(answer)
}

fn with_status(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer
}

fn not_found(detail: String) -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "not-found", detail)
}

fn wrong(detail: String) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, "wrong", detail)
}

fn failed(detail: String) -> Refused {
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", detail)
}

impl Refused {
    fn new(status: StatusCode, kind: &'static str, detail: String) -> Self {
        Self {
            status,
            kind,
            detail,
            extra: Map::new(),
        }
    }

    fn title(&self) -> &'static str {
        match self.kind {
            "gone" => "These events have been pruned",
            "away" => "The log cannot be read at the moment",
            "not-found" => "Nothing is there",
            "failed" => "It failed",
            _ => "The request cannot be carried out",
        }
    }

    fn into_response(self) -> Response<Bytes> {
        let problem = Problem {
            kind: format!("urn:problem-type:log:{}", self.kind).into(),
            title: self.title().into(),
            status: self.status.as_u16(),
            detail: Some(self.detail),
            extra: self.extra,
        };
        let mut answer = with_status(self.status, serde_json::to_vec(&problem).unwrap_or_default().into());
        let kind = HeaderValue::from_static(PROBLEM_JSON);
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        answer
    }
}

impl From<LogError> for Refused {
    fn from(error: LogError) -> Self {
        match &error {
            LogError::Gone { after, floor, .. } => {
                let mut refused = Self::new(StatusCode::GONE, "gone", error.to_string());
                let extra = GoneExtra {
                    after: *after,
                    floor: *floor,
                };
                if let Ok(Value::Object(extra)) = serde_json::to_value(extra) {
                    refused.extra = extra;
                }
                refused
            }
            _ => Self::new(StatusCode::SERVICE_UNAVAILABLE, "away", error.to_string()),
        }
    }
}

impl fmt::Debug for LogDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogDesk").field(&self.0.keys()).finish()
    }
}
