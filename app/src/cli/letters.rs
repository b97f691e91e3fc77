//! `banyan dead-letters`: events that a subscription could not handle.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use uuid::Uuid;

use super::{
    Failure, Global,
    client::Client,
    output::{self, Json, printable},
};
use crate::control::{ChosenLetters, Decided, Letter, Letters};

#[derive(Debug, Subcommand)]
pub(super) enum LettersCommand {
    /// Those that wait for a decision, oldest first
    #[command(
        after_help = "Examples:\n  banyan dead-letters list\n  banyan dead-letters list seating --json\n  banyan dead-letters list --state discarded --since 2026-11-01T00:00:00Z"
    )]
    List(ListArgs),
    /// One of them: the whole event, its error, its trace and every attempt
    #[command(after_help = "Example:\n  banyan dead-letters show seating/seating-from-catalog/17")]
    Show(ShowArgs),
    /// Has events handled again, once what was wrong is mended; later ones of the same subjects follow
    #[command(after_help = "Examples:
  banyan dead-letters retry seating/seating-from-catalog/17 --why \"venue mended\"
  banyan dead-letters retry --of seating/seating-from-catalog
  banyan dead-letters retry --all")]
    Retry(DecideArgs),
    /// Gives events up; later ones of the same subjects follow without them
    #[command(after_help = "Example:\n  banyan dead-letters discard seating/seating-from-catalog/17 --why \"a test\"")]
    Discard(DecideArgs),
    /// Takes a discard back: the events wait for a decision again. What of their subjects was handled meanwhile stays handled
    #[command(after_help = "Examples:
  banyan dead-letters list --state discarded
  banyan dead-letters restore seating/seating-from-catalog/17 --why \"it was none\"")]
    Restore(DecideArgs),
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only those of this module, or of this subscription of it
    #[arg(value_name = "MODULE[/SUBSCRIPTION]")]
    of: Option<String>,
    #[command(flatten)]
    only: Narrowed,
    /// parked, retried or discarded
    #[arg(long, default_value = "parked")]
    state: String,
    /// How many at most, the oldest
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    limit: u64,
    /// Go on where a list ended: the `next` it answered
    #[arg(long)]
    cursor: Option<String>,
    #[command(flatten)]
    output: Json,
}

/// What narrows a choice of letters.
#[derive(Debug, Args)]
pub(super) struct Narrowed {
    /// Only those of this subject, by its id
    #[arg(long)]
    subject: Option<Uuid>,
    /// Only those of this type of event, such as catalog.show.announced
    #[arg(long)]
    event: Option<String>,
    /// Only those parked then or later, such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<DateTime<Utc>>,
    /// Only those parked then or earlier
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
}

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Which one, as the list names it
    id: String,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true)]
pub(super) struct DecideArgs {
    /// These, as the list names them
    #[arg(group = "which", conflicts_with_all = ["of", "all", "subject", "event", "since", "until"])]
    ids: Vec<String>,
    /// Those of a module, or of one subscription of it
    #[arg(long, value_name = "MODULE[/SUBSCRIPTION]", group = "which", conflicts_with = "all")]
    of: Option<String>,
    /// All there are
    #[arg(long, group = "which")]
    all: bool,
    #[command(flatten)]
    only: Narrowed,
    /// Why, for the audit trail
    #[arg(long)]
    why: Option<String>,
    #[command(flatten)]
    output: Json,
}

pub(super) async fn run(command: LettersCommand, global: &Global) -> Result<(), Failure> {
    match command {
        LettersCommand::List(args) => list(args, global).await,
        LettersCommand::Show(args) => show(args, global).await,
        LettersCommand::Retry(args) => decide(args, global, "retry", "retried").await,
        LettersCommand::Discard(args) => decide(args, global, "discard", "discarded").await,
        LettersCommand::Restore(args) => decide(args, global, "restore", "restored").await,
    }
}

/// A time for a table.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Text from outside, on one line and not too long.
pub(super) fn short(text: &str) -> String {
    let text = printable(text);
    if text.chars().count() > 60 {
        text.chars().take(59).chain(['…']).collect()
    } else {
        text
    }
}

/// One part of a path.
pub(super) fn part(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

async fn list(args: ListArgs, global: &Global) -> Result<(), Failure> {
    let Narrowed {
        subject,
        event,
        since,
        until,
    } = args.only;
    let mut path = format!(
        "/control/v1/dead-letters?limit={}&state={}",
        args.limit,
        part(&args.state)
    );
    let asked = [
        ("of", args.of),
        ("subject", subject.map(|id| id.to_string())),
        ("event", event),
        ("since", since.map(|at| at.to_rfc3339())),
        ("until", until.map(|at| at.to_rfc3339())),
        ("cursor", args.cursor),
    ];
    for (name, value) in asked {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", part(&value)));
        }
    }
    let letters: Letters = Client::find(global)?.get(&path).await?;
    if args.output.json {
        return output::json(&letters);
    }
    letters.not_read.iter().for_each(|why| output::message(why));
    if letters.dead_letters.is_empty() {
        output::message("there are no such dead letters; `banyan status` shows what waits where");
        return Ok(());
    }
    let next = letters.next;
    let head = ["ID", "EVENT", "SUBJECT", "TRIED", "FIRST", "LAST", "WAITING", "ERROR"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for letter in letters.dead_letters {
        rows.push(vec![
            letter.id,
            letter.event.unwrap_or_else(|| "–".to_owned()),
            letter.subject.unwrap_or_else(|| "–".to_owned()),
            letter.attempts.to_string(),
            letter.first_at.map_or_else(|| "–".to_owned(), time),
            letter.last_at.map_or_else(|| "–".to_owned(), time),
            letter.waiting.to_string(),
            short(&letter.error),
        ]);
    }
    output::table(&rows)?;
    more(next.as_deref());
    Ok(())
}

/// Says how a list goes on.
pub(super) fn more(next: Option<&str>) {
    if let Some(cursor) = next {
        output::message(&format!("there are more: add --cursor {cursor}"));
    }
}

async fn show(args: ShowArgs, global: &Global) -> Result<(), Failure> {
    let parts: Vec<_> = args.id.split('/').map(part).collect();
    if parts.len() != 3 {
        let id = &args.id;
        return Err(Failure::Usage(format!(
            "`{id}` names no dead letter: one is called <module>/<subscription>/<position>, as `banyan dead-letters list` shows"
        )));
    }
    let path = format!("/control/v1/dead-letters/{}", parts.join("/"));
    let letter: Letter = Client::find(global)?.get(&path).await?;
    if args.output.json {
        return output::json(&letter);
    }
    let mut text = String::new();
    let mut say = |name: &str, value: &str| text.push_str(&format!("{name:<10} {}\n", printable(value)));
    let line = &letter.line;
    say("letter", &line.id);
    let by = letter.resolved_by.as_deref().unwrap_or("somebody");
    match letter.resolved_at {
        Some(at) => say("state", &format!("{} by {by} at {}", line.state, time(at))),
        None => say("state", &format!("parked since {}", time(line.parked_at))),
    }
    say("error", &line.error);
    say("waiting", &format!("{} later events of the same subject", line.waiting));
    if let Some(envelope) = &letter.envelope {
        say("trace", &envelope.traceparent);
    }
    for tried in letter.tried.as_array().into_iter().flatten() {
        let at = tried["at"].as_str().unwrap_or_default();
        let mut rest = tried
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "at");
        let what = rest
            .next()
            .map(|(name, value)| format!("{name}: {}", value.as_str().unwrap_or_default()));
        say("tried", &format!("{at}  {}", what.unwrap_or_default()));
    }
    output::text(&text)?;
    match &letter.envelope {
        Some(envelope) => {
            let pretty = serde_json::to_string_pretty(envelope).map_err(|e| Failure::Failed(e.to_string()))?;
            output::text(&format!("{pretty}\n"))
        }
        None => output::text("what is stored is no event\n"),
    }
}

async fn decide(args: DecideArgs, global: &Global, verb: &str, done: &str) -> Result<(), Failure> {
    let asked = ChosenLetters {
        ids: args.ids,
        of: args.of,
        all: args.all,
        subject: args.only.subject,
        event: args.only.event,
        since: args.only.since,
        until: args.only.until,
        why: args.why,
    };
    let path = format!("/control/v1/dead-letters/{verb}");
    let decided: Decided = Client::find(global)?.post(&path, &asked).await?;
    if args.output.json {
        return output::json(&decided);
    }
    let letters = if decided.done == 1 {
        "dead letter"
    } else {
        "dead letters"
    };
    output::text(&format!("{} {letters} {done}\n", decided.done))?;
    if decided.more {
        output::message("there are more: run this again");
    }
    Ok(())
}
