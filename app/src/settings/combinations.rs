//! Values that are good on their own, and impossible together.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use super::{Mistake, Settings};

/// What cannot be together. Says nothing of keys in `failed`, of which there is a mistake already.
pub(super) fn check(settings: &Settings, failed: &BTreeSet<String>) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    let mut refuse = |wrong: bool, keys: [&str; 2], what: String| {
        if wrong && !keys.iter().any(|key| failed.contains(*key)) {
            mistakes.push(at(settings, keys, what));
        }
    };

    let (public, internal) = (settings.public.listen, settings.internal.listen);
    refuse(
        collide(public, internal),
        ["internal.listen", "public.listen"],
        format!("public.listen ({public}) and internal.listen ({internal}) must not be the same address"),
    );

    let (heartbeat, lost_after) = (
        settings.instances.heartbeat.as_millis(),
        settings.instances.lost_after.as_millis(),
    );
    refuse(
        lost_after < 2 * heartbeat,
        ["instances.lost_after_ms", "instances.heartbeat_ms"],
        format!(
            "instances.lost_after_ms ({lost_after}) must be at least twice instances.heartbeat_ms ({heartbeat}), or \
             processes that are well count as lost"
        ),
    );

    let (rotate_s, ttl_s) = (settings.identity.rotate_s, settings.identity.token_ttl_s);
    refuse(
        rotate_s < ttl_s,
        ["identity.rotate_s", "identity.token_ttl_s"],
        format!(
            "identity.rotate_s ({rotate_s}) must not be less than identity.token_ttl_s ({ttl_s}), or keys pile up \
             faster than their tokens end"
        ),
    );

    let (compared, remote) = (
        settings.parallel_run.timeout.as_millis(),
        settings.remote.timeout.as_millis(),
    );
    refuse(
        compared > remote,
        ["parallel_run.timeout_ms", "remote.timeout_ms"],
        format!(
            "parallel_run.timeout_ms ({compared}) must not be more than remote.timeout_ms ({remote}), or a service that \
             hangs does not count as one that timed out"
        ),
    );

    let mut databases = BTreeMap::new();
    for (name, module) in &settings.modules {
        if let Some(url) = &module.database_url
            && let Some(other) = databases.insert(url.expose(), name)
        {
            let keys = [
                format!("modules.{name}.database_url"),
                format!("modules.{other}.database_url"),
            ];
            let what = format!(
                "{} and {} must not be the same database: each module has its own",
                keys[1], keys[0]
            );
            refuse(true, [&keys[0], &keys[1]], what);
        }
    }
    mistakes
}

/// The mistake at the place of whichever key was set; the defaults go well together.
fn at(settings: &Settings, keys: [&str; 2], what: String) -> Mistake {
    let places = keys.iter().filter_map(|key| settings.origin(key));
    let place = places.clone().find(|place| *place != "default").unwrap_or("default");
    Mistake::new(place, what)
}

fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && overlap
}
