//! The client's side: writing a request, and reading what was answered.

use std::fmt::Display;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderName, LOCATION},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Accepted, Answered, Done, FORM, JSON, Put, at, malformed};
use crate::{
    contract::Contract,
    fault::{Failure, Fault, FaultKind},
    page::WebPage,
    problem::{ContractError, PROBLEM_JSON, Problem},
};

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

    /// With this cookie, when there is a value.
    pub fn cookie<T: Display>(mut self, name: &'static str, value: &Option<T>) -> Result<Self, Fault> {
        if let Some(value) = value {
            let before = self.headers.get(COOKIE).and_then(|v| v.to_str().ok());
            let before = before.map_or_else(String::new, |all| format!("{all}; "));
            let value = percent_encoding::utf8_percent_encode(&value.to_string(), &UNRESERVED).to_string();
            let text = HeaderValue::from_str(&format!("{before}{name}={value}"))
                .map_err(|_| malformed(format!("the cookie {name} has characters a cookie cannot carry")))?;
            self.headers.insert(COOKIE, text);
        }
        Ok(self)
    }

    /// With this body, as a browser sends a form.
    pub fn form<T: Serialize>(mut self, value: &T) -> Result<Self, Fault> {
        let text = serde_urlencoded::to_string(value).map_err(|e| malformed(format!("the form: {e}")))?;
        self.body = text.into();
        self.headers.insert(CONTENT_TYPE, FORM);
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

    /// A page of any status; only a problem document is a failure.
    pub fn into_page<E: ContractError>(self) -> Result<WebPage, Failure<E>> {
        let problem = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|media| media == PROBLEM_JSON);
        if problem {
            return match serde_json::from_slice::<Problem>(&self.body) {
                Ok(problem) => Err(Failure::from_problem(&problem)),
                Err(e) => Err(bad(format!("its problem document cannot be read: {e}")).into()),
            };
        }
        Ok(WebPage::from_wire(self.status, &self.headers, self.body))
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
