//! Forgets mails that are over: they hold addresses.
//!
//! A mail is also what keeps its event from becoming a second one, so it stays for as long as the event can come again. That is
//! as long as ordering's log has it: a subscription that begins anew, because its cursor was lost or set back, reads nothing
//! that the log no longer has. An event that was set aside or parked has no mail yet, and when it gets one that is new. So a
//! mail goes when it is older than what is kept, and older than the oldest event in the log by more than clocks may differ.
//! A mail is never older than its event; positions follow times but for the length of a transaction.

use std::time::Duration;

use kernel::chrono::{DateTime, TimeDelta, Utc};
use strangler::Cx;
use strangler_store::{Db, EventLog, Forget, LogError, StoreError};

use crate::{
    domain::MailState,
    store::{OldMails, time},
};

/// How many mails one transaction forgets, and how many transactions there are at a time.
const AT_ONCE: u64 = 100;
const ROUNDS: usize = 200;
/// How much the clocks of two processes may differ, and how long a transaction may take.
const SKEW: TimeDelta = TimeDelta::hours(1);

/// Forgets mails of notifications' schema `db` that are over and were queued longer ago than `keep`, with their history;
/// one whose event `ordering`'s log still has is kept for so long. Answers how many it forgot: 20,000 at most; call it
/// again. When the log cannot be asked it forgets none, and says so in the log of the process.
///
/// # Errors
/// The database's; what was forgotten before stays so.
pub async fn forget(db: &Db, ordering: &dyn EventLog, keep: Duration) -> Result<u64, StoreError> {
    let cx = Cx::system("notifications:retention");
    let oldest = match oldest(ordering).await {
        Ok(oldest) => oldest,
        Err(error) => {
            tracing::warn!(%error, "mails are kept: it is not known whether their events can come again");
            return Ok(0);
        }
    };
    let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
    let before = db.view(&cx).now().checked_sub_signed(keep).unwrap_or_default();
    let before = oldest.map_or(before, |oldest| before.min(oldest - SKEW));
    let Ok(before) = time(before) else {
        // Before 1970 there are none.
        return Ok(0);
    };
    let mut forgotten = 0;
    for _ in 0..ROUNDS {
        let mut uow = db.begin(&cx).await?;
        let limit = AT_ONCE;
        let old = uow.find(OldMails { before, limit }).await?;
        if old.is_empty() {
            break;
        }
        let count = old.len() as u64;
        uow.put(Forget::<MailState>::these(old));
        uow.commit().await?;
        forgotten += count;
        if count < AT_ONCE {
            break;
        }
    }
    if forgotten > 0 {
        tracing::info!(mails = forgotten, "mails were forgotten");
    }
    Ok(forgotten)
}

/// When the oldest event in the log happened; `None` when there is none.
async fn oldest(log: &dyn EventLog) -> Result<Option<DateTime<Utc>>, LogError> {
    let floor = log.head().await?.floor;
    let first = log.read(floor, 1).await?.events;
    Ok(first.first().map(|event| event.time))
}
