//! `banyan map`: who calls whom and who hears whom.

use super::{
    Failure, Global,
    client::Client,
    output::{self, Json},
};
use crate::control::{ArrowKind, MapArrow, SystemMap};

pub(super) async fn run(asked: Json, global: &Global) -> Result<(), Failure> {
    let map: SystemMap = Client::find(global)?.get("/control/v1/map").await?;
    if asked.json {
        return output::json(&map);
    }
    if !map.recording {
        output::message("calls are not counted: set console.requests to more than 0, and start again");
    }
    let head = [
        "FROM", "TO", "WHAT", "PER MIN", "REQUESTS", "ERRORS", "P50 MS", "P99 MS", "LAG", "NOTE",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(map.arrows.iter().map(row));
    output::table(&rows)
}

fn row(arrow: &MapArrow) -> Vec<String> {
    let ms = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}"));
    let number = |n: u64| n.to_string();
    let none = || "–".to_owned();
    let note = match (arrow.declared, arrow.observed) {
        (false, _) => "not declared",
        (true, false) => "not seen yet",
        (true, true) => "",
    };
    let MapArrow { from, to, .. } = arrow;
    let (from, to, note) = (from.clone(), to.clone(), note.to_owned());
    match arrow.kind {
        ArrowKind::Call => vec![
            from,
            to,
            "calls".to_owned(),
            number(arrow.per_minute),
            number(arrow.requests),
            number(arrow.errors),
            ms(arrow.p50_ms),
            ms(arrow.p99_ms),
            none(),
            note,
        ],
        ArrowKind::Event => {
            let lag = arrow.lag.map_or_else(none, number);
            let what = "events".to_owned();
            vec![from, to, what, none(), none(), none(), none(), none(), lag, note]
        }
    }
}
