//! What was found is kept: over a restart, until a day, or not at all.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use system_tests::{Behaviour, Candidate, Options, System, eventually, holds_soon, office};

const SOON: Duration = Duration::from_secs(60);

async fn diffs(system: &System, more: &[&str]) -> Value {
    let command = [&["diffs", "catalog", "--json"], more].concat();
    serde_json::from_str(&system.run(&command).await).expect("JSON")
}

/// Starts a service that has every show begin at another time, and has it compared.
async fn wrong(system: &System) -> (Candidate, String) {
    let show = system.shows(1).await.remove(0);
    let path = office::show_path(&show);
    let mut said = system.get(&path).await.json();
    said["starts_at"] = json!("1999-01-01T00:00:00Z");
    let said = Arc::new(said);
    let candidate = Candidate::start(system, 1, false, move |_| Behaviour::Json(200, (*said).clone())).await;
    system.healthy("catalog").await;
    system.stage("catalog", "shadow").await;
    (candidate, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mismatch_survives_a_kill_and_is_known_until_a_day_or_forgotten() {
    let mut system = System::with(Options::default()).await;
    let (candidate, path) = wrong(&system).await;
    for _ in 0..5 {
        assert_eq!(system.get(&path).await.served("catalog"), "local");
    }
    let found = eventually("all five are judged", SOON, || async {
        let groups = diffs(&system, &[]).await["groups"].clone();
        (groups[0]["count"] == 5).then_some(groups)
    })
    .await;
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(
        (&found[0]["place"], &found[0]["shape"]),
        (&json!("/starts_at"), &json!("time"))
    );
    for side in ["local", "remote"] {
        assert!(
            found[0]["example"]["latency_ms"][side]
                .as_f64()
                .is_some_and(|ms| ms > 0.0),
            "{found}"
        );
    }

    // It is written down within a second or so, and the kill does not wait for that.
    let one = ["--operation", "catalog.show", "--path", "/starts_at", "--kind", "value"];
    let known = [&one[..], &["--acknowledge-until", "2999-12-31", "--why", "the old bug"]].concat();
    assert_eq!(diffs(&system, &known).await["groups"], 1);
    system.kill();
    drop(candidate);
    system.start_again().await;
    let kept = diffs(&system, &one).await;
    assert_eq!(kept["groups"][0]["count"], 5, "{kept}");
    assert_eq!(kept["groups"][0]["acknowledged_until"], "2999-12-31T00:00:00Z");
    assert_eq!(kept["answers"]["remote"]["body"]["starts_at"], "1999-01-01T00:00:00Z");
    assert_eq!(kept["groups"][0]["first_seen"], found[0]["first_seen"]);

    let gone = [&one[..], &["--forget"]].concat();
    assert_eq!(diffs(&system, &gone).await["groups"], 1);
    assert_eq!(diffs(&system, &[]).await["groups"], json!([]));
    let refused = system.cli(&[&["diffs", "catalog"], &gone[..]].concat()).await;
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let trail: Value = serde_json::from_str(&system.run(&["audit", "--json"]).await).expect("JSON");
    let said: Vec<_> = trail["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .rev()
        .take(2)
        .collect();
    assert_eq!(
        (&said[0]["target"], &said[0]["to"]),
        (&json!("catalog.show"), &json!("forgotten"))
    );
    assert_eq!(said[1]["why"], "the old bug");
    assert_eq!(said[1]["from"], "mismatch value at /starts_at");

    // Seen again it is a new one.
    let (_candidate, path) = wrong(&system).await;
    holds_soon("it is counted anew", SOON, || async {
        system.get(&path).await;
        diffs(&system, &[]).await["groups"][0]["count"]
            .as_u64()
            .is_some_and(|n| n > 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_said_of_a_mismatch_is_refused() {
    let system = System::start().await;
    for (command, code) in [
        (&["diffs", "catalog", "--acknowledge-until", "soon"][..], 2),
        (
            &["diffs", "catalog", "--acknowledge-until", "2999-01-01", "--forget"],
            2,
        ),
        (&["diffs", "catalog", "--acknowledge-until", "2999-01-01"], 3),
        (&["diffs", "catalogue", "--forget"], 2),
    ] {
        let said = system.cli(command).await;
        assert_eq!(said.status.code(), Some(code), "{command:?}: {said:?}");
    }
    for body in [
        json!({}),
        json!({"acknowledged_until": "2999-01-01T00:00:00Z", "forget": true}),
        json!({"forgetful": 1}),
    ] {
        let path = "/control/v1/modules/catalog/diffs";
        let answer = system
            .inside(Method::POST, path, Some(&system.token()), body.to_string())
            .await;
        assert!(matches!(answer.expect("an answer").status, 400 | 422), "{body}");
    }
}
