//! A worker's side of its lease: getting it when it is its turn, keeping it, and giving it back.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use crate::{
    Db, Lease, StoreError, Turn,
    lease::{Leases, TTL},
};

/// How often a worker that has to wait asks again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// One worker's wish to work under a name.
pub(crate) struct Tenure {
    leases: Leases,
    name: String,
    holder: String,
    turn: Turn,
    held: Option<Held>,
}

struct Held {
    lease: Lease,
    route: i64,
    renewed: Instant,
}

impl Tenure {
    pub(crate) fn new(db: &Db, name: String, turn: Turn) -> Self {
        Self {
            leases: Leases::new(db.clone()),
            name,
            holder: match db.worker() {
                Some(worker) => worker.to_owned(),
                None => format!("{}-{:08x}", std::process::id(), rand::random::<u32>()),
            },
            turn,
            held: None,
        }
    }

    /// The lease, if this worker may work now.
    pub(crate) async fn lease(&mut self) -> Result<Option<Lease>, StoreError> {
        let Some(route) = self.turn.now() else {
            self.give_back().await;
            return Ok(None);
        };
        if self.held.as_ref().is_some_and(|held| held.route != route) {
            self.held = None;
        }
        if let Some(held) = &mut self.held {
            if held.renewed.elapsed() < TTL / 3 {
                return Ok(Some(held.lease.clone()));
            }
            if held.lease.renew().await? {
                held.renewed = Instant::now();
                return Ok(Some(held.lease.clone()));
            }
            self.lost();
        }
        let renewed = Instant::now();
        let lease = self.leases.acquire(&self.name, &self.holder, route, TTL).await?;
        self.held = lease.map(|lease| Held { lease, route, renewed });
        if let Some(held) = &self.held {
            tracing::debug!(lease = self.name, epoch = held.lease.epoch(), route, "lease acquired");
        }
        Ok(self.held.as_ref().map(|held| held.lease.clone()))
    }

    /// A transaction found that the lease is somebody else's.
    pub(crate) fn lost(&mut self) {
        if self.held.take().is_some() {
            tracing::info!(lease = self.name, "lease lost");
        }
    }

    /// Keeps what is held for as long as it is polled, while its holder is at work. Never returns: whether the lease still
    /// holds is for the holder's next transaction to ask.
    pub(crate) async fn keep(&mut self) -> Infallible {
        loop {
            tokio::time::sleep(TTL / 3).await;
            let turn = self.turn.now();
            let Some(held) = self.held.as_mut().filter(|held| turn == Some(held.route)) else {
                continue;
            };
            match held.lease.renew().await {
                Ok(true) => held.renewed = Instant::now(),
                Ok(false) => self.lost(),
                Err(error) => tracing::warn!(lease = self.name, %error, "a lease could not be renewed"),
            }
        }
    }

    /// Returns when the turn may have changed, or it is time to ask or to renew.
    pub(crate) async fn changed(&mut self) {
        let pause = match (&self.held, self.turn.now()) {
            (Some(_), _) => TTL / 3,
            (None, Some(_)) => ASK_AGAIN,
            (None, None) => TTL,
        };
        tokio::select! {
            () = self.turn.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Lets others work.
    pub(crate) async fn give_back(&mut self) {
        if let Some(held) = self.held.take()
            && let Err(error) = held.lease.release().await
        {
            tracing::warn!(lease = self.name, %error, "a lease could not be given back; it expires");
        }
    }
}

impl Drop for Tenure {
    /// A worker that is dropped has its lease given back too, as far as there is somebody to do it.
    fn drop(&mut self) {
        if let Some(held) = self.held.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(held.lease.release()));
        }
    }
}
