mod issuing;
mod on_disk;
mod verifying;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use chrono::{DateTime, TimeDelta};
use strangler::ManualClock;
use tempfile::TempDir;

use super::{KeyRing, Verifier};

/// A key ring in a folder of its own, with a clock that can be moved.
struct Issuer {
    folder: TempDir,
    clock: ManualClock,
    ring: Arc<KeyRing>,
    /// Whether it cannot be reached.
    away: Arc<AtomicBool>,
    /// How often its keys were asked for.
    fetched: Arc<AtomicUsize>,
}

const TTL_S: u32 = 60;
const ROTATE_S: u32 = 3600;

fn issuer() -> Issuer {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let ring = Arc::new(KeyRing::open(folder.path(), TTL_S, ROTATE_S, Arc::new(clock.clone())).unwrap());
    Issuer {
        folder,
        clock,
        ring,
        away: Arc::default(),
        fetched: Arc::default(),
    }
}

impl Issuer {
    fn verifier(&self, audience: &str) -> Verifier {
        let (ring, away, fetched) = (self.ring.clone(), self.away.clone(), self.fetched.clone());
        let fetch = Box::new(move || -> strangler::BoxFuture<'static, Result<String, String>> {
            fetched.fetch_add(1, Ordering::SeqCst);
            let answer = if away.load(Ordering::SeqCst) {
                Err("away".to_owned())
            } else {
                Ok(ring.jwks().to_string())
            };
            Box::pin(async move { answer })
        });
        Verifier::new(audience, fetch, Arc::new(self.clock.clone()))
    }

    fn token(&self) -> Arc<str> {
        self.ring.issue(Some("ada"), &["catalog:write"], "catalog").unwrap()
    }

    fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    fn fetches(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }

    fn key_files(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("keys")).unwrap().count()
    }

    /// The same folder, opened by the next process.
    fn restarted(&self, ttl_s: u32) -> KeyRing {
        KeyRing::open(self.folder.path(), ttl_s, ROTATE_S, Arc::new(self.clock.clone())).unwrap()
    }
}
