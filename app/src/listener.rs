//! Accepting connections: bounded in number, bounded in time, and finished in order when the process is asked to stop.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use socket2::SockRef;
use strangler::body::{AnswerBody, BodyError};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a client may take to send a request's headers, counted from the answer before. Longer than our own client keeps a
/// connection (`strangler/src/pool.rs`).
const HEADERS: Duration = Duration::from_secs(10);
/// How long a client may leave an answer unread.
const STALLED: Duration = Duration::from_secs(30);

/// The body of any answer: an operation's, or a page's.
pub enum AnyBody {
    /// From the gateway.
    Operation(AnswerBody),
    /// From the pages behind it.
    Page(axum::body::Body),
}

impl Body for AnyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Operation(body) => Pin::new(body).poll_frame(cx),
            Self::Page(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Operation(body) => body.is_end_stream(),
            Self::Page(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Operation(body) => body.size_hint(),
            Self::Page(body) => body.size_hint(),
        }
    }
}

/// Takes the address, or says in a sentence why not. `setting` is how the address is changed.
pub async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|e| match e.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{address} is in use by another process: end that one, or choose another address with {setting}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("this user may not listen on {address}: choose a port above 1023 with {setting}")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is no address of this machine: choose another with {setting}")
        }
        _ => format!("cannot listen on {address}: {e} (set with {setting})"),
    })
}

/// Serves `handle`, which is given each request and whom it comes from, on `listener` until `stop`, then finishes what was accepted, for at most `grace`.
pub async fn serve<H, F>(listener: TcpListener, connections: usize, stop: CancellationToken, grace: Duration, handle: H)
where
    H: Fn(Request<Incoming>, IpAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<AnyBody>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(connections));
    let graceful = GracefulShutdown::new();
    // HTTP/1.1 alone: telling it from HTTP/2 would mean to wait for a first byte without a bound. hyper's own limit of 100
    // header fields stays: any other costs an allocation for every request.
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADERS);
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = places.clone().acquire_owned() => match place { Ok(place) => place, Err(_) => break },
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, as a rule: the connection stays in the backlog until one is free.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // A client that does not read its answer is hung up on, in the kernel; the others must not wait for its place.
        let options = SockRef::from(&socket);
        _ = options.set_tcp_nodelay(true);
        _ = options.set_tcp_user_timeout(Some(STALLED));
        let handle = handle.clone();
        let service = service_fn(move |request| {
            let answer = handle(request, from.ip());
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = server.serve_connection(TokioIo::new(socket), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            grace_ms = grace.as_millis(),
            "requests were still under way when the time to finish them was over"
        );
    }
}
