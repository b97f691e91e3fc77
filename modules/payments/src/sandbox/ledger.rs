//! The ledger on disk: a file that is only added to, a line of JSON for each change, synced before anybody is told. What
//! is decided while a sync is under way goes to the disk together with the next.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread::JoinHandle,
};

use tokio::sync::watch;

use super::{book::Book, book::Entry, flaky::Tries};

/// The file's name.
const FILE: &str = "ledger.jsonl";

/// The book, written to its file by a [`Writer`].
#[derive(Clone)]
pub(super) struct Ledger(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// How many changes are on the disk, or why there will be no more.
    durable: watch::Sender<Result<u64, String>>,
}

struct State {
    book: Book,
    tries: Tries,
    pending: Vec<u8>,
    changes: u64,
    closed: bool,
}

/// Who writes the file. Dropped, it ends by itself; what is pending is written first.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Returns when all is written and the file is closed, so that another may open it.
    pub(super) async fn end(mut self) -> io::Result<()> {
        let thread = self.thread.take();
        drop(self);
        let joined = tokio::task::spawn_blocking(|| thread.map(JoinHandle::join)).await;
        joined.map(drop).map_err(io::Error::other)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Writes what is pending until there is nobody who could add more.
    fn write_all(&self, mut file: File) {
        loop {
            let mut state = self.lock();
            while state.pending.is_empty() && !state.closed {
                state = self.wake.wait(state).unwrap_or_else(|e| e.into_inner());
            }
            if state.pending.is_empty() {
                return;
            }
            let (lines, changes) = (std::mem::take(&mut state.pending), state.changes);
            drop(state);
            let written = file.write_all(&lines).and_then(|()| file.sync_data());
            let failed = written.is_err();
            drop(
                self.durable
                    .send_replace(written.map(|()| changes).map_err(|e| e.to_string())),
            );
            if failed {
                // What is in memory may not be on the disk: nothing is answered any more.
                return;
            }
        }
    }
}

impl Ledger {
    /// Opens the ledger in `folder`. A last line that was not written to its end was never answered, and is cut off.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Writer)> {
        fs::create_dir_all(folder)?;
        let path = folder.join(FILE);
        let said = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(&path).map_err(said)?;
        if file.try_lock().is_err() {
            let other = "another sandbox is writing it; give this one a folder of its own";
            return Err(said(io::Error::new(io::ErrorKind::ResourceBusy, other)));
        }
        // A file is there for good once its folder is on the disk, too.
        File::open(folder)?.sync_all()?;
        let book = replay(&mut file).map_err(said)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                book,
                tries: Tries::default(),
                pending: Vec::new(),
                changes: 0,
                closed: false,
            }),
            wake: Condvar::new(),
            durable: watch::Sender::new(Ok(0)),
        });
        let writing = shared.clone();
        let thread = std::thread::Builder::new()
            .name("sandbox-ledger".to_owned())
            .spawn(move || writing.write_all(file))?;
        let writer = Writer {
            shared: shared.clone(),
            thread: Some(thread),
        };
        Ok((Self(shared), writer))
    }

    /// Decides, and returns once what the decision wrote, and all that it saw, is on the disk. `decide` answers the entry
    /// that is to be written, if any.
    ///
    /// # Errors
    /// Why the file cannot be written.
    pub(super) async fn decide<T>(
        &self,
        decide: impl FnOnce(&Book, &mut Tries) -> (T, Option<Entry>),
    ) -> Result<T, String> {
        let mut durable = self.0.durable.subscribe();
        let (answer, upto) = {
            let mut state = self.0.lock();
            if state.closed {
                return Err("it is closed".to_owned());
            }
            let State { book, tries, .. } = &mut *state;
            let (answer, entry) = decide(book, tries);
            if let Some(entry) = entry {
                let line = serde_json::to_vec(&entry).map_err(|e| e.to_string())?;
                state.book.replay(&entry)?;
                state.pending.extend(line);
                state.pending.push(b'\n');
                state.changes += 1;
                self.0.wake.notify_one();
            }
            (answer, state.changes)
        };
        let there = durable.wait_for(|durable| durable.as_ref().map_or(true, |changes| *changes >= upto));
        let there = there.await.map_err(|e| e.to_string())?;
        there.as_ref().map(|_| answer).map_err(Clone::clone)
    }
}

fn replay(file: &mut File) -> io::Result<Book> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let mut book = Book::default();
    let lines = text[..whole].split(|b| *b == b'\n').enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        let damaged = |why: String| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("line {} is damaged: {why}", number + 1),
            )
        };
        let entry = serde_json::from_slice(line).map_err(|e| damaged(e.to_string()))?;
        book.replay(&entry).map_err(|why| damaged(why.to_owned()))?;
    }
    if whole < text.len() {
        file.set_len(whole as u64)?;
        file.sync_all()?;
    }
    Ok(book)
}
