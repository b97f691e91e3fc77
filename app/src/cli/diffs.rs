//! `banyan diffs`: what differed, what is said of it, and what of it is kept as a test.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Failure, Global,
    client::Client,
    output::{self, Json, printable},
    trail::with_query,
};
use crate::{
    control::{DiffQuery, SaidOfDiffs},
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
    /// Writes each of those as a case (given, when, then) into this folder, from which a test has it again
    #[arg(long, value_name = "DIR", conflicts_with_all = ["forget", "acknowledge_until"])]
    save: Option<PathBuf>,
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
    #[serde(default, skip_serializing_if = "Value::is_null")]
    case: Value,
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
    let all = with_query(path.clone(), asked);
    let answer: Groups = Client::find(global)?.get(&all).await?;
    if let Some(folder) = &args.save {
        return save(&answer.groups, (&args.module, &path), folder, args.output.json, global).await;
    }
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

/// Writes the groups' cases into a folder, a file each.
async fn save(
    groups: &[Value],
    (module, path): (&str, &str),
    folder: &Path,
    as_json: bool,
    global: &Global,
) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let failed = |what: &Path, why: std::io::Error| Failure::Failed(format!("{}: {why}", what.display()));
    std::fs::create_dir_all(folder).map_err(|e| failed(folder, e))?;
    let (mut saved, mut without) = (Vec::new(), 0_u64);
    for group in groups {
        let text = |name: &str| group[name].as_str().map(str::to_owned);
        let one = ["operation", "path", "kind", "shape"].map(|name| (name, text(name)));
        let told: Groups = client.get(&with_query(path.to_owned(), one)).await?;
        let Value::Object(case) = told.case else {
            without += 1;
            continue;
        };
        let mut file = json!({
            "module": module,
            "mismatch": {
                "operation": group["operation"], "place": group["place"], "kind": group["kind"], "shape": group["shape"],
                "local": group["example"]["local"], "remote": group["example"]["remote"],
            },
        });
        file.as_object_mut()
            .into_iter()
            .for_each(|file| file.extend(case.clone()));
        let path = folder.join(file_name(group));
        let mut lines = serde_json::to_vec_pretty(&file).map_err(|e| Failure::Failed(e.to_string()))?;
        lines.push(b'\n');
        write_whole(folder, &path, &lines).map_err(|e| failed(&path, e))?;
        saved.push(path.display().to_string());
    }
    if as_json {
        return output::json(&json!({"saved": saved, "without_case": without}));
    }
    saved.iter().try_for_each(|path| output::text(&format!("{path}\n")))?;
    let note = match (saved.len(), without) {
        (0, 0) => format!(
            "no mismatch so far; `banyan status` says how many calls of {} were compared",
            module
        ),
        (0, _) => {
            "none of them was kept with what is needed to have it again: they are too large, or from before".to_owned()
        }
        (n, 0) => format!("{n} saved; put them into tests/cases/ and `cargo nextest run` runs them"),
        (n, m) => format!("{n} saved, {m} were not kept with what is needed to have them again"),
    };
    output::message(&note);
    Ok(())
}

/// Writes a file whole or not at all, and never through a link that is there.
fn write_whole(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let draft = folder.join(format!(".{}.draft", std::process::id()));
    let written = std::fs::File::create_new(&draft).and_then(|mut file| {
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| std::fs::rename(&draft, path));
    if done.is_err() {
        _ = std::fs::remove_file(&draft);
    }
    done
}

/// A name that says what it is, the same for the same group: `catalog.show-value-prices-price-amount-1f2e3d4c.json`.
fn file_name(group: &Value) -> String {
    let text = |name: &str| group[name].as_str().unwrap_or_default();
    let whole = ["operation", "place", "kind", "shape"].map(text).join("\0");
    // FNV-1a: for names that stay the same from one version to the next.
    let hash = whole.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let plain = |text: &str| -> String {
        let kept = text
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' });
        let kept: String = kept.take(60).collect();
        kept.trim_matches(['-', '.']).to_owned()
    };
    let place: Vec<_> = text("place")
        .split('/')
        .map(plain)
        .filter(|part| !part.is_empty())
        .collect();
    let parts = [
        plain(text("operation")),
        plain(text("kind")),
        place.join("-"),
        format!("{hash:08x}.json"),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_a_name_that_says_what_it_is_and_leads_nowhere_else() {
        let group =
            json!({"operation": "catalog.show", "place": "/prices/*/price/amount", "kind": "value", "shape": "number"});
        let name = file_name(&group);
        assert!(
            name.starts_with("catalog.show-value-prices-price-amount-") && name.ends_with(".json"),
            "{name}"
        );
        let wild = json!({"operation": "../../etc", "place": "/../\u{1f4a5}/a b", "kind": "extra", "shape": "text"});
        let name = file_name(&wild);
        assert!(
            !name.contains('/') && !name.starts_with('.') && name.is_ascii(),
            "{name}"
        );
    }

    #[test]
    fn a_day_is_its_beginning() {
        assert_eq!(
            moment("2026-12-24").map(|at| at.to_rfc3339()).as_deref(),
            Ok("2026-12-24T00:00:00+00:00")
        );
        assert!(moment("2026-12-24T18:00:00+01:00").is_ok() && moment("tomorrow").is_err());
    }
}
