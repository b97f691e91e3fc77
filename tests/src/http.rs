//! A small HTTP client for tests.

use std::time::Duration;

use ::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;
use strangler::{
    body::Outgoing,
    pool::{HttpClient, http_client},
};

/// The longest a test waits for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Who answered for `module`, from `Server-Timing`: `local`, `remote`, `fallback`, or empty.
    pub fn served(&self, module: &str) -> &str {
        let entries = self.header("server-timing").split(',');
        let entry = entries.map(str::trim).find(|e| e.split(';').next() == Some(module));
        let desc = entry.and_then(|e| e.split(';').find_map(|p| p.strip_prefix("desc=")));
        desc.unwrap_or_default().trim_matches('"')
    }

    /// Whether it is a problem document that is whole: media type, title, and the status of the answer.
    pub fn is_problem(&self) -> bool {
        let json = self.json();
        self.header("content-type") == "application/problem+json"
            && json["title"].as_str().is_some_and(|t| !t.is_empty())
            && json["type"].as_str().is_some_and(|t| !t.is_empty())
            && json["status"] == self.status
    }
}

/// A client; its connections are kept and shared by its clones.
#[derive(Clone)]
pub struct Client(HttpClient);

impl Default for Client {
    fn default() -> Self {
        Self(http_client())
    }
}

impl Client {
    /// Sends one request. An error when there is no answer, with its cause.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Outgoing::Full(body.into())).map_err(|e| e.to_string())?;
        let exchange = async {
            let answer = self
                .0
                .request(request)
                .await
                .map_err(|e| format!("{e}: {:?}", std::error::Error::source(&e)))?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map_err(|e| e.to_string())?.to_bytes();
            Ok(Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body,
            })
        };
        tokio::time::timeout(PATIENCE, exchange)
            .await
            .map_err(|_| format!("no answer in {PATIENCE:?}"))?
    }
}
