//! The payment provider's stand-in: a real HTTP server with a ledger on disk that survives being killed.
//!
//! | request | answers |
//! | --- | --- |
//! | `POST /intents` with `idempotency-key`, `{"amount", "currency", "token"}` | 201; 200 the same again; 402 declined; 409 voided before; 422 another body under that key, or an unknown token |
//! | `POST /intents/{key}/capture`, `/void`, `/refund` | 200; 409 with how it stands instead; 404. A void of what has not arrived yet is kept: it will be refused |
//! | `GET /intents/{key}` | 200, 404 |
//! | `GET /ledger` | `{"entries": [{"id", "amount", "currency", "state"}]}` |
//!
//! `tok_ok` pays, `tok_declined` does not, `tok_slow` takes two seconds to answer, and `tok_flaky` fails some calls, before
//! or after they took effect, decided by the key, the operation and how often it was tried. A ledger id is one payment:
//! a second entry means that money moved twice.

mod book;
mod flaky;
mod http;
mod ledger;

use std::{future::Future, io, path::Path};

use tokio::net::TcpListener;

use ledger::Ledger;

/// Serves the sandbox until `stop` is ready, with its ledger in `folder`, which is made when it is missing. Whatever was
/// answered before is in the ledger, however the server ended.
///
/// # Errors
/// When the ledger cannot be opened, belongs to another sandbox that runs, or is damaged.
pub async fn serve(
    listener: TcpListener,
    folder: &Path,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (ledger, writer) = Ledger::open(folder)?;
    let served = axum::serve(listener, http::router(ledger)).with_graceful_shutdown(stop);
    served.await?;
    writer.end().await
}
