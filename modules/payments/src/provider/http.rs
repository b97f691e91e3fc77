//! A provider over HTTP, whose API is the sandbox's.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kernel::{Currency, Money};
use payments_contract::PaymentToken;
use serde::Deserialize;
use serde_json::json;
use strangler::BoxFuture;

use super::{Provider, ProviderError};
use crate::domain::{Charge, Intent, IntentState};

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(2);
/// The largest answer that is read, in bytes.
const ANSWER: usize = 64 << 10;

/// A provider over HTTP.
pub struct HttpProvider {
    http: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// An answer about a payment.
#[derive(Deserialize)]
struct Said {
    key: String,
    state: IntentState,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(default)]
    currency: Option<Currency>,
}

impl HttpProvider {
    /// The provider at this address, such as `http://127.0.0.1:9090`.
    ///
    /// # Errors
    /// A sentence, when it is no address that can be called.
    pub fn new(url: &str) -> Result<Self, String> {
        let base = url.trim_end_matches('/').to_owned();
        let uri: Uri = base
            .parse()
            .map_err(|e| format!("`{url}` is no address of a provider: {e}"))?;
        if uri.scheme_str() != Some("http") || uri.host().is_none() || uri.query().is_some() {
            return Err(format!(
                "`{url}` is no address of a provider; write one such as http://127.0.0.1:9090"
            ));
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Ok(Self { http, base })
    }

    async fn call(
        &self,
        request: Result<Request<Full<Bytes>>, http::Error>,
        within: Duration,
    ) -> Result<(StatusCode, Bytes), ProviderError> {
        let unknown = |cause: String| ProviderError::Unknown(cause);
        let request = request.map_err(|e| unknown(format!("the request cannot be made: {e}")))?;
        let whole = async {
            let answer = self.http.request(request).await;
            let answer = answer.map_err(|e| unknown(format!("the provider did not answer: {}", causes(&e))))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER).collect().await;
            let body = body.map_err(|e| unknown(format!("the provider's answer broke off: {e}")))?;
            Ok((status, body.to_bytes()))
        };
        let late = || unknown(format!("the provider did not answer within {within:?}"));
        tokio::time::timeout(within, whole).await.map_err(|_| late())?
    }

    async fn command(&self, charge: Charge, verb: &str, within: Duration) -> Result<Intent, ProviderError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/intents/{}/{verb}", self.base, charge.key))
            .header("idempotency-key", format!("{}:{verb}", charge.key))
            .body(Full::default());
        let (status, body) = self.call(request, within).await?;
        match status {
            // 409 says how it stands instead.
            StatusCode::OK | StatusCode::CONFLICT => read(charge, &body),
            _ => Err(puzzled(status)),
        }
    }
}

/// The answer, if it is about this charge.
fn read(charge: Charge, body: &[u8]) -> Result<Intent, ProviderError> {
    let unknown = |cause: String| Err(ProviderError::Unknown(cause));
    let said: Said = match serde_json::from_slice(body) {
        Ok(said) => said,
        Err(error) => return unknown(format!("the provider's answer cannot be understood: {error}")),
    };
    if said.key != charge.key.to_string() {
        return unknown("the provider answered about another payment".to_owned());
    }
    let amount = match (said.amount, said.currency) {
        (Some(amount), Some(currency)) => Money::new(amount, currency).ok(),
        (None, None) if said.state == IntentState::Voided => Some(charge.amount),
        _ => None,
    };
    if amount != Some(charge.amount) {
        return unknown("the provider answered about another amount".to_owned());
    }
    Ok(Intent {
        state: said.state,
        reference: said.id,
    })
}

fn puzzled(status: StatusCode) -> ProviderError {
    ProviderError::Unknown(format!("the provider answered {status}"))
}

/// An error with what caused it: the client's own message says little.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

impl Provider for HttpProvider {
    fn authorise<'a>(
        &'a self,
        charge: Charge,
        token: &'a PaymentToken,
        within: Duration,
    ) -> BoxFuture<'a, Result<Intent, ProviderError>> {
        Box::pin(async move {
            let Charge { key, amount } = charge;
            let body = json!({"amount": amount.amount(), "currency": amount.currency(), "token": token.expose()});
            let request = Request::builder()
                .method(Method::POST)
                .uri(format!("{}/intents", self.base))
                .header("content-type", "application/json")
                .header("idempotency-key", key.to_string())
                .body(Full::new(Bytes::from(body.to_string())));
            let (status, body) = self.call(request, within).await?;
            match status {
                StatusCode::OK | StatusCode::CREATED | StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT => {
                    read(charge, &body)
                }
                StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
                    Err(ProviderError::Refused(format!("the provider answered {status}")))
                }
                _ => Err(puzzled(status)),
            }
        })
    }

    fn capture(&self, charge: Charge, within: Duration) -> BoxFuture<'_, Result<Intent, ProviderError>> {
        Box::pin(self.command(charge, "capture", within))
    }

    fn void(&self, charge: Charge, within: Duration) -> BoxFuture<'_, Result<Intent, ProviderError>> {
        Box::pin(self.command(charge, "void", within))
    }

    fn refund(&self, charge: Charge, within: Duration) -> BoxFuture<'_, Result<Intent, ProviderError>> {
        Box::pin(self.command(charge, "refund", within))
    }

    fn intent(&self, charge: Charge, within: Duration) -> BoxFuture<'_, Result<Option<Intent>, ProviderError>> {
        Box::pin(async move {
            let request = Request::builder()
                .uri(format!("{}/intents/{}", self.base, charge.key))
                .body(Full::default());
            let (status, body) = self.call(request, within).await?;
            match status {
                StatusCode::OK => read(charge, &body).map(Some),
                StatusCode::NOT_FOUND => Ok(None),
                _ => Err(puzzled(status)),
            }
        })
    }
}
