//! The way from an extracted process to the modules it calls: over the internal address of the monolith, which knows where
//! each of them lives.

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use tokio::sync::Semaphore;

use crate::{
    BoxFuture, Contract, Cx, Scopes,
    body::Outgoing,
    calls::{CallPart, Recorded, Recording},
    cx::Origin,
    fault::{Fault, FaultKind},
    pool::{Failed, HttpClient, Outbound, PoolLimits, asking, exchange, read},
    remote::Transport,
    wire::{Answered, Ask},
};

/// Which module's process asks on its own account; believed only from a process that has joined.
pub const STRANGLER_MODULE: HeaderName = HeaderName::from_static("strangler-module");

/// The way to every contract that is served at one address.
pub struct Direct {
    url: String,
    http: HttpClient,
    authorization: HeaderValue,
    module: &'static str,
    timeout: Duration,
    in_flight: usize,
    places: Semaphore,
    recorder: Recorded,
}

impl Direct {
    /// The way to `url` (`http://host:port`) from the process that serves `module`, which shows `authorization`. Its limits
    /// hold for all contracts together.
    pub fn new(
        url: &str,
        http: HttpClient,
        (module, authorization): (&'static str, HeaderValue),
        limits: PoolLimits,
    ) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            http,
            authorization,
            module,
            timeout: limits.timeout,
            in_flight: limits.in_flight,
            places: Semaphore::new(limits.in_flight),
            recorder: None,
        }
    }

    /// The same, and the calls that the module makes over it are recorded there.
    pub fn recorded(mut self, recorder: Recorded) -> Self {
        self.recorder = recorder;
        self
    }

    async fn ask(&self, cx: &Cx, contract: &'static Contract, ask: Ask) -> Result<Answered, Fault> {
        let module = contract.name;
        let _place = self.places.try_acquire().map_err(|_| {
            let detail = format!("{} calls are under way already; ask again shortly", self.in_flight);
            Fault::new(FaultKind::Shed, detail)
        })?;
        let mut headers = ask.headers;
        cx.to_headers(&mut headers);
        headers.insert(AUTHORIZATION, self.authorization.clone());
        // Somebody who may do nothing in particular must not come to do by this what the module may.
        if cx.principal().scopes != Scopes::None {
            headers.insert(STRANGLER_MODULE, HeaderValue::from_static(self.module));
        }
        let operation = &contract.operations[ask.index];
        let out = Outbound {
            method: &operation.method,
            target: &ask.target,
            headers,
            body: Outgoing::Full(ask.body),
            kind: operation.kind,
        };
        let asked = exchange(&self.http, cx, &out, (module, &self.url), self.timeout).await;
        read(cx, asked.map_err(|Failed { fault, .. }| fault)?, ask.most).await
    }
}

impl Transport for Direct {
    fn send<'a>(&'a self, cx: &'a Cx, contract: &'static Contract, ask: Ask) -> BoxFuture<'a, Result<Answered, Fault>> {
        Box::pin(async move {
            let recorder = self.recorder.as_deref();
            // Whatever leaves this process, its module asks.
            let told = match (recorder, cx.origin) {
                (Some(_), Origin::Untold) => Some(cx.clone().of_module(self.module)),
                _ => None,
            };
            let cx = told.as_ref().unwrap_or(cx);
            let own = asking(recorder, cx);
            let cx = own.as_ref().unwrap_or(cx);
            let call = (contract, ask.index);
            let recording = Recording::begin(recorder, call, cx, cx.origin, CallPart::Ask, Instant::now());
            let answer = self.ask(cx, contract, ask).await;
            recording.answered(&answer);
            answer
        })
    }
}
