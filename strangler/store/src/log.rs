//! The event log: committed events, numbered.

use std::{fmt, time::Duration};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use strangler::BoxFuture;
use uuid::Uuid;

use crate::{
    Db, Envelope, Snapshot, StoreError,
    entity::{event_log, event_log_head},
    error::Sort,
    view::Reader,
};

mod desk;
mod remote;
mod wire;

pub use desk::LogDesk;
pub use remote::RemoteLog;
pub use wire::LOGS;

/// How often a log is looked at when nothing says that there is news: the safety net.
pub(crate) const NET: Duration = Duration::from_secs(1);
/// How often sagas are looked for that another process put to work.
pub(crate) const POLL: Duration = Duration::from_millis(250);

/// A log of events that can be read from any position. Positions are dense and start at 1, and an event never turns up
/// behind one that was read already.
pub trait EventLog: Send + Sync {
    /// The module whose events these are.
    fn source(&self) -> &str;

    /// Up to `limit` events after position `after`, in order; none when there are none yet.
    ///
    /// # Errors
    /// [`LogError::Gone`] when events after `after` have been pruned.
    fn read(&self, after: i64, limit: u64) -> BoxFuture<'_, Result<Batch, LogError>>;

    /// Returns when there is an event after position `after`.
    fn wait(&self, after: i64) -> BoxFuture<'_, Result<(), LogError>>;

    /// Where the log begins and ends.
    fn head(&self) -> BoxFuture<'_, Result<Head, LogError>>;

    /// The reader of this name needs nothing up to `position` any more. A log that keeps no account of its readers does
    /// nothing, as it does unless told otherwise.
    fn report<'a>(&'a self, _reader: &'a str, _position: i64) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Events read from a log.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Which log they were read from; positions of another incarnation mean nothing in this one.
    pub incarnation: Uuid,
    /// The events, in order of position.
    pub events: Vec<Envelope>,
}

/// Where a log begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which log it is. A log that was made anew has another one.
    pub incarnation: Uuid,
    /// The position of the last event; 0 when there has been none.
    pub position: i64,
    /// Events up to this position have been pruned.
    pub floor: i64,
}

/// Why a log cannot be read. `Display` is a sentence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogError {
    /// Events that were asked for have been pruned.
    Gone {
        /// The module whose log it is.
        source: String,
        /// The position after which was asked for.
        after: i64,
        /// Events up to this position are gone.
        floor: i64,
    },
    /// The log's database failed.
    Store(StoreError),
    /// The process that serves the log did not answer, or not with what it should.
    Away {
        /// The module whose log it is.
        source: String,
        /// Where it is served.
        at: String,
        /// What happened.
        cause: String,
    },
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { source, after, floor } => write!(
                f,
                "the event log of {source} does not reach back to position {after}: events up to {floor} have been pruned. \
                 Rebuild what depends on them, then go on from {floor}."
            ),
            Self::Store(error) => error.fmt(f),
            Self::Away { source, at, cause } => write!(
                f,
                "the event log of {source} at {at} could not be asked: {cause}. See that the process there is running; it is \
                 asked again by itself."
            ),
        }
    }
}

impl std::error::Error for LogError {}

impl From<StoreError> for LogError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The log in a module's own schema.
#[derive(Debug)]
pub(crate) struct LocalLog {
    db: Db,
}

impl LocalLog {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    async fn read_now(&self, after: i64, limit: u64) -> Result<Batch, LogError> {
        let fail = |e| self.db.place().error("reading the event log", &e);
        // Both reads from one snapshot, so that the events are of the incarnation that is answered with them.
        let snapshot = Snapshot::begin(&self.db).await?;
        let head = event_log_head::Entity::find_by_id(1)
            .one(snapshot.connection()?)
            .await
            .map_err(fail)?;
        let head = self.present(head)?;
        if after < head.floor {
            return Err(LogError::Gone {
                source: self.db.schema().to_owned(),
                after,
                floor: head.floor,
            });
        }
        let rows = event_log::Entity::find()
            .filter(event_log::Column::Position.gt(after))
            .order_by_asc(event_log::Column::Position)
            .limit(limit)
            .all(snapshot.connection()?)
            .await
            .map_err(fail)?;
        let events = rows.into_iter().map(|row| self.envelope(row)).collect();
        Ok(Batch {
            incarnation: head.incarnation,
            events,
        })
    }

    async fn head_now(&self) -> Result<Head, LogError> {
        let head = event_log_head::Entity::find_by_id(1)
            .one(&Reader { db: &self.db })
            .await;
        let head = head.map_err(|e| self.db.place().error("reading the event log", &e))?;
        Ok(self.present(head)?)
    }

    fn present(&self, head: Option<event_log_head::Model>) -> Result<Head, StoreError> {
        let absent = || {
            self.db
                .place()
                .make(Sort::Corrupt, "reading the event log", "its head row is missing")
        };
        let head = head.ok_or_else(absent)?;
        Ok(Head {
            incarnation: head.incarnation,
            position: head.position,
            floor: head.floor,
        })
    }

    fn envelope(&self, row: event_log::Model) -> Envelope {
        Envelope {
            specversion: Envelope::SPEC_VERSION.to_owned(),
            id: row.event_id,
            source: self.db.schema().to_owned(),
            event_type: row.event_type,
            dataversion: u32::try_from(row.dataversion).unwrap_or_default(),
            subject: row.subject,
            aggregateversion: row.aggregateversion,
            time: row.time,
            traceparent: row.traceparent,
            datacontenttype: Envelope::CONTENT_TYPE.to_owned(),
            data: row.data,
            position: row.position,
        }
    }
}

impl EventLog for LocalLog {
    fn source(&self) -> &str {
        self.db.schema()
    }

    fn read(&self, after: i64, limit: u64) -> BoxFuture<'_, Result<Batch, LogError>> {
        Box::pin(self.read_now(after, limit))
    }

    fn wait(&self, after: i64) -> BoxFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            let (mut logged, mut beats) = (self.db.watch_logged(), self.db.beats());
            loop {
                logged.mark_unchanged();
                if self.head_now().await?.position > after {
                    return Ok(());
                }
                // The sender lives as long as the handle, so only a pass, a sign or the poll ends this.
                tokio::select! {
                    _ = logged.changed() => {}
                    () = beats.next() => {}
                    () = tokio::time::sleep(NET) => {}
                }
            }
        })
    }

    fn head(&self) -> BoxFuture<'_, Result<Head, LogError>> {
        Box::pin(self.head_now())
    }

    fn report<'a>(&'a self, reader: &'a str, position: i64) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(async move { Ok(self.db.retention().report(reader, position).await?) })
    }
}
