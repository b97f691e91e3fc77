//! Waiting for a condition, never for a time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// The first `Some` that `look` answers. Panics after `within`, naming `what` was waited for.
pub async fn eventually<T, F>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < within, "waited {within:?} in vain for: {what}");
        tokio::time::sleep(EVERY).await;
    }
}

/// Waits until `look` answers true, at most `within`; panics after that.
pub async fn holds_soon<F>(what: &str, within: Duration, mut look: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    eventually(what, within, || {
        let holds = look();
        async move { holds.await.then_some(()) }
    })
    .await;
}
