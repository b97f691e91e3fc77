//! What the parallel run found, and what that is worth.

use std::collections::BTreeMap;

use askama::Template;
use strangler::parallel::ParallelSummary;

use super::module_view::grouped;
use crate::control::ModuleStatus;

/// Fewer compared answers prove nothing.
const ENOUGH: u64 = 100;
/// Nor do those of less than this share of the calls.
const COVERED: f64 = 0.5;

#[derive(Template)]
#[template(path = "console/parts/compared.html")]
pub(super) struct ComparedPart {
    module: String,
    begun: bool,
    hint: &'static str,
    tone: &'static str,
    verdict: String,
    match_rate: String,
    coverage: String,
    /// The same in tenths of a percent, for the bars.
    bars: (u32, u32),
    compared: String,
    eligible: String,
    counts: Vec<(&'static str, String)>,
    dropped: String,
    skips: Vec<(String, String)>,
    /// Why comparisons were inconclusive.
    open: Vec<(String, String)>,
}

impl ComparedPart {
    pub(super) fn new(status: &ModuleStatus) -> Self {
        let run = &status.parallel_run;
        let (tone, verdict) = judge(run);
        let counts = [
            ("mismatched", run.mismatched),
            ("service failed", run.candidate_error),
            ("timed out", run.timed_out),
            ("inconclusive", run.inconclusive),
        ];
        let (matched, covered) = (run.match_rate.unwrap_or(0.0), run.coverage.unwrap_or(0.0));
        Self {
            module: status.module.clone(),
            begun: run.eligible > 0,
            hint: if status.stage == "shadow" || status.stage == "verify" {
                "Nothing yet: the next query is compared."
            } else {
                "Nothing yet: put the module in shadow, or in verify, to compare."
            },
            tone,
            verdict,
            match_rate: percent(run.match_rate),
            coverage: percent(run.coverage),
            bars: ((matched * 1000.0) as u32, (covered * 1000.0) as u32),
            compared: grouped(run.compared),
            eligible: grouped(run.eligible),
            counts: counts
                .into_iter()
                .filter(|&(name, n)| n > 0 || name == "mismatched")
                .map(|(name, n)| (name, grouped(n)))
                .collect(),
            dropped: grouped(run.dropped),
            skips: named(&run.skips),
            open: named(&run.open),
        }
    }
}

/// What was counted, by name, as people read it.
fn named(counts: &BTreeMap<String, u64>) -> Vec<(String, String)> {
    let counted = counts.iter().filter(|&(_, &n)| n > 0);
    counted.map(|(name, &n)| (name.replace('_', " "), grouped(n))).collect()
}

/// What the counts are worth: a tone and a sentence. Never good on too little.
pub(super) fn judge(run: &ParallelSummary) -> (&'static str, String) {
    let failed = run.candidate_error + run.timed_out;
    if run.mismatched > 0 {
        ("bad", "The sides differ.".to_owned())
    } else if run.compared < ENOUGH {
        (
            "warn",
            format!("Too few compared to judge: {} of {ENOUGH}.", run.compared),
        )
    } else if run.coverage.is_none_or(|c| c < COVERED) {
        (
            "warn",
            "Too little covered to judge: less than half was compared.".to_owned(),
        )
    } else if failed > 0 {
        ("warn", "No difference, but the service failed or was late.".to_owned())
    } else {
        ("good", "No difference found.".to_owned())
    }
}

/// A rate in percent, never rounded up: 99.96 % is not 100 %.
pub(super) fn percent(rate: Option<f64>) -> String {
    rate.map_or_else(
        || "–".to_owned(),
        |rate| {
            let tenths = (rate * 1000.0 + 1e-9).floor() as u64;
            if tenths.is_multiple_of(10) {
                format!("{} %", tenths / 10)
            } else {
                format!("{}.{} %", tenths / 10, tenths % 10)
            }
        },
    )
}
