//! What others depend on does not change by accident: each contract's document is kept under `tests/snapshots/`, and a
//! difference that breaks a client is named.

use std::{fs, path::PathBuf};

use banyan::modules::MODULES;
use serde_json::Value;
use system_tests::breaking::breaking;

use crate::document::document;

/// Set to `1`, the snapshots are written anew.
pub const UPDATE: &str = "BANYAN_TEST_UPDATE";

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("snapshots")
}

#[expect(clippy::disallowed_methods, reason = "a test's own settings")]
pub fn update() -> bool {
    std::env::var(UPDATE).is_ok_and(|v| v == "1")
}

/// With its keys in alphabetical order, so that a snapshot changes where its document does and nowhere else.
pub fn sorted(mut document: Value) -> Value {
    document.sort_all_objects();
    document
}

#[test]
fn nobody_is_broken_by_accident() {
    let mut complaints = Vec::new();
    for module in MODULES {
        let (name, version) = (module.contract.name, module.contract.version);
        let file = folder().join(format!("{name}-v{version}.json"));
        let now = document(module);
        let shown = format!("tests/snapshots/{name}-v{version}.json");
        let before = fs::read_to_string(&file)
            .ok()
            .and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let broken = before.as_ref().map(|before| breaking(before, &now)).unwrap_or_default();
        if update() {
            let text = serde_json::to_string_pretty(&sorted((*now).clone())).expect("JSON");
            fs::create_dir_all(folder()).expect("the folder");
            fs::write(&file, text + "\n").expect("written");
            broken
                .iter()
                .for_each(|sentence| println!("accepted: {name} v{version}: {sentence}"));
            continue;
        }
        let again = format!("run this test with {UPDATE}=1 and commit {shown}");
        match before {
            None => complaints.push(format!("{name} v{version} has no snapshot: {again}")),
            Some(before) if before == *now => {}
            Some(_) if broken.is_empty() => {
                complaints.push(format!(
                    "{name} v{version} changed and breaks nobody, so the snapshot should follow: {again}"
                ));
            }
            Some(_) => {
                let sentences = broken.join("\n    ");
                complaints.push(format!(
                    "{name} v{version} breaks its clients:\n    {sentences}\n  undo that, or serve it as version {} beside this one; as long as it has no clients, {again}",
                    version + 1
                ));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A contract that is no longer served leaves its snapshot behind, and its clients.
#[test]
fn every_snapshot_is_of_a_contract() {
    for entry in fs::read_dir(folder()).expect("the snapshots").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        let Some(stem) = name.strip_suffix(".json") else {
            continue;
        };
        // Only those that are named like a contract's version: other tests keep theirs here as well.
        let Some((module, version)) = stem.rsplit_once("-v").filter(|(_, v)| v.parse::<u32>().is_ok()) else {
            continue;
        };
        let served = MODULES
            .iter()
            .any(|m| m.contract.name == module && m.contract.version.to_string() == version);
        assert!(
            served,
            "{module} v{version} is no longer served: its clients are left alone; delete {name} if they are gone"
        );
    }
}
