//! `banyan diffs` and `banyan audit`: what differed, and who changed what.

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Failure, Global,
    client::Client,
    letters::{more, part},
    output::{self, Json, printable},
};
use crate::{
    control::{AuditPage, DiffQuery, SaidOfDiffs},
    modules,
};

#[derive(Debug, Args)]
pub(super) struct DiffsArgs {
    /// The module
    module: String,
    /// Only those of this operation, such as catalog.show
    #[arg(long)]
    operation: Option<String>,
    /// Only those at this place of the answer, such as /prices/0/price/amount
    #[arg(long)]
    path: Option<String>,
    /// Only those of this kind; with operation and path, both answers are printed
    #[arg(long)]
    kind: Option<String>,
    /// Only those whose values look like this, such as "time to number"
    #[arg(long)]
    shape: Option<String>,
    /// Marks those as known until then: a day such as 2026-12-24, or a time; a day that is over ends that
    #[arg(long, value_name = "DATE", value_parser = moment, conflicts_with = "forget")]
    acknowledge_until: Option<DateTime<Utc>>,
    /// Forgets those: mended, and counted anew should they be seen again
    #[arg(long)]
    forget: bool,
    /// Why they are acknowledged or forgotten
    #[arg(long)]
    why: Option<String>,
    #[command(flatten)]
    output: Json,
}

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

/// A time, or the beginning of a day (UTC).
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || {
        text.parse::<NaiveDate>()
            .ok()?
            .and_hms_opt(0, 0, 0)
            .map(|at| at.and_utc())
    };
    let time = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok();
    time.or_else(day)
        .ok_or_else(|| "write a day such as 2026-12-24, or a time such as 2026-12-24T18:00:00Z".to_owned())
}

#[derive(Deserialize, Serialize)]
struct Groups {
    groups: Vec<Value>,
    #[serde(default)]
    unlisted: u64,
    #[serde(default)]
    noise: Vec<Value>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    answers: Value,
}

pub(super) async fn diffs(args: DiffsArgs, global: &Global) -> Result<(), Failure> {
    modules::find(&args.module).map_err(Failure::Usage)?;
    let path = format!("/control/v1/modules/{}/diffs", args.module);
    if args.forget || args.acknowledge_until.is_some() {
        let said = SaidOfDiffs {
            of: DiffQuery {
                operation: args.operation,
                path: args.path,
                kind: args.kind,
                shape: args.shape,
            },
            acknowledged_until: args.acknowledge_until,
            forget: args.forget,
            why: args.why,
        };
        let answer: Value = Client::find(global)?.post(&path, &said).await?;
        if args.output.json {
            return output::json(&answer);
        }
        let done = if args.forget { "forgotten" } else { "acknowledged" };
        output::message(&format!("{} groups of mismatches {done}", answer["groups"]));
        return Ok(());
    }
    let asked = [
        ("operation", args.operation),
        ("path", args.path),
        ("kind", args.kind),
        ("shape", args.shape),
    ];
    let path = with_query(path, asked);
    let answer: Groups = Client::find(global)?.get(&path).await?;
    if args.output.json {
        return output::json(&answer);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for noise in &answer.noise {
        output::message(&format!(
            "noise: {} {} ({}): the monolith differs from itself there, {} of {} times",
            text(&noise["operation"]),
            text(&noise["place"]),
            text(&noise["shape"]),
            noise["differed"],
            noise["sampled"]
        ));
    }
    if answer.groups.is_empty() {
        output::message(&format!(
            "no mismatch so far; `banyan status` says how many calls of {} were compared",
            args.module
        ));
        return Ok(());
    }
    let head = [
        "COUNT",
        "OPERATION",
        "PATH",
        "KIND",
        "SHAPE",
        "LOCAL",
        "REMOTE",
        "KNOWN UNTIL",
        "TRACE",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let short = |value: &Value| {
        let text = printable(&value.to_string());
        if text.chars().count() > 40 {
            text.chars().take(39).chain(['…']).collect()
        } else {
            text
        }
    };
    for group in &answer.groups {
        let example = &group["example"];
        rows.push(vec![
            group["count"].to_string(),
            text(&group["operation"]),
            text(&group["path"]),
            text(&group["kind"]),
            text(&group["shape"]),
            short(&example["local"]),
            short(&example["remote"]),
            group["acknowledged_until"].as_str().unwrap_or("-").to_owned(),
            text(&example["trace_id"]),
        ]);
    }
    output::table(&rows)?;
    if answer.unlisted > 0 {
        output::message(&format!(
            "and {} mismatches of groups for which there is no room",
            answer.unlisted
        ));
    }
    for side in ["local", "remote"] {
        let (status, body) = (&answer.answers[side]["status"], &answer.answers[side]["body"]);
        if !status.is_null() {
            let body = serde_json::to_string_pretty(body).map_err(|e| Failure::Failed(e.to_string()))?;
            output::text(&format!("\n{side} answered {status}:\n{body}\n"))?;
        }
    }
    Ok(())
}

/// A path with these parts of a query, where they are given.
fn with_query<const N: usize>(path: String, asked: [(&str, Option<String>); N]) -> String {
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
