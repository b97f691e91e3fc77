//! HTTP from outside, matched to an operation in one table for all contracts and taken to the side that answers it.

mod compared;
mod record;

use std::{panic::AssertUnwindSafe, sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration, time::Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, COOKIE, EXPECT, HOST},
};
use hyper::body::{Body as _, Incoming};

use crate::{
    BoxFuture, Contract, Cx, Kind, Principal, Run,
    body::{AnswerBody, Broke, Outgoing},
    calls::{CallPart, CallSide, OUTSIDE, Recorded, Recording},
    cohort::Wanted,
    cx::{Origin, STRANGLER_CALLER, TRACEPARENT},
    fault::{Fault, FaultKind},
    page,
    parallel::{Offer, Skip},
    pool::{Arrived, Outbound, Pool, read, remove_hop_by_hop},
    switch::{Switch, Way},
    tape::Wants,
    wire::{Answered, Asked, Serve},
};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// How much of a body that is too large is read and thrown away, so that its sender gets to read the refusal.
const DRAIN: u64 = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// The longest path that is looked at, in bytes.
const PATH_LIMIT: usize = 8 << 10;

/// Tells who asks.
pub trait Authenticate: Send + Sync + 'static {
    /// The principal that the headers stand for, or why not. Somebody without a token is [`Principal::ANYBODY`], where
    /// that is allowed.
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap) -> Authenticated<'a>;
}

/// An authentication that is there at once, as a rule, or has to ask somebody.
pub enum Authenticated<'a> {
    /// Known at once.
    Now(Result<Principal, NotKnown>),
    /// Somebody has to be asked.
    Later(BoxFuture<'a, Result<Principal, NotKnown>>),
}

/// Why it is not known who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotKnown {
    /// What was shown is no good (401).
    Refused(String),
    /// Whether it is good cannot be told at the moment (503).
    NotNow(String),
}

impl From<String> for NotKnown {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

/// Where a gateway stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Open to the world: `strangler-run` is not believed.
    Public,
    /// Between processes.
    Internal,
}

/// The bounds of a gateway.
#[derive(Clone, Copy, Debug)]
pub struct GatewayLimits {
    /// The largest request body, in bytes.
    pub body: usize,
    /// The time a request may take.
    pub budget: Duration,
    /// Whether `Server-Timing` says who answered.
    pub server_timing: bool,
}

/// One module behind the gateway.
pub struct Mount {
    /// The module in this process.
    pub server: Arc<dyn Serve>,
    /// Its switch and the way to its service; `None` where there is nothing to decide.
    pub switch: Option<(Arc<Switch>, Arc<Pool>)>,
    /// Who wants commands recorded that are carried out here, where there is no switch.
    pub wants: Option<Arc<dyn Wants>>,
    /// Operations that are not served here, by id: for this gateway there is nothing at their paths.
    pub but: &'static [&'static str],
}

/// The operations that share a path.
type Methods = Vec<(Method, usize, usize)>;

/// The table of all contracts' operations, and what is behind it.
pub struct Gateway {
    paths: matchit::Router<Methods>,
    mounts: Vec<Mount>,
    authenticate: Arc<dyn Authenticate>,
    edge: Edge,
    limits: GatewayLimits,
    recorder: Recorded,
    wanted: Option<Arc<Wanted>>,
}

/// What a path leads to.
enum Found<'a> {
    Operation {
        mount: &'a Mount,
        index: usize,
        params: matchit::Params<'a, 'a>,
    },
    OtherMethods(&'a Methods),
    Nothing,
}

impl Gateway {
    /// A gateway to these modules. An error when two operations have the same method and path.
    pub fn new(
        mounts: Vec<Mount>,
        authenticate: Arc<dyn Authenticate>,
        edge: Edge,
        limits: GatewayLimits,
    ) -> Result<Self, String> {
        let mut all: Vec<(String, Methods)> = Vec::new();
        for (m, mount) in mounts.iter().enumerate() {
            let contract = mount.server.contract();
            let served = contract.operations.iter().enumerate();
            for (index, operation) in served.filter(|(_, o)| !mount.but.contains(&o.id)) {
                let path = format!("{}{}", contract.prefix(), operation.path);
                let entry = (operation.method.clone(), m, index);
                match all.iter_mut().find(|(p, _)| *p == path) {
                    Some((_, methods)) if methods.iter().any(|(m, ..)| *m == operation.method) => {
                        return Err(format!("{} {path} is served twice", operation.method));
                    }
                    Some((_, methods)) => methods.push(entry),
                    None => all.push((path, vec![entry])),
                }
            }
        }
        let mut paths = matchit::Router::new();
        for (path, methods) in all {
            paths.insert(&path, methods).map_err(|e| format!("{path}: {e}"))?;
        }
        Ok(Self {
            paths,
            mounts,
            authenticate,
            edge,
            limits,
            recorder: None,
            wanted: None,
        })
    }

    /// The same, and what comes through it is recorded there.
    pub fn recorded(mut self, recorder: Recorded) -> Self {
        self.recorder = recorder;
        self
    }

    /// The same, and what some route asks for is noted of each request.
    pub fn noting(mut self, wanted: Arc<Wanted>) -> Self {
        self.wanted = Some(wanted);
        self
    }

    /// Who asks, for the record. Another process says which module does; the world outside is not asked.
    fn origin(&self, headers: &HeaderMap) -> Origin {
        let Some(recorder) = &self.recorder else {
            return Origin::Untold;
        };
        if self.edge == Edge::Public {
            return Origin::Gateway(OUTSIDE);
        }
        let said = headers.get(STRANGLER_CALLER).and_then(|v| v.to_str().ok());
        match said.and_then(|said| recorder.caller(said)) {
            Some(caller) => Origin::Gateway(caller),
            // The operator, with a tool of their own. A service is asked by the monolith alone, which says what is recorded.
            None if recorder.is_monolith() => Origin::Gateway(OUTSIDE),
            None => Origin::Untold,
        }
    }

    fn find<'a>(&'a self, method: &Method, path: &'a str) -> Found<'a> {
        let Ok(at) = self.paths.at(path) else {
            return Found::Nothing;
        };
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        match at.value.iter().find(|(m, ..)| m == method) {
            Some(&(_, mount, index)) => Found::Operation {
                mount: &self.mounts[mount],
                index,
                params: at.params,
            },
            None => Found::OtherMethods(at.value),
        }
    }

    /// Whether a request is for this gateway; what is not, is for the pages behind it.
    pub fn takes(&self, path: &str) -> bool {
        path.starts_with("/api/") || path == "/api" || self.is_page(path)
    }

    /// Whether one of the contracts of pages has this path. What none of them has may be somebody else's page.
    fn is_page(&self, path: &str) -> bool {
        path.len() <= PATH_LIMIT && self.paths.at(path).is_ok()
    }

    /// Answers a request that is for this gateway. Never fails: what goes wrong is an answer.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<AnswerBody> {
        let (parts, body) = request.into_parts();
        let cx = |who| Cx::from_headers(&parts.headers, who, self.limits.budget, self.edge == Edge::Internal);
        let (mount, index, params, principal) = match self.admit(&parts).await {
            Ok(admitted) => admitted,
            Err(answer) => {
                // Whoever waits for a "continue" has sent nothing yet, and need not.
                if !parts.headers.contains_key(EXPECT) {
                    drain(body).await;
                }
                let page = !parts.uri.path().starts_with("/api/") && page::wants_html(&parts.headers);
                let answer = if page {
                    page::told(*answer, again(&parts))
                } else {
                    *answer
                };
                let mut answer = plain(answer);
                traced(&mut answer, &cx(Principal::ANYBODY));
                return answer;
            }
        };
        let mut cx = cx(principal);
        cx.origin = self.origin(&parts.headers);
        // What another process noted came with the call.
        if let (None, Some(wanted)) = (&cx.noted, &self.wanted) {
            cx.noted = wanted.note(cx.subject(), &parts.headers);
        }
        let call = Call {
            gateway: self,
            mount,
            index,
            cx: &cx,
            parts: &parts,
            params: &params,
        };
        let span = tracing::error_span!("request", trace_id = %cx.trace().id(), operation = call.operation().id);
        tracing::Instrument::instrument(call.answer(body), span).await
    }

    /// Which operation is asked, with what in its path, and by whom; or the answer to what gets no further.
    async fn admit<'a>(&'a self, parts: &'a http::request::Parts) -> Result<Admitted<'a>, Box<Answered>> {
        let refused = |kind, why| Box::new(Answered::from(Fault::new(kind, why)));
        let path = parts.uri.path();
        let found = if path.len() > PATH_LIMIT {
            Found::Nothing
        } else {
            self.find(&parts.method, path)
        };
        let (mount, index, params) = match found {
            Found::Operation { mount, index, params } => (mount, index, params),
            Found::Nothing => {
                let why = "no operation has this path; /docs lists them all".to_owned();
                return Err(refused(FaultKind::NoSuchPath, why));
            }
            Found::OtherMethods(methods) => {
                let allow = methods.iter().map(|(m, ..)| m.as_str()).collect::<Vec<_>>().join(", ");
                let mut answer = refused(FaultKind::MethodNotAllowed, format!("this path answers to {allow}"));
                answer.headers.extend(HeaderValue::from_str(&allow).map(|v| (ALLOW, v)));
                return Err(answer);
            }
        };
        let contract = mount.server.contract();
        let changes = contract.operations[index].kind == Kind::Command;
        // What a browser sends along by itself must not let another site act for the person in front of it.
        if contract.pages && changes && self.edge == Edge::Public && !page::same_origin(&parts.headers, &parts.uri) {
            let why = "a page of another site sent this; open the page here and do it there";
            return Err(refused(FaultKind::CrossSite, why.to_owned()));
        }
        let who = match self.authenticate.authenticate(&parts.headers) {
            Authenticated::Now(who) => who,
            Authenticated::Later(who) => who.await,
        };
        if let (Err(NotKnown::Refused(_)), Some((switch, _))) = (&who, &mount.switch) {
            switch.stats().operation(index).refused.fetch_add(1, Relaxed);
        }
        let principal = who.map_err(|why| match why {
            NotKnown::Refused(why) => refused(FaultKind::Unauthenticated, why),
            NotKnown::NotNow(why) => refused(FaultKind::Unavailable, why),
        })?;
        Ok((mount, index, params.iter().map(|(_, value)| value).collect(), principal))
    }
}

type Params<'a> = Vec<&'a str>;
type Admitted<'a> = (&'a Mount, usize, Params<'a>, Principal);

/// One request that was matched to an operation.
struct Call<'a> {
    gateway: &'a Gateway,
    mount: &'a Mount,
    index: usize,
    cx: &'a Cx,
    parts: &'a http::request::Parts,
    params: &'a [&'a str],
}

impl Call<'_> {
    fn contract(&self) -> &'static Contract {
        self.mount.server.contract()
    }

    fn operation(&self) -> &'static crate::Operation {
        &self.contract().operations[self.index]
    }

    async fn answer(&self, body: Incoming) -> Response<AnswerBody> {
        let began = Instant::now();
        let mut recording = self.recording(began);
        let (side, mut answer) = match self.too_large(&body) {
            Some(fault) => {
                drain(body).await;
                ("local", self.tell(fault.into()))
            }
            None => self.decide(Outgoing::stream(body, self.gateway.limits.body)).await,
        };
        // The endpoint refuses who may not call before it reads anything, and so before the guard can count it.
        if side == "local"
            && matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && let Some((switch, _)) = &self.mount.switch
        {
            switch.stats().operation(self.index).refused.fetch_add(1, Relaxed);
        }
        if answer.status().is_server_error() {
            tracing::warn!(status = answer.status().as_u16(), side, "answered with an error");
            if let Some((switch, _)) = &self.mount.switch {
                switch.stats().operation(self.index).failed.fetch_add(1, Relaxed);
            }
        } else {
            tracing::debug!(status = answer.status().as_u16(), side, "answered");
        }
        traced(&mut answer, self.cx);
        recording.answered_by(match side {
            "remote" => CallSide::Remote,
            "fallback" => CallSide::Fallback,
            _ => CallSide::Local,
        });
        recording.end(answer.status().as_u16(), None);
        if self.gateway.limits.server_timing {
            let took = began.elapsed().as_secs_f64() * 1e3;
            let entry = format!("{};desc=\"{side}\";dur={took:.2}", self.contract().name);
            answer
                .headers_mut()
                .extend(HeaderValue::from_str(&entry).map(|v| (SERVER_TIMING, v)));
        }
        answer
    }

    /// An answer from here. A person in front of a page is told in words what went wrong on the way to it.
    fn tell(&self, answer: Answered) -> Response<AnswerBody> {
        match self.contract().pages && page::wants_html(&self.parts.headers) {
            true => plain(page::told(answer, again(self.parts))),
            false => plain(answer),
        }
    }

    fn recording(&self, began: Instant) -> Recording<'_> {
        let (recorder, call) = (self.gateway.recorder.as_deref(), (self.contract(), self.index));
        let recording = Recording::begin(recorder, call, self.cx, self.cx.origin, CallPart::Request, began);
        if !recording.is_kept() {
            return recording;
        }
        // No other text of a path is kept: somebody might have written a name there.
        recording.about(self.params.iter().find_map(|param| param.parse().ok()))
    }

    fn too_large(&self, body: &Incoming) -> Option<Fault> {
        let limit = self.gateway.limits.body;
        let length = self
            .parts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let length: u64 = length.unwrap_or(0).max(body.size_hint().lower());
        (length > limit as u64).then(|| too_large(limit))
    }

    async fn decide(&self, body: Outgoing) -> (&'static str, Response<AnswerBody>) {
        let Some((switch, pool)) = &self.mount.switch else {
            let answer = match &self.mount.wants {
                Some(wants) if self.operation().kind == Kind::Command && self.cx.run() == Run::Live => {
                    self.record(&**wants, body).await
                }
                _ => self.local(self.cx, body).await,
            };
            return ("local", self.tell(answer));
        };
        if switch.is_local(self.index) {
            return ("local", self.tell(self.local(self.cx, body).await));
        }
        match switch.way(self.index, self.cx) {
            Way::Local => ("local", self.tell(self.local(self.cx, body).await)),
            Way::Shadow if self.operation().kind == Kind::Command => {
                ("local", self.tell(self.record(&**switch, body).await))
            }
            Way::Shadow => {
                let offer = switch.offer(self.index);
                let answer = self.local(self.cx, body).await;
                if let Some(offer) = offer {
                    self.compare(offer, &answer, switch.parallel().body_limit());
                }
                ("local", self.tell(answer))
            }
            Way::Remote { fallback } => self.remote(switch, pool, (fallback, None), body).await,
            Way::Verify { fallback } => {
                // There is no body to be compared in what answers HEAD.
                let looks = self.parts.method != Method::HEAD;
                let offer = looks.then(|| switch.offer_verify(self.index)).flatten();
                self.remote(switch, pool, (fallback, offer), body).await
            }
        }
    }

    /// Path and query.
    fn target(&self) -> String {
        let target = self.parts.uri.path_and_query();
        target.map_or_else(String::new, |t| t.as_str().to_owned())
    }

    async fn remote(
        &self,
        switch: &Switch,
        pool: &Pool,
        (fallback, offer): (bool, Option<Offer>),
        body: Outgoing,
    ) -> (&'static str, Response<AnswerBody>) {
        let stats = switch.stats().operation(self.index);
        let began = Instant::now();
        let mut headers = self.parts.headers.clone();
        remove_hop_by_hop(&mut headers);
        for name in [HOST, EXPECT, AUTHORIZATION] {
            headers.remove(name);
        }
        // Only pages have cookies of their own.
        if !self.contract().pages {
            headers.remove(COOKIE);
        }
        let out = Outbound {
            method: &self.parts.method,
            target: self.parts.uri.path_and_query().map_or("/", |t| t.as_str()),
            headers,
            body: body.clone(),
            kind: self.operation().kind,
        };
        let failed = match pool.forward(self.cx, out).await {
            Ok(Arrived { mut answer, place }) => {
                let error = answer.status().is_server_error();
                if !(error && fallback && self.operation().kind == Kind::Query) {
                    stats.remote.fetch_add(1, Relaxed);
                    stats.remote_time.record(began.elapsed());
                    remove_hop_by_hop(answer.headers_mut());
                    answer.headers_mut().remove(SERVER_TIMING);
                    let deadline = self.cx.deadline();
                    let tee = offer.and_then(|offer| self.tee(offer, &answer, switch.parallel().body_limit()));
                    return (
                        "remote",
                        answer.map(|body| AnswerBody::stream(body, deadline, place, tee)),
                    );
                }
                // Its connection can be used again only when its answer was read to the end.
                let status = answer.status();
                let read = read(self.cx, answer, 1 << 20).await;
                match (offer, read) {
                    (Some(offer), Ok(answer)) => self.compare(offer, &answer, switch.parallel().body_limit()),
                    (Some(offer), Err(_)) => offer.skip(Skip::NotAnswered),
                    (None, _) => {}
                }
                Fault::new(
                    FaultKind::Unreachable,
                    format!("the service answered {}", status.as_u16()),
                )
            }
            Err(fault) => {
                if let Some(offer) = offer {
                    offer.skip(Skip::NotAnswered);
                }
                fault
            }
        };
        if fallback && body.is_whole() && switch.may_fall_back(self.index, &failed) {
            let cx = switch.fallback_cx(self.cx);
            return ("fallback", self.tell(self.local(&cx, body).await));
        }
        if body.broke() == Some(Broke::TooLong) {
            return ("remote", self.tell(too_large(self.gateway.limits.body).into()));
        }
        ("remote", self.tell(failed.into()))
    }

    async fn local(&self, cx: &Cx, body: Outgoing) -> Answered {
        let body = match self.collect(cx, body).await {
            Ok(body) => body,
            Err(fault) => return fault.into(),
        };
        let asked = Asked {
            params: self.params,
            query: self.parts.uri.query(),
            headers: &self.parts.headers,
            body: &body,
        };
        match AssertUnwindSafe(self.mount.server.serve(self.index, cx, asked))
            .catch_unwind()
            .await
        {
            Ok(answer) => answer,
            Err(_) => {
                let id = self.operation().id;
                Fault::new(
                    FaultKind::Broken,
                    format!("{id} broke; the log has the cause under this trace"),
                )
                .into()
            }
        }
    }

    async fn collect(&self, cx: &Cx, body: Outgoing) -> Result<Bytes, Fault> {
        if let Outgoing::Full(bytes) = body {
            return Ok(bytes);
        }
        let deadline = cx
            .deadline()
            .unwrap_or_else(|| Instant::now() + self.gateway.limits.budget);
        match tokio::time::timeout_at(deadline.into(), body.collect()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(too_large(self.gateway.limits.body)),
            Ok(Err(_)) => Err(Fault::new(FaultKind::Malformed, "the body broke off")),
            Err(_) => Err(Fault::new(
                FaultKind::TimedOut,
                "the body did not arrive within the request's budget",
            )
            .harmless()),
        }
    }
}

fn too_large(limit: usize) -> Fault {
    Fault::new(FaultKind::TooLarge, format!("the body may have {limit} bytes at most"))
}

/// Where whoever only looks may ask again: what was sent with a form is not sent again by a link.
fn again(parts: &http::request::Parts) -> Option<&str> {
    let looks = matches!(parts.method, Method::GET | Method::HEAD);
    parts
        .uri
        .path_and_query()
        .filter(|_| looks)
        .map(|target| target.as_str())
}

fn traced(answer: &mut Response<AnswerBody>, cx: &Cx) {
    if let Ok(value) = HeaderValue::from_bytes(&cx.trace().traceparent_bytes()) {
        answer.headers_mut().insert(TRACEPARENT, value);
    }
}

fn plain(answer: Answered) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    if answer.status == StatusCode::NO_CONTENT || answer.status == StatusCode::NOT_MODIFIED {
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// Reads what is left of a body that is too large, up to a bound: a connection closed with unread bytes is reset, and
/// its sender might never see the answer.
async fn drain(mut body: Incoming) {
    let all = async {
        let mut read = 0;
        while let Some(Ok(frame)) = http_body_util::BodyExt::frame(&mut body).await {
            read += frame.data_ref().map_or(0, |d| d.len() as u64);
            if read > DRAIN {
                break;
            }
        }
    };
    _ = tokio::time::timeout(DRAIN_TIME, all).await;
}
