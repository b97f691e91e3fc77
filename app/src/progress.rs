//! An order's progress as server-sent events: `GET /api/v1/ordering/orders/{id}/progress`.
//!
//! Each event carries the whole order, as `GET /api/v1/ordering/orders/{id}` answers it, whenever it has changed; its id is
//! the order's version. The stream ends when the order has ended. It asks through the switch like anybody else, so it is the
//! same wherever ordering lives, and a flip in its middle is not noticed.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use ordering_contract::{Order, OrderId, OrderStatus, Ordering, OrderingError};
use strangler::{
    Cx, Failure, Problem,
    gateway::{Authenticate, Authenticated, NotKnown},
    problem::PROBLEM_JSON,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::control::ControlProblem;

/// How many streams there may be at once.
const STREAMS: usize = 512;
/// How often an order is asked about.
const PACE: Duration = Duration::from_millis(200);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// A sign of life when nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The longest stream; a browser opens the next one by itself.
const LONGEST: Duration = Duration::from_secs(600);
const PREFIX: &str = "/api/v1/ordering/orders/";
const SUFFIX: &str = "/progress";

struct Progress {
    ordering: Arc<dyn Ordering>,
    door: Arc<dyn Authenticate>,
    places: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Whether a request is for this stream and not for an operation.
pub fn takes(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(SUFFIX))
        .is_some_and(|id| !id.contains('/'))
}

/// The stream, over this way to ordering; `door` says who asks. Streams end when `stop` is cancelled.
pub fn router(ordering: Arc<dyn Ordering>, door: Arc<dyn Authenticate>, stop: CancellationToken) -> Router {
    let progress = Progress {
        ordering,
        door,
        places: Arc::new(Semaphore::new(STREAMS)),
        stop,
    };
    Router::new()
        .route(&format!("{PREFIX}{{id}}{SUFFIX}"), get(follow))
        .method_not_allowed_fallback(|| async {
            ControlProblem::new(StatusCode::METHOD_NOT_ALLOWED, "this path answers to GET, HEAD")
        })
        .with_state(Arc::new(progress))
}

async fn follow(State(progress): State<Arc<Progress>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let Ok(id) = id.parse::<uuid::Uuid>() else {
        return refuse(StatusCode::BAD_REQUEST, "the order's id in the path is no UUID");
    };
    let known = match progress.door.authenticate(&headers) {
        Authenticated::Now(known) => known,
        Authenticated::Later(known) => known.await,
    };
    let principal = match known {
        Ok(principal) => principal,
        Err(NotKnown::Refused(why)) => return refuse(StatusCode::UNAUTHORIZED, why),
        Err(NotKnown::NotNow(why)) => return refuse(StatusCode::SERVICE_UNAVAILABLE, why),
    };
    let Ok(place) = progress.places.clone().try_acquire_owned() else {
        let why = format!("{STREAMS} orders are followed already; ask for the order itself, or again shortly");
        return refuse(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    // What the browser saw last, when it comes back.
    let seen = headers.get("last-event-id").and_then(|v| v.to_str().ok()?.parse().ok());
    let mut following = Following {
        cx: Cx::from_headers(&headers, principal, PATIENCE, false),
        id: OrderId(id),
        seen,
        ended: false,
        until: Instant::now() + LONGEST,
        progress,
        _place: place,
    };
    let first = match following.ask().await {
        Ok(order) => order,
        Err(failure) => return said(&failure.to_problem()),
    };
    if following.seen == Some(first.version) && is_over(&first) {
        // Tells an EventSource that there is nothing more to come back for.
        return StatusCode::NO_CONTENT.into_response();
    }
    let begin = following.event(&first);
    let rest = stream::unfold(following, |mut following| async move {
        let next = following.next().await?;
        Some((Ok::<_, Infallible>(next), following))
    });
    let body = futures_util::StreamExt::chain(stream::once(async move { Ok(begin) }), rest);
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(body)).into_response()
}

/// One stream.
struct Following {
    progress: Arc<Progress>,
    cx: Cx,
    id: OrderId,
    seen: Option<i64>,
    ended: bool,
    until: Instant,
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn ask(&self) -> Result<Order, Failure<OrderingError>> {
        let cx = self.cx.clone().with_budget(PATIENCE);
        self.progress.ordering.order(&cx, self.id).await
    }

    fn event(&mut self, order: &Order) -> Bytes {
        self.seen = Some(order.version);
        self.ended = is_over(order);
        let json = serde_json::to_string(order).unwrap_or_default();
        format!("id: {}\nevent: order\ndata: {json}\n\n", order.version).into()
    }

    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        let quiet = Instant::now() + HEARTBEAT;
        while !self.ended && Instant::now() < self.until {
            tokio::select! {
                () = sleep(PACE) => {}
                () = self.progress.stop.cancelled() => return None,
            }
            match self.ask().await {
                Ok(order) if self.seen != Some(order.version) => return Some(self.event(&order)),
                // What cannot be told at the moment may be told later.
                Ok(_) | Err(_) => {}
            }
            if Instant::now() >= quiet {
                return Some(Bytes::from_static(b":\n\n"));
            }
        }
        None
    }
}

/// Whether the order has ended, as far as can be told.
fn is_over(order: &Order) -> bool {
    order.status != OrderStatus::Placed
}

fn refuse(status: StatusCode, why: impl Into<String>) -> Response {
    ControlProblem::new(status, why).into_response()
}

fn said(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
}
