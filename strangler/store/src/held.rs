//! Background work of a module's own, under a lease: what relays and subscriptions do for themselves.

use std::{future::Future, pin::pin, time::Duration};

use crate::{
    Lease, Leases, StoreError, Turn,
    backoff::{AWAY, Backoff},
    tenure::Tenure,
};

/// How long a round may go on after the work was told to stop.
const LINGER: Duration = Duration::from_secs(10);

/// What a round of work came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// There is more to do: the next round follows at once.
    More,
    /// There is nothing to do for so long.
    Rest(Duration),
    /// A transaction found that the lease is somebody else's ([`Lease::guards`]).
    Lost,
}

impl Leases {
    /// Works under the lease `name` whenever it is this side's `turn`, one round after the other, until `stop` is ready. A
    /// round is given the lease, which is kept while it goes on; its transactions still have to ask [`Lease::guards`],
    /// because only there it is known. A round that is going on when `stop` comes has ten seconds to end, and is dropped
    /// then. A database that is away is waited for.
    pub async fn while_held<W, F>(&self, name: &str, turn: Turn, stop: impl Future<Output = ()> + Send, mut work: W)
    where
        W: FnMut(Lease) -> F + Send,
        F: Future<Output = Result<Round, StoreError>> + Send,
    {
        let mut stop = pin!(stop);
        let mut backoff = Backoff::default();
        let mut tenure = Tenure::new(self.db(), name.to_owned(), turn);
        loop {
            let lease = tenure.lease().await;
            let waiting = matches!(lease, Ok(None));
            let mut stopped = false;
            let round = match lease {
                Ok(Some(lease)) => {
                    let mut round = pin!(work(lease));
                    // Beside the round and not between its turns: it may hold the connection that renewing waits for.
                    let mut keeping = pin!(tenure.keep());
                    tokio::select! {
                        biased;
                        ended = &mut round => ended,
                        never = &mut keeping => match never {},
                        () = &mut stop => {
                            stopped = true;
                            tokio::select! {
                                ended = &mut round => ended,
                                never = &mut keeping => match never {},
                                () = tokio::time::sleep(LINGER) => {
                                    tracing::warn!(lease = name, "a round of work did not end in time and is dropped");
                                    Ok(Round::More)
                                }
                            }
                        }
                    }
                }
                Ok(None) => Ok(Round::More),
                Err(error) => Err(error),
            };
            let pause = match round {
                Ok(Round::Lost) => {
                    tenure.lost();
                    Duration::ZERO
                }
                Ok(round) => {
                    let failures = backoff.succeeded();
                    if failures > 0 {
                        tracing::info!(lease = name, failures, "the work goes on again");
                    }
                    match round {
                        Round::Rest(pause) => pause,
                        _ => Duration::ZERO,
                    }
                }
                Err(error) => {
                    let (pause, news) = backoff.failed(&error, AWAY);
                    if news {
                        tracing::warn!(lease = name, %error, "the work cannot go on; it will be tried again");
                    }
                    pause
                }
            };
            if stopped {
                break;
            }
            tokio::select! {
                biased;
                () = &mut stop => break,
                () = tenure.changed(), if waiting => {}
                () = tokio::time::sleep(pause), if !waiting => {}
            }
        }
        tenure.give_back().await;
    }
}
