//! The reading side: the event log of another process, over HTTP.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde::{Serialize, de::DeserializeOwned};
use strangler::{BoxFuture, Problem, body::Outgoing, pool::HttpClient};
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use super::{
    Batch, EventLog, Head, LogError,
    wire::{
        self, BatchIn, GoneExtra, HeadWire, LONGEST_ANSWER, MOST_EVENTS, PATIENCE, ReadQuery, ReportBody, WaitQuery,
    },
};
use crate::backoff::{AWAY, Backoff};

/// How long the other process may take for an answer, beside what it may wait for an event.
const DEADLINE: Duration = Duration::from_secs(10);

/// The event log of a module in another process, which serves it with a [`LogDesk`](crate::LogDesk). Every answer is bounded
/// in time and size and checked; whatever is wrong with the other process is an error, to be tried again. However many wait
/// for an event, one request does, and only as long as somebody waits.
pub struct RemoteLog {
    peer: Arc<Peer>,
    news: watch::Sender<News>,
    follower: Follower,
}

/// Who follows the log at the moment.
type Follower = Arc<Mutex<Option<AbortHandle>>>;

/// The other process.
#[derive(Clone)]
struct Peer {
    module: String,
    base: String,
    authorization: HeaderValue,
    http: HttpClient,
    deadline: Duration,
}

/// What the follower knows.
#[derive(Clone, Default)]
struct News {
    /// Where the log ends, once that is known.
    head: Option<Head>,
    /// Counts failures; the last one.
    failures: u64,
    failed: Option<LogError>,
}

impl RemoteLog {
    /// The log of `module` in the process at `base`, such as `http://127.0.0.1:8081`, that lets in whoever shows
    /// `authorization`.
    pub fn new(module: &str, base: &str, mut authorization: HeaderValue, http: HttpClient) -> Self {
        authorization.set_sensitive(true);
        let peer = Peer {
            module: module.to_owned(),
            base: base.trim_end_matches('/').to_owned(),
            authorization,
            http,
            deadline: DEADLINE,
        };
        Self {
            peer: Arc::new(peer),
            news: watch::Sender::new(News::default()),
            follower: Follower::default(),
        }
    }

    /// How long the other process may take for an answer, beside what it may wait for an event; 10 s unless told otherwise.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        Arc::make_mut(&mut self.peer).deadline = deadline;
        self
    }

    /// Sees that somebody follows the log, for those who have subscribed to the news before.
    fn follow(&self) {
        let mut follower = lock(&self.follower);
        if follower.is_none() {
            // What an earlier one knew may be long ago.
            self.news.send_modify(|news| news.head = None);
            let task = follow(self.peer.clone(), self.news.clone(), self.follower.clone());
            *follower = Some(tokio::spawn(task).abort_handle());
        }
    }
}

fn lock(follower: &Follower) -> MutexGuard<'_, Option<AbortHandle>> {
    follower.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for RemoteLog {
    fn drop(&mut self) {
        if let Some(follower) = lock(&self.follower).take() {
            follower.abort();
        }
    }
}

/// Asks for the log's end, again and again, as long as somebody listens.
async fn follow(peer: Arc<Peer>, news: watch::Sender<News>, follower: Follower) {
    let mut backoff = Backoff::default();
    loop {
        {
            // Whoever comes now waits for the lock, and finds that there is nobody any more.
            let mut follower = lock(&follower);
            if news.receiver_count() == 0 {
                *follower = None;
                return;
            }
        }
        let head = news.borrow().head;
        match peer.wait(head).await {
            Ok(head) => {
                backoff.succeeded();
                news.send_if_modified(|news| news.head.replace(head) != Some(head));
            }
            Err(error) => {
                let (pause, _) = backoff.failed(&error, AWAY);
                news.send_modify(|news| {
                    news.failures += 1;
                    news.failed = Some(error);
                });
                tokio::time::sleep(pause).await;
            }
        }
    }
}

impl Peer {
    async fn read(&self, after: i64, limit: u64) -> Result<Batch, LogError> {
        let limit = limit.clamp(1, MOST_EVENTS);
        let path = wire::path(&self.module);
        let batch: BatchIn = self.get(&path, &ReadQuery { after, limit }, self.deadline).await?;
        let mut expected = after.max(0);
        for event in &batch.events {
            expected += 1;
            if event.position != expected || event.source != self.module {
                let (position, source) = (event.position, &event.source);
                return Err(self.away(format_args!(
                    "it answered position {position} of {source} where position {expected} should be"
                )));
            }
        }
        if batch.events.len() as u64 > limit {
            return Err(self.away("it answered more events than it was asked for"));
        }
        Ok(Batch {
            incarnation: batch.incarnation,
            events: batch.events,
        })
    }

    async fn head(&self) -> Result<Head, LogError> {
        let path = format!("{}/head", wire::path(&self.module));
        let head: HeadWire = self.get(&path, &(), self.deadline).await?;
        Ok(head.into())
    }

    /// The log's end, once it is another than `known`, or after a while.
    async fn wait(&self, known: Option<Head>) -> Result<Head, LogError> {
        let Some(known) = known else {
            return self.head().await;
        };
        let query = WaitQuery {
            after: known.position,
            incarnation: Some(known.incarnation),
            patience_ms: u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX),
        };
        let path = format!("{}/wait", wire::path(&self.module));
        let head: HeadWire = self.get(&path, &query, PATIENCE + self.deadline).await?;
        Ok(head.into())
    }

    async fn report(&self, reader: &str, position: i64) -> Result<(), LogError> {
        let body = serde_json::to_vec(&ReportBody { position }).map_err(|e| self.away(e))?;
        let target = wire::reader_path(&self.module, reader);
        self.ask(Method::PUT, target, body.into(), self.deadline)
            .await
            .map(drop)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
        deadline: Duration,
    ) -> Result<T, LogError> {
        let query = serde_urlencoded::to_string(query).map_err(|e| self.away(e))?;
        let target = format!("{path}?{query}");
        let answer = self.ask(Method::GET, target, Bytes::new(), deadline).await?;
        serde_json::from_slice(&answer).map_err(|e| self.away(format_args!("its answer cannot be understood: {e}")))
    }

    async fn ask(&self, method: Method, target: String, body: Bytes, deadline: Duration) -> Result<Bytes, LogError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.base))
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Outgoing::Full(body))
            .map_err(|e| self.away(e))?;
        let answer = async {
            let answer = self.http.request(request).await.map_err(|e| {
                self.away(std::error::Error::source(&e).map_or_else(|| e.to_string(), ToString::to_string))
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            let body = body.map_err(|e| self.away(format_args!("its answer broke off or is too long: {e}")))?;
            Ok::<_, LogError>((status, body.to_bytes()))
        };
        let answer = timeout(deadline, answer).await;
        let (status, body) = answer.map_err(|_| self.away(format_args!("it did not answer in {deadline:?}")))??;
        if status.is_success() {
            return Ok(body);
        }
        Err(self.problem(status, &body))
    }

    fn problem(&self, status: StatusCode, body: &[u8]) -> LogError {
        if status == StatusCode::GONE
            && let Ok(gone) = serde_json::from_slice::<GoneExtra>(body)
        {
            return LogError::Gone {
                source: self.module.clone(),
                after: gone.after,
                floor: gone.floor,
            };
        }
        let detail = serde_json::from_slice::<Problem>(body).ok().and_then(|p| p.detail);
        match (status, detail) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => self.away("it does not accept our token"),
            (_, Some(detail)) => self.away(format_args!("it answered {status}: {}", detail.trim_end_matches('.'))),
            (_, None) => self.away(format_args!("it answered {status}")),
        }
    }

    fn away(&self, cause: impl fmt::Display) -> LogError {
        LogError::Away {
            source: self.module.clone(),
            at: self.base.clone(),
            cause: cause.to_string(),
        }
    }
}

impl EventLog for RemoteLog {
    fn source(&self) -> &str {
        &self.peer.module
    }

    fn read(&self, after: i64, limit: u64) -> BoxFuture<'_, Result<Batch, LogError>> {
        Box::pin(self.peer.read(after, limit))
    }

    fn wait(&self, after: i64) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            let mut news = self.news.subscribe();
            let failures = news.borrow().failures;
            self.follow();
            loop {
                {
                    let news = news.borrow_and_update();
                    if news.head.is_some_and(|head| head.position > after) {
                        return Ok(());
                    }
                    // A failure from before this wait is no news.
                    if news.failures > failures
                        && let Some(error) = &news.failed
                    {
                        return Err(error.clone());
                    }
                }
                // The sender lives as long as the log.
                _ = news.changed().await;
            }
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, LogError>> {
        Box::pin(self.peer.head())
    }

    fn report<'a>(&'a self, reader: &'a str, position: i64) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.peer.report(reader, position))
    }
}

impl fmt::Debug for RemoteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteLog")
            .field("module", &self.peer.module)
            .field("at", &self.peer.base)
            .finish_non_exhaustive()
    }
}
