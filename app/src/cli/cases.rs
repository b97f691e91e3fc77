//! `banyan cases`: mismatches that were saved, done again.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    Failure, Global,
    client::Client,
    letters::part,
    output::{self, Json, printable},
};
use crate::control::CaseRun;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Side {
    /// The module in the monolith
    Local,
    /// Its service
    Remote,
}

#[derive(Debug, Args)]
pub(super) struct CasesArgs {
    /// Files that `banyan diffs … --save` wrote, or folders of them
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Who does them again
    #[arg(long, value_enum, default_value_t = Side::Local)]
    side: Side,
    #[command(flatten)]
    output: Json,
}

/// The case files that are meant, in the order of their names.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |e: std::io::Error| Failure::Usage(format!("{}: {e}", path.display()));
        if !path.metadata().map_err(failed)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let file = entry.map_err(failed)?.path();
            if file.extension().is_some_and(|end| end == "json") {
                inside.push(file);
            }
        }
        inside.sort();
        files.append(&mut inside);
    }
    Ok(files)
}

fn read(path: &Path) -> Result<(String, Value), Failure> {
    let wrong = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let case: Value = serde_json::from_slice(&text).map_err(|e| wrong(format!("this is no case: {e}")))?;
    let module = case["module"].as_str().map(str::to_owned);
    let module = module.ok_or_else(|| wrong("this is no case: it does not say of which module".to_owned()))?;
    Ok((module, case))
}

pub(super) async fn cases(args: CasesArgs, global: &Global) -> Result<(), Failure> {
    let side = match args.side {
        Side::Local => "local",
        Side::Remote => "remote",
    };
    let client = Client::find(global)?;
    let (mut told, mut differ, mut unread) = (Vec::new(), 0_u64, 0_u64);
    for path in files(&args.paths)? {
        let (module, case) = match read(&path) {
            Ok(case) => case,
            Err(Failure::Usage(why)) => {
                output::message(&why);
                unread += 1;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let address = format!("/control/v1/modules/{}/cases?side={side}", part(&module));
        let run: CaseRun = client.post(&address, &case).await?;
        let holds = run.differences.is_empty() && run.missing.is_none();
        differ += u64::from(!holds);
        if !args.output.json {
            let name = path.display();
            output::text(&format!("{} {name}\n", if holds { "holds  " } else { "differs" }))?;
            if let Some(missing) = &run.missing {
                output::text(&format!(
                    "        it asked for {missing}, which the case does not have\n"
                ))?;
            }
            for one in &run.differences {
                let at = if one.path.is_empty() { "/" } else { &one.path };
                let values = [&one.local, &one.remote].map(|value| printable(&value.to_string()));
                let line = format!(
                    "        {} at {at}: {} in the case, {} now\n",
                    one.kind.name(),
                    values[0],
                    values[1]
                );
                output::text(&line)?;
            }
        }
        told.push(json!({"file": path, "holds": holds, "missing": run.missing, "differences": run.differences}));
    }
    if args.output.json {
        output::json(&json!({ "cases": told }))?;
    }
    if unread > 0 {
        return Err(Failure::Usage(format!(
            "{unread} of {} files cannot be read as cases",
            told.len() as u64 + unread
        )));
    }
    match (told.len(), differ) {
        (0, _) => Err(Failure::Usage(
            "there is no case in these folders; `banyan diffs MODULE --save DIR` writes some".to_owned(),
        )),
        (_, 0) => Ok(()),
        (all, differ) => Err(Failure::Failed(format!("{differ} of {all} cases do not hold"))),
    }
}
