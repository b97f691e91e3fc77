use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering as Sort};

use axum::http::Request;
use futures_util::{StreamExt, stream::BoxStream};
use ordering_contract::{OrderDraft, OrderingService, ShowId};
use strangler::{Accepted, ModuleStats, Principal};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::*;

/// Orders that are at some version, and are over from version 9 on. Each question needs a permit.
struct Orders {
    version: AtomicI64,
    permits: Semaphore,
    asked: AtomicUsize,
}

#[derive(Clone)]
struct Asked(Arc<Orders>);

impl OrderingService for Asked {
    async fn place(&self, _: &Cx, id: OrderId, _: OrderDraft) -> Result<Accepted<Order>, OrderingError> {
        Err(OrderingError::NoSuchOrder { id })
    }

    async fn order(&self, _: &Cx, id: OrderId) -> Result<Order, OrderingError> {
        if let Ok(permit) = self.0.permits.acquire().await {
            permit.forget();
        }
        self.0.asked.fetch_add(1, Sort::SeqCst);
        let version = self.0.version.load(Sort::SeqCst);
        Ok(Order {
            id,
            version,
            show: ShowId(uuid::Uuid::nil()),
            seats: Vec::new(),
            status: if version < 9 {
                OrderStatus::Placed
            } else {
                OrderStatus::Confirmed
            },
            reason: None,
            total: None,
            tickets: Vec::new(),
            steps: Vec::new(),
        })
    }

    async fn cancel(&self, _: &Cx, id: OrderId) -> Result<Accepted<Order>, OrderingError> {
        Err(OrderingError::NoSuchOrder { id })
    }
}

struct Open;

impl Authenticate for Open {
    fn authenticate(&self, _: &HeaderMap) -> Authenticated<'_> {
        Authenticated::Now(Ok(Principal::ANYBODY))
    }
}

fn house(per_client: usize, permits: usize) -> (Arc<Orders>, Router) {
    let orders = Arc::new(Orders {
        version: AtomicI64::new(1),
        permits: Semaphore::new(permits),
        asked: AtomicUsize::new(0),
    });
    let stats = Arc::new(ModuleStats::new(ordering_contract::ORDERING.operations.len()));
    let ordering = Asked(orders.clone()).guarded(stats);
    let router = router(ordering, Arc::new(Open), per_client, CancellationToken::new());
    (orders, router)
}

async fn ask(router: &Router, from: &str) -> Response {
    let mut request = Request::get(format!("{PREFIX}00000000-0000-0000-0000-000000000001{SUFFIX}"))
        .body(Body::empty())
        .expect("a request");
    request
        .extensions_mut()
        .insert(Client(from.parse().expect("an address")));
    router.clone().oneshot(request).await.expect("an answer")
}

fn stream_of(answer: Response) -> BoxStream<'static, String> {
    assert_eq!(answer.status(), StatusCode::OK);
    let pieces = answer.into_body().into_data_stream();
    let pieces = pieces.map(|piece| String::from_utf8(piece.expect("a piece").to_vec()).expect("text"));
    pieces
        .filter(|piece| std::future::ready(!piece.starts_with(':')))
        .boxed()
}

async fn next(stream: &mut BoxStream<'static, String>) -> Option<String> {
    let next = tokio::time::timeout(Duration::from_secs(60), stream.next()).await;
    let piece = next.expect("something is told within a minute")?;
    piece.lines().next().map(str::to_owned)
}

#[tokio::test]
async fn one_client_does_not_take_the_places_of_others() {
    let (_, router) = house(16, 1000);
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(stream_of(ask(&router, "10.0.0.1").await));
    }
    let refused = ask(&router, "10.0.0.1").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()[header::RETRY_AFTER], "5");
    assert_eq!(refused.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    let other = stream_of(ask(&router, "10.0.0.2").await);
    drop(streams.pop());
    let again = stream_of(ask(&router, "10.0.0.1").await);
    drop((other, again));
}

#[tokio::test]
async fn however_many_follow_an_order_it_is_asked_about_once() {
    let (orders, router) = house(16, 5);
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(stream_of(ask(&router, "10.0.0.1").await));
    }
    for stream in &mut streams {
        assert_eq!(next(stream).await.as_deref(), Some("id: 1"));
    }
    assert_eq!(orders.asked.load(Sort::SeqCst), 5, "each asks for itself first");
    for version in [2, 3] {
        orders.version.store(version, Sort::SeqCst);
        // One question is answered, and no more.
        orders.permits.add_permits(1);
        for stream in &mut streams {
            assert_eq!(next(stream).await, Some(format!("id: {version}")));
        }
    }
    assert_eq!(orders.asked.load(Sort::SeqCst), 7);
    // The end ends all of them, and who comes late finds it.
    orders.version.store(9, Sort::SeqCst);
    orders.permits.add_permits(100);
    let mut late = stream_of(ask(&router, "10.0.0.2").await);
    assert_eq!(next(&mut late).await.as_deref(), Some("id: 9"));
    assert_eq!(next(&mut late).await, None);
    for stream in &mut streams {
        assert_eq!(next(stream).await.as_deref(), Some("id: 9"));
        assert_eq!(next(stream).await, None);
    }
}
