//! Rules about what shipped code may reach for by itself. clippy.toml bans the same by type; these say where it belongs.

use crate::source::{Name, Source};
use crate::violation::Violation;
use crate::workspace::Workspace;

/// The ways to read the environment.
const ENVIRONMENT: [&str; 4] = ["env::var", "env::var_os", "env::vars", "env::vars_os"];
/// The ways to read the wall clock or to make an id.
const CLOCK_AND_IDS: [&str; 8] = [
    "SystemTime::now",
    "Utc::now",
    "Local::now",
    "OffsetDateTime::now_utc",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "Uuid::now_v6",
    "Uuid::now_v1",
];
/// The channels without a bound.
const UNBOUNDED: [&str; 4] = [
    "unbounded_channel",
    "mpsc::unbounded",
    "flume::unbounded",
    "std::sync::mpsc::channel",
];

/// `std::env::var` and its like are the settings' own.
pub fn environment_in_settings(workspace: &Workspace) -> Vec<Violation> {
    named(
        workspace,
        |source| !within(source, "app/src/settings"),
        |name| any(name, &ENVIRONMENT),
        "the environment is read in app/src/settings alone, where every setting is checked and shown",
        "take the value from the settings as an argument",
    )
}

/// The wall clock and ids come in from outside.
pub fn clock_and_ids_are_given(workspace: &Workspace) -> Vec<Violation> {
    named(
        workspace,
        |source| !within(source, "strangler/src/clock") && !source.path.starts_with("strangler/store/"),
        |name| any(name, &CLOCK_AND_IDS),
        "time and ids are inputs: a unit of work that makes its own cannot be run again and compared",
        "ask the clock and the ids of the unit of work (strangler/src/clock.rs), or take the value as an argument",
    )
}

/// How many lines below `Cx::new` it is said for whom.
const SAID_WITHIN: usize = 6;

/// A context made from nothing is on nobody's tape: what is called with it is not recorded, and called again by a replay.
pub fn contexts_stay_on_tape(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    let shipped = workspace.crates.iter().flat_map(|member| member.shipped());
    for source in shipped.filter(|source| source.path.starts_with("modules/")) {
        for name in source.names().filter(|name| name.ends_in("Cx::new")) {
            let said = |other: &Name| {
                other.ends_in("on_behalf_of") && (name.line..=name.line + SAID_WITHIN).contains(&other.line)
            };
            if !source.names().any(said) {
                violations.push(Violation::new(
                    source.at(name.line),
                    &name.full,
                    "a context made from nothing leaves the tape: a unit of work that is done again would call somebody",
                    "add `.on_behalf_of(cx)` right below, with the context of whoever is served",
                ));
            }
        }
    }
    violations
}

/// A queue without a bound hides a slow reader until the memory is gone.
pub fn channels_are_bounded(workspace: &Workspace) -> Vec<Violation> {
    named(
        workspace,
        |_| true,
        |name| any(name, &UNBOUNDED),
        "a channel without a bound grows until the memory is gone when its reader is slow",
        "use `tokio::sync::mpsc::channel` with a bound, and decide what happens when it is full",
    )
}

fn named(
    workspace: &Workspace,
    place: fn(&Source) -> bool,
    banned: fn(&Name) -> bool,
    because: &str,
    instead: &str,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in workspace
        .crates
        .iter()
        .flat_map(|member| member.shipped())
        .filter(|source| place(source))
    {
        for name in source.names().filter(|name| banned(name)) {
            violations.push(Violation::new(source.at(name.line), &name.full, because, instead));
        }
    }
    violations
}

fn any(name: &Name, banned: &[&str]) -> bool {
    banned.iter().any(|path| name.ends_in(path))
}

/// Whether a file is `<path>.rs` or in the folder `<path>/`.
fn within(source: &Source, path: &str) -> bool {
    source
        .path
        .strip_prefix(path)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}
