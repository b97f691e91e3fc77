//! Rules about the rooms of a module.

use crate::violation::Violation;
use crate::workspace::{Place, Workspace};

/// What a domain must not name, and what stands for it.
const NOT_IN_A_DOMAIN: [&str; 20] = [
    "async",
    "axum",
    "crate::service",
    "crate::store",
    "crate::subscriptions",
    "futures_util",
    "hyper",
    "hyper_util",
    "reqwest",
    "sea_orm",
    "sea_orm_migration",
    "sqlx",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "strangler_store",
    "tokio",
];

/// The words after which SQL names a table.
const BEFORE_A_TABLE: [&str; 7] = ["from", "join", "into", "update", "table", "references", "only"];

/// Front door, hall, workshop, desk and cellar; a letter box if the module listens.
pub fn modules_have_rooms(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut missing = |from: &str, to: String, instead: String| {
        let because = "every module has the same rooms, so that a reader who knows one knows all";
        violations.push(Violation::new(from, to, because, instead));
    };
    for (module, implementation) in workspace.modules() {
        let name = &implementation.name;
        if name != module {
            missing(
                name,
                module.to_owned(),
                format!(
                    "call the crate in {} `{module}`, like its folder",
                    implementation.folder
                ),
            );
        }
        let contract = workspace
            .crates
            .iter()
            .find(|member| member.place == Place::Contract(module.to_owned()));
        match contract {
            None => {
                missing(
                    name,
                    "contract/src/lib.rs".to_owned(),
                    format!("add the crate `{module}-contract` in modules/{module}/contract"),
                );
            }
            Some(contract) if contract.name != format!("{module}-contract") => {
                missing(
                    &contract.name,
                    format!("{module}-contract"),
                    "call the contract's crate by its module".to_owned(),
                );
            }
            Some(_) => {}
        }
        let rooms = [
            ("lib", "the wiring of the module and nothing else"),
            ("domain", "aggregates and rules, without I/O"),
            ("service", "the operations: load, decide, save, emit"),
            ("store", "entities and queries of this schema"),
            ("subscriptions", "what the module hears and does about it"),
        ];
        for (room, purpose) in rooms {
            let optional = match room {
                "subscriptions" => implementation.listens.is_empty(),
                // What is shaped for one kind of client owns no data.
                "store" => implementation.kind.as_deref() == Some("edge"),
                _ => false,
            };
            if !optional && implementation.room(room).next().is_none() {
                missing(
                    name,
                    format!("src/{room}.rs"),
                    format!("add src/{room}.rs, or a folder of that name, with {purpose}"),
                );
            }
        }
    }
    violations
}

/// Nothing in a domain reads, writes, waits or serves.
pub fn domain_is_pure(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (_, implementation) in workspace.modules() {
        for source in implementation.room("domain") {
            for name in source.names() {
                // In the room's own file `super` is the crate.
                let above = name
                    .full
                    .strip_prefix("super::")
                    .filter(|_| source.within == "src/domain.rs");
                let full = above.map_or(name.full.clone(), |rest| format!("crate::{rest}"));
                let refused = NOT_IN_A_DOMAIN.iter().find(|path| is_under(&full, path));
                if let Some(refused) = refused {
                    violations.push(Violation::new(
                        source.at(name.line),
                        &name.full,
                        format!("a domain decides and does nothing else, so it does not know `{refused}`"),
                        "give the domain values and let it answer with values; src/service.rs loads them and src/store.rs keeps them",
                    ));
                }
            }
        }
    }
    violations
}

fn is_under(full: &str, path: &str) -> bool {
    full.strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// No entity carries a schema, and no SQL reaches into the schema of another module.
pub fn one_schema_per_module(workspace: &Workspace) -> Vec<Violation> {
    let mut violations = Vec::new();
    let modules: Vec<&str> = workspace.modules().map(|(module, _)| module).collect();
    for (module, implementation) in workspace.modules() {
        for source in implementation.shipped() {
            for name in source.names().filter(|name| name.ends_in("schema_name")) {
                violations.push(Violation::new(
                    source.at(name.line),
                    &name.full,
                    "the same entities run on every database, and the handle decides which schema they are in",
                    "leave the schema out: the database handle that the module is given reaches its own schema only",
                ));
            }
            for (literal, line) in &source.literals {
                for other in modules
                    .iter()
                    .filter(|other| **other != module && reads_from(literal, other))
                {
                    violations.push(Violation::new(
                        source.at(*line),
                        format!("{other}."),
                        format!("`{module}` reads the schema of `{other}`, but a query never spans two modules"),
                        format!("call the contract of `{other}` if the kinds allow it, or keep what its events tell in your own schema"),
                    ));
                }
            }
        }
    }
    violations
}

/// Whether a text is SQL that names a table of this schema: `… from catalog.shows`, `… join "catalog"."shows"`.
fn reads_from(literal: &str, schema: &str) -> bool {
    let plain = literal
        .to_lowercase()
        .replace("\\\"", "")
        .replace("\\n", " ")
        .replace('"', "")
        .replace(['\\', '('], " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let table = pair[1]
            .strip_prefix(schema)
            .is_some_and(|rest| rest.starts_with('.') && rest.len() > 1);
        table && BEFORE_A_TABLE.contains(&pair[0])
    })
}

#[test]
fn sql_is_told_from_prose() {
    assert!(reads_from(r#""SELECT * FROM catalog.shows""#, "catalog"));
    assert!(reads_from(
        r##"r#"select 1 from t join "catalog"."shows" s on true"#"##,
        "catalog"
    ));
    assert!(!reads_from(r#""the operation catalog.show of this module""#, "catalog"));
    assert!(!reads_from(r#""select * from my_catalog.shows""#, "catalog"));
    assert!(!reads_from(r#""read from catalog.""#, "catalog"));
}
