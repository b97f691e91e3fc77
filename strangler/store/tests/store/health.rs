//! What a handle says of its schema when its file goes away, and when there is no room.

use std::{path::Path, process::Command, time::Duration};

use strangler_store::{Db, DbOptions, StoreError};

use crate::support::eventually;

async fn open(folder: &Path) -> Db {
    let url = format!("sqlite:{}", folder.join("x.db").display());
    let db = Db::open(&url, "x", DbOptions::default()).await.unwrap();
    db.migrate(strangler_store::migrations()).await.unwrap();
    db
}

#[tokio::test]
async fn a_file_that_is_gone_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(folder.path()).await;
    let (file, aside) = (folder.path().join("x.db"), folder.path().join("aside.db"));
    db.ping().await.unwrap();
    std::fs::rename(&file, &aside).unwrap();
    let gone = db.ping().await.unwrap_err();
    assert!(
        matches!(gone, StoreError::Corrupt(_)) && gone.to_string().contains("deleted"),
        "{gone}"
    );
    std::fs::copy(&aside, &file).unwrap();
    let other = db.ping().await.unwrap_err();
    assert!(other.to_string().contains("replaced"), "{other}");
    std::fs::rename(&aside, &file).unwrap();
    db.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_noticed_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&disk)
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        println!("SKIPPED (only root may mount a small disk): a_full_disk_is_noticed_until_there_is_room");
        return;
    }
    let db = open(&disk).await;
    assert!(db.is_writable().await);
    let ballast = disk.join("ballast");
    assert!(std::fs::write(&ballast, vec![0; 4 << 20]).is_err(), "it is full");
    let write = async |n: u128| {
        let log = db.leases();
        // Each is a row of its own.
        log.acquire(&format!("{n}{}", "x".repeat(2000)), "me", 1, Duration::from_secs(60))
            .await
    };
    let mut n = 0;
    let full = loop {
        n += 1;
        assert!(n < 10_000, "it never comes to be full");
        if let Err(error) = write(n).await {
            break error;
        }
    };
    assert!(matches!(full, StoreError::Full(_)), "{full}");
    assert!(!db.is_writable().await);
    db.ping().await.unwrap();
    std::fs::remove_file(&ballast).unwrap();
    eventually("it can be written again", async || db.is_writable().await, |can| *can).await;
    write(n).await.unwrap();
    // What was written in the meantime is on the disk; unmounted lazily, as the handle is still open.
    db.close().await;
    assert!(Command::new("umount").arg("-l").arg(&disk).status().unwrap().success());
}
