//! `GET /control/v1/calls?trace=…` of a joined process: what it has kept of a request, for the monolith, which joins the parts.

use std::sync::Arc;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri};
use strangler::{
    calls::Recorded,
    gateway::{Authenticate, Authenticated, NotKnown},
};
use url::form_urlencoded;

use crate::control::{CALLS_PATH, CALLS_SCOPE, ControlProblem};

/// The most calls of one trace that are answered, the earliest.
const MOST: usize = 1000;

/// What this process has kept, and who may know.
pub(super) struct Kept {
    recorder: Recorded,
    door: Arc<dyn Authenticate>,
}

impl Kept {
    pub(super) fn new(recorder: Recorded, door: Arc<dyn Authenticate>) -> Self {
        Self { recorder, door }
    }

    /// Whether a request is for this.
    pub(super) fn takes(path: &str) -> bool {
        path == CALLS_PATH
    }

    pub(super) async fn answer(&self, uri: &Uri, headers: &HeaderMap) -> Response {
        let known = match self.door.authenticate(headers) {
            Authenticated::Now(known) => known,
            Authenticated::Later(known) => known.await,
        };
        let (status, why) = match known {
            Ok(who) if who.scopes.allow(CALLS_SCOPE) => return self.of_trace(uri),
            Ok(_) => (
                StatusCode::FORBIDDEN,
                format!("the token lacks the scope `{CALLS_SCOPE}`"),
            ),
            Err(NotKnown::Refused(why)) => (StatusCode::UNAUTHORIZED, why),
            Err(NotKnown::NotNow(why)) => (StatusCode::SERVICE_UNAVAILABLE, why),
        };
        ControlProblem::new(status, why).into_response()
    }

    fn of_trace(&self, uri: &Uri) -> Response {
        let query = uri.query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let trace = pairs.find(|(name, _)| name == "trace");
        let Some(trace) = trace.and_then(|(_, id)| u128::from_str_radix(&id, 16).ok()) else {
            let why = "say of which trace: ?trace= and 32 hexadecimal digits";
            return ControlProblem::new(StatusCode::BAD_REQUEST, why).into_response();
        };
        let mut calls = self.recorder.as_ref().map_or_else(Vec::new, |r| r.of_trace(trace));
        calls.sort_by_key(|call| call.start_us);
        calls.truncate(MOST);
        Json(calls).into_response()
    }
}
