//! The system as a picture: which modules there are, who calls whom and who hears whom; what they say of themselves, and what
//! is seen. An arrow that is seen and that nobody declared is wrong.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, Router, extract::State, routing::get};
use serde::{Deserialize, Serialize};
use strangler::calls::{ArrowFigures, OUTSIDE};

use super::{Control, Status, api::Operator, calls::Lags, status::InstanceStatus};
use crate::modules::declared;

/// The modules and the arrows between them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemMap {
    /// Whether calls are counted; if not, only what is declared is known.
    pub recording: bool,
    /// The modules, in the order in which they are put together.
    pub modules: Vec<MapModule>,
    /// The arrows: calls first.
    pub arrows: Vec<MapArrow>,
}

/// A module on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapModule {
    /// Its name.
    pub module: String,
    /// Of what kind it is: `data`, `process`, …
    pub kind: String,
    /// Its stage.
    pub stage: String,
    /// The processes that serve it, the monolith apart.
    pub instances: Vec<InstanceStatus>,
    /// Where its data is, without password.
    pub database: String,
}

/// What goes along an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrowKind {
    /// Calls, and their answers back.
    Call,
    /// Events.
    Event,
}

/// An arrow on the map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapArrow {
    /// Who calls, or whose events are heard; `outside` for the world outside.
    pub from: String,
    /// Who is called, or who hears.
    pub to: String,
    /// What goes along it.
    pub kind: ArrowKind,
    /// Whether the modules say that it is there.
    pub declared: bool,
    /// Whether it was seen since this process started.
    pub observed: bool,
    /// Calls since this process started.
    pub requests: u64,
    /// Those of them that failed: 5xx, or no answer.
    pub errors: u64,
    /// Calls in the last minute.
    pub per_minute: u64,
    /// Failed ones in the last minute.
    pub errors_per_minute: u64,
    /// Half of the calls were at least as fast, in milliseconds.
    pub p50_ms: Option<f64>,
    /// Ninety-nine of a hundred were.
    pub p99_ms: Option<f64>,
    /// Of events: the subscriptions that hear them.
    pub subscriptions: Vec<String>,
    /// Of events: how many the furthest behind of them has still to hear; `null` when that is not known.
    pub lag: Option<u64>,
}

impl MapArrow {
    fn new(from: &str, to: &str, kind: ArrowKind, declared: bool) -> Self {
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            kind,
            declared,
            observed: false,
            requests: 0,
            errors: 0,
            per_minute: 0,
            errors_per_minute: 0,
            p50_ms: None,
            p99_ms: None,
            subscriptions: Vec::new(),
            lag: None,
        }
    }

    fn count(&mut self, figures: &ArrowFigures) {
        self.observed = true;
        self.requests = figures.requests;
        self.errors = figures.errors;
        self.per_minute = figures.per_minute;
        self.errors_per_minute = figures.errors_per_minute;
        self.p50_ms = figures.p50_ms;
        self.p99_ms = figures.p99_ms;
    }
}

/// The arrows that are declared, with what was seen of them, and those that were only seen.
fn arrows(modules: &[(&str, bool)], seen: &[ArrowFigures], lags: &Lags) -> Vec<MapArrow> {
    let mut all: BTreeMap<(ArrowKind, String, String), MapArrow> = BTreeMap::new();
    let mut add = |from: &str, to: &str, kind, is_declared| {
        all.entry((kind, from.to_owned(), to.to_owned()))
            .or_insert_with(|| MapArrow::new(from, to, kind, is_declared));
    };
    for &(module, public) in modules {
        let own = declared(module);
        if public {
            add(OUTSIDE, module, ArrowKind::Call, true);
        }
        own.calls.iter().for_each(|to| add(module, to, ArrowKind::Call, true));
        own.listens
            .iter()
            .for_each(|from| add(from, module, ArrowKind::Event, true));
    }
    let known = |name: &str| modules.iter().any(|(module, _)| *module == name);
    for figures in seen {
        add(&figures.from, &figures.to, ArrowKind::Call, false);
    }
    for (to, from) in lags.keys().filter(|(to, from)| known(to) && known(from)) {
        add(from, to, ArrowKind::Event, false);
    }
    for figures in seen {
        let key = (ArrowKind::Call, figures.from.clone(), figures.to.clone());
        if let Some(arrow) = all.get_mut(&key) {
            arrow.count(figures);
        }
    }
    for ((to, from), subscriptions) in lags {
        if let Some(arrow) = all.get_mut(&(ArrowKind::Event, from.clone(), to.clone())) {
            arrow.observed = true;
            arrow.subscriptions = subscriptions.iter().map(|(name, _)| name.clone()).collect();
            let known: Option<Vec<u64>> = subscriptions.iter().map(|(_, lag)| *lag).collect();
            arrow.lag = known.and_then(|lags| lags.into_iter().max());
        }
    }
    let mut all: Vec<_> = all.into_values().collect();
    // What comes from outside comes first.
    all.sort_by_key(|arrow| (arrow.kind, arrow.from != OUTSIDE));
    all
}

impl Control {
    /// The map as it is now.
    pub async fn map(&self) -> SystemMap {
        let lags = self.lags().await;
        let status = Status::of(self);
        let names: Vec<_> = self.modules.iter().map(|m| (m.contract.name, m.public)).collect();
        let seen = self.calls.recorder.as_ref().map_or_else(Vec::new, |r| r.arrows());
        SystemMap {
            recording: self.calls.recorder.is_some(),
            arrows: arrows(&names, &seen, &lags),
            modules: status
                .modules
                .into_iter()
                .map(|m| MapModule {
                    kind: declared(&m.module)
                        .kind
                        .map_or_else(String::new, |kind| kind.name().to_owned()),
                    module: m.module,
                    stage: m.stage,
                    instances: m.instances,
                    database: m.data.database,
                })
                .collect(),
        }
    }
}

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new().route("/control/v1/map", get(map))
}

async fn map(_: Operator, State(control): State<Arc<Control>>) -> Json<SystemMap> {
    Json(control.map().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_nobody_declared_is_found_out() {
        let seen = |from: &str, to: &str| ArrowFigures {
            from: from.to_owned(),
            to: to.to_owned(),
            requests: 3,
            errors: 1,
            per_minute: 2,
            errors_per_minute: 0,
            p50_ms: Some(1.0),
            p99_ms: Some(9.0),
        };
        let modules = [
            ("catalog", true),
            ("seating", true),
            ("payments", false),
            ("ordering", true),
        ];
        let lags: Lags = [
            (
                ("seating", "catalog"),
                vec![("seating-from-catalog".to_owned(), Some(4))],
            ),
            (("payments", "catalog"), vec![("odd".to_owned(), None)]),
            (("strangler", "catalog"), vec![("happened-catalog".to_owned(), Some(0))]),
        ]
        .map(|((to, from), subscriptions)| ((to.to_owned(), from.to_owned()), subscriptions))
        .into();
        let all = arrows(
            &modules,
            &[seen("ordering", "seating"), seen("catalog", "payments")],
            &lags,
        );
        let said: Vec<_> = all
            .iter()
            .map(|a| (a.from.as_str(), a.to.as_str(), a.kind, a.declared, a.observed))
            .collect();
        use ArrowKind::{Call, Event};
        assert_eq!(
            said,
            [
                (OUTSIDE, "catalog", Call, true, false),
                (OUTSIDE, "ordering", Call, true, false),
                (OUTSIDE, "seating", Call, true, false),
                ("catalog", "payments", Call, false, true),
                ("ordering", "payments", Call, true, false),
                ("ordering", "seating", Call, true, true),
                ("catalog", "payments", Event, false, true),
                ("catalog", "seating", Event, true, true),
            ]
        );
        assert_eq!((all[6].lag, all[7].lag, all[5].requests), (None, Some(4), 3));
    }
}
