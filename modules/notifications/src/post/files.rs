//! Mail as files that one can open.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use io::Write as _;
use strangler::BoxFuture;

use super::{Failure, Outgoing, Post, Ready, Writer, said};

/// Writes each mail to `<folder>/<mail id>.eml`, whole or not at all: under another name first, synced, then renamed. The
/// same mail again replaces the file.
pub struct Files {
    folder: Arc<Folder>,
    writer: Writer,
}

/// The folder. Those who write into it at the same time share a sync of it.
struct Folder {
    path: PathBuf,
    /// How many files were ever renamed into it.
    renamed: AtomicU64,
    /// How many of them it has been synced with.
    synced: Mutex<u64>,
}

struct File {
    folder: Arc<Folder>,
    name: String,
    bytes: Vec<u8>,
}

impl Files {
    /// Files in this folder, which is made when it is missing.
    pub fn new(folder: PathBuf, writer: Writer) -> Self {
        let folder = Arc::new(Folder {
            path: folder,
            renamed: AtomicU64::new(0),
            synced: Mutex::new(0),
        });
        Self { folder, writer }
    }
}

impl Post for Files {
    fn is_repeatable(&self) -> bool {
        true
    }

    fn at_once(&self) -> usize {
        32
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn prepare<'a>(&'a self, mail: &'a Outgoing) -> BoxFuture<'a, Result<Box<dyn Ready>, Failure>> {
        Box::pin(async move {
            let (_, bytes) = self.writer.write(mail)?;
            let ready: Box<dyn Ready> = Box::new(File {
                folder: self.folder.clone(),
                name: format!("{}.eml", mail.id),
                bytes,
            });
            Ok(ready)
        })
    }
}

impl Ready for File {
    fn hand_over(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || self.write()).await;
            let written = written.unwrap_or_else(|panic| Err(io::Error::other(panic)));
            // What was half done is under another name: a repeat does it whole.
            written.map_err(|e| Failure::NotYet(said(&format!("the file could not be written: {e}"))))
        })
    }
}

impl Folder {
    /// Returns when what was renamed before is synced. Whoever waits in line here finds that those before did it for them.
    fn sync(&self) -> io::Result<()> {
        let mine = self.renamed.fetch_add(1, Ordering::SeqCst) + 1;
        let mut synced = self.synced.lock().unwrap_or_else(|e| e.into_inner());
        if *synced < mine {
            let renamed = self.renamed.load(Ordering::SeqCst);
            fs::File::open(&self.path)?.sync_all()?;
            *synced = renamed;
        }
        Ok(())
    }
}

impl File {
    fn write(&self) -> io::Result<()> {
        // Two writers of one mail must not write into one file: the slower would cut off what the faster has renamed.
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let folder = &self.folder.path;
        fs::create_dir_all(folder)?;
        let (process, n) = (std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed));
        let part = folder.join(format!(".{}.{process}-{n}.part", self.name));
        let done = self
            .fill(&part)
            .and_then(|()| fs::rename(&part, folder.join(&self.name)));
        if done.is_err() {
            // What stays is hidden and harmless.
            let _ = fs::remove_file(&part);
        }
        done?;
        self.folder.sync()
    }

    fn fill(&self, part: &Path) -> io::Result<()> {
        // Addresses are in it: nobody else's to read.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(part)?;
        file.write_all(&self.bytes)?;
        file.sync_all()
    }
}
