//! The payment provider's stand-in: by itself (`banyan sandbox payments`), or beside the monolith when no provider is set.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{listener::bind, serve::asked_to_stop, settings::Settings};

/// Where its ledger is, in the data folder.
const FOLDER: &str = "sandbox";
/// Where it listens, in its folder: a process that was extracted outlives the monolith, and finds it there again.
const ADDRESS: &str = "address";

/// Serves the sandbox until the process is asked to stop. `ready` learns its address.
///
/// # Errors
/// A sentence that says why it cannot.
pub async fn alone(listen: SocketAddr, data: &Path, ready: impl FnOnce(SocketAddr)) -> Result<(), String> {
    let listener = bind(listen, "--listen").await?;
    ready(listener.local_addr().map_err(|e| e.to_string())?);
    serve(listener, data, async { _ = asked_to_stop().await }).await
}

/// When no provider is set: starts one on loopback, and sets it. Answers its work, which ends when `stop` is cancelled.
///
/// # Errors
/// A sentence that says why it cannot.
pub async fn beside(
    settings: &mut Settings,
    stop: CancellationToken,
) -> Result<Option<impl Future<Output = ()> + Send + 'static>, String> {
    let folder = settings.data.folder.join(FOLDER);
    let payments = settings.modules.entry("payments".to_owned()).or_default();
    if payments.provider_url.is_some() {
        return Ok(None);
    }
    std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let before = known(&folder).filter(|address| address.ip().is_loopback());
    let listener = match before {
        Some(address) => TcpListener::bind(address).await.ok(),
        None => None,
    };
    let listener = match listener {
        Some(listener) => listener,
        None => bind((Ipv4Addr::LOCALHOST, 0).into(), "the payment sandbox").await?,
    };
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let file = folder.join(ADDRESS);
    std::fs::write(&file, address.to_string()).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    payments.provider_url = Some(format!("http://{address}"));
    Ok(Some(async move {
        if let Err(error) = serve(listener, &folder, stop.cancelled_owned()).await {
            tracing::error!(error, "the payment sandbox ended; payments wait until the next start");
        }
    }))
}

/// When no provider is set: the one beside the monolith, if there is one.
pub fn find(settings: &mut Settings) {
    let folder = settings.data.folder.join(FOLDER);
    let payments = settings.modules.entry("payments".to_owned()).or_default();
    if payments.provider_url.is_none() {
        payments.provider_url = known(&folder).map(|address| format!("http://{address}"));
    }
}

fn known(folder: &Path) -> Option<SocketAddr> {
    std::fs::read_to_string(folder.join(ADDRESS)).ok()?.trim().parse().ok()
}

async fn serve(
    listener: TcpListener,
    folder: &Path,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), String> {
    let served = payments::sandbox::serve(listener, folder, stop).await;
    served.map_err(|e| format!("the payment sandbox with its ledger in {}: {e}", folder.display()))
}
