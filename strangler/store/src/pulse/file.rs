//! Looks at the files that somebody waits for, on one thread for the whole process, which ends when nobody waits.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

use super::beat;

/// How often a file is looked at while nothing happens.
const IDLE: Duration = Duration::from_millis(20);
/// How often while something does.
const BUSY: Duration = Duration::from_millis(10);
/// For how long after a change something counts as happening.
const CALM: Duration = Duration::from_secs(1);
/// A change of the file is seen before the commit is: that waits for the disk. So there is another sign later, at twice the
/// pause each time, as long as the pause is not longer than this. That also covers what was written within one tick of the
/// file's time.
const LAST_ECHO: Duration = Duration::from_millis(160);

/// When the process itself wrote, whoever waits in it was told. Somebody else may have written too, so there is a sign all
/// the same, but not a hundred times a second: looking costs what working would.
const DOUBT: Duration = Duration::from_millis(80);

/// Counts where a process's own commits begin and end.
pub(crate) type Own = Arc<AtomicU64>;

/// A file whose changes are signs.
pub(super) struct File {
    wal: PathBuf,
    own: Own,
    beats: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watched: bool,
    seen: Option<(SystemTime, u64)>,
    own: u64,
    changed: Option<Instant>,
    echo: Option<(Instant, Duration)>,
}

/// Those that are looked at, while there are any.
static WATCHED: Mutex<Vec<Weak<File>>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl File {
    /// Signs of changes of `wal` go to `beats`; `own` is what the process itself does to it.
    pub(super) fn new(wal: PathBuf, own: Own, beats: watch::Sender<u64>) -> Arc<Self> {
        Arc::new(Self {
            wal,
            own,
            beats,
            state: Mutex::default(),
        })
    }

    /// Sees that it is looked at, for those who have subscribed before.
    pub(super) fn watch(self: &Arc<Self>) {
        let mut watched = lock(&WATCHED);
        let mut state = lock(&self.state);
        if state.watched {
            return;
        }
        *state = State {
            watched: true,
            seen: self.stamp(),
            own: self.own.load(Ordering::Relaxed),
            changed: None,
            // Somebody may be writing just now.
            echo: Some((Instant::now() + BUSY, BUSY)),
        };
        watched.push(Arc::downgrade(self));
        if watched.len() == 1 {
            let looking = thread::Builder::new()
                .name("strangler-pulse".to_owned())
                .spawn(look_at_all);
            if looking.is_err() {
                // Without signs there still are the polls.
                watched.clear();
                state.watched = false;
            }
        }
    }

    /// Looks once. `None` when nobody waits any more, otherwise whether something happens.
    fn look(&self) -> Option<bool> {
        let mut state = lock(&self.state);
        if self.beats.receiver_count() == 0 {
            state.watched = false;
            return None;
        }
        // In this order: what was written before is counted before.
        let (now, sees) = (Instant::now(), self.stamp());
        let own = self.own.load(Ordering::Relaxed);
        let ours = std::mem::replace(&mut state.own, own) != own;
        let changed = std::mem::replace(&mut state.seen, sees) != sees;
        if changed {
            state.changed = Some(now);
        }
        if changed && !ours {
            state.echo = Some((now + BUSY, BUSY));
            beat(&self.beats);
        } else if changed && state.echo.is_none() {
            state.echo = Some((now + DOUBT, DOUBT));
        } else if let Some((due, pause)) = state.echo
            && now >= due
        {
            let pause = pause * 2;
            state.echo = (pause <= LAST_ECHO).then(|| (now + pause, pause));
            beat(&self.beats);
        }
        Some(state.echo.is_some() || state.changed.is_some_and(|at| at.elapsed() < CALM))
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let meta = std::fs::metadata(&self.wal).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    }
}

fn look_at_all() {
    let mut pause = BUSY;
    loop {
        thread::sleep(pause);
        // Whoever begins to wait takes this lock: it finds the thread there, or starts one.
        let mut watched = lock(&WATCHED);
        let mut busy = false;
        watched.retain(|file| match file.upgrade().and_then(|file| file.look()) {
            Some(happens) => {
                busy |= happens;
                true
            }
            None => false,
        });
        if watched.is_empty() {
            return;
        }
        pause = if busy { BUSY } else { IDLE };
    }
}
