//! The operator's console at `/console`: the migration map, live, and the flip of a stage by plain forms.
//!
//! One page is one file. Nothing is loaded from outside, everything works without JavaScript, and every rule about who
//! may do what is the control plane's own: this is a face of it and decides nothing.

mod assets;
mod compared;
mod fragment;
mod guard;
mod live;
mod login;
mod map;
mod module_view;
mod page;
mod picture;
mod requests;
mod screen;
mod session;

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{any, get, post},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::control::Control;

/// What every page works on.
struct Console {
    control: Arc<Control>,
    sessions: session::Sessions,
    live: live::Live,
    /// Places for those who wait because their token was wrong.
    waiting: Semaphore,
    stop: CancellationToken,
}

/// The pages under `/console`, over this control plane. Streams end when `stop` is cancelled.
///
/// Has to be called within a runtime: one task renders for everybody who listens.
pub fn router(control: Arc<Control>, stop: CancellationToken) -> Router {
    let console = Arc::new(Console {
        sessions: session::Sessions::new(&control.tokens.operator, control.clock()),
        live: live::Live::start(control.clone(), stop.clone()),
        waiting: Semaphore::new(login::MOST_WAITING),
        control,
        stop,
    });
    Router::new()
        .route("/console", get(map::show))
        .route("/console/", get(map::here))
        // Who reloads the page that a refused flip was answered with comes by GET.
        .route("/console/stage", get(map::here).post(map::flip))
        .route("/console/requests", get(requests::list))
        .route("/console/requests/{trace}", get(requests::show))
        .route("/console/live", get(live::listen))
        .route("/console/login", get(login::form).post(login::login))
        .route("/console/logout", post(login::logout))
        .route("/console/assets/{name}", get(assets::asset))
        .route("/console/{*path}", any(page::nothing_here))
        .method_not_allowed_fallback(page::wrong_method)
        .layer(DefaultBodyLimit::max(16 << 10))
        .layer(middleware::from_fn(guard::refuse_cross_site))
        .layer(middleware::map_response(guard::protect))
        .with_state(console)
}
