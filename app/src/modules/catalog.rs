//! The catalog: who plays what, where and when. It calls nobody and hears of nobody.

use std::sync::Arc;

use catalog::CatalogModule;
use catalog_contract::{CATALOG, CatalogServer, CatalogService};

use super::{Module, ModuleKind, Started};

pub(super) const MODULE: Module = Module {
    contract: &CATALOG,
    kind: ModuleKind::Data,
    public: true,
    inside: &[],
    acts: &[],
    start: |ground| {
        let local = CatalogModule::new(ground.db.clone()).guarded(ground.stats.clone());
        Ok(Started {
            server: Arc::new(CatalogServer::new(local)),
            link: Box::new(|_, _, _| {}),
            work: Vec::new(),
            sagas: None,
        })
    },
    reach: |_, _| {},
};
