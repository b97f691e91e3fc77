//! Files that only their owner may read: made once, whole, and never overwritten.

use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

/// More than any file here needs; a larger one is not ours.
const LARGEST_FILE: u64 = 16 * 1024;

/// Why a token or a key cannot be had. Each is a sentence that says what to do; none holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityError {
    /// A file or folder cannot be used: which one, what was tried, and what the system said.
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: "read", "written", "made".
        tried: &'static str,
        /// What the system said.
        cause: String,
    },
    /// Others than the owner may read the file.
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file holds nothing, or not what it should.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: &'static str,
    },
    /// Neither the environment nor the data folder has the token.
    NoToken {
        /// Where it was looked for.
        path: PathBuf,
        /// The environment variable that may hold it.
        variable: &'static str,
    },
    /// The environment variable is set, to something that is no such token.
    NotAToken {
        /// The environment variable.
        variable: &'static str,
        /// What such a token begins with.
        prefix: &'static str,
    },
    /// A token was to be made with an impossible subject, scope or audience.
    Impossible(&'static str),
    /// The system's source of randomness or the signing itself failed.
    Crypto,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, tried, cause } => write!(f, "{} cannot be {tried}: {cause}", path.display()),
            Self::Exposed { path, mode } => {
                let path = path.display();
                write!(
                    f,
                    "{path} holds a secret, and others may read it (mode {mode:04o}): chmod 600 {path}"
                )
            }
            Self::Damaged { path, what } => write!(f, "{} {what}", path.display()),
            Self::NoToken { path, variable } => write!(
                f,
                "no token: {variable} is not set and {} does not exist; name the data folder of the running system \
                 with --data, or set {variable}",
                path.display()
            ),
            Self::NotAToken { variable, prefix } => {
                write!(
                    f,
                    "{variable} holds no token of this kind: one begins with {prefix} and has 43 characters after it"
                )
            }
            Self::Impossible(what) => f.write_str(what),
            Self::Crypto => f.write_str("the system's source of randomness failed, so nothing could be signed or made"),
        }
    }
}

impl std::error::Error for IdentityError {}

fn failed(path: &Path, tried: &'static str) -> impl FnOnce(io::Error) -> IdentityError {
    let path = path.to_owned();
    move |error| IdentityError::File {
        path,
        tried,
        cause: error.to_string(),
    }
}

/// `N` random bytes from the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], IdentityError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| IdentityError::Crypto)?;
    Ok(bytes)
}

/// Makes the folder, readable by its owner alone, unless it is there.
pub(super) fn make_folder(folder: &Path) -> Result<(), IdentityError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed(folder, "made"))
}

/// What the file holds; `None` when there is none. Refuses a file that others may read.
pub(super) fn read(path: &Path) -> Result<Option<String>, IdentityError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "read")(error)),
    };
    let meta = file.metadata().map_err(failed(path, "read"))?;
    if !meta.is_file() {
        return Err(IdentityError::Damaged {
            path: path.to_owned(),
            what: "is not a file: move it away",
        });
    }
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    match file.take(LARGEST_FILE).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(IdentityError::Damaged {
            path: path.to_owned(),
            what: "is damaged: it is not text",
        }),
        Err(error) => Err(failed(path, "read")(error)),
    }
}

/// Writes a new file with mode 0600, on disk when this returns; `false`, and nothing changed, when there is one
/// already. Whoever looks sees the whole file or none, and of two who write at once one wins.
pub(super) fn create(path: &Path, text: &str) -> Result<bool, IdentityError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}.tmp", URL_SAFE_NO_PAD.encode(random::<9>()?)));
    let written = write_new(&temporary, text).and_then(|()| match fs::hard_link(&temporary, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(path, "written")(error)),
    });
    // What is left behind when this fails is a random value that nobody uses, readable by its owner alone.
    let _ = fs::remove_file(&temporary);
    if written? {
        sync_folder(folder)?;
        return Ok(true);
    }
    Ok(false)
}

fn write_new(path: &Path, text: &str) -> Result<(), IdentityError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed(path, "written"))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed(path, "written"))
}

/// Removes the file; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), IdentityError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, "removed")(error)),
        _ => Ok(()),
    }
}

fn sync_folder(folder: &Path) -> Result<(), IdentityError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed(folder, "written"))
}

/// The secret in the file, made on first use: `prefix` and 32 random bytes as url-safe text, on one line.
pub(super) fn open_or_make(path: &Path, prefix: &str) -> Result<String, IdentityError> {
    if let Some(text) = read(path)? {
        return parse(path, &text, prefix);
    }
    let text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
    if create(path, &format!("{text}\n"))? {
        return Ok(text);
    }
    // Another process was first: its secret is the one.
    let text = read(path)?.unwrap_or_default();
    parse(path, &text, prefix)
}

/// The secret in the text of a file.
pub(super) fn parse(path: &Path, text: &str, prefix: &str) -> Result<String, IdentityError> {
    let damaged = |what| IdentityError::Damaged {
        path: path.to_owned(),
        what,
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(damaged(
            "is empty: restore it from a backup, or remove it and a new one is made on the next start",
        ));
    }
    if !is_well_formed(text, prefix) {
        return Err(damaged(
            "is damaged: it does not hold what was written there; restore it from a backup, or remove it and a new one \
             is made on the next start",
        ));
    }
    Ok(text.to_owned())
}

/// Whether `text` is `prefix` and 32 bytes as url-safe text.
pub(super) fn is_well_formed(text: &str, prefix: &str) -> bool {
    decode(text, prefix).is_some()
}

/// The 32 bytes behind `prefix`.
pub(super) fn decode(text: &str, prefix: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text.strip_prefix(prefix)?).ok()?.try_into().ok()
}
