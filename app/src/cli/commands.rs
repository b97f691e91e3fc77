//! The commands that ask a running system, and those that need none.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use strangler::{
    routes::{Change, Fallback, Stage},
    share::Share,
};

use super::{
    Failure, Global,
    client::Client,
    output::{self, Json, printable},
    settings,
};
use crate::{
    control::{Flipped, Health, ModuleStatus, Status},
    databases::{self, CONTROL, Worker},
    docs,
    modules::{self, MODULES},
};

#[derive(Debug, Args)]
pub(super) struct ModuleArgs {
    /// The module
    module: String,
    /// Why, for the audit trail
    #[arg(long)]
    why: Option<String>,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Args)]
pub(super) struct MergeBackArgs {
    /// The module
    module: String,
    /// Why, for the audit trail
    #[arg(long)]
    why: Option<String>,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Args)]
pub(super) struct StageArgs {
    /// A module (`catalog`) or an operation (`catalog.show`)
    target: String,
    /// local, shadow, canary, remote or verify; for an operation also inherit: its module's stage
    stage: String,
    /// With canary: which share of the callers goes to the service, in percent, in steps of 0.01
    #[arg(long)]
    percent: Option<Share>,
    /// With canary: who goes to the service ahead of the share, as name=principal:ada, name=header:x-beta=1 or
    /// name=attribute:tier=gold; repeat it for several. A canary keeps the cohorts it has unless some are named; `none` for none
    #[arg(long)]
    cohort: Vec<String>,
    /// With shadow and verify: which share of the calls is compared, in percent, in steps of 0.01 [default: 100]
    #[arg(long)]
    sample: Option<Share>,
    /// Why, for the audit trail
    #[arg(long)]
    why: Option<String>,
    /// Whether the monolith answers a query that the service cannot: local or none [default: local]
    #[arg(long)]
    fallback: Option<Fallback>,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Args)]
pub(super) struct OpenapiArgs {
    /// The module
    module: String,
}

#[derive(Debug, Args)]
pub(super) struct AsyncapiArgs {
    /// Only this module
    module: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// Signs with a new key from now on; tokens signed before stay valid until they end
    Rotate(Json),
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Checks every source and reports all mistakes at once
    Check,
    /// Prints what is in force and where it comes from, with secrets hidden
    Show(Json),
    /// Prints the address of a module's database, with its password: what a process elsewhere that serves it needs as
    /// modules.<module>.database_url
    Database {
        /// The module
        module: String,
    },
}

pub(super) async fn extract(args: ModuleArgs, global: &Global) -> Result<(), Failure> {
    modules::find(&args.module).map_err(Failure::Usage)?;
    let started: Value = Client::find(global)?
        .post(
            &format!("/control/v1/modules/{}/extract", args.module),
            &json!({"why": args.why}),
        )
        .await?;
    if args.output.json {
        return output::json(&started);
    }
    let text = |key: &str| started[key].as_str().unwrap_or_default().to_owned();
    output::text(&format!(
        "{} also runs in process {} at {} (log: {}); its stage is unchanged\n",
        args.module,
        started["pid"],
        text("url"),
        text("log")
    ))
}

pub(super) async fn merge_back(args: MergeBackArgs, global: &Global) -> Result<(), Failure> {
    modules::find(&args.module).map_err(Failure::Usage)?;
    let path = format!("/control/v1/modules/{}/merge-back", args.module);
    let answer: Value = Client::find(global)?.post(&path, &json!({"why": args.why})).await?;
    if args.output.json {
        return output::json(&answer);
    }
    let ended = answer["ended"].as_array().map(Vec::len).unwrap_or_default();
    let processes = if ended == 1 {
        "1 process was".to_owned()
    } else {
        format!("{ended} processes were")
    };
    output::text(&format!("{} is local again; {processes} ended\n", args.module))
}

pub(super) async fn stage(args: StageArgs, global: &Global) -> Result<(), Failure> {
    let stage = match args.stage.as_str() {
        "inherit" => None,
        text => Some(text.parse::<Stage>().map_err(Failure::Usage)?),
    };
    let cohorts = match args.cohort.as_slice() {
        [] => None,
        [none] if none == "none" => Some(Vec::new()),
        named => Some(
            named
                .iter()
                .map(|c| c.parse())
                .collect::<Result<_, _>>()
                .map_err(Failure::Usage)?,
        ),
    };
    let change = Change {
        target: args.target,
        stage,
        fallback: args.fallback,
        percent: args.percent,
        sample: args.sample,
        cohorts,
        why: args.why,
    };
    let flipped: Flipped = Client::find(global)?.post("/control/v1/stage", &change).await?;
    if args.output.json {
        return output::json(&flipped);
    }
    let entry = &flipped.entry;
    let mut text = format!("{}: {} → {}\n", entry.target, entry.from, entry.to);
    for operation in &flipped.not_compared {
        text.push_str(&format!("not compared: {operation}, which cannot be captured\n"));
    }
    output::text(&text)
}

pub(super) async fn status(args: Json, global: &Global) -> Result<(), Failure> {
    let status: Status = Client::find(global)?.get("/control/v1/status").await?;
    if args.json {
        return output::json(&status);
    }
    let head = [
        "MODULE",
        "STAGE",
        "INSTANCES",
        "LOCAL",
        "REMOTE",
        "FALLBACK",
        "MATCH",
        "COVERAGE",
        "P50/P99 LOCAL",
        "P50/P99 REMOTE",
        "DATA",
        "HEALTH",
        "LETTERS",
        "OUTBOX",
        "LAG",
        "SAGAS",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for module in &status.modules {
        rows.push(row(module));
        for (operation, at) in &module.operations {
            rows.push(vec![
                format!("  {operation}"),
                at_stage(&at.stage, at.percent, at.sample),
            ]);
        }
    }
    output::table(&rows)?;
    for module in status.modules.iter().filter(|m| m.keyless > 0) {
        let (name, keyless) = (&module.module, module.keyless);
        output::text(&format!(
            "\n{name}: {keyless} calls took the old path in a canary, as their caller has no subject, session or key\n"
        ))?;
    }
    let all = status.modules.iter().map(|m| &m.health).chain([&status.control]);
    let reasons: Vec<_> = all
        .flat_map(|h| &h.reasons)
        .map(|r| format!("  {}\n", printable(r)))
        .collect();
    if reasons.is_empty() {
        return Ok(());
    }
    output::text(&format!("\n{}:\n{}", status.health.as_str(), reasons.concat()))
}

/// A stage, with a canary's share or the share that is compared.
fn at_stage(stage: &str, percent: Option<Share>, sample: Option<Share>) -> String {
    match (percent, sample) {
        (Some(percent), _) => format!("{stage} {percent}"),
        (None, Some(sample)) => format!("{stage}, sample {sample}"),
        (None, None) => stage.to_owned(),
    }
}

fn row(m: &ModuleStatus) -> Vec<String> {
    let percent = |rate: Option<f64>| rate.map_or_else(|| "–".to_owned(), |r| format!("{:.2} %", r * 100.0));
    let pair = |p50: Option<f64>, p99: Option<f64>| match (p50, p99) {
        (Some(p50), Some(p99)) => format!("{p50:.1}/{p99:.1} ms"),
        _ => "–".to_owned(),
    };
    let healthy = m.instances.iter().filter(|i| i.healthy).count();
    let (local, remote) = (m.latency_ms.local, m.latency_ms.remote);
    vec![
        m.module.clone(),
        at_stage(&m.stage, m.percent, m.sample),
        format!("{healthy} of {} healthy", m.instances.len()),
        m.answered.local.to_string(),
        m.answered.remote.to_string(),
        m.answered.fallback.to_string(),
        percent(m.parallel_run.match_rate),
        percent(m.parallel_run.coverage),
        pair(local.p50, local.p99),
        pair(remote.p50, remote.p99),
        m.data.database.clone(),
    ]
    .into_iter()
    .chain(waiting(&m.health))
    .collect()
}

/// What waits in a module: health, dead letters with the age of the oldest, outbox, the largest lag, sagas that need a person.
fn waiting(health: &Health) -> [String; 5] {
    let word = health.health.as_str().to_owned();
    let Some(backlog) = &health.backlog else {
        return [word, "?".into(), "?".into(), "?".into(), "?".into()];
    };
    let letters = match (backlog.dead_letters.parked, backlog.dead_letters.oldest) {
        (0, _) | (_, None) => "0".to_owned(),
        (n, Some(since)) => format!("{n} since {}", since.format("%Y-%m-%d %H:%M:%SZ")),
    };
    let lag = backlog.subscriptions.iter().filter_map(|s| s.lag).max();
    let sagas = match (backlog.sagas.stuck, backlog.sagas.overdue) {
        (0, 0) => "–".to_owned(),
        (stuck, overdue) => format!("{stuck} stuck, {overdue} late"),
    };
    let lag = lag.map_or_else(|| "–".to_owned(), |n| n.to_string());
    [word, letters, backlog.outbox.depth.to_string(), lag, sagas]
}

pub(super) fn openapi(args: OpenapiArgs) -> Result<(), Failure> {
    let module = modules::find(&args.module).map_err(Failure::Usage)?;
    output::json(&(module.contract.openapi)())
}

pub(super) fn asyncapi(args: AsyncapiArgs) -> Result<(), Failure> {
    let contracts = match &args.module {
        Some(name) => vec![modules::find(name).map_err(Failure::Usage)?.contract],
        None => MODULES.iter().map(|m| m.contract).collect(),
    };
    output::json(&docs::events_document(contracts))
}

pub(super) async fn keys(command: KeysCommand, global: &Global) -> Result<(), Failure> {
    let KeysCommand::Rotate(args) = command;
    let answer: Value = Client::find(global)?
        .post("/control/v1/keys/rotate", &json!({}))
        .await?;
    if args.json {
        return output::json(&answer);
    }
    output::text(&format!(
        "the signing key is now {}\n",
        answer["signing_key"].as_str().unwrap_or_default()
    ))
}

pub(super) async fn config(command: ConfigCommand, global: &Global) -> Result<(), Failure> {
    let settings = settings(global, Vec::new())?;
    match command {
        ConfigCommand::Database { module } => {
            modules::find(&module).map_err(Failure::Usage)?;
            if migrations::of(&module).is_none() {
                return Err(Failure::Refused(format!("{module} has no data of its own")));
            }
            let url = databases::url(&settings, &module, false).await;
            output::text(&format!("{}\n", url.map_err(Failure::Failed)?))
        }
        ConfigCommand::Check => output::text("the settings are right\n"),
        ConfigCommand::Show(Json { json: true }) => output::json(&settings.show_json()),
        ConfigCommand::Show(_) => output::text(&settings.show()),
    }
}

pub(super) async fn migrate(args: Json, global: &Global) -> Result<(), Failure> {
    let settings = settings(global, Vec::new())?;
    std::fs::create_dir_all(&settings.data.folder).map_err(|e| {
        Failure::Failed(format!(
            "cannot make the data folder {}: {e}",
            settings.data.folder.display()
        ))
    })?;
    let mut done = Vec::new();
    for schema in std::iter::once(CONTROL).chain(MODULES.iter().map(|m| m.contract.name)) {
        let db = databases::connect(&settings, schema, Worker::Monolith)
            .await
            .map_err(Failure::Failed)?;
        let applied = databases::migrate(&db).await.map_err(Failure::Failed)?;
        done.push(json!({"schema": schema, "database": db.display_url(), "applied": applied}));
        db.close().await;
    }
    if args.json {
        return output::json(&json!({ "schemas": done }));
    }
    let mut rows = vec![["SCHEMA", "APPLIED", "DATABASE"].map(str::to_owned).to_vec()];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.extend(
        done.iter()
            .map(|d| vec![text(&d["schema"]), d["applied"].to_string(), text(&d["database"])]),
    );
    output::table(&rows)
}
