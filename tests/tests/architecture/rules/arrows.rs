//! Rules about who depends on whom.

use crate::violation::Violation;
use crate::workspace::{Crate, Dependency, Place, Section, Workspace};

/// Each kind, and the kinds whose contracts it may call. `edge` may call everything but other edges.
const KINDS: [(&str, &[&str]); 6] = [
    ("data", &[]),
    ("process", &["data", "translation"]),
    ("aggregator", &["process", "data"]),
    ("translation", &[]),
    ("query", &[]),
    ("edge", &["data", "process", "aggregator", "translation", "query"]),
];

/// What a contract may depend on besides other contracts.
const LIGHT: [&str; 4] = ["kernel", "strangler", "serde", "utoipa"];

/// Every crate below `modules/` declares a kind that exists, and both crates of a module the same.
pub fn kinds_are_declared(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for member in &workspace.crates {
        let expected = match &member.place {
            Place::Kernel => "kernel",
            Place::Module(_) | Place::Contract(_) => "data, process, aggregator, translation, query or edge",
            _ => continue,
        };
        let known = match member.kind.as_deref() {
            Some("kernel") => member.place == Place::Kernel,
            Some(kind) => member.place != Place::Kernel && callable(kind).is_some(),
            None => false,
        };
        if !known {
            violations.push(Violation::new(
                &member.name,
                member
                    .kind
                    .as_deref()
                    .map_or("no kind".to_owned(), |kind| format!("kind `{kind}`")),
                "a crate of a module declares what kind it is, because that decides whom it may call",
                format!(
                    "write `[package.metadata.banyan] kind = \"…\"` with {expected} in {}/Cargo.toml",
                    member.folder
                ),
            ));
        }
    }
    for (module, implementation) in workspace.modules() {
        let contract = workspace
            .crates
            .iter()
            .find(|member| member.place == Place::Contract(module.to_owned()));
        if let Some((contract, ours, theirs)) =
            contract.and_then(|contract| Some((contract, implementation.kind.as_ref()?, contract.kind.as_ref()?)))
            && ours != theirs
        {
            violations.push(Violation::new(
                &implementation.name,
                &contract.name,
                format!("the implementation is `{ours}` and its contract `{theirs}`, but a module is of one kind"),
                "declare the same kind in both manifests",
            ));
        }
    }
    violations
}

/// Arrows to the contracts of other modules obey the table of kinds.
pub fn calls_follow_kinds(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for caller in &workspace.crates {
        let (Place::Module(own) | Place::Contract(own)) = &caller.place else {
            continue;
        };
        let Some((kind, may_call)) = caller.kind.as_deref().and_then(|kind| Some((kind, callable(kind)?))) else {
            continue;
        };
        for to in shipped(caller) {
            let Some(called) = workspace.member(&to.name) else {
                continue;
            };
            let (Place::Contract(module), Some(their)) = (&called.place, called.kind.as_deref()) else {
                continue;
            };
            if module == own || may_call.contains(&their) {
                continue;
            }
            if caller.listens.contains(module) && matches!(caller.place, Place::Module(_)) {
                violations.extend(calls_while_listening(caller, called, module));
                continue;
            }
            violations.push(Violation::new(
                format!("{} ({kind})", caller.name),
                format!("{} ({their})", called.name),
                format!("a module of kind `{kind}` may call {}", spoken(may_call)),
                format!(
                    "hear its events (`listens = [\"{module}\"]` beside the kind, and src/subscriptions.rs), or put the call into a \
                     module of a kind that may make it"
                ),
            ));
        }
    }
    violations
}

/// Who only listens needs a contract for its events: in the letter box, and without the ways to call it.
fn calls_while_listening(caller: &Crate, called: &Crate, module: &str) -> Vec<Violation> {
    let library = called.name.replace('-', "_");
    let contract: String = module
        .split('_')
        .map(|part| part[..1].to_uppercase() + &part[1..])
        .collect();
    let value = module.to_uppercase();
    let callers = [
        &contract,
        &format!("{contract}Client"),
        &format!("{contract}Switch"),
        &format!("{contract}Service"),
        &value,
    ]
    .map(|caller| format!("{library}::{caller}"));
    let mut violations = Vec::new();
    for source in caller.shipped() {
        for name in source.names().filter(|name| name.is_under(&library)) {
            let calls = callers.iter().any(|path| name.is_under(path));
            if calls || !source.in_room("subscriptions") {
                violations.push(Violation::new(
                    source.at(name.line),
                    &name.full,
                    format!("`{}` only listens to `{module}`", caller.name),
                    "take its events in src/subscriptions.rs and keep what you need of them in your own store and types",
                ));
            }
        }
    }
    violations
}

/// Only the app, and tests/, depend on an implementation.
pub fn implementations_are_private(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for from in workspace
        .crates
        .iter()
        .filter(|from| !matches!(from.place, Place::App | Place::Tests))
    {
        for to in &from.dependencies {
            let Some(Place::Module(module)) = workspace.member(&to.name).map(|to| &to.place) else {
                continue;
            };
            violations.push(Violation::new(
                &from.name,
                &to.name,
                format!(
                    "`{}` is the implementation of a module, and only the app may know it (and tests/, to test it)",
                    to.name
                ),
                format!("depend on `{module}-contract` and let the app hand in what implements it"),
            ));
        }
    }
    violations
}

/// A contract is cheap to depend on.
pub fn contracts_are_light(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for from in workspace
        .crates
        .iter()
        .filter(|from| matches!(from.place, Place::Contract(_)))
    {
        for to in shipped(from) {
            // Other contracts are judged by kind, implementations by their own rule.
            let place = workspace.member(&to.name).map(|to| &to.place);
            if LIGHT.contains(&to.name.as_str()) || matches!(place, Some(Place::Contract(_) | Place::Module(_))) {
                continue;
            }
            violations.push(Violation::new(
                &from.name,
                &to.name,
                format!("a contract depends on {} and on contracts that its kind may call, because every caller compiles it", spoken(&LIGHT)),
                "use the types of `kernel`, and keep the rest in the implementation",
            ));
        }
    }
    violations
}

/// The toolkit serves other systems as well, and the kernel serves every module.
pub fn foundations_know_no_module(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for from in &workspace.crates {
        let (because, instead) = match from.place {
            Place::Toolkit => (
                "the toolkit belongs to any application and depends on no module, not even on the kernel",
                "let the toolkit declare a trait, and implement it in the kernel, the module or the app",
            ),
            Place::Kernel => (
                "the kernel is what all modules share, so it depends on the toolkit and on none of them",
                "move the shared type into the kernel, or the use of it into the module",
            ),
            _ => continue,
        };
        for to in &from.dependencies {
            let Some(place) = workspace.member(&to.name).map(|to| &to.place) else {
                continue;
            };
            // Implementations have their own rule.
            if !matches!(place, Place::Toolkit | Place::Module(_)) {
                violations.push(Violation::new(&from.name, &to.name, because, instead));
            }
        }
    }
    violations
}

fn callable(kind: &str) -> Option<&'static [&'static str]> {
    KINDS
        .iter()
        .find(|(name, _)| *name == kind)
        .map(|(_, may_call)| *may_call)
}

/// The arrows that reach whoever builds the crate; dev-dependencies do not.
fn shipped(member: &Crate) -> impl Iterator<Item = &Dependency> {
    member.dependencies.iter().filter(|to| to.section != Section::Dev)
}

fn spoken(names: &[&str]) -> String {
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    }
}
