//! The operator's console.

use std::sync::Arc;

use axum::Router;
use tokio_util::sync::CancellationToken;

use crate::control::Control;

/// The pages under `/console`.
pub fn router(_control: Arc<Control>, _stop: CancellationToken) -> Router {
    Router::new()
}
