//! The way to a module's instances: one of the healthy ones in turn, another when it cannot be reached, with a bound on
//! the time and on the calls in flight.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri,
    header::{self, AUTHORIZATION},
};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::{
    BoxFuture, Contract, Cx, Kind, Principal,
    body::{Broke, Outgoing},
    calls::{CallPart, Recorded, Recorder, Recording},
    cx::Origin,
    fault::{Fault, FaultKind},
    instances::{Instance, Registry},
    remote::Transport,
    shadow,
    wire::{Answered, Ask},
};

/// The HTTP client of a process; connections are kept and shared.
pub type HttpClient = Client<HttpConnector, Outgoing>;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(1);
/// How long a connection is kept for the next call. Shorter than any server here keeps it (`app/src/listener.rs`): a request
/// on a connection that the other side is just closing is lost, and nobody can tell whether it had an effect.
const IDLE: Duration = Duration::from_secs(5);

/// A client for plain HTTP.
pub fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(64)
        .build(connector)
}

/// Makes the token with which a principal calls a module in another process.
pub trait Credentials: Send + Sync + 'static {
    /// A value for the `authorization` header that is good for `module` alone.
    fn authorization(&self, principal: &Principal, module: &str) -> Result<HeaderValue, String>;
}

/// The bounds of a way.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// How long a service may take to begin its answer.
    pub timeout: Duration,
    /// How many calls may be under way.
    pub in_flight: usize,
}

/// The way to the instances of one module.
pub struct Pool {
    contract: &'static Contract,
    registry: Arc<Registry>,
    http: HttpClient,
    credentials: Arc<dyn Credentials>,
    limits: PoolLimits,
    places: Arc<Semaphore>,
    recorder: Recorded,
}

/// A request on its way out.
pub(crate) struct Outbound<'a> {
    pub(crate) method: &'a Method,
    /// Path and query.
    pub(crate) target: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Outgoing,
    pub(crate) kind: Kind,
}

/// A service's answer, whose body is still on the way. Its place among the calls in flight is taken until that has come.
pub(crate) struct Arrived {
    pub(crate) answer: Response<Incoming>,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Pool {
    /// A way to `contract`'s instances in `registry`.
    pub fn new(
        contract: &'static Contract,
        registry: Arc<Registry>,
        http: HttpClient,
        credentials: Arc<dyn Credentials>,
        limits: PoolLimits,
    ) -> Self {
        Self {
            contract,
            registry,
            http,
            credentials,
            limits,
            places: Arc::new(Semaphore::new(limits.in_flight)),
            recorder: None,
        }
    }

    /// The same, and the calls that modules make over it are recorded there.
    pub fn recorded(mut self, recorder: Recorded) -> Self {
        self.recorder = recorder;
        self
    }

    /// Sends a request to an instance, and to another when the first certainly did nothing with it (or, for a query, went
    /// away). Answers with whatever an instance answers; its body is still on the way.
    pub(crate) async fn forward(&self, cx: &Cx, mut out: Outbound<'_>) -> Result<Arrived, Fault> {
        let module = self.contract.name;
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            Fault::new(
                FaultKind::Shed,
                format!(
                    "{} calls to the service of {module} are under way; ask again shortly",
                    self.limits.in_flight
                ),
            )
        })?;
        let token = self.credentials.authorization(cx.principal(), module).map_err(|e| {
            Fault::new(
                FaultKind::Unavailable,
                format!("no token can be made for the service of {module}: {e}"),
            )
        })?;
        cx.to_headers(&mut out.headers);
        out.headers.insert(AUTHORIZATION, token);

        let mut tried: Vec<Uuid> = Vec::new();
        let mut last = None;
        while let Some(instance) = self.registry.pick(module, self.contract.version, &tried) {
            tried.push(instance.registration.id);
            match self.ask(cx, &out, &instance).await {
                Ok(answer) => return Ok(Arrived { answer, place }),
                Err(fault) => {
                    let again = out.body.is_whole() && (fault.certainly_had_no_effect() || out.kind == Kind::Query);
                    let gone = fault.kind() == FaultKind::Unreachable;
                    last = Some(fault);
                    if !(again && gone) {
                        break;
                    }
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            Fault::new(
                FaultKind::Unavailable,
                format!("no healthy service of {module} is registered at the moment"),
            )
        }))
    }

    async fn ask(&self, cx: &Cx, out: &Outbound<'_>, instance: &Instance) -> Result<Response<Incoming>, Fault> {
        let (module, url) = (self.contract.name, &instance.registration.url);
        let asked = exchange(&self.http, cx, out, (module, url), self.limits.timeout).await;
        asked.map_err(|Failed { fault, gone }| {
            if gone {
                self.registry.set_healthy(instance, false);
            }
            fault
        })
    }
}

/// Why there is no answer.
pub(crate) struct Failed {
    pub(crate) fault: Fault,
    /// Whether nobody is at that address, or whoever was there went away.
    pub(crate) gone: bool,
}

/// One request to `url`, where `module` is served, and the beginning of its answer.
pub(crate) async fn exchange(
    http: &HttpClient,
    cx: &Cx,
    out: &Outbound<'_>,
    (module, url): (&str, &str),
    timeout: Duration,
) -> Result<Response<Incoming>, Failed> {
    let failed = |kind, detail: String| Failed {
        fault: Fault::new(kind, detail),
        gone: false,
    };
    let uri: Uri = format!("{}{}", url.trim_end_matches('/'), out.target)
        .parse()
        .map_err(|e| {
            let detail = format!("the service of {module} registered the address {url}: {e}");
            failed(FaultKind::Unavailable, detail)
        })?;
    let mut request = Request::new(out.body.clone());
    *request.method_mut() = out.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = out.headers.clone();

    let left = cx.time_left().unwrap_or(Duration::MAX);
    match tokio::time::timeout(timeout.min(left), http.request(request)).await {
        Ok(Ok(answer)) => Ok(answer),
        // The caller's fault: nothing can be said against the service, which has not seen a whole request either.
        Ok(Err(_)) if let Some(why) = out.body.broke() => Err(match why {
            Broke::TooLong => failed(FaultKind::TooLarge, "the body is larger than is allowed".to_owned()),
            Broke::Off => failed(FaultKind::Malformed, "the body broke off".to_owned()),
        }),
        Ok(Err(error)) => {
            let connecting = error.is_connect();
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            tracing::warn!(module, url, cause, trace_id = %cx.trace().id(), "a service cannot be reached");
            let detail = format!("the service of {module} went away: {cause}");
            let fault = Fault::new(FaultKind::Unreachable, detail);
            let fault = if connecting { fault.harmless() } else { fault };
            Err(Failed { fault, gone: true })
        }
        Err(_) if left <= timeout => Err(failed(
            FaultKind::TimedOut,
            format!("the service of {module} did not answer within the request's budget"),
        )),
        Err(_) => {
            let waited = timeout.as_millis();
            let detail = format!("the service of {module} did not answer in {waited} ms");
            Err(failed(FaultKind::Unreachable, detail))
        }
    }
}

impl Transport for Pool {
    fn send<'a>(&'a self, cx: &'a Cx, contract: &'static Contract, ask: Ask) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            let recorder = self.recorder.as_deref();
            let own = asking(recorder, cx);
            let cx = own.as_ref().unwrap_or(cx);
            let call = (contract, ask.index);
            let recording = Recording::begin(recorder, call, cx, cx.origin, CallPart::Ask, Instant::now());
            let operation = &contract.operations[ask.index];
            let out = Outbound {
                method: &operation.method,
                target: &ask.target,
                headers: ask.headers,
                body: Outgoing::Full(ask.body),
                kind: operation.kind,
            };
            let answer = match self.forward(cx, out).await {
                Ok(answer) => read(cx, answer.answer, ask.most).await,
                Err(fault) => Err(fault),
            };
            recording.answered(&answer);
            answer
        })
    }

    fn shadow<'a>(
        &'a self,
        cx: &'a Cx,
        contract: &'static Contract,
        body: Bytes,
        most: usize,
    ) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            let target = shadow::path(contract.name);
            let out = Outbound {
                method: &Method::POST,
                target: &target,
                headers: std::iter::once((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
                    .collect(),
                body: Outgoing::Full(body),
                // It changes nothing, so another instance may be asked.
                kind: Kind::Query,
            };
            let arrived = self.forward(cx, out).await?;
            read(cx, arrived.answer, most).await
        })
    }
}

/// The context of one call to another process, where it is recorded.
pub(crate) fn asking(recorder: Option<&Recorder>, cx: &Cx) -> Option<Cx> {
    let recorded = recorder.is_some() && cx.origin != Origin::Untold;
    recorded.then(|| cx.asking())
}

/// Reads an answer into memory, at most `limit` bytes, within the time that is left.
pub(crate) async fn read(cx: &Cx, answer: Response<Incoming>, limit: usize) -> Result<Answered, Fault> {
    let (parts, body) = answer.into_parts();
    let whole = Limited::new(body, limit).collect();
    let body = match cx.deadline() {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), whole).await.map_err(|_| {
            Fault::new(
                FaultKind::TimedOut,
                "the service's answer did not arrive within the budget",
            )
        })?,
        None => whole.await,
    };
    let body: Bytes = body
        .map_err(|e| {
            Fault::new(
                FaultKind::BadAnswer,
                format!("the service's answer broke off or is too large: {e}"),
            )
        })?
        .to_bytes();
    Ok(Answered {
        status: parts.status,
        headers: parts.headers,
        body,
    })
}

/// Headers that belong to one connection and are not passed on (RFC 9110, 7.6.1). Trailers are: they travel in the body.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    named.into_iter().for_each(|name| _ = headers.remove(name));
    for name in [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
}
