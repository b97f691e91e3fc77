//! An order's progress as server-sent events: `GET /api/v1/ordering/orders/{id}/progress`.
//!
//! Each event carries the whole order, as `GET /api/v1/ordering/orders/{id}` answers it, whenever it has changed; its id is
//! the order's version. The stream ends when the order has ended. It asks through the switch like anybody else, so it is the
//! same wherever ordering lives, and a flip in its middle is not noticed. However many follow one order, it is asked about by
//! one task; and however many orders one client wants to follow, others have a place too.

mod places;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use ordering_contract::{Order, OrderId, OrderStatus, Ordering, OrderingError};
use places::{Full, Place, Places};
use strangler::{
    Cx, Failure, Problem,
    gateway::{Authenticate, Authenticated, NotKnown},
    problem::PROBLEM_JSON,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
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
/// How soon somebody may come again for whom there was no place, in seconds.
const AGAIN: HeaderValue = HeaderValue::from_static("5");
const PREFIX: &str = "/api/v1/ordering/orders/";
const SUFFIX: &str = "/progress";

struct Progress {
    ordering: Arc<dyn Ordering>,
    door: Arc<dyn Authenticate>,
    places: Arc<Places>,
    /// The orders that are asked about, each by one task.
    told: Mutex<HashMap<OrderId, watch::Sender<Arc<Order>>>>,
    stop: CancellationToken,
}

/// Whom a request comes from: an extension of it. Without one it counts as one from nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub IpAddr);

/// Whether a request is for this stream and not for an operation.
pub fn takes(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .and_then(|rest| rest.strip_suffix(SUFFIX))
        .is_some_and(|id| !id.contains('/'))
}

/// The stream, over this way to ordering; `door` says who asks. There are so many at once for one [`Client`]. Streams end
/// when `stop` is cancelled.
pub fn router(
    ordering: Arc<dyn Ordering>,
    door: Arc<dyn Authenticate>,
    per_client: usize,
    stop: CancellationToken,
) -> Router {
    let progress = Progress {
        ordering,
        door,
        places: Arc::new(Places::new(STREAMS, per_client)),
        told: Mutex::default(),
        stop,
    };
    Router::new()
        .route(&format!("{PREFIX}{{id}}{SUFFIX}"), get(follow))
        .method_not_allowed_fallback(|| async {
            ControlProblem::new(StatusCode::METHOD_NOT_ALLOWED, "this path answers to GET, HEAD")
        })
        .with_state(Arc::new(progress))
}

async fn follow(
    State(progress): State<Arc<Progress>>,
    client: Option<Extension<Client>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Ok(id) = id.parse::<OrderId>() else {
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
    let from = client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Extension(Client(from))| from);
    let place = match progress.places.take(from) {
        Ok(place) => place,
        Err(full) => return no_place(full),
    };
    // What the browser saw last, when it comes back.
    let seen = headers.get("last-event-id").and_then(|v| v.to_str().ok()?.parse().ok());
    let mut following = Following {
        cx: Cx::from_headers(&headers, principal, PATIENCE, false),
        id,
        seen,
        ended: false,
        until: Instant::now() + LONGEST,
        progress,
        told: None,
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
    if !following.ended {
        following.told = Some(following.progress.hear(following.id, first));
    }
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
    /// What is heard of the order; nothing, when it has ended.
    told: Option<watch::Receiver<Arc<Order>>>,
    _place: Place,
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
        while !self.ended {
            let told = self.told.as_mut()?;
            tokio::select! {
                changed = told.changed() => changed.ok()?,
                () = sleep_until(quiet) => return Some(Bytes::from_static(b":\n\n")),
                () = sleep_until(self.until) => return None,
            }
            let order = told.borrow_and_update().clone();
            // Whoever came later may have seen more than was told.
            if self.seen.is_none_or(|seen| order.version > seen) {
                return Some(self.event(&order));
            }
        }
        None
    }
}

impl Progress {
    /// What will be heard of this order, which was just seen like this. Ends after it has ended.
    fn hear(self: &Arc<Self>, id: OrderId, order: Order) -> watch::Receiver<Arc<Order>> {
        let mut told = self.told();
        if let Some(sender) = told.get(&id) {
            let mut receiver = sender.subscribe();
            // What was told before it came is news, should it be newer.
            receiver.mark_changed();
            return receiver;
        }
        let (sender, receiver) = watch::channel(Arc::new(order));
        told.insert(id, sender.clone());
        drop(told);
        tokio::spawn(self.clone().ask_for_all(id, sender));
        receiver
    }

    /// Asks about an order as long as somebody listens, and it has not ended. Everybody who listens may see it: they have
    /// asked for themselves before.
    async fn ask_for_all(self: Arc<Self>, id: OrderId, sender: watch::Sender<Arc<Order>>) {
        loop {
            tokio::select! {
                () = sleep(PACE) => {}
                () = self.stop.cancelled() => break,
            }
            {
                let mut told = self.told();
                // Looked at where listeners come: nobody joins in between.
                if sender.receiver_count() == 0 {
                    told.remove(&id);
                    return;
                }
            }
            let cx = Cx::system("progress").with_budget(PATIENCE);
            // What cannot be told at the moment may be told later.
            let Ok(order) = self.ordering.order(&cx, id).await else {
                continue;
            };
            let ended = is_over(&order);
            sender.send_if_modified(|last| {
                let newer = order.version > last.version;
                if newer {
                    *last = Arc::new(order);
                }
                newer
            });
            if ended {
                break;
            }
        }
        self.told().remove(&id);
    }

    fn told(&self) -> MutexGuard<'_, HashMap<OrderId, watch::Sender<Arc<Order>>>> {
        self.told.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Whether the order has ended, as far as can be told.
fn is_over(order: &Order) -> bool {
    order.status != OrderStatus::Placed
}

fn no_place(full: Full) -> Response {
    let (status, why) = match full {
        Full::Client(most) => (
            StatusCode::TOO_MANY_REQUESTS,
            format!("{most} orders are followed from this address already; end one, or ask for the order itself"),
        ),
        Full::All(most) => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{most} orders are followed already; ask for the order itself, or again shortly"),
        ),
    };
    let mut answer = refuse(status, why);
    answer.headers_mut().insert(header::RETRY_AFTER, AGAIN);
    answer
}

fn refuse(status: StatusCode, why: impl Into<String>) -> Response {
    ControlProblem::new(status, why).into_response()
}

fn said(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], body).into_response()
}
