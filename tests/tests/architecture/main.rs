//! The house plan, as rules that are run: who may depend on whom, what each room of a module may know, and where the clock, the
//! ids, the environment and the versions come from. Every rule has one deliberately wrong example under
//! `fixtures/architecture/<rule>/`, laid over the `clean` one, which proves that the rule can fail.

mod rules;
mod source;
mod violation;
mod workspace;

use std::path::{Path, PathBuf};

use rules::RULES;
use violation::Violation;
use workspace::Workspace;

/// The root of this workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests live one folder below the workspace")
}

/// The folder of one example.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/architecture")
        .join(name)
}

/// The clean example with the files of another laid over it.
fn clean_with(name: &str) -> Workspace {
    let mut texts = workspace::texts_under(&example("clean"));
    texts.extend(workspace::texts_under(&example(name)));
    texts.remove(EXPECTED);
    Workspace::from_texts(texts)
}

/// Names the words that the refusal of an example must contain, one phrase per line.
const EXPECTED: &str = "expected.txt";

fn sentences(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n  {violation}")).collect()
}

#[test]
fn the_workspace_keeps_every_rule() {
    let workspace = Workspace::from_cargo(root());
    let mut report = String::new();
    for rule in RULES {
        let violations = (rule.check)(&workspace);
        if !violations.is_empty() {
            report.push_str(&format!("\n{}: {}{}", rule.name, rule.law, sentences(&violations)));
        }
    }
    assert!(report.is_empty(), "the house plan is broken:{report}");
}

#[test]
fn the_clean_example_keeps_every_rule() {
    let clean = Workspace::from_texts(workspace::texts_under(&example("clean")));
    for rule in RULES {
        let violations = (rule.check)(&clean);
        assert!(
            violations.is_empty(),
            "`{}` refuses the clean example:{}",
            rule.name,
            sentences(&violations)
        );
    }
}

#[test]
fn every_rule_refuses_its_own_example() {
    for rule in RULES {
        let expected = example(rule.name).join(EXPECTED);
        let expected = std::fs::read_to_string(&expected).unwrap_or_else(|error| {
            panic!(
                "rule `{}` has no wrong example, so nothing shows that it can fail: {}: {error}",
                rule.name,
                expected.display()
            )
        });
        let wrong = clean_with(rule.name);
        let violations = (rule.check)(&wrong);
        assert!(
            !violations.is_empty(),
            "rule `{}` accepts its own wrong example",
            rule.name
        );
        let said = sentences(&violations);
        for phrase in expected.lines() {
            assert!(
                said.contains(phrase),
                "rule `{}` does not say `{phrase}`:{said}",
                rule.name
            );
        }
        assert_eq!(
            expected.lines().filter(|phrase| phrase.contains(" → ")).count(),
            violations.len(),
            "the example of `{}` must name each refused arrow, and no other may be refused:{said}",
            rule.name
        );
    }
}

#[test]
fn a_wrong_example_breaks_no_other_rule() {
    for wrong in RULES {
        let workspace = clean_with(wrong.name);
        for rule in RULES.iter().filter(|rule| rule.name != wrong.name) {
            let violations = (rule.check)(&workspace);
            assert!(
                violations.is_empty(),
                "`{}` also refuses the example of `{}`:{}",
                rule.name,
                wrong.name,
                sentences(&violations)
            );
        }
    }
}

#[test]
fn every_example_belongs_to_a_rule() {
    for entry in std::fs::read_dir(example("")).expect("the examples can be listed") {
        let name = entry
            .expect("an example can be read")
            .file_name()
            .to_string_lossy()
            .into_owned();
        assert!(
            name == "clean" || RULES.iter().any(|rule| rule.name == name),
            "the example `{name}` belongs to no rule"
        );
    }
}

/// The examples are read without cargo; this shows that reading them so misses nothing that cargo sees.
#[test]
fn manifests_are_read_as_cargo_reads_them() {
    let by_cargo = Workspace::from_cargo(root());
    let by_hand = Workspace::from_texts(workspace::texts_under(root()));
    let arrows = |workspace: &Workspace| -> Vec<String> {
        let mut arrows: Vec<String> = workspace
            .crates
            .iter()
            .flat_map(|member| {
                std::iter::once(format!("{} in {} is {:?}", member.name, member.folder, member.kind)).chain(
                    member
                        .dependencies
                        .iter()
                        .map(|to| format!("{} → {} ({:?})", member.name, to.name, to.section)),
                )
            })
            .collect();
        arrows.sort();
        arrows
    };
    assert_eq!(arrows(&by_cargo), arrows(&by_hand));
}
