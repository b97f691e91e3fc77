//! How a schema is: whether its file is still there, and whether it can be written.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{ConnectionTrait, Statement};

use crate::{Db, StoreError};

/// How long nothing is tried after a write has found no room. What is tried is small, and may find room where no order does:
/// as long as others fail, their word counts.
const HOLD: Duration = Duration::from_secs(2);

/// The file that a database was opened in.
pub(crate) struct Home {
    path: PathBuf,
    /// Device and inode.
    is: (u64, u64),
}

impl Home {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let (path, is) = (path.to_owned(), identity(path)?);
        Ok(Self { path, is })
    }

    /// A sentence when something else is there by now, or nothing.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match identity(&self.path) {
            Ok(is) if is == self.is => Ok(()),
            Ok(_) => Err("its file was replaced while it was open; what is written now is lost when the process ends"),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err("its file was deleted while it was open; what is written now is lost when the process ends")
            }
            // Who may not look says nothing about the file.
            Err(_) => Ok(()),
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl Db {
    /// Whether the schema can be written, as far as is known. Nothing is written to find out, as long as no write has failed
    /// for want of room or permission. After one has, a row is tried (it stays as it is), two seconds after the last that
    /// failed at the earliest, however often this is asked.
    pub async fn is_writable(&self) -> bool {
        match self.place().stuck() {
            None => true,
            Some(ago) if ago < HOLD => false,
            Some(_) => {
                let began = self.place().moment();
                let tried = self.try_to_write().await.is_ok();
                if tried {
                    self.place().note_written(began);
                }
                tried
            }
        }
    }

    async fn try_to_write(&self) -> Result<(), StoreError> {
        const DOING: &str = "trying whether it can be written";
        let tx = self.begin_raw(DOING).await?;
        let sql = r#"UPDATE "event_log_head" SET "floor" = "floor" WHERE "id" = 1"#;
        let same = Statement::from_string(tx.get_database_backend(), sql);
        let fail = |e| self.place().error(DOING, &e);
        tx.execute_raw(same).await.map_err(fail)?;
        tx.commit().await.map_err(fail)
    }
}
