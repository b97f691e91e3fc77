//! The sandbox killed in the middle of its work: what it answered is in its ledger.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use http::Method;
use serde_json::{Value, json};

use crate::support::{ledger, try_call};

const FOLDER: &str = "BANYAN_TEST_SANDBOX";

/// Not a test: the sandbox as a process of its own, started by the test below; by itself there is nothing for it to do.
#[tokio::test]
async fn sandbox_process() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::fs::write(folder.join("address.tmp"), address).unwrap();
    std::fs::rename(folder.join("address.tmp"), folder.join("address")).unwrap();
    payments::sandbox::serve(listener, &folder, std::future::pending())
        .await
        .unwrap();
}

/// Killed with SIGKILL at the latest when the test is over.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(folder: &std::path::Path) -> (Process, String) {
    let address = folder.join("address");
    let _ = std::fs::remove_file(&address);
    let spawned = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed::sandbox_process"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn();
    let process = Process(spawned.unwrap());
    let address = until("the sandbox has started", || std::fs::read_to_string(&address).ok()).await;
    (process, format!("http://{address}"))
}

/// What there is, once there is something.
async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(there) = look() {
            return there;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut answered: Vec<(String, Value)> = Vec::new();
    for round in 0..5 {
        let (process, url) = start(folder.path()).await;
        let so_far = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let (url, so_far) = (url.clone(), so_far.clone());
                tokio::spawn(async move {
                    let mut answered = Vec::new();
                    for n in 0.. {
                        let key = format!("{round}-{task}-{n}");
                        let body = json!({"amount": n, "currency": "EUR", "token": "tok_ok"});
                        let put = try_call(Method::POST, &format!("{url}/intents"), Some(&key), &body).await;
                        let Ok((201, mut entry)) = put else { break };
                        let capture = format!("{url}/intents/{key}/capture");
                        let captured = try_call(Method::POST, &capture, None, &Value::Null).await;
                        if let Ok((200, now)) = &captured {
                            entry = now.clone();
                        }
                        answered.push((key, entry));
                        so_far.fetch_add(1, Relaxed);
                        if captured.is_err() {
                            break;
                        }
                    }
                    answered
                })
            })
            .collect();
        // In the middle of its work, at a point that is another one each time.
        let enough = 5 + 7 * round;
        until("some are answered", || (so_far.load(Relaxed) >= enough).then_some(())).await;
        drop(process);
        for task in tasks {
            answered.extend(task.await.unwrap());
        }
    }
    let (process, url) = start(folder.path()).await;
    let entries = ledger(&url).await;
    let mut ids: Vec<_> = entries.iter().map(|e| e["id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), entries.len(), "an id was given twice");
    for (key, told) in &answered {
        let found: Vec<_> = entries.iter().filter(|e| e["key"] == **key).collect();
        assert_eq!(found.len(), 1, "{key}");
        // A capture whose answer was lost may have been kept.
        let later = told["state"] == "authorized" && found[0]["state"] == "captured";
        assert!(found[0] == told || later, "{key}: told {told}, kept {}", found[0]);
    }
    drop(process);
    println!(
        "{} payments were answered before five kills, {} are kept",
        answered.len(),
        entries.len()
    );
}
