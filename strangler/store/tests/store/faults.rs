//! What is said, and what happens next, when a database is damaged, forbidden, full of others, or gone for a while.

use sea_orm::{ConnectionTrait, DbErr};
use serde::Serialize;
use strangler_store::{Db, DbOptions, Query, StoreError};

use crate::{notes, support};

/// A query that breaks its promise.
#[derive(Serialize)]
pub struct WritingQuery;

impl Query for WritingQuery {
    const NAME: &'static str = "writing-query";
    type Answer = ();

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        connection.execute_unprepared("DELETE FROM notes").await.map(drop)
    }
}

async fn open_error(url: &str) -> StoreError {
    Db::open(url, "notes", DbOptions::default()).await.unwrap_err()
}

#[tokio::test]
async fn a_damaged_file_is_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.db");
    std::fs::write(&file, "This is no database, whatever its name says. ".repeat(200)).unwrap();
    let error = open_error(&format!("sqlite:{}", file.display())).await;
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
    assert!(error.to_string().contains("notes.db"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_damaged_later_is_said_to_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.db");
    let url = format!("sqlite:{}", file.display());
    let db = Db::open(&url, "notes", DbOptions::default()).await.unwrap();
    db.migrate(notes::migrations()).await.unwrap();
    for _ in 0..100 {
        notes::write(&db, notes::id(), &"long ".repeat(200)).await.unwrap();
    }
    db.close().await;
    let mut bytes = std::fs::read(&file).unwrap();
    assert!(
        bytes.len() > 250 * 1024,
        "closing has written everything into the file itself"
    );
    // The schema is at the beginning; opening reads that.
    bytes[128 * 1024..].fill(0x55);
    std::fs::write(&file, bytes).unwrap();
    let db = Db::open(&url, "notes", DbOptions::default()).await.unwrap();
    let error = db
        .view(&notes::cx())
        .find(notes::CountNotes { text: "x".into() })
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
}

#[tokio::test]
async fn a_missing_folder_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let error = open_error(&format!("sqlite:{}", folder.path().join("typo/notes.db").display())).await;
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    assert!(error.to_string().contains("does not exist; create it first"), "{error}");
    let error = open_error("mysql://root:secret@host/db").await;
    assert!(
        error.to_string().contains("`mysql:` is no known kind") && !error.to_string().contains("secret"),
        "{error}"
    );
}

#[cfg(unix)]
mod permissions {
    use std::os::unix::{fs::PermissionsExt, process::CommandExt};

    use super::*;

    #[tokio::test]
    async fn the_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("notes.db").display());
        let db = Db::open(&url, "notes", DbOptions::default()).await.unwrap();
        db.migrate(notes::migrations()).await.unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(
                entry.metadata().unwrap().permissions().mode() & 0o777,
                0o600,
                "{entry:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_read_only_folder_is_said_to_be_one() {
        let folder = tempfile::Builder::new()
            .permissions(PermissionsExt::from_mode(0o555))
            .tempdir()
            .unwrap();
        let url = format!("sqlite:{}", folder.path().join("notes.db").display());
        let mut command = support::child("faults::permissions::child");
        command.env("BANYAN_TEST_CHILD_URL", url);
        if std::fs::write(folder.path().join("probe"), "").is_ok() {
            // Permissions do not bind us, so somebody whom they bind has to try: nobody.
            command.uid(65534).gid(65534);
        }
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => return println!("SKIPPED (nobody may not run this program: {error})"),
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    /// Run by the test above, in a process of its own; by itself there is nothing for it to do.
    #[tokio::test]
    async fn child() {
        let Ok(url) = std::env::var("BANYAN_TEST_CHILD_URL") else {
            return;
        };
        let error = open_error(&url).await;
        assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
        assert!(error.to_string().contains("Check the permissions"), "{error}");
    }
}

#[tokio::test]
async fn a_writer_that_stays_is_waited_for_only_so_long() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("notes.db").display());
    let options = || DbOptions {
        busy_timeout: std::time::Duration::from_millis(50),
        ..DbOptions::default()
    };
    let db = Db::open(&url, "notes", options()).await.unwrap();
    let other = Db::open(&url, "notes", options()).await.unwrap();
    let writing = db.begin(&notes::cx()).await.unwrap();
    let error = other.begin(&notes::cx()).await.unwrap_err();
    assert!(matches!(error, StoreError::Busy(_)) && error.retryable(), "{error}");
    drop(writing);
    other.begin(&notes::cx()).await.unwrap();
    other.ping().await.unwrap();
}

mod lost_connections {
    use std::sync::Arc;

    use strangler_store::{Filter, Subscription};

    use super::*;
    use crate::{
        notes::{CountNotes, Effects, Note, WriteDown, cx, id, write},
        support::{Home, connect, eventually, on_postgres},
    };

    /// Returns when the server's processes are gone; a signal alone would let them answer once more.
    async fn cut_all(home: &Home) {
        let Home::Postgres { admin, database } = home else {
            panic!("PostgreSQL only")
        };
        let raw = connect(admin).await;
        let cut = format!(
            "SELECT pid::bigint, pg_terminate_backend(pid)::int::bigint FROM pg_stat_activity \
             WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        );
        let cut = raw.pairs(&cut).await;
        assert!(!cut.is_empty());
        let pids: Vec<String> = cut.iter().map(|(pid, _)| pid.to_string()).collect();
        let left = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE pid IN ({})",
            pids.join(", ")
        );
        eventually(
            "the end of the connections",
            async || raw.number(&left).await,
            |left| *left == 0,
        )
        .await;
    }

    async fn recovers(home: &Home) {
        let db = home.db("notes").await;
        let relay = db.relay();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let until = |mut stopped: tokio::sync::watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let stopping = until(stopped.clone());
        let relaying = tokio::spawn(async move { relay.run(stopping).await });
        let subscription = Subscription::new("s", db.clone(), db.log(), Filter::All, Arc::new(WriteDown));
        let stopping = until(stopped);
        let subscribed = tokio::spawn(async move { subscription.run(stopping).await });

        let id = id();
        for _ in 0..3 {
            // As many connections as the pool has, so that all of them are lost at once.
            let held: Vec<_> = futures_util::future::join_all((0..8).map(|_| async { db.begin(&cx()).await })).await;
            drop(held);
            let mut uow = db.begin(&cx()).await.unwrap();
            uow.save(&Note::first(crate::notes::id(), "lost"));
            uow.flush().await.unwrap();
            cut_all(home).await;
            let error = uow.commit().await.unwrap_err();
            assert!(
                matches!(error, StoreError::Unavailable(_)) && error.retryable(),
                "{error}"
            );
            assert!(error.to_string().contains("could not reach the database"), "{error}");
            // No waiting, no second attempt by the caller.
            write(&db, id, "after").await.unwrap();
            cut_all(home).await;
            assert_eq!(
                db.view(&cx()).find(CountNotes { text: "lost".into() }).await.unwrap(),
                0
            );
            cut_all(home).await;
            db.ping().await.unwrap();
        }
        let cx = cx();
        let view = db.view(&cx);
        let effects = async || view.find(Effects).await.unwrap();
        let effects = eventually("the effects of all three", effects, |effects| effects.len() >= 3).await;
        assert_eq!(effects.iter().map(|e| e.2).collect::<Vec<_>>(), [1, 2, 3]);
        stop.send_replace(true);
        relaying.await.unwrap();
        subscribed.await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn postgres() {
        on_postgres(recovers).await;
    }

    #[tokio::test]
    async fn a_server_that_is_not_there() {
        let options = DbOptions {
            acquire_timeout: std::time::Duration::from_millis(200),
            ..DbOptions::default()
        };
        let error = Db::open("postgres://app:s3cret@127.0.0.1:1/box", "notes", options)
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains("postgres://app@127.0.0.1:1/box"), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
}
