//! Rules about manifests.

use toml::Value;

use crate::violation::Violation;
use crate::workspace::{Workspace, written_dependencies};

/// Members inherit every version; the workspace takes them from the public index.
pub fn versions_in_one_place(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for member in &workspace.crates {
        for (name, _, value) in written_dependencies(&member.manifest) {
            if value.get("workspace").and_then(Value::as_bool) != Some(true) {
                violations.push(Violation::new(
                    format!("{}/Cargo.toml", member.folder),
                    name,
                    "a member decides no version, or two members would decide two",
                    format!(
                        "write `{name}.workspace = true`, and its version under [workspace.dependencies] of the root"
                    ),
                ));
            }
        }
    }
    let shared = workspace
        .texts
        .get("Cargo.toml")
        .and_then(|text| text.parse::<toml::Table>().ok())
        .unwrap_or_default();
    let shared = shared
        .get("workspace")
        .and_then(|it| it.get("dependencies"))
        .and_then(Value::as_table);
    for (name, value) in shared.into_iter().flatten() {
        if let Some(elsewhere) = ["git", "registry", "registry-index"]
            .into_iter()
            .find(|key| value.get(key).is_some())
        {
            violations.push(Violation::new(
                "Cargo.toml",
                name,
                format!("it comes by `{elsewhere}`, but whoever clones this needs the public index and nothing else"),
                "take a released version",
            ));
        }
    }
    violations
}
