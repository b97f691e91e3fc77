//! Who is to be told of a commit, and of what.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;
use uuid::Uuid;

/// The most sagas that are kept in mind until somebody works on them.
const MOST_BEGUN: usize = 4096;

/// Who is to be told of a commit.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Counts commits that emitted, so that the relays of this process wake up.
    pub(crate) commits: watch::Sender<u64>,
    /// Counts relay passes, so that the log's readers in this process wake up.
    pub(crate) logged: watch::Sender<u64>,
    /// Counts commits that began sagas or put them back to work, so that those who work on them in this process wake up.
    pub(crate) sagas: watch::Sender<u64>,
    /// Counts commits that sent commands, so that the queues' workers in this process wake up.
    pub(crate) queues: watch::Sender<u64>,
    /// Which sagas: whoever works on them here need not look for them.
    begun: Mutex<VecDeque<Uuid>>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        let (commits, logged, sagas) = (watch::Sender::new(0), watch::Sender::new(0), watch::Sender::new(0));
        let (queues, begun) = (watch::Sender::new(0), Mutex::default());
        Self {
            commits,
            logged,
            sagas,
            queues,
            begun,
        }
    }

    pub(crate) fn announce(&self, news: News) {
        let moved = !news.sagas.is_empty();
        if self.sagas.receiver_count() > 0 {
            let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            begun.extend(news.sagas);
            // Those that are forgotten here are found when the table is looked at.
            let over = begun.len().saturating_sub(MOST_BEGUN);
            begun.drain(..over);
        }
        let told = [
            (news.emitted, &self.commits),
            (news.logged, &self.logged),
            (moved, &self.sagas),
            (news.queued, &self.queues),
        ];
        for (_, sender) in told.into_iter().filter(|(happened, _)| *happened) {
            sender.send_modify(|n| *n += 1);
        }
    }

    /// Up to so many of the sagas that were begun or put back to work, for somebody to work on; each is told once.
    pub(crate) fn take_begun(&self, limit: usize) -> Vec<Uuid> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = limit.min(begun.len());
        begun.drain(..taken).collect()
    }
}

/// What a transaction did that somebody waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    /// There are events in the outbox.
    pub(crate) emitted: bool,
    /// There are events in the log.
    pub(crate) logged: bool,
    /// There are commands in queues.
    pub(crate) queued: bool,
    /// These sagas were begun or put back to work.
    pub(crate) sagas: Vec<Uuid>,
}

impl News {
    pub(super) fn add(&mut self, more: Self) {
        self.emitted |= more.emitted;
        self.logged |= more.logged;
        self.queued |= more.queued;
        self.sagas.extend(more.sagas);
    }
}
