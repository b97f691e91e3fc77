//! The rules, one function each. A new rule is added to [`RULES`] together with its wrong example.

mod arrows;
mod files;
mod manifests;
mod rooms;
mod sources;

use crate::violation::Violation;
use crate::workspace::Workspace;

/// One rule of the house.
pub struct Rule {
    /// Also the folder of its wrong example.
    pub name: &'static str,
    /// The rule in one sentence.
    pub law: &'static str,
    /// Finds what breaks it.
    pub check: fn(&Workspace) -> Vec<Violation>,
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "kinds-are-declared",
        law: "every crate of a module says which kind it is, and a contract says the same as its implementation",
        check: arrows::kinds_are_declared,
    },
    Rule {
        name: "calls-follow-kinds",
        law: "a module calls the contracts of those kinds that its own kind may call",
        check: arrows::calls_follow_kinds,
    },
    Rule {
        name: "implementations-are-private",
        law: "an implementation is depended on by the app alone; the one exception is tests/, which may know them too",
        check: arrows::implementations_are_private,
    },
    Rule {
        name: "contracts-are-light",
        law: "a contract depends on kernel, strangler, serde and utoipa, and on other contracts; its tests are free",
        check: arrows::contracts_are_light,
    },
    Rule {
        name: "foundations-know-no-module",
        law: "the toolkit depends on no crate of the system, and the kernel on the toolkit alone",
        check: arrows::foundations_know_no_module,
    },
    Rule {
        name: "modules-have-rooms",
        law: "every module has the same rooms",
        check: rooms::modules_have_rooms,
    },
    Rule {
        name: "domain-is-pure",
        law: "a domain decides; it does no I/O, waits for nothing and knows no framework",
        check: rooms::domain_is_pure,
    },
    Rule {
        name: "one-schema-per-module",
        law: "a module names no schema: its database handle is its schema",
        check: rooms::one_schema_per_module,
    },
    Rule {
        name: "environment-in-settings",
        law: "the environment is read in app/src/settings alone",
        check: sources::environment_in_settings,
    },
    Rule {
        name: "clock-and-ids-are-given",
        law: "time and ids come from the toolkit's clock, so that a run can be repeated",
        check: sources::clock_and_ids_are_given,
    },
    Rule {
        name: "contexts-stay-on-tape",
        law: "a module that makes a context for a call says for whom, so that a replay calls nobody",
        check: sources::contexts_stay_on_tape,
    },
    Rule {
        name: "channels-are-bounded",
        law: "every channel has a bound",
        check: sources::channels_are_bounded,
    },
    Rule {
        name: "versions-in-one-place",
        law: "versions are decided in the workspace's Cargo.toml alone, and come from the public index",
        check: manifests::versions_in_one_place,
    },
    Rule {
        name: "crates-introduce-themselves",
        law: "a crate opens with a paragraph on what it is for and what it must never know",
        check: files::crates_introduce_themselves,
    },
    Rule {
        name: "files-stay-readable",
        law: "a Rust file is read in one sitting; tests are free",
        check: files::files_stay_readable,
    },
    Rule {
        name: "the-project-speaks-of-itself",
        law: "no file names a folder of somebody's machine or the host of a package registry",
        check: files::the_project_speaks_of_itself,
    },
];
