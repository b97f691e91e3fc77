//! `/control/v1/…` on the internal address: the same verbs as the command line, as JSON.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequestParts, Path, Query, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use strangler::{
    Principal, Problem, Scopes,
    instances::{Heartbeat, Registration},
    problem::PROBLEM_JSON,
    routes::{AuditEntry, Change, Refusal, Stage},
    tape::{Batch, Recording},
};
use strangler_store::LogError;
use uuid::Uuid;

use super::{
    AuditError, AuditPage, AuditQuery, CaseRun, CaseSide, Control, DiffQuery, Diffs, Extracted, SaidOfDiffs, Status,
    letters, map, requests, sagas,
};
use crate::{
    auth::{Insider, InternalDoor},
    modules,
};

/// The most that one answer lists.
pub(super) const MOST: u64 = 1000;
/// Where a service sends what it recorded.
pub const RECORDINGS_PATH: &str = "/control/v1/modules/{module}/recordings";
/// The most bytes of recordings that are read at a time.
const RECORDINGS: usize = 32 << 20;
/// The longest wait of a request for events.
const WAIT: Duration = Duration::from_secs(20);

/// The control plane's addresses.
pub fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/control/v1/status", get(status))
        .route("/control/v1/stage", post(stage))
        .route("/control/v1/audit", get(audit))
        .route("/control/v1/events/{module}", get(events))
        .route("/control/v1/keys/rotate", post(rotate))
        .route("/control/v1/modules/{module}/diffs", get(diffs).post(say_of_diffs))
        .route(
            "/control/v1/modules/{module}/cases",
            post(run_case).layer(DefaultBodyLimit::max(16 << 20)),
        )
        .route("/control/v1/modules/{module}/openapi", get(openapi))
        .route(
            RECORDINGS_PATH,
            post(recordings).layer(DefaultBodyLimit::max(RECORDINGS)),
        )
        .route("/control/v1/modules/{module}/extract", post(extract))
        .route("/control/v1/modules/{module}/merge-back", post(merge_back))
        .route("/control/v1/instances/{id}", put(heartbeat))
        .route("/control/v1/instances/{id}", delete(leave))
        .route("/.well-known/jwks.json", get(jwks))
        .merge(letters::router())
        .merge(sagas::router())
        .merge(map::router())
        .merge(requests::router())
        .fallback(|| async { ControlProblem::new(StatusCode::NOT_FOUND, "nothing is at this path") })
        .method_not_allowed_fallback(|| async {
            ControlProblem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not answer to this method",
            )
        })
        .layer(DefaultBodyLimit::max(64 << 10))
        .with_state(control)
}

/// What went wrong, as a problem document.
#[derive(Debug)]
pub struct ControlProblem {
    status: StatusCode,
    detail: String,
}

impl ControlProblem {
    /// A problem with this status and sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }
}

impl IntoResponse for ControlProblem {
    fn into_response(self) -> Response {
        let (kind, title) = match self.status {
            StatusCode::CONFLICT => ("refused", "A precondition does not hold"),
            StatusCode::UNAUTHORIZED => ("unauthenticated", "A valid token is needed"),
            StatusCode::FORBIDDEN => ("forbidden", "The token does not allow this"),
            StatusCode::NOT_FOUND => ("not-found", "Nothing is there"),
            status if status.is_client_error() => ("wrong", "The request cannot be carried out"),
            _ => ("failed", "It failed"),
        };
        let problem = Problem {
            kind: format!("urn:problem-type:control:{kind}").into(),
            title: title.into(),
            status: self.status.as_u16(),
            detail: Some(self.detail),
            extra: Default::default(),
        };
        (self.status, [(header::CONTENT_TYPE, PROBLEM_JSON)], Json(problem))
            .into_response()
            .fix_type()
    }
}

trait FixType {
    fn fix_type(self) -> Self;
}

impl FixType for Response {
    /// `Json` puts its own media type over a problem's.
    fn fix_type(mut self) -> Self {
        self.headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROBLEM_JSON));
        self
    }
}

impl From<Refusal> for ControlProblem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::Wrong(_) => StatusCode::BAD_REQUEST,
            Refusal::Refused(_) => StatusCode::CONFLICT,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, refusal.to_string())
    }
}

pub(super) fn failed(error: impl std::fmt::Display) -> ControlProblem {
    ControlProblem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

pub(super) fn unknown(error: String) -> ControlProblem {
    ControlProblem::new(StatusCode::BAD_REQUEST, error)
}

fn insider(parts: &Parts, control: &Control) -> Result<Insider, ControlProblem> {
    InternalDoor(control.tokens.clone())
        .insider(&parts.headers)
        .map_err(|why| ControlProblem::new(StatusCode::UNAUTHORIZED, why))
}

/// The operator, shown by the operator's token.
pub(super) struct Operator(pub(super) Principal);

impl FromRequestParts<Arc<Control>> for Operator {
    type Rejection = ControlProblem;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ControlProblem> {
        match insider(parts, control)? {
            Insider::Operator => Ok(Self(Principal::known("operator", Scopes::All))),
            Insider::Joined => {
                let why = "the join token registers a process and nothing else; this takes the operator's token";
                Err(ControlProblem::new(StatusCode::FORBIDDEN, why))
            }
        }
    }
}

/// Somebody with either token.
struct AnyInsider;

impl FromRequestParts<Arc<Control>> for AnyInsider {
    type Rejection = ControlProblem;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ControlProblem> {
        insider(parts, control).map(|_| Self)
    }
}

/// A JSON body whose mistakes are problem documents.
pub(super) struct Body<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned> axum::extract::FromRequest<Arc<Control>> for Body<T> {
    type Rejection = ControlProblem;

    async fn from_request(request: axum::extract::Request, control: &Arc<Control>) -> Result<Self, ControlProblem> {
        match Json::<T>::from_request(request, control).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(ControlProblem::new(rejection.status(), rejection.body_text())),
        }
    }
}

async fn status(_: Operator, State(control): State<Arc<Control>>) -> Json<Status> {
    Json(Status::read(&control).await)
}

async fn stage(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    Body(change): Body<Change>,
) -> Result<Json<Flipped>, ControlProblem> {
    let entry = control.change(&change, &by).await?;
    let compares = matches!(change.stage, Some(Stage::Shadow | Stage::Verify));
    let running = control
        .modules
        .iter()
        .find(|m| compares && m.contract.name == change.target);
    let not_compared = running.into_iter().flat_map(|m| m.contract.not_compared());
    let not_compared = not_compared.map(|(id, effect)| format!("{id}: it {effect}")).collect();
    Ok(Json(Flipped { entry, not_compared }))
}

/// A toggle that was flipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flipped {
    /// Its line in the audit trail.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// What is not compared all the same, each with the effect that cannot be captured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
}

#[derive(Deserialize)]
struct Window {
    limit: Option<u64>,
    #[serde(default)]
    after: Option<i64>,
}

/// What is wrong with a query string or a form, without the words of whoever reads it for us.
pub fn misread(told: &str) -> String {
    let wrong = ["query string: ", "form body: ", "form: "]
        .into_iter()
        .find_map(|end| told.split_once(end))
        .map_or(told, |(_, wrong)| wrong);
    wrong.trim_end_matches(['.', ' ', '\n']).to_owned()
}

/// A query string whose mistakes are problem documents.
pub(super) struct Asked<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned> FromRequestParts<Arc<Control>> for Asked<T> {
    type Rejection = ControlProblem;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ControlProblem> {
        match Query::<T>::from_request_parts(parts, control).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => Err(ControlProblem::new(rejection.status(), misread(&rejection.body_text()))),
        }
    }
}

/// Parts of the path, whose mistakes are problem documents.
pub(super) struct At<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<Arc<Control>> for At<T> {
    type Rejection = ControlProblem;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, ControlProblem> {
        match Path::<T>::from_request_parts(parts, control).await {
            Ok(Path(at)) => Ok(Self(at)),
            Err(rejection) => Err(ControlProblem::new(rejection.status(), rejection.body_text())),
        }
    }
}

async fn audit(
    _: Operator,
    State(control): State<Arc<Control>>,
    Asked(query): Asked<AuditQuery>,
) -> Result<Json<AuditPage>, ControlProblem> {
    match control.store.audit_page(&query).await {
        Ok(page) => Ok(Json(page)),
        Err(AuditError::Wrong(why)) => Err(unknown(why)),
        Err(error) => Err(failed(error)),
    }
}

/// Events after a position; waits for some when there are none.
async fn events(
    _: Operator,
    State(control): State<Arc<Control>>,
    At(module): At<String>,
    Asked(window): Asked<Window>,
) -> Result<impl IntoResponse, ControlProblem> {
    let log = control.module(&module).map_err(unknown)?.db.log();
    let gone = |error: LogError| match &error {
        LogError::Gone { .. } => ControlProblem::new(StatusCode::GONE, error.to_string()),
        _ => failed(error),
    };
    let limit = window.limit.unwrap_or(100).min(MOST);
    let Some(after) = window.after else {
        // The last ones: where somebody who only watches begins. What was committed so far is among them.
        control
            .module(&module)
            .map_err(unknown)?
            .db
            .relay()
            .pass()
            .await
            .map_err(failed)?;
        let head = log.head().await.map_err(gone)?;
        let from = (head.position - i64::try_from(limit).unwrap_or(0)).max(head.floor);
        let batch = log.read(from, limit).await.map_err(gone)?;
        return Ok(Json(json!({"position": head.position, "events": batch.events})));
    };
    let after = after.max(0);
    _ = tokio::time::timeout(WAIT, log.wait(after)).await;
    let batch = log.read(after, limit).await.map_err(gone)?;
    let position = batch.events.last().map_or(after, |e| e.position);
    Ok(Json(json!({"position": position, "events": batch.events})))
}

async fn diffs(
    _: Operator,
    State(control): State<Arc<Control>>,
    At(module): At<String>,
    Asked(query): Asked<DiffQuery>,
) -> Result<Json<Diffs>, ControlProblem> {
    Ok(Json(control.diffs(&module, &query).map_err(unknown)?))
}

async fn say_of_diffs(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    At(module): At<String>,
    Body(said): Body<SaidOfDiffs>,
) -> Result<impl IntoResponse, ControlProblem> {
    let groups = control.say_of_diffs(&module, &said, &by).await?;
    Ok(Json(json!({"groups": groups})))
}

#[derive(Deserialize)]
struct OnSide {
    #[serde(default)]
    side: CaseSide,
}

async fn run_case(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    At(module): At<String>,
    Asked(OnSide { side }): Asked<OnSide>,
    Body(case): Body<Recording>,
) -> Result<Json<CaseRun>, ControlProblem> {
    Ok(Json(control.run_case(&module, case, side, &by).await?))
}

async fn openapi(_: Operator, At(module): At<String>) -> Result<impl IntoResponse, ControlProblem> {
    let module = modules::find(&module).map_err(unknown)?;
    Ok(Json((module.contract.openapi)()))
}

async fn rotate(_: Operator, State(control): State<Arc<Control>>) -> Result<impl IntoResponse, ControlProblem> {
    control.keys.rotate().map_err(failed)?;
    Ok(Json(json!({"signing_key": control.keys.signing_key_id()})))
}

async fn extract(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    At(module): At<String>,
    body: Bytes,
) -> Result<Json<Extracted>, ControlProblem> {
    // A reason may be given, and nothing has to be.
    let Why { why } = match &body[..] {
        [] => Why::default(),
        body => serde_json::from_slice(body).map_err(|e| unknown(format!("the body is no reason: {e}")))?,
    };
    Ok(Json(control.extract(&module, &by, why).await?))
}

#[derive(Default, Deserialize)]
struct Why {
    why: Option<String>,
}

#[derive(Serialize)]
struct Ended {
    ended: Vec<u32>,
}

async fn merge_back(
    Operator(by): Operator,
    State(control): State<Arc<Control>>,
    At(module): At<String>,
    Body(Why { why }): Body<Why>,
) -> Result<Json<Ended>, ControlProblem> {
    let ended = control.merge_back(&module, &by, why).await?;
    Ok(Json(Ended { ended }))
}

/// What a process says beside its registration.
#[derive(Deserialize)]
struct Beat {
    /// The turn it knows of: a number, or `none`. The answer then waits for news.
    seen: Option<String>,
    /// For how long at most.
    #[serde(default)]
    wait_ms: u64,
}

impl Beat {
    fn seen(self) -> Result<Option<(Option<i64>, Duration)>, ControlProblem> {
        let wait = Duration::from_millis(self.wait_ms).min(WAIT);
        match self.seen.as_deref() {
            None => Ok(None),
            Some("none") => Ok(Some((None, wait))),
            Some(epoch) => match epoch.parse() {
                Ok(epoch) => Ok(Some((Some(epoch), wait))),
                Err(_) => Err(unknown("`seen` is a number, or none".to_owned())),
            },
        }
    }
}

async fn heartbeat(
    _: AnyInsider,
    State(control): State<Arc<Control>>,
    At(id): At<String>,
    Query(beat): Query<Beat>,
    Body(registration): Body<Registration>,
) -> Result<Json<Heartbeat>, ControlProblem> {
    if registration.id.to_string() != id {
        return Err(unknown("the id in the path is another than in the body".to_owned()));
    }
    if !is_address(&registration.url) {
        return Err(unknown("the url is no address of the form http://host:port".to_owned()));
    }
    Ok(Json(control.heartbeat(registration, beat.seen()?).await?))
}

/// Whether this is `http://host:port` and nothing more: no path, and no password that everybody would be shown.
fn is_address(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
    let authority = uri
        .authority()
        .is_some_and(|a| !a.as_str().contains('@') && !a.host().is_empty());
    uri.scheme_str() == Some("http") && bare && authority && url.len() <= 256
}

/// What a service has carried out and recorded, to be done again here.
async fn recordings(
    _: AnyInsider,
    State(control): State<Arc<Control>>,
    At(module): At<String>,
    Body(batch): Body<Batch>,
) -> Result<StatusCode, ControlProblem> {
    let running = control.module(&module).map_err(unknown)?;
    let routes = running.switch.routes().all();
    let mut stages = routes
        .operations
        .values()
        .map(|route| route.stage)
        .chain([routes.module.stage]);
    // What was on its way when somebody flipped it is not asked for any more.
    if stages.any(|stage| stage == Stage::Verify) {
        running.switch.parallel().take(batch);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn leave(
    _: AnyInsider,
    State(control): State<Arc<Control>>,
    At(id): At<String>,
) -> Result<StatusCode, ControlProblem> {
    let id = id
        .parse::<Uuid>()
        .map_err(|_| unknown("the id in the path is no UUID".to_owned()))?;
    control.registry.leave(id);
    Ok(StatusCode::NO_CONTENT)
}

async fn jwks(_: AnyInsider, State(control): State<Arc<Control>>) -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "application/jwk-set+json")],
        control.keys.jwks().to_string(),
    )
}
