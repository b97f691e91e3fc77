//! The last requests, each with the calls that it caused. Kept in memory, and gone with the process.

use std::{borrow::Cow, str::FromStr, sync::Arc};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use strangler::{
    calls::{Call, CallSide, CallTree, trees},
    routes::Refusal,
};
use url::form_urlencoded;
use uuid::Uuid;

use super::{
    Control,
    api::{Asked, At, ControlProblem, MOST, Operator},
    text::searchable,
};

/// From here on a request is slow, in milliseconds.
pub const SLOW_MS: f64 = 250.0;

/// Which requests are wanted. What is not said does not matter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Wanted {
    /// Those that called this module, among others.
    #[serde(default, deserialize_with = "unless_blank")]
    pub module: Option<String>,
    /// Those to this operation, by id.
    #[serde(default, deserialize_with = "unless_blank")]
    pub operation: Option<String>,
    /// `error` (5xx), `refused` (4xx) or `slow`.
    #[serde(default, deserialize_with = "unless_blank")]
    pub outcome: Option<String>,
    /// Those that took at least so long, in milliseconds.
    #[serde(default, deserialize_with = "milliseconds")]
    pub min_ms: Option<f64>,
    /// Those of this trace.
    #[serde(default, deserialize_with = "unless_blank")]
    pub trace: Option<String>,
    /// Those in whose operation, trace or subject this is to be found.
    #[serde(default, deserialize_with = "unless_blank")]
    pub q: Option<String>,
    /// How many at most.
    #[serde(default, deserialize_with = "unless_blank")]
    pub limit: Option<u64>,
    /// Where an earlier answer ended.
    #[serde(default, deserialize_with = "unless_blank")]
    pub cursor: Option<String>,
}

/// A form sends its empty fields, too.
fn unless_blank<'de, D: Deserializer<'de>, T: FromStr<Err: std::fmt::Display>>(from: D) -> Result<Option<T>, D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    match text.trim() {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|e| serde::de::Error::custom(format_args!("`{text}`: {e}"))),
    }
}

/// A duration as a person writes it.
fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    let text = Cow::<'de, str>::deserialize(from)?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse::<f64>().ok().filter(|ms| ms.is_finite());
    number
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom(format_args!("`{text}` is no number of milliseconds such as 100")))
}

/// A request in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestLine {
    /// Its trace, 32 hexadecimal digits.
    pub trace: String,
    /// When it came.
    pub at: DateTime<Utc>,
    /// What was asked: `catalog.show`.
    pub operation: Cow<'static, str>,
    /// Its method and path, parameters in braces.
    pub http: String,
    /// What it was about, where its path names a UUID.
    pub subject: Option<Uuid>,
    /// Which side answered.
    pub side: CallSide,
    /// The answer's status; 499 when the caller went away.
    pub status: u16,
    /// What failed on the way, if that was it.
    pub fault: Option<Cow<'static, str>>,
    /// How long its caller waited, in milliseconds.
    pub took_ms: f64,
    /// How many calls it caused, itself included, and those after it was answered; as far as this process knows.
    pub calls: usize,
}

/// Requests, the last one first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestList {
    /// Whether requests are kept at all.
    pub recording: bool,
    /// How many are kept at most.
    pub capacity: usize,
    /// How many calls were left out because somebody was reading.
    pub missed: u64,
    /// How many of those that are kept are such as were wanted.
    pub found: usize,
    /// The requests.
    pub requests: Vec<RequestLine>,
    /// Where the next page begins; `null` on the last.
    pub next: Option<String>,
}

/// Everything that is known of one trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestSheet {
    /// When it began.
    pub at: DateTime<Utc>,
    /// Its calls.
    #[serde(flatten)]
    pub tree: CallTree,
    /// Services that did not say their part, as sentences.
    pub not_asked: Vec<String>,
}

fn moment(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// A trace's id as it is written in addresses and headers.
fn trace_id(text: &str) -> Option<u128> {
    let hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    u128::from_str_radix(text, 16).ok().filter(|&id| hex && id != 0)
}

impl Wanted {
    /// The same as a query string.
    pub fn query(&self) -> String {
        let (least, limit) = (self.min_ms.map(|n| n.to_string()), self.limit.map(|n| n.to_string()));
        let pairs = [
            ("module", &self.module),
            ("operation", &self.operation),
            ("outcome", &self.outcome),
            ("min_ms", &least),
            ("trace", &self.trace),
            ("q", &self.q),
            ("limit", &limit),
            ("cursor", &self.cursor),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        query.finish()
    }

    fn check(&self, control: &Control) -> Result<(), String> {
        for (name, text) in [
            ("module", &self.module),
            ("operation", &self.operation),
            ("outcome", &self.outcome),
            ("trace", &self.trace),
            ("text", &self.q),
        ] {
            searchable(name, text.as_deref())?;
        }
        if let Some(module) = &self.module {
            control.module(module)?;
        }
        if let Some(operation) = &self.operation {
            let module = operation.split('.').next().unwrap_or_default();
            let contract = control.module(module)?.contract;
            if !contract.operations.iter().any(|o| o.id == operation) {
                let all: Vec<_> = contract.operations.iter().map(|o| o.id).collect();
                return Err(format!(
                    "there is no operation `{operation}`; there are: {}",
                    all.join(", ")
                ));
            }
        }
        match self.outcome.as_deref() {
            None | Some("error" | "refused" | "slow") => Ok(()),
            Some(other) => Err(format!("`{other}` is no outcome; there are: error, refused, slow")),
        }
    }

    fn fits(&self, line: &RequestLine, of_trace: &CallTree) -> bool {
        let is = |wanted: &Option<String>, matches: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(matches);
        is(&self.module, &|module| {
            of_trace.flat().iter().any(|(_, call)| call.module == module)
        }) && is(&self.operation, &|operation| line.operation == operation)
            && is(&self.trace, &|trace| line.trace == trace.to_ascii_lowercase())
            && is(&self.outcome, &|outcome| match outcome {
                "error" => line.status >= 500,
                "refused" => (400..500).contains(&line.status),
                _ => line.took_ms >= SLOW_MS,
            })
            && is(&self.q, &|text| {
                let text = text.to_ascii_lowercase();
                let subject = || line.subject.is_some_and(|subject| subject.to_string().contains(&text));
                line.operation.contains(&text) || line.trace.contains(&text) || subject()
            })
            && self.min_ms.is_none_or(|least| line.took_ms >= least)
    }
}

/// Where a line stands: the later, the greater.
fn place(line: &RequestLine) -> (i64, &str) {
    (line.at.timestamp_micros(), &line.trace)
}

impl Control {
    /// The last requests that are such as wanted, the newest first. Asks nobody else: what calls from one module to another
    /// there were, this process knows.
    ///
    /// # Errors
    /// A sentence, when there is no such thing.
    pub fn requests(&self, wanted: &Wanted) -> Result<RequestList, String> {
        wanted.check(self)?;
        let Some(recorder) = &self.calls.recorder else {
            return Ok(RequestList {
                recording: false,
                capacity: 0,
                missed: 0,
                found: 0,
                requests: Vec::new(),
                next: None,
            });
        };
        let mut lines = Vec::new();
        for tree in trees(vec![self.calls.own(recorder.all())]) {
            // What no request here made went on after the first of them.
            let mut later: usize = tree.calls.iter().filter(|c| !c.request).map(|c| c.flat().len()).sum();
            for call in tree.calls.iter().filter(|c| c.request) {
                let mut line = self.line(&tree, call);
                line.calls += std::mem::take(&mut later);
                if wanted.fits(&line, &tree) {
                    lines.push(line);
                }
            }
        }
        lines.sort_by(|a, b| place(b).cmp(&place(a)));
        let found = lines.len();
        if let Some(cursor) = &wanted.cursor {
            let (at, trace) = cursor.split_once('-').unwrap_or_default();
            let before = (
                at.parse()
                    .map_err(|_| format!("`{cursor}` is no cursor; begin without one"))?,
                trace,
            );
            lines.retain(|line| place(line) < before);
        }
        let limit = usize::try_from(wanted.limit.unwrap_or(100).clamp(1, MOST)).unwrap_or(100);
        let more = lines.len() > limit;
        lines.truncate(limit);
        let next = lines.last().filter(|_| more).map(place);
        Ok(RequestList {
            recording: true,
            capacity: recorder.capacity(),
            missed: recorder.missed(),
            found,
            next: next.map(|(at, trace)| format!("{at}-{trace}")),
            requests: lines,
        })
    }

    fn line(&self, tree: &CallTree, call: &Call) -> RequestLine {
        let contract = self.modules.iter().map(|m| m.contract).find(|c| c.name == call.module);
        let http = contract.and_then(|contract| {
            let operation = contract.operations.iter().find(|o| o.id == call.operation)?;
            Some(format!("{} {}{}", operation.method, contract.prefix(), operation.path))
        });
        RequestLine {
            trace: tree.trace.clone(),
            at: moment(tree.began_us + (call.starts_ms * 1e3).round() as i64),
            operation: call.operation.clone(),
            http: http.unwrap_or_default(),
            subject: call.subject,
            side: call.side,
            status: call.status,
            fault: call.fault.clone(),
            took_ms: call.took_ms,
            calls: call.flat().len(),
        }
    }

    /// Everything that is known of one trace, here and by the services; `None` when nothing is.
    ///
    /// # Errors
    /// A sentence, when this is no trace.
    pub async fn request(&self, trace: &str) -> Result<Option<RequestSheet>, Refusal> {
        let id = trace_id(trace).ok_or_else(|| {
            Refusal::Wrong(format!(
                "`{trace}` is no trace: one is 32 hexadecimal digits, as `banyan requests` shows and the header traceparent has"
            ))
        })?;
        let Some(recorder) = &self.calls.recorder else {
            return Err(Refusal::Refused(
                "no requests are kept: set console.requests to how many should be, and start again".to_owned(),
            ));
        };
        let mut parts = vec![self.calls.own(recorder.of_trace(id))];
        let instances = self.registry.all();
        let healthy = instances.iter().filter(|i| i.healthy());
        let asked = healthy.map(|instance| self.calls.of_instance(instance, id));
        let mut not_asked = Vec::new();
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(part) => parts.push(part),
                Err(why) => not_asked.push(why),
            }
        }
        for part in &mut parts {
            // A service may say of what it was asked, and nothing else.
            part.calls.retain(|call| call.trace == id);
        }
        let tree = trees(parts).pop();
        Ok(tree.map(|tree| RequestSheet {
            at: moment(tree.began_us),
            tree,
            not_asked,
        }))
    }
}

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/control/v1/requests", get(list))
        .route("/control/v1/requests/{trace}", get(show))
}

async fn list(
    _: Operator,
    State(control): State<Arc<Control>>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<RequestList>, ControlProblem> {
    control.requests(&wanted).map(Json).map_err(super::api::unknown)
}

async fn show(
    _: Operator,
    State(control): State<Arc<Control>>,
    At(trace): At<String>,
) -> Result<Json<RequestSheet>, ControlProblem> {
    let found = control.request(&trace).await?;
    found.map(Json).ok_or_else(|| {
        let why =
            format!("nothing is kept of the trace {trace}: it is none of the last requests, or of another system");
        ControlProblem::new(StatusCode::NOT_FOUND, why)
    })
}
