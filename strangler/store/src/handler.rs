//! What a subscriber writes: its handler, what it wants to hear, and how its failures are told.

use std::fmt;

use strangler::BoxFuture;

use crate::{Envelope, LogError, StoreError, Uow};

/// What a module does about an event.
pub trait Handler: Send + Sync {
    /// Handles one event. All effects go through `uow`, which is committed together with the subscription's cursor; so
    /// they happen once, however often the event is delivered. Effects outside the schema must carry `event.id`. Do not
    /// keep anything in memory across events.
    fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>>;
}

/// Why a handler could not handle an event. It is set aside and tried again, while events of other subjects go on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum HandlerError {
    /// The store failed.
    Store(StoreError),
    /// The event's data is not what it should be; trying again would not help.
    Undecodable(String),
    /// Anything else, as a sentence.
    Failed(String),
}

impl HandlerError {
    /// A failure with its cause as text.
    pub fn failed(cause: impl fmt::Display) -> Self {
        Self::Failed(cause.to_string())
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Undecodable(cause) => write!(f, "the event cannot be decoded: {cause}"),
            Self::Failed(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for HandlerError {}

impl From<StoreError> for HandlerError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<serde_json::Error> for HandlerError {
    fn from(error: serde_json::Error) -> Self {
        Self::Undecodable(error.to_string())
    }
}

/// Which events a subscription is about.
#[derive(Clone, Debug)]
pub enum Filter {
    /// All of the log.
    All,
    /// Events of these types, such as `catalog.show.announced`.
    Types(Vec<String>),
}

impl Filter {
    /// Events of these types.
    pub fn types<T: Into<String>>(types: impl IntoIterator<Item = T>) -> Self {
        Self::Types(types.into_iter().map(Into::into).collect())
    }

    /// Whether events of this type pass.
    pub fn passes(&self, event_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Types(types) => types.iter().any(|t| t == event_type),
        }
    }
}

/// Why a step of a subscription failed. `Display` is a sentence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SubscriptionError {
    /// The subscriber's database failed.
    Store(StoreError),
    /// The log could not be read.
    Log(LogError),
    /// The log is not the one that this subscription has been reading.
    OtherLog {
        /// The subscription.
        subscription: String,
        /// Its source and incarnation so far.
        was: String,
        /// What is there now.
        is: String,
    },
}

impl fmt::Display for SubscriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Log(error) => error.fmt(f),
            Self::OtherLog { subscription, was, is } => write!(
                f,
                "subscription {subscription} has read the log {was}, but was given {is}: positions in one mean nothing in \
                 the other. Give it its own log back, or delete its row in `subscriptions` to read the new one from the \
                 beginning."
            ),
        }
    }
}

impl std::error::Error for SubscriptionError {}

impl From<StoreError> for SubscriptionError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<LogError> for SubscriptionError {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}
