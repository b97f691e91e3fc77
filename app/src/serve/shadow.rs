//! `POST /shadow/v1/<module>` of a joined process: what a unit of work would do here, given what it was given in the monolith.
//! Nothing is written, locked or called because of it. The guide on the shadow protocol has the form.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use strangler::{
    BoxFuture, Cx, Scopes, Serve,
    gateway::{Authenticate, Authenticated, NotKnown},
    shadow::{self, Redo},
    tape::{Replayed, ShadowAsk, When},
};
use strangler_store::{Hearing, Sagas};

use crate::{control::ControlProblem, modules::Started};

/// The largest recording that is read, in bytes.
const BODY: usize = 16 << 20;

/// What does a module's units of work again.
#[derive(Clone)]
pub(crate) struct Again {
    server: Arc<dyn Serve>,
    sagas: Option<Sagas>,
    hearings: Vec<Hearing>,
}

impl Again {
    pub(crate) fn new(started: &Started) -> Self {
        Self {
            server: started.server.clone(),
            sagas: started.sagas.clone(),
            hearings: started.hearings.clone(),
        }
    }

    /// Does it again, as whoever `cx` says.
    pub(crate) async fn replay(&self, cx: &Cx, ask: ShadowAsk) -> Result<Replayed, String> {
        let ShadowAsk { when, given } = ask;
        let module = self.server.contract().name;
        match when {
            When::Command(asked) | When::Query(asked) => shadow::command(&*self.server, cx, &asked, given).await,
            When::Step(step) => match &self.sagas {
                Some(sagas) => sagas.replay(cx, &step, given).await,
                None => Err(format!("{module} has no sagas")),
            },
            When::Event(heard) => match self.hearings.iter().find(|h| h.name() == heard.subscription) {
                Some(hearing) => hearing.replay(&heard, given).await,
                None => Err(format!("{module} has no subscription {}", heard.subscription)),
            },
        }
    }
}

impl Redo for Again {
    fn redo<'a>(&'a self, cx: &'a Cx, ask: ShadowAsk) -> BoxFuture<'a, Result<Replayed, String>> {
        Box::pin(self.replay(cx, ask))
    }
}

/// The address at which they are asked for, and who may.
pub(super) struct Shadow {
    again: Again,
    path: String,
    door: Arc<dyn Authenticate>,
    budget: Duration,
}

impl Shadow {
    pub(super) fn new(again: Again, door: Arc<dyn Authenticate>, budget: Duration) -> Self {
        let path = shadow::path(again.server.contract().name);
        Self {
            again,
            path,
            door,
            budget,
        }
    }

    /// Whether a request is for this.
    pub(super) fn takes(&self, method: &Method, path: &str) -> bool {
        path == self.path && method == Method::POST
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response {
        let (parts, body) = request.into_parts();
        let known = match self.door.authenticate(&parts.headers) {
            Authenticated::Now(known) => known,
            Authenticated::Later(known) => known.await,
        };
        let principal = match known {
            Ok(principal) => principal,
            Err(NotKnown::Refused(why)) => return refuse(StatusCode::UNAUTHORIZED, why),
            Err(NotKnown::NotNow(why)) => return refuse(StatusCode::SERVICE_UNAVAILABLE, why),
        };
        let cx = Cx::from_headers(&parts.headers, principal, self.budget, true).shadow();
        let asked = async {
            let body = Limited::new(body, BODY).collect().await;
            let body = body.map_err(|e| (StatusCode::PAYLOAD_TOO_LARGE, format!("the recording: {e}")))?;
            let ask: ShadowAsk = serde_json::from_slice(&body.to_bytes())
                .map_err(|e| (StatusCode::UNPROCESSABLE_ENTITY, format!("the recording: {e}")))?;
            // What the module does by itself, it does as the system; nobody else is to see what that leads to.
            if !matches!(ask.when, When::Command(_) | When::Query(_)) && cx.principal().scopes != Scopes::All {
                let why = "only the monolith itself asks for steps and events".to_owned();
                return Err((StatusCode::FORBIDDEN, why));
            }
            let replayed = self.again.replay(&cx, ask).await;
            replayed.map_err(|why| (StatusCode::NOT_FOUND, why))
        };
        let left = cx.time_left().unwrap_or(self.budget);
        match tokio::time::timeout(left, asked).await {
            Ok(Ok(replayed)) => Json(replayed).into_response(),
            Ok(Err((status, why))) => refuse(status, why),
            Err(_) => refuse(StatusCode::GATEWAY_TIMEOUT, "the time for it is used up".to_owned()),
        }
    }
}

fn refuse(status: StatusCode, why: String) -> Response {
    ControlProblem::new(status, why).into_response()
}
