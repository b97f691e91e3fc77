//! The operator's console at `/console`: the migration map, live, and what is below it: modules, mismatches, messages, sagas,
//! the audit trail; and what a person can do about each, by plain forms.
//!
//! One page is one file. Nothing is loaded from outside, everything works without JavaScript, and every rule about who
//! may do what is the control plane's own: this is a face of it and decides nothing.

mod assets;
mod audit;
mod compared;
mod fragment;
mod guard;
mod json;
mod letter;
mod live;
mod login;
mod map;
mod messages;
mod mismatch;
mod module;
mod module_view;
mod page;
mod parallel_run;
mod picture;
mod requests;
mod saga;
mod sagas;
mod said;
mod screen;
mod session;
mod waiting;
mod window;

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
    page::server();
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
        .route("/console/requests", get(requests::list))
        .route("/console/requests/{trace}", get(requests::show))
        .route("/console/stage", get(map::here).post(module::flip))
        .route("/console/modules/{module}", get(module::show))
        .route("/console/modules/{module}/undo", get(module::here).post(module::undo))
        .route(
            "/console/modules/{module}/extract",
            get(module::here).post(module::extract),
        )
        .route(
            "/console/modules/{module}/merge-back",
            get(module::here).post(module::merge_back),
        )
        .route("/console/parallel-run", get(parallel_run::show))
        .route(
            "/console/parallel-run/{module}",
            get(mismatch::show).post(mismatch::say),
        )
        .route("/console/messages", get(messages::show))
        .route("/console/messages/retry", get(messages::here).post(messages::retry))
        .route("/console/messages/discard", get(messages::here).post(messages::discard))
        .route("/console/messages/restore", get(messages::here).post(messages::restore))
        .route(
            "/console/messages/{module}/{subscription}/{position}",
            get(letter::show),
        )
        .route("/console/sagas", get(sagas::show))
        .route("/console/sagas/{module}/{id}", get(saga::show))
        .route(
            "/console/sagas/{module}/{id}/resume",
            get(saga::here).post(saga::resume),
        )
        .route(
            "/console/sagas/{module}/{id}/cancel",
            get(saga::here).post(saga::cancel),
        )
        .route("/console/audit", get(audit::show))
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
