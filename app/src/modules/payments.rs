//! Payments: in front of the provider that the settings name. For other modules only.

use std::sync::Arc;

use payments::{HttpProvider, PaymentsModule};
use payments_contract::{PAYMENTS, PaymentsClient, PaymentsServer, PaymentsService, PaymentsSwitch};
use strangler::ModuleStats;

use super::{Module, Started};

pub(super) const MODULE: Module = Module {
    contract: &PAYMENTS,
    manifest: include_str!("../../../modules/payments/Cargo.toml"),
    public: false,
    inside: &[],
    acts: &[],
    start: |ground| {
        let url = ground.settings.modules.get(PAYMENTS.name);
        let url = url.and_then(|m| m.provider_url.as_deref()).ok_or(
            "payments needs a provider: set modules.payments.provider_url, or start one with `banyan sandbox payments`",
        )?;
        let (provider, stats) = (Arc::new(HttpProvider::new(url)?), ground.stats.clone());
        let local = PaymentsModule::new(ground.db.clone(), provider).guarded(stats.clone());
        Ok(Started {
            server: Arc::new(PaymentsServer::new(local.clone())),
            link: Box::new(move |peers, switch, way| {
                let client = PaymentsClient::new(way, stats);
                peers.payments = Some(Arc::new(PaymentsSwitch::new(switch, local, client)));
            }),
            work: Vec::new(),
            sagas: None,
            hearings: Vec::new(),
        })
    },
    reach: |peers, way| {
        let stats = Arc::new(ModuleStats::new(PAYMENTS.operations.len()));
        peers.payments = Some(Arc::new(PaymentsClient::new(way, stats)));
    },
};
