//! Bodies on their way through, neither decoded nor buffered.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::{sync::OwnedSemaphorePermit, time::Sleep};

use crate::{
    Cx,
    parallel::{Offer, Skip},
    wire::{Answered, Ask},
};

/// The error of a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request body on its way to a service. A clone is the same body: it can be offered to another instance as long as
/// nobody has begun to read it.
#[derive(Clone)]
pub enum Outgoing {
    /// Bytes in hand.
    Full(Bytes),
    /// A stream from a caller, at most as long as the limit.
    Stream(Arc<Stream>),
}

/// A caller's body.
pub struct Stream {
    body: Mutex<Limited<Incoming>>,
    touched: AtomicBool,
    broke: OnceLock<Broke>,
}

/// Why a caller's body cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broke {
    /// It is longer than its limit.
    TooLong,
    /// The caller went away, or did not keep to HTTP.
    Off,
}

impl Outgoing {
    /// A caller's body of at most `limit` bytes.
    pub fn stream(body: Incoming, limit: usize) -> Self {
        if body.is_end_stream() {
            return Self::Full(Bytes::new());
        }
        Self::Stream(Arc::new(Stream {
            body: Mutex::new(Limited::new(body, limit)),
            touched: AtomicBool::new(false),
            broke: OnceLock::new(),
        }))
    }

    /// Whether it can be sent (again): nobody has read any of it.
    pub fn is_whole(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Stream(stream) => !stream.touched.load(Relaxed),
        }
    }

    /// Why it could not be read to its end, if that is so: then its caller is to blame, and not who was to read it.
    pub fn broke(&self) -> Option<Broke> {
        match self {
            Self::Full(_) => None,
            Self::Stream(stream) => stream.broke.get().copied(),
        }
    }

    /// All of it, for an answer from here. An error when it is longer than its limit or the caller went away.
    pub async fn collect(self) -> Result<Bytes, BodyError> {
        match self {
            Self::Full(bytes) => Ok(bytes),
            stream => Ok(http_body_util::BodyExt::collect(stream).await?.to_bytes()),
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => {
                stream.touched.store(true, Relaxed);
                let frame = Pin::new(&mut *stream.body.lock().unwrap_or_else(|e| e.into_inner())).poll_frame(cx);
                if let Poll::Ready(Some(Err(error))) = &frame {
                    let why = match error.is::<LengthLimitError>() {
                        true => Broke::TooLong,
                        false => Broke::Off,
                    };
                    _ = stream.broke.set(why);
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Full(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.body.lock().unwrap_or_else(|e| e.into_inner()).size_hint(),
        }
    }
}

/// The body of an answer: from here, or straight through from a service.
pub enum AnswerBody {
    /// Bytes in hand.
    Full(Full<Bytes>),
    /// A service's answer.
    Stream(Passing),
}

/// A service's answer on its way through. It has to arrive within the request's deadline, and takes a place among the calls
/// in flight until it has.
pub struct Passing {
    body: Incoming,
    late: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
    tee: Option<Box<Tee>>,
}

/// Keeps a copy of what passes, for the parallel run. The caller gets each piece as it comes; when the last one has come, the
/// copy takes its place in the queue. It is dropped with what passes: then its caller went away.
pub(crate) struct Tee {
    /// The place; `None` when it is used.
    pub(crate) offer: Option<Offer>,
    pub(crate) cx: Cx,
    /// What the other side is to be asked.
    pub(crate) ask: Ask,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) kept: Vec<u8>,
}

impl Tee {
    /// One piece more.
    fn keep(&mut self, piece: &[u8]) {
        if self.kept.len() + piece.len() <= self.ask.most {
            self.kept.extend_from_slice(piece);
            return;
        }
        self.kept = Vec::new();
        if let Some(offer) = self.offer.take() {
            offer.skip(Skip::TooLarge);
        }
    }

    /// It has all come.
    fn end(self) {
        let Self {
            offer,
            cx,
            ask,
            status,
            headers,
            kept,
        } = self;
        if let Some(offer) = offer {
            let body = kept.into();
            offer.fill(&cx, move || (Ok(ask), Answered { status, headers, body }));
        }
    }
}

impl Passing {
    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, hyper::Error>>) {
        match (frame, &mut self.tee) {
            (_, None) => {}
            (Some(Ok(frame)), Some(tee)) => {
                if let Some(piece) = frame.data_ref() {
                    tee.keep(piece);
                }
                // Whoever writes it out need not ask again once this is so.
                if self.body.is_end_stream() {
                    self.end();
                }
            }
            (None, Some(_)) => self.end(),
            // Nobody knows what was to come.
            (Some(Err(_)), Some(tee)) => {
                if let Some(offer) = tee.offer.take() {
                    offer.skip(Skip::NotAnswered);
                }
            }
        }
    }

    fn end(&mut self) {
        if let Some(tee) = self.tee.take() {
            tee.end();
        }
    }
}

impl AnswerBody {
    pub(crate) fn stream(
        body: Incoming,
        deadline: Option<Instant>,
        place: OwnedSemaphorePermit,
        tee: Option<Tee>,
    ) -> Self {
        let late = deadline.map(|d| Box::pin(tokio::time::sleep_until(d.into())));
        let mut passing = Passing {
            body,
            late,
            _place: place,
            tee: tee.map(Box::new),
        };
        if passing.body.is_end_stream() {
            passing.end();
        }
        Self::Stream(passing)
    }
}

impl From<Bytes> for AnswerBody {
    fn from(bytes: Bytes) -> Self {
        Self::Full(Full::new(bytes))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Stream(passing) => {
                if let Poll::Ready(frame) = Pin::new(&mut passing.body).poll_frame(cx) {
                    passing.note(frame.as_ref());
                    return Poll::Ready(frame.map(|f| f.map_err(Into::into)));
                }
                let late = passing
                    .late
                    .as_mut()
                    .is_some_and(|late| late.as_mut().poll(cx).is_ready());
                match late {
                    true => Poll::Ready(Some(
                        Err("the service's answer did not arrive within the budget".into()),
                    )),
                    false => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_end_stream(),
            Self::Stream(passing) => passing.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Stream(passing) => passing.body.size_hint(),
        }
    }
}
