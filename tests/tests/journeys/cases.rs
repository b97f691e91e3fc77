//! Mismatches that were saved, done again: those of the folder `tests/cases/`, and one that is saved here.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use system_tests::{Behaviour, Candidate, System, eventually, office};

const SOON: Duration = Duration::from_secs(60);

/// Where saved mismatches are kept.
fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_saved_case_holds() {
    let files = fs::read_dir(folder()).expect("the folder of cases").count();
    assert!(files > 0, "there is no case in {}", folder().display());
    let system = System::start().await;
    let folder = folder().to_str().expect("a path");
    let local = system.cli(&["cases", folder]).await;
    assert!(
        local.status.success(),
        "{}{}",
        String::from_utf8_lossy(&local.stdout),
        String::from_utf8_lossy(&local.stderr)
    );
    // The same from modules that were extracted.
    for module in ["catalog", "seating", "ordering", "payments"] {
        system.run(&["extract", module]).await;
        system.healthy(module).await;
    }
    let remote = system.cli(&["cases", folder, "--side", "remote", "--json"]).await;
    let told: Value = serde_json::from_slice(&remote.stdout).expect("JSON");
    assert!(remote.status.success(), "{told}");
    assert_eq!(told["cases"].as_array().map(Vec::len), Some(files), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mismatch_is_saved_and_had_again_from_the_file_alone() {
    let system = System::start().await;
    let show = system.shows(1).await.remove(0);
    let path = office::show_path(&show);
    let truth = system.get(&path).await.json();
    let mut said = truth.clone();
    said["starts_at"] = json!("1999-01-01T00:00:00Z");
    let said = Arc::new(said);
    let candidate = Candidate::start(&system, 1, false, move |_| Behaviour::Json(200, (*said).clone())).await;
    system.stage("catalog", "shadow").await;
    system.get(&path).await;
    eventually("it is found", SOON, || async {
        let told: Value = serde_json::from_str(&system.run(&["diffs", "catalog", "--json"]).await).ok()?;
        (told["groups"].as_array()?.len() == 1).then_some(())
    })
    .await;
    let folder = system.folder().join("cases");
    let folder = folder.to_str().expect("a path");
    let saved: Value =
        serde_json::from_str(&system.run(&["diffs", "catalog", "--save", folder, "--json"]).await).expect("JSON");
    let file = saved["saved"][0].as_str().expect("a file").to_owned();
    let case: Value = serde_json::from_slice(&fs::read(&file).expect("the file")).expect("JSON");
    assert_eq!(
        (&case["module"], &case["answer"]["body"]),
        (&json!("catalog"), &truth),
        "{case}"
    );
    assert_eq!(case["when"]["query"]["target"], path);
    assert_eq!(case["given"]["views"]["rows"][0]["kind"], "show", "{case}");
    drop(candidate);
    system.stage("catalog", "local").await;

    // It holds wherever the show is: what it needs is in the file.
    let other = System::start().await;
    let gone = other.run(&["cases", folder]).await;
    assert!(gone.starts_with("holds"), "{gone}");
    // And it says so when it does not, or when it asks for something else.
    let mut wrong = case.clone();
    wrong["answer"]["body"]["starts_at"] = json!("2001-01-01T00:00:00Z");
    fs::write(&file, wrong.to_string()).expect("the file is written");
    let differs = other.cli(&["cases", &file]).await;
    let told = String::from_utf8_lossy(&differs.stdout);
    assert_eq!(differs.status.code(), Some(1), "{told}");
    assert!(told.contains("value at /starts_at"), "{told}");
    wrong["given"] = json!({});
    fs::write(&file, wrong.to_string()).expect("the file is written");
    let asks = other.cli(&["cases", &file]).await;
    let told = String::from_utf8_lossy(&asks.stdout);
    assert!(
        asks.status.code() == Some(1) && told.contains(&format!("asked for row show {show}")),
        "{told}"
    );
    for (text, code) in [
        ("{}", 2),
        ("no JSON", 2),
        (r#"{"module": "catalog"}"#, 2),
        (r#"{"module": "nobody"}"#, 2),
    ] {
        fs::write(&file, text).expect("the file is written");
        assert_eq!(other.cli(&["cases", &file]).await.status.code(), Some(code), "{text}");
    }
    fs::write(&file, case.to_string()).expect("the file is written");
    let nobody = other.cli(&["cases", &file, "--side", "remote"]).await;
    assert_eq!(nobody.status.code(), Some(3), "{nobody:?}");
}
