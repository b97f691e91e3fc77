//! The storefront: asks the catalog, seating and ordering, wherever they live, and keeps nothing itself.

use std::sync::Arc;

use kernel::Uuid;
use storefront::{Shop, StorefrontModule};
use storefront_contract::{STOREFRONT, StorefrontServer, StorefrontService};
use strangler::SystemClock;

use super::{Module, Started};

pub(super) const MODULE: Module = Module {
    contract: &STOREFRONT,
    manifest: include_str!("../../../modules/storefront/Cargo.toml"),
    public: true,
    inside: &[],
    // Whoever has an order's address may have it cancelled, and anybody may hold seats: on a page, with no token.
    acts: &["seating:hold", "ordering:cancel"],
    start: |ground| {
        let missing = |module: &str| format!("the storefront comes after {module} in the table of modules");
        let peers = ground.peers;
        let shop = Shop {
            catalog: peers.catalog.clone().ok_or_else(|| missing("catalog"))?,
            seating: peers.seating.clone().ok_or_else(|| missing("seating"))?,
            ordering: peers.ordering.clone().ok_or_else(|| missing("ordering"))?,
        };
        let local = StorefrontModule::new(shop, Arc::new(SystemClock), new_id).guarded(ground.stats.clone());
        Ok(Started {
            server: Arc::new(StorefrontServer::new(local)),
            // Pages are for people: no module calls them.
            link: Box::new(|_, _, _| {}),
            work: Vec::new(),
            sagas: None,
            hearings: Vec::new(),
        })
    },
    reach: |_, _| {},
};

/// An id that nobody can guess: all of it is drawn.
fn new_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
