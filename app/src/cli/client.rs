//! Talking to the running system's control plane.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::{Serialize, de::DeserializeOwned};
use strangler::{
    Problem,
    body::Outgoing,
    pool::{HttpClient, http_client},
};

use super::{Failure, Global, settings};
use crate::{
    identity::{IdentityError, OPERATOR_TOKEN_VARIABLE, Token, operator_token},
    settings::variable,
};

/// The largest answer that is read, in bytes.
const ANSWER: usize = 64 << 20;
/// The longest any command waits: extracting takes some 20 s at most.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it is tried whether anybody listens.
const LISTENS: Duration = Duration::from_secs(2);

/// The control plane of the running system.
pub(super) struct Client {
    base: String,
    token: Token,
    http: HttpClient,
}

impl Client {
    /// Finds the running system and the operator's token; asks nothing yet.
    pub(super) fn find(global: &Global) -> Result<Self, Failure> {
        let settings = settings(global, Vec::new())?;
        let base = global.control.clone().or_else(|| variable("BANYAN_CONTROL"));
        let base = base.unwrap_or_else(|| format!("http://{}", settings.internal.listen));
        if !base.starts_with("http://") {
            return Err(Failure::Usage(format!(
                "--control: `{base}` is not of the form http://host:port"
            )));
        }
        let token = operator_token(variable(OPERATOR_TOKEN_VARIABLE).as_deref(), &settings.data.folder);
        let base = base.trim_end_matches('/').to_owned();
        // Where nothing runs there need not be a token yet: then that nothing runs is what is wrong.
        let token = token.map_err(|e| match &e {
            IdentityError::NoToken { .. } | IdentityError::File { .. } if !somebody_listens(&base) => {
                Failure::NotReached(format!("no running system at {base}; {e}"))
            }
            IdentityError::NoToken { .. } => Failure::Usage(e.to_string()),
            _ => Failure::Usage(format!(
                "{e}; or give the operator's token of the system at {base} in {OPERATOR_TOKEN_VARIABLE}, or its data folder with --data"
            )),
        })?;
        Ok(Self {
            base,
            token,
            http: http_client(),
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|e| Failure::Failed(e.to_string()))?;
        self.ask(Method::POST, path, body).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<T, Failure> {
        let base = &self.base;
        let request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Outgoing::Full(body.into()))
            .map_err(|e| Failure::Usage(format!("{base}{path} is no address: {e}")))?;
        let asked = tokio::time::timeout(PATIENCE, self.http.request(request)).await;
        let answer = match asked {
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                return Err(Failure::NotReached(format!(
                    "the system at {base} did not answer within {seconds} s"
                )));
            }
            Ok(Err(e)) => {
                let cause = std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string);
                return Err(Failure::NotReached(format!(
                    "no running system at {base} ({cause}); start one with `banyan`, or say where it is with --control or BANYAN_CONTROL"
                )));
            }
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER).collect().await;
        let body = body
            .map_err(|e| Failure::Failed(format!("the answer of {base} broke off: {e}")))?
            .to_bytes();
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|e| {
                Failure::Failed(format!(
                    "the answer of {base} cannot be read ({e}); is it of the same version?"
                ))
            });
        }
        let told = serde_json::from_slice::<Problem>(&body).ok().and_then(|p| p.detail);
        let named = told.is_some();
        let told = told.unwrap_or_else(|| format!("{base} answered {status}"));
        Err(match status {
            StatusCode::CONFLICT => Failure::Refused(told),
            StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Failure::Usage(told),
            StatusCode::NOT_FOUND if named => Failure::Usage(told),
            StatusCode::NOT_FOUND => Failure::Usage(format!(
                "{told}; is this the internal address? it is 127.0.0.1:8081 by default, and --control or BANYAN_CONTROL says another"
            )),
            StatusCode::UNAUTHORIZED => Failure::Failed(format!(
                "{told}; give the operator's token of that system in BANYAN_OPERATOR_TOKEN, or its data folder with --data"
            )),
            _ => Failure::Failed(told),
        })
    }
}

/// Whether anything takes connections at this address.
fn somebody_listens(base: &str) -> bool {
    let authority = base.trim_start_matches("http://").split('/').next().unwrap_or_default();
    let addresses = std::net::ToSocketAddrs::to_socket_addrs(authority);
    addresses.is_ok_and(|mut all| all.any(|a| std::net::TcpStream::connect_timeout(&a, LISTENS).is_ok()))
}
