//! Signs that another process wrote to the schema, so that whoever waits looks at once and not at the next poll.
//!
//! A sign is a hint: there are some too many, and now and then one is missing. Whoever waits looks for itself, and polls as
//! a safety net. What a sign costs is not paid by any command:
//!
//! * SQLite: every commit writes to the file's `-wal` companion. Its time and length are looked at every 20 ms, every 10 ms
//!   while something happens, and only while somebody waits: a system call of some 2 µs, by one thread for all files of the
//!   process. (Asking SQLite itself, with `PRAGMA data_version`, costs ten times as much, because each file is asked on a thread
//!   of its own.)
//! * PostgreSQL: each process says on a channel that it committed or relayed something: afterwards, in a transaction of its
//!   own, and at most every 10 ms. NOTIFY in the transactions themselves would make their commits wait for each other. Who
//!   waits listens on a connection that the handle keeps for that from the first wait on.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use sea_orm::sqlx::{
    self,
    postgres::{PgListener, PgPool, PgPoolOptions},
};
use tokio::{sync::watch, task::AbortHandle};

use file::File;
pub(crate) use file::Own;

mod file;

/// The least time between two announcements.
const SPACING: Duration = Duration::from_millis(10);
/// How long to wait before listening is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where a schema's signs come from.
pub(crate) struct Pulse {
    source: Source,
    beats: watch::Sender<u64>,
    /// Listens on the channel, from the first wait on.
    listener: Mutex<Option<AbortHandle>>,
}

/// The signs for one who waits.
pub(crate) struct Beats(watch::Receiver<u64>);

enum Source {
    File(Arc<File>),
    Channel(Channel),
}

#[derive(Clone)]
struct Channel {
    pool: PgPool,
    name: String,
    /// What this handle announces itself is no news here.
    me: String,
}

impl Pulse {
    /// Of an SQLite file; `own` is counted when a commit of this process begins and when it has ended.
    pub(crate) fn of_file(file: &Path, own: Own) -> Self {
        let mut wal = file.as_os_str().to_owned();
        wal.push("-wal");
        let beats = watch::Sender::new(0);
        Self::new(Source::File(File::new(wal.into(), own, beats.clone())), beats)
    }

    /// Of a PostgreSQL schema, which `pool` is connected to.
    pub(crate) fn of_channel(pool: &PgPool, schema: &str) -> Self {
        let channel = Channel {
            pool: pool.clone(),
            // An identifier, as the schema's own name is.
            name: schema.to_owned(),
            me: format!("{:016x}", rand::random::<u64>()),
        };
        Self::new(Source::Channel(channel), watch::Sender::new(0))
    }

    fn new(source: Source, beats: watch::Sender<u64>) -> Self {
        Self {
            source,
            beats,
            listener: Mutex::new(None),
        }
    }

    /// Tells other processes whenever `news` changes, where they do not see it by themselves.
    pub(crate) fn announce(&self, news: watch::Receiver<u64>) {
        if let Source::Channel(channel) = &self.source {
            drop(tokio::spawn(announce(channel.clone(), news)));
        }
    }

    /// Signs from now on.
    pub(crate) fn beats(&self) -> Beats {
        let beats = Beats(self.beats.subscribe());
        match &self.source {
            Source::File(file) => file.watch(),
            Source::Channel(channel) => {
                let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
                if listener.is_none() {
                    let task = listen(channel.clone(), self.beats.clone());
                    *listener = Some(tokio::spawn(task).abort_handle());
                }
            }
        }
        beats
    }

    /// Gives back what it keeps.
    pub(crate) fn stop(&self) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listener) = listener.take() {
            listener.abort();
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Beats {
    /// Returns at the next sign. What is forgotten before it is ready is not lost.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn beat(beats: &watch::Sender<u64>) {
    beats.send_modify(|n| *n += 1);
}

/// Listens until the handle is closed.
async fn listen(channel: Channel, beats: watch::Sender<u64>) {
    // A connection beside the pool's: it is kept, and the pool's are for those who work.
    let apart = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(channel.pool.connect_options().as_ref().clone());
    while !channel.pool.is_closed() {
        if let Err(error) = hear(&apart, &channel, &beats).await {
            let channel = &channel.name;
            tracing::debug!(channel, %error, "cannot listen for other processes; they are looked for instead");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn hear(apart: &PgPool, channel: &Channel, beats: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(apart).await?;
    listener.listen(&channel.name).await?;
    // What was said before that, nobody heard.
    beat(beats);
    loop {
        // A connection that was lost is made again, and is news: something may have been missed.
        match listener.try_recv().await? {
            Some(notification) if notification.payload() == channel.me => {}
            _ => beat(beats),
        }
    }
}

/// Says so on the channel whenever `news` changes, until its sender is gone.
async fn announce(channel: Channel, mut news: watch::Receiver<u64>) {
    let Channel { pool, name, me } = channel;
    while news.changed().await.is_ok() {
        news.mark_unchanged();
        let say = sqlx::query("SELECT pg_notify($1, $2)").bind(&name).bind(&me);
        if let Err(error) = say.execute(&pool).await {
            if pool.is_closed() {
                return;
            }
            tracing::debug!(channel = name, %error, "cannot tell other processes; they look for themselves");
        }
        tokio::time::sleep(SPACING).await;
    }
}
