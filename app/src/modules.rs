//! The modules there are, and how each is started. A new module is one more line in [`MODULES`]; gateway, switch,
//! documents, console, command line and the parity suite pick it up from there.

use std::sync::Arc;

use catalog::CatalogModule;
use catalog_contract::{CATALOG, CatalogServer, CatalogService};
use strangler::{Contract, ModuleStats, Serve};
use strangler_store::Db;

/// One module.
pub struct Module {
    /// Its contract; also its name and its schema's.
    pub contract: &'static Contract,
    /// Starts its implementation over its schema, behind the guard that counts into the given stats.
    pub start: fn(Db, Arc<ModuleStats>) -> Arc<dyn Serve>,
}

/// Every module.
pub static MODULES: &[Module] = &[Module {
    contract: &CATALOG,
    start: |db, stats| Arc::new(CatalogServer::new(CatalogModule::new(db).guarded(stats))),
}];

/// The modules' names.
pub fn names() -> Vec<&'static str> {
    MODULES.iter().map(|m| m.contract.name).collect()
}

/// The module with this name, or a sentence that names those there are.
pub fn find(name: &str) -> Result<&'static Module, String> {
    MODULES
        .iter()
        .find(|m| m.contract.name == name)
        .ok_or_else(|| format!("there is no module `{name}`; there are: {}", names().join(", ")))
}
