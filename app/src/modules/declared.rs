//! What each module says of itself in its manifest: of what kind it is, whom it calls and whom it listens to. The build holds
//! it to that (`tests/tests/architecture`); the map draws it, and what is seen besides.

use std::sync::LazyLock;

/// Each module's manifest.
static MANIFESTS: &[(&str, &str)] = &[
    ("catalog", include_str!("../../../modules/catalog/Cargo.toml")),
    ("seating", include_str!("../../../modules/seating/Cargo.toml")),
    ("payments", include_str!("../../../modules/payments/Cargo.toml")),
    ("ordering", include_str!("../../../modules/ordering/Cargo.toml")),
    (
        "notifications",
        include_str!("../../../modules/notifications/Cargo.toml"),
    ),
];

/// The kinds whose modules call others.
const CALLERS: [&str; 3] = ["edge", "aggregator", "process"];

/// What a module says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Of what kind it is: `data`, `process`, …
    pub kind: String,
    /// The modules it may call.
    pub calls: Vec<String>,
    /// The modules whose events it hears.
    pub listens: Vec<String>,
}

static DECLARED: LazyLock<Vec<(&'static str, Declared)>> = LazyLock::new(|| {
    MANIFESTS
        .iter()
        .map(|&(module, manifest)| (module, read(module, manifest)))
        .collect()
});

/// What this module says of itself; nothing, when it is not known.
pub fn declared(module: &str) -> Declared {
    let found = DECLARED.iter().find(|(name, _)| *name == module);
    found.map_or_else(Declared::default, |(_, declared)| declared.clone())
}

fn read(module: &str, manifest: &str) -> Declared {
    let Ok(manifest) = manifest.parse::<toml::Table>() else {
        return Declared::default();
    };
    let own = manifest.get("package").and_then(|p| p.get("metadata")?.get("banyan"));
    let kind = own
        .and_then(|own| own.get("kind")?.as_str())
        .unwrap_or_default()
        .to_owned();
    let listens = own.and_then(|own| own.get("listens")?.as_array()).into_iter().flatten();
    let listens = listens
        .filter_map(|name| name.as_str())
        .map(ToOwned::to_owned)
        .collect();
    let needs = manifest
        .get("dependencies")
        .and_then(|d| d.as_table())
        .into_iter()
        .flatten();
    let contracts = needs.filter_map(|(name, _)| name.strip_suffix("-contract"));
    let others = contracts.filter(|name| *name != module && CALLERS.contains(&kind.as_str()));
    Declared {
        calls: others.map(ToOwned::to_owned).collect(),
        kind,
        listens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules;

    #[test]
    fn every_module_says_of_itself_what_it_is() {
        for name in modules::names() {
            let declared = declared(name);
            assert!(
                !declared.kind.is_empty(),
                "{name} is missing among the manifests in {}",
                file!()
            );
            for other in declared.calls.iter().chain(&declared.listens) {
                assert!(modules::find(other).is_ok(), "{name}: {other}");
            }
        }
        let ordering = declared("ordering");
        assert_eq!(
            (ordering.kind.as_str(), ordering.calls.as_slice()),
            ("process", &["payments", "seating"].map(str::to_owned)[..])
        );
        let notifications = declared("notifications");
        assert_eq!(notifications.listens, ["ordering", "catalog"]);
        assert!(
            notifications.calls.is_empty(),
            "it knows their contracts for their events"
        );
    }
}
