//! What each module says of itself in its manifest: of what kind it is, whom it calls and whom it listens to. The build holds
//! it to that (`tests/tests/architecture`); the map draws it, and what is seen besides.

use std::sync::LazyLock;

use super::MODULES;

/// What a module is for, which decides whom it may call. Its manifest says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// Owns one domain's state.
    Data,
    /// A business process over several domains.
    Process,
    /// One call over several processes.
    Aggregator,
    /// Stands in front of a third party.
    Translation,
    /// A read model that is fed by events.
    Query,
    /// Shaped for one kind of client.
    Edge,
}

impl ModuleKind {
    const ALL: [Self; 6] = [
        Self::Data,
        Self::Process,
        Self::Aggregator,
        Self::Translation,
        Self::Query,
        Self::Edge,
    ];

    /// As manifests write it: `data`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Process => "process",
            Self::Aggregator => "aggregator",
            Self::Translation => "translation",
            Self::Query => "query",
            Self::Edge => "edge",
        }
    }

    /// What it is for, in a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Data => "It owns one domain’s state, calls nobody and listens to events.",
            Self::Process => "It is a business process over several domains, and owns its own progress only.",
            Self::Aggregator => "It answers in one call what several processes know.",
            Self::Translation => "It stands in front of a third party.",
            Self::Query => "It is a read model that is fed by events.",
            Self::Edge => "It is shaped for one kind of client.",
        }
    }

    /// Whether its modules call others.
    fn calls(self) -> bool {
        matches!(self, Self::Edge | Self::Aggregator | Self::Process)
    }
}

/// What a module says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Of what kind it is.
    pub kind: Option<ModuleKind>,
    /// The modules it may call.
    pub calls: Vec<String>,
    /// The modules whose events it hears.
    pub listens: Vec<String>,
}

static DECLARED: LazyLock<Vec<(&'static str, Declared)>> = LazyLock::new(|| {
    let all = MODULES.iter().map(|module| (module.contract.name, module.manifest));
    all.map(|(name, manifest)| (name, read(name, manifest))).collect()
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
    let kind = own.and_then(|own| own.get("kind")?.as_str());
    let kind = ModuleKind::ALL.into_iter().find(|one| Some(one.name()) == kind);
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
    let others = contracts.filter(|name| *name != module && kind.is_some_and(ModuleKind::calls));
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
            assert!(declared.kind.is_some(), "{name}");
            for other in declared.calls.iter().chain(&declared.listens) {
                assert!(modules::find(other).is_ok(), "{name}: {other}");
            }
        }
        let ordering = declared("ordering");
        assert_eq!(
            (ordering.kind, ordering.calls.as_slice()),
            (
                Some(ModuleKind::Process),
                &["payments", "seating"].map(str::to_owned)[..]
            )
        );
        let notifications = declared("notifications");
        assert_eq!(notifications.listens, ["ordering", "catalog"]);
        assert!(
            notifications.calls.is_empty(),
            "it knows their contracts for their events"
        );
    }
}
