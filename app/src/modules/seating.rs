//! Seating: hears of venues and shows from the catalog, and ends holds whose time is up.

use std::{sync::Arc, time::Duration};

use seating::{SeatingModule, subscriptions, sweep};
use seating_contract::{SEATING, SeatingClient, SeatingServer, SeatingService, SeatingSwitch};
use strangler::ModuleStats;

use super::{Module, Started, hears, repeats};

/// How often holds are looked at whose time is up. Their seats are free before.
const SWEEP: Duration = Duration::from_secs(5);

pub(super) const MODULE: Module = Module {
    contract: &SEATING,
    manifest: include_str!("../../../modules/seating/Cargo.toml"),
    public: true,
    // Steps of an order: done by hand, they would part the seats from the money.
    inside: &["seating.commit", "seating.assign", "seating.unassign"],
    acts: &[],
    start: |ground| {
        let (db, stats) = (ground.db.clone(), ground.stats.clone());
        let local = SeatingModule::new(db.clone()).guarded(stats.clone());
        let catalog = subscriptions::catalog(db.clone(), (ground.log)("catalog")?).with_deck(ground.deck.clone());
        let hearings = vec![catalog.hearing()];
        let sweeping = repeats("ending holds", SWEEP, move || {
            let db = db.clone();
            async move { sweep(&db).await.map(drop) }
        });
        Ok(Started {
            server: Arc::new(SeatingServer::new(local.clone())),
            link: Box::new(move |peers, switch, way| {
                let client = SeatingClient::new(way, stats);
                peers.seating = Some(Arc::new(SeatingSwitch::new(switch, local, client)));
            }),
            work: vec![hears(catalog), sweeping],
            sagas: None,
            hearings,
        })
    },
    reach: |peers, way| {
        let stats = Arc::new(ModuleStats::new(SEATING.operations.len()));
        peers.seating = Some(Arc::new(SeatingClient::new(way, stats)));
    },
};
