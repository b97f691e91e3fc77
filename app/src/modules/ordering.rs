//! Ordering: takes orders through seating and payments.

use std::sync::Arc;

use ordering::{OrderingModule, sagas};
use ordering_contract::{ORDERING, OrderingClient, OrderingServer, OrderingService, OrderingSwitch};
use strangler::ModuleStats;

use super::{Module, Started, Work};

pub(super) const MODULE: Module = Module {
    contract: &ORDERING,
    manifest: include_str!("../../../modules/ordering/Cargo.toml"),
    public: true,
    inside: &[],
    acts: &["seating:hold", "seating:sell", "payments:charge"],
    start: |ground| {
        let (db, stats) = (ground.db.clone(), ground.stats.clone());
        let missing = |module: &str| format!("ordering comes after {module} in the table of modules");
        let seating = ground.peers.seating.clone().ok_or_else(|| missing("seating"))?;
        let payments = ground.peers.payments.clone().ok_or_else(|| missing("payments"))?;
        let local = OrderingModule::new(db.clone(), seating.clone(), payments.clone()).guarded(stats.clone());
        let sagas = sagas(db, seating, payments).with_deck(ground.deck.clone());
        let working = sagas.clone();
        let steps: Work = Box::new(move |turn, stop| {
            let working = working.with_turn(turn);
            Box::pin(async move { working.run(stop.cancelled()).await })
        });
        Ok(Started {
            server: Arc::new(OrderingServer::new(local.clone())),
            link: Box::new(move |peers, switch, way| {
                let client = OrderingClient::new(way, stats);
                peers.ordering = Some(Arc::new(OrderingSwitch::new(switch, local, client)));
            }),
            work: vec![steps],
            sagas: Some(sagas),
            hearings: Vec::new(),
        })
    },
    reach: |peers, way| {
        let stats = Arc::new(ModuleStats::new(ORDERING.operations.len()));
        peers.ordering = Some(Arc::new(OrderingClient::new(way, stats)));
    },
};
