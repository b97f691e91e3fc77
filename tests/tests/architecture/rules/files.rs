//! Rules about files as texts.

use crate::violation::Violation;
use crate::workspace::Workspace;

/// A Rust file is no longer than this.
const LINES: usize = 600;
/// Fewer words than this introduce nothing.
const WORDS: usize = 10;
/// Top folders of somebody's machine; written without slashes, so that this file keeps its own rule.
const MACHINE_FOLDERS: [&str; 4] = ["root", "home", "work", "Users"];
/// Registry hosts in two parts, for the same reason.
const REGISTRIES: [[&str; 2]; 6] = [
    ["crates", "io"],
    ["registry.npmjs", "org"],
    ["pypi", "org"],
    ["files.pythonhosted", "org"],
    ["deb.debian", "org"],
    ["proxy.golang", "org"],
];

/// `lib.rs`, or `main.rs` of a crate without one, opens with a paragraph.
pub fn crates_introduce_themselves(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for member in &workspace.crates {
        let file = |name: &str| member.sources.iter().find(|source| source.within == name);
        let Some(opening) = file("src/lib.rs").or_else(|| file("src/main.rs")) else {
            continue;
        };
        let paragraph = opening
            .text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(str::trim);
        let paragraph = paragraph
            .skip_while(|line| line.is_empty())
            .take_while(|line| !line.is_empty());
        if paragraph.flat_map(str::split_whitespace).count() < WORDS {
            violations.push(Violation::new(
                &member.name,
                opening.at(1),
                "a crate opens with a paragraph on what it is for",
                "begin the file with `//!` and say in two or three sentences what the crate does and what it must never know",
            ));
        }
    }
    violations
}

/// No Rust file but tests outgrows one sitting.
pub fn files_stay_readable(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in workspace
        .crates
        .iter()
        .flat_map(|member| &member.sources)
        .filter(|source| !source.test)
    {
        let lines = source.text.lines().count();
        if lines > LINES {
            violations.push(Violation::new(
                &source.path,
                format!("{lines} lines"),
                format!("a Rust file has at most {LINES} lines"),
                "make it a folder of the same name, one file per thing it does",
            ));
        }
    }
    violations
}

/// Whoever reads the project learns about it, and nothing about where it was written.
pub fn the_project_speaks_of_itself(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    // The lock file names the index of every package; cargo writes it.
    for (path, text) in workspace.texts.iter().filter(|(path, _)| *path != "Cargo.lock") {
        for (number, line) in text.lines().enumerate() {
            let folder = MACHINE_FOLDERS
                .map(|folder| format!("/{folder}/"))
                .into_iter()
                .find(|it| has_folder(line, it));
            if let Some(folder) = folder {
                violations.push(Violation::new(
                    format!("{path}:{}", number + 1),
                    folder,
                    "an absolute path exists on one machine only",
                    "name the file from the root of the project, or take its folder from a setting",
                ));
            }
            let registry = REGISTRIES
                .map(|parts| parts.join("."))
                .into_iter()
                .find(|host| line.contains(host.as_str()));
            if let Some(registry) = registry {
                violations.push(Violation::new(
                    format!("{path}:{}", number + 1),
                    registry,
                    "where packages come from is the business of whoever builds this",
                    "leave the host out: cargo and the other tools know their own",
                ));
            }
        }
    }
    violations
}

/// Whether a line has an absolute path through this folder, alone or in a URL without a host.
fn has_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = &line[..at];
        let goes_on = before.ends_with(|last: char| last.is_alphanumeric() || "._-/}])~*>$".contains(last));
        !goes_on || before.ends_with("://")
    })
}

#[test]
fn absolute_paths_are_told_from_addresses() {
    for line in ["cd /srv/x", "\"/srv/x\"", "sqlite:///srv/x", "PATH=/srv/x"] {
        assert!(has_folder(line, "/srv/"), "{line}");
    }
    for line in ["http://host/srv/x", "{base}/srv/x", "target/srv/x", "http://srv/x"] {
        assert!(!has_folder(line, "/srv/"), "{line}");
    }
}
