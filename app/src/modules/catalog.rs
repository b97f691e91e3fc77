//! The catalog: who plays what, where and when. It calls nobody and hears of nobody.

use std::sync::Arc;

use catalog::CatalogModule;
use catalog_contract::{CATALOG, CatalogClient, CatalogServer, CatalogService, CatalogSwitch};
use strangler::ModuleStats;

use super::{Module, Started};

pub(super) const MODULE: Module = Module {
    contract: &CATALOG,
    manifest: include_str!("../../../modules/catalog/Cargo.toml"),
    public: true,
    inside: &[],
    acts: &[],
    start: |ground| {
        let stats = ground.stats.clone();
        let local = CatalogModule::new(ground.db.clone()).guarded(stats.clone());
        Ok(Started {
            server: Arc::new(CatalogServer::new(local.clone())),
            link: Box::new(move |peers, switch, way| {
                let client = CatalogClient::new(way, stats);
                peers.catalog = Some(Arc::new(CatalogSwitch::new(switch, local, client)));
            }),
            work: Vec::new(),
            sagas: None,
            hearings: Vec::new(),
        })
    },
    reach: |peers, way| {
        let stats = Arc::new(ModuleStats::new(CATALOG.operations.len()));
        peers.catalog = Some(Arc::new(CatalogClient::new(way, stats)));
    },
};
