//! `banyan sagas`: business processes over several modules, and those that need a person.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    Failure, Global,
    client::Client,
    letters::{more, part, short, time},
    output::{self, Json, printable},
};
use crate::control::{CancelSaga, Chosen, Resumed, SagaCancelled, SagaList, SagaSheet};

#[derive(Debug, Subcommand)]
pub(super) enum SagasCommand {
    /// Those that are not over: stuck ones first, then late ones
    #[command(
        after_help = "Examples:\n  banyan sagas list\n  banyan sagas list --status done --module ordering --json"
    )]
    List(ListArgs),
    /// One of them: every step, what it works on, its trace
    #[command(after_help = "Example:\n  banyan sagas show ordering/0190f2d4-5c1e-7a3b-8f00-3c2a1b0d9e8f")]
    Show(ShowArgs),
    /// Has stuck ones go on, once what was wrong is mended
    #[command(after_help = "Examples:
  banyan sagas resume 0190f2d4-5c1e-7a3b-8f00-3c2a1b0d9e8f --why \"provider is back\"
  banyan sagas resume --all")]
    Resume(ResumeArgs),
    /// Gives up a stuck one: what it has done is undone, or taken back where there is no undoing (an order's money is given back)
    #[command(after_help = "Example:
  banyan sagas cancel ordering/0190f2d4-5c1e-7a3b-8f00-3c2a1b0d9e8f --why \"the hall has no such row\"")]
    Cancel(CancelArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this module
    #[arg(long)]
    module: Option<String>,
    /// Only those of this status: stuck, running, compensating, done, undone or abandoned; or all, or late
    #[arg(long)]
    status: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Go on where a list ended: the `next` it answered
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its id, or module and id
    #[arg(value_name = "[MODULE/]ID")]
    id: String,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true)]
pub(super) struct ResumeArgs {
    /// These
    #[arg(value_name = "[MODULE/]ID", group = "which", conflicts_with_all = ["module", "all"])]
    ids: Vec<String>,
    /// Those of this module that are stuck
    #[arg(long, group = "which", conflicts_with = "all")]
    module: Option<String>,
    /// All that are stuck
    #[arg(long, group = "which")]
    all: bool,
    /// Why, for the audit trail
    #[arg(long)]
    why: Option<String>,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Args)]
pub(super) struct CancelArgs {
    /// Its id, or module and id
    #[arg(value_name = "[MODULE/]ID")]
    id: String,
    /// Why, for the audit trail; it is kept with the saga too
    #[arg(long)]
    why: String,
    #[command(flatten)]
    output: Json,
}

pub(super) async fn run(command: SagasCommand, global: &Global) -> Result<(), Failure> {
    match command {
        SagasCommand::List(args) => list(args, global).await,
        SagasCommand::Show(args) => show(args, global).await,
        SagasCommand::Resume(args) => resume(args, global).await,
        SagasCommand::Cancel(args) => cancel(args, global).await,
    }
}

async fn list(args: ListArgs, global: &Global) -> Result<(), Failure> {
    let mut path = format!("/control/v1/sagas?limit={}", args.limit);
    for (name, value) in [
        ("module", &args.module),
        ("status", &args.status),
        ("cursor", &args.cursor),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", part(value)));
        }
    }
    let list: SagaList = Client::find(global)?.get(&path).await?;
    if args.output.json {
        return output::json(&list);
    }
    list.not_read.iter().for_each(|why| output::message(why));
    if list.sagas.is_empty() {
        output::message(
            "there is no such saga; those that are over are listed with --status done, undone or abandoned",
        );
        return Ok(());
    }
    let next = list.next;
    let head = [
        "MODULE", "ID", "KIND", "STATUS", "STEP", "TRIED", "DEADLINE", "CHANGED", "REASON",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for saga in list.sagas {
        let status = if saga.overdue {
            format!("{}, late", saga.status)
        } else {
            saga.status
        };
        rows.push(vec![
            saga.module,
            saga.id.to_string(),
            saga.kind,
            status,
            saga.step,
            saga.attempts.to_string(),
            saga.deadline.map_or_else(|| "–".to_owned(), time),
            time(saga.changed_at),
            saga.reason
                .map_or_else(String::new, |reason| short(&reason.to_string())),
        ]);
    }
    output::table(&rows)?;
    more(next.as_deref());
    Ok(())
}

async fn show(args: ShowArgs, global: &Global) -> Result<(), Failure> {
    let parts: Vec<_> = args.id.split('/').map(part).collect();
    let path = format!("/control/v1/sagas/{}", parts.join("/"));
    let saga: SagaSheet = Client::find(global)?.get(&path).await?;
    if args.output.json {
        return output::json(&saga);
    }
    let line = &saga.line;
    let mut text = String::new();
    let mut say = |name: &str, value: &str| text.push_str(&format!("{name:<10} {}\n", printable(value)));
    say("saga", &format!("{}/{} ({})", line.module, line.id, line.kind));
    let way = if saga.undoing { ", going back" } else { "" };
    let late = if line.overdue { ", late" } else { "" };
    say("status", &format!("{}{way}{late}", line.status));
    say("step", &format!("{} (attempt {})", line.step, line.attempts));
    say("began", &time(line.began_at));
    say("changed", &time(line.changed_at));
    if let Some(deadline) = line.deadline {
        say("deadline", &time(deadline));
    }
    if let Some(reason) = &line.reason {
        say("reason", &reason.to_string());
    }
    say("trace", &saga.traceparent);
    say("state", &saga.state.to_string());
    output::text(&text)?;
    let mut rows = vec![
        ["STEP", "WAY", "STATE", "TRIED", "AT", "OUTCOME"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for step in saga.steps {
        let outcome = step.outcome.as_ref().map(Value::to_string).unwrap_or_default();
        let tried = step.attempts.to_string();
        rows.push(vec![
            step.step,
            step.deed,
            step.state,
            tried,
            time(step.at),
            short(&outcome),
        ]);
    }
    output::table(&rows)
}

async fn resume(args: ResumeArgs, global: &Global) -> Result<(), Failure> {
    let asked = Chosen {
        ids: args.ids,
        of: args.module,
        all: args.all,
        why: args.why,
    };
    let resumed: Resumed = Client::find(global)?.post("/control/v1/sagas/resume", &asked).await?;
    if args.output.json {
        return output::json(&resumed);
    }
    let sagas = if resumed.resumed == 1 { "saga goes" } else { "sagas go" };
    output::text(&format!("{} {sagas} on\n", resumed.resumed))?;
    if resumed.more {
        output::message("there are more: run this again");
    }
    Ok(())
}

async fn cancel(args: CancelArgs, global: &Global) -> Result<(), Failure> {
    let asked = CancelSaga {
        id: args.id,
        why: args.why,
    };
    let cancelled: SagaCancelled = Client::find(global)?.post("/control/v1/sagas/cancel", &asked).await?;
    if args.output.json {
        return output::json(&cancelled);
    }
    let becomes = match cancelled.status.as_str() {
        "abandoned" => "is given up; what takes it back has begun",
        _ => "turns round; what it has done is being undone",
    };
    output::text(&format!("saga {} {becomes}\n", cancelled.saga))
}
