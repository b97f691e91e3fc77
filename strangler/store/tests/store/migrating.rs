//! Migrations: by many at once, and not by an older binary.

use std::{process::Child, time::Instant};

use strangler_store::{Db, DbOptions};

use crate::{notes, support};

on_both!(
    many_tasks_migrate_once,
    many_processes_migrate_once,
    an_older_binary_is_refused,
    nothing_to_do_is_quick
);

/// Run by `many_processes_migrate_once`, in processes of their own; by itself there is nothing for it to do.
#[tokio::test]
async fn child() {
    let Ok(url) = std::env::var("BANYAN_TEST_CHILD_URL") else {
        return;
    };
    let db = Db::open(&url, "notes", DbOptions::default()).await.unwrap();
    let applied = db.migrate(notes::migrations()).await.unwrap();
    println!("applied={applied}");
    db.close().await;
}

fn spawn(url: &str) -> Child {
    let mut command = support::child("migrating::child");
    command
        .env("BANYAN_TEST_CHILD_URL", url)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

mod tests {
    use strangler_store::StoreError;
    use tokio::task::JoinSet;

    use super::*;
    use crate::support::Home;

    pub async fn many_tasks_migrate_once(home: &Home) {
        let url = home.url("notes").await;
        let mut starting = JoinSet::new();
        for _ in 0..12 {
            let url = url.clone();
            starting.spawn(async move {
                let options = DbOptions {
                    max_connections: 2,
                    ..DbOptions::default()
                };
                let db = Db::open(&url, "notes", options).await.unwrap();
                db.migrate(notes::migrations()).await.unwrap()
            });
        }
        assert_eq!(
            starting.join_all().await.into_iter().sum::<u32>(),
            notes::migrations().len() as u32
        );
        let raw = home.raw("notes").await;
        assert_eq!(raw.number("SELECT count(*) FROM event_log_head").await, 1);
    }

    pub async fn many_processes_migrate_once(home: &Home) {
        let url = home.url("notes").await;
        let children: Vec<Child> = (0..12).map(|_| spawn(&url)).collect();
        let mut applied = 0;
        for child in children {
            let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
                .await
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{text}");
            let (_, rest) = text.split_once("applied=").expect(&text);
            applied += rest.lines().next().unwrap().trim().parse::<u32>().unwrap();
        }
        assert_eq!(applied as usize, notes::migrations().len());
    }

    pub async fn an_older_binary_is_refused(home: &Home) {
        let db = home.db("notes").await;
        let error = db.migrate(strangler_store::migrations()).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        assert!(error.to_string().contains("(notes_0001)"), "{error}");
    }

    pub async fn nothing_to_do_is_quick(home: &Home) {
        let db = home.db("notes").await;
        // Even while somebody else is writing: it takes no lock.
        let _writing = db.begin(&notes::cx()).await.unwrap();
        let start = Instant::now();
        assert_eq!(db.migrate(notes::migrations()).await.unwrap(), 0);
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    }
}
