//! Toggles and processes while whoever asked goes away, the monolith is killed, or two people want different things.

use std::{path::Path, process::Stdio, time::Duration};

use rand::Rng;
use serde_json::Value;
use system_tests::{Options, System, holds_soon, seed, system::signal};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const SOON: Duration = Duration::from_secs(30);

fn ended(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    matches!(
        stat.rsplit(')').next().and_then(|s| s.trim_start().chars().next()),
        None | Some('Z' | 'X')
    )
}

async fn instance(system: &System) -> u64 {
    system.status("catalog").await["instances"][0]["pid"]
        .as_u64()
        .expect("an instance")
}

/// What is in force, what is written down and the audit trail's last word must be one, however a flip was cut off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hangs_up_during_a_flip_leaves_no_half_of_it() {
    let mut random = seed("who_hangs_up_during_a_flip_leaves_no_half_of_it");
    let mut system = System::start().await;
    system.run(&["extract", "catalog"]).await;
    let address = system.internal().trim_start_matches("http://").to_owned();
    for _ in 0..5 {
        for _ in 0..20 {
            let stage = ["local", "shadow", "remote"][random.random_range(0..3)];
            let body = format!(r#"{{"target":"catalog","stage":"{stage}"}}"#);
            let request = format!(
                "POST /control/v1/stage HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\n\r\n{body}",
                system.token(),
                body.len()
            );
            let mut socket = TcpStream::connect(&address).await.expect("connected");
            socket.write_all(request.as_bytes()).await.expect("sent");
            tokio::time::sleep(Duration::from_micros(random.random_range(0..3000))).await;
        }
        // Changes are made one after the other: this one is the last.
        system.run(&["stage", "catalog.act", "inherit"]).await;
        let in_force = system.status("catalog").await["stage"].clone();
        let audit: Value = serde_json::from_str(&system.run(&["audit", "--json"]).await).expect("JSON");
        let entries = audit["entries"].as_array().expect("entries");
        let last = entries.iter().rev().find(|e| e["target"] == "catalog").expect("a flip");
        assert_eq!(last["to"], in_force, "the trail's last word");
        system.kill();
        system.start_again().await;
        assert_eq!(
            system.status("catalog").await["stage"],
            in_force,
            "what was written down"
        );
        system.healthy("catalog").await;
    }
}

/// A process that serves other data than the monolith's would lose every write when it is merged back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_with_other_data_is_not_taken() {
    let system = System::start().await;
    let join = |data: &Path| {
        let data = data.display().to_string();
        let args = [
            "serve",
            "--only",
            "catalog",
            "--join",
            &system.internal(),
            "--data",
            &data,
        ];
        let mut command = system.command(&args);
        command
            .env("BANYAN_JOIN_TOKEN", system.join_token())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.spawn().expect("starts")
    };
    let other = tempfile::tempdir().expect("a folder");
    let out = join(other.path()).wait_with_output().expect("ends");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(
        out.status.code() == Some(1) && told.contains("serves the monolith's data"),
        "{told}"
    );
    assert!(!other.path().join("catalog.db").exists(), "it makes no data of its own");

    let stranger = System::with(Options::default()).await;
    let mut process = join(&stranger.data());
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.stderr.take().expect("a pipe")));
    let told =
        tokio::task::spawn_blocking(move || lines.find(|l| l.as_ref().is_ok_and(|l| l.contains("cannot register"))));
    let told = told.await.expect("joined").expect("a line").expect("text");
    assert!(told.contains("serves another database"), "{told}");
    assert_eq!(system.status("catalog").await["instances"], serde_json::json!([]));
    process.kill().expect("killed");
    process.wait().expect("collected");
}

/// What `extract` started is ended by merging back even when the monolith has not heard of it yet since its own start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merging_back_ends_what_is_not_registered_yet() {
    let mut system = System::start().await;
    system.run(&["extract", "catalog"]).await;
    let pid = instance(&system).await;
    system.kill();
    system.start_again().await;
    system.run(&["merge-back", "catalog"]).await;
    assert!(ended(pid), "it has ended when merging back says so");

    system.run(&["extract", "catalog"]).await;
    let pid = instance(&system).await;
    signal("STOP", pid as u32);
    holds_soon("it is silent and forgotten", SOON, || async {
        system.status("catalog").await["instances"] == serde_json::json!([])
    })
    .await;
    system.run(&["merge-back", "catalog"]).await;
    assert!(!ended(pid), "it cannot have noticed");
    signal("CONT", pid as u32);
    holds_soon("it ends when it can ask", SOON, || async move { ended(pid) }).await;
    assert_eq!(system.status("catalog").await["instances"], serde_json::json!([]));

    system.run(&["extract", "catalog"]).await;
    system.run(&["stage", "catalog", "remote"]).await;
    assert_eq!(
        system.get("/api/v1/catalog/shows?limit=1").await.served("catalog"),
        "remote",
        "a later one stays"
    );
}

/// A flip while a module is merged back must not leave it with nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flip_during_merging_back_leaves_nobody_without_an_answer() {
    let mut random = seed("a_flip_during_merging_back_leaves_nobody_without_an_answer");
    let system = System::start().await;
    for _ in 0..5 {
        system.run(&["extract", "catalog"]).await;
        let pause = Duration::from_millis(random.random_range(0..150));
        let (merged, _) = tokio::join!(system.cli(&["merge-back", "catalog"]), async {
            tokio::time::sleep(pause).await;
            system.cli(&["stage", "catalog", "remote", "--fallback", "none"]).await
        });
        assert!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
        let status = system.status("catalog").await;
        assert_eq!(
            (&status["stage"], &status["instances"]),
            (&"local".into(), &serde_json::json!([])),
            "after {pause:?}"
        );
        assert_eq!(system.get("/api/v1/catalog/shows?limit=1").await.status, 200);
    }
}
