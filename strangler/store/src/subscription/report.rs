//! Telling a log how far its reader is.

use std::time::Duration;

use super::Subscription;
use crate::SubscriptionError;

/// How often the log is told how far a subscription is.
pub(super) const REPORT: Duration = Duration::from_secs(10);

impl Subscription {
    /// Tells the log how far it is, so that it can be pruned up to there. [`run`](Self::run) does so every ten seconds when
    /// there is news, and before the first step the log is told that it has a reader.
    ///
    /// # Errors
    /// The log's, or the subscriber's database's.
    pub async fn report(&self) -> Result<(), SubscriptionError> {
        self.report_as(self.position().await?).await
    }

    /// Whether everything has been dealt with that was in the log when this was asked.
    ///
    /// # Errors
    /// The log's, or the subscriber's database's.
    pub async fn has_caught_up(&self) -> Result<bool, SubscriptionError> {
        let head = self.log.head().await?;
        Ok(self.position().await? >= head.position)
    }

    pub(super) async fn report_as(&self, position: i64) -> Result<(), SubscriptionError> {
        let reader = format!("{}/{}", self.db.schema(), self.name);
        Ok(self.log.report(&reader, position).await?)
    }

    /// Reports unless it is where it was; answers where it is.
    pub(super) async fn report_news(&self, was: i64) -> i64 {
        let position = match self.position().await {
            Ok(position) if position != was => position,
            Ok(_) | Err(_) => return was,
        };
        match self.report_as(position).await {
            Ok(()) => position,
            Err(error) => {
                tracing::warn!(subscription = self.name, %error, "a position could not be reported");
                was
            }
        }
    }
}
