//! `banyan requests`: the last requests, and the tree of calls of one.

use clap::{Args, Subcommand};
use strangler::calls::Call;

use super::{
    Failure, Global,
    client::Client,
    letters::{part, time},
    output::{self, Json, printable},
};
use crate::control::{RequestLine, RequestList, RequestSheet, Wanted};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct RequestsArgs {
    #[command(subcommand)]
    command: Option<RequestsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum RequestsCommand {
    /// One of them: every call that it caused, in whichever process
    #[command(after_help = "Example:\n  banyan requests show 4bf92f3577b34da6a3ce929d0e0e4736")]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only those that called this module, among others
    #[arg(long)]
    module: Option<String>,
    /// Only those to this operation, such as catalog.show
    #[arg(long)]
    operation: Option<String>,
    /// Only those that ended like this: error (5xx), refused (4xx) or slow
    #[arg(long)]
    outcome: Option<String>,
    /// Only those that took at least so many milliseconds
    #[arg(long, value_name = "MS")]
    min_ms: Option<f64>,
    /// Only those of this trace
    #[arg(long)]
    trace: Option<String>,
    /// How many at most, the last
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Those before an earlier answer's end, as --json told it
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Its trace, as the list shows it and the answer's header traceparent has it
    trace: String,
    #[command(flatten)]
    output: Json,
}

pub(super) async fn run(args: RequestsArgs, global: &Global) -> Result<(), Failure> {
    match args.command {
        Some(RequestsCommand::Show(asked)) => show(asked, global).await,
        None => list(args.list, global).await,
    }
}

async fn list(args: ListArgs, global: &Global) -> Result<(), Failure> {
    let wanted = Wanted {
        module: args.module,
        operation: args.operation,
        outcome: args.outcome,
        min_ms: args.min_ms,
        trace: args.trace,
        q: None,
        limit: Some(args.limit),
        cursor: args.cursor,
    };
    let path = format!("/control/v1/requests?{}", wanted.query());
    let list: RequestList = Client::find(global)?.get(&path).await?;
    if args.output.json {
        return output::json(&list);
    }
    if !list.recording {
        output::message("no requests are kept: set console.requests to how many should be, and start again");
        return Ok(());
    }
    if list.requests.is_empty() {
        output::message(&format!("none of the last {} requests is such", list.capacity));
        return Ok(());
    }
    let head = ["TIME", "TRACE", "OPERATION", "SIDE", "STATUS", "MS", "CALLS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(list.requests.iter().map(row));
    output::table(&rows)?;
    if list.next.is_some() {
        output::message(&format!("{} requests are such; see more with --limit", list.found));
    }
    Ok(())
}

fn row(line: &RequestLine) -> Vec<String> {
    vec![
        time(line.at),
        line.trace.clone(),
        line.operation.to_string(),
        line.side.to_string(),
        outcome(line.status, line.fault.as_deref()),
        format!("{:.2}", line.took_ms),
        line.calls.to_string(),
    ]
}

fn outcome(status: u16, fault: Option<&str>) -> String {
    fault.map_or_else(|| status.to_string(), |fault| format!("{status} {fault}"))
}

async fn show(args: ShowArgs, global: &Global) -> Result<(), Failure> {
    let path = format!("/control/v1/requests/{}", part(&args.trace));
    let sheet: RequestSheet = Client::find(global)?.get(&path).await?;
    if args.output.json {
        return output::json(&sheet);
    }
    sheet.not_asked.iter().for_each(|why| output::message(why));
    output::text(&tree(&sheet))
}

/// The calls, each below the one that made it.
fn tree(sheet: &RequestSheet) -> String {
    let mut text = format!(
        "trace {}  {}  {:.2} ms\n",
        sheet.tree.trace,
        time(sheet.at),
        sheet.tree.took_ms
    );
    for (depth, call) in sheet.tree.flat() {
        let Call {
            starts_ms,
            took_ms,
            own_ms,
            way_ms,
            ..
        } = call;
        let times = format!("{took_ms:.2} ms (own {own_ms:.2}, way {way_ms:.2}) at +{starts_ms:.2}");
        let asked = if depth == 0 {
            format!(" from {}", call.caller)
        } else {
            String::new()
        };
        let line = format!(
            "{}{}{asked}  {} {}  {}  {times}",
            "  ".repeat(depth + 1),
            call.operation,
            call.side,
            ran_in(call),
            outcome(call.status, call.fault.as_deref()),
        );
        text.push_str(&printable(&line));
        text.push('\n');
    }
    text
}

fn ran_in(call: &Call) -> String {
    match &call.process {
        None => "nobody known".to_owned(),
        Some(process) => match &process.url {
            None => format!("monolith (pid {})", process.pid),
            Some(url) => format!("{url} (pid {})", process.pid),
        },
    }
}
