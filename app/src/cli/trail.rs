//! `banyan audit`: who changed what.

use chrono::{DateTime, Utc};
use clap::Args;

use super::{
    Failure, Global,
    client::Client,
    letters::{more, part},
    output::{self, Json},
};
use crate::control::AuditPage;

#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// How many lines at most, the newest
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Only lines whose target has this in it: a module, an operation, a dead letter, a saga
    #[arg(long)]
    target: Option<String>,
    /// Only what this person did
    #[arg(long)]
    by: Option<String>,
    /// Only lines of then or later, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Only lines of then or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// Go on to older lines where a list ended: the `next` it answered
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    output: Json,
}

/// A path with these parts of a query, where they are given.
pub(super) fn with_query<const N: usize>(path: String, asked: [(&str, Option<String>); N]) -> String {
    let given = asked.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let query: Vec<_> = given.map(|(name, value)| format!("{name}={}", part(&value))).collect();
    if query.is_empty() {
        return path;
    }
    format!("{path}?{}", query.join("&"))
}

pub(super) async fn audit(args: AuditArgs, global: &Global) -> Result<(), Failure> {
    let asked = [
        ("limit", Some(args.limit.to_string())),
        ("target", args.target),
        ("by", args.by),
        ("since", args.since.map(|at| at.to_rfc3339())),
        ("until", args.until.map(|at| at.to_rfc3339())),
        ("cursor", args.cursor),
    ];
    let path = with_query("/control/v1/audit".to_owned(), asked);
    let answer: AuditPage = Client::find(global)?.get(&path).await?;
    if args.output.json {
        return output::json(&answer);
    }
    if answer.entries.is_empty() {
        output::message("no such change; `banyan stage` changes a stage");
        return Ok(());
    }
    let mut rows = vec![["AT", "BY", "TARGET", "FROM", "TO", "WHY"].map(str::to_owned).to_vec()];
    for e in answer.entries {
        let at = e.at.format("%Y-%m-%d %H:%M:%SZ").to_string();
        rows.push(vec![at, e.by, e.target, e.from, e.to, e.why.unwrap_or_default()]);
    }
    output::table(&rows)?;
    more(answer.next.as_deref());
    Ok(())
}
