//! The command line. Data goes to stdout, messages to stderr; every refusal says what to do next.
//!
//! Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused (a precondition does not hold), 4 no running system reached.

mod cases;
mod client;
mod commands;
mod diffs;
mod events;
mod letters;
mod map;
mod output;
mod requests;
mod sagas;
mod serving;
mod trail;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    modules,
    settings::{Flag, Settings, Sources},
};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// It was tried and failed (1).
    Failed(String),
    /// It was asked wrongly (2).
    Usage(String),
    /// A precondition does not hold (3).
    Refused(String),
    /// No running system was reached (4).
    NotReached(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Refused(_) => 3,
            Self::NotReached(_) => 4,
        }
    }

    fn message(&self) -> &str {
        let (Self::Failed(text) | Self::Usage(text) | Self::Refused(text) | Self::NotReached(text)) = self;
        text
    }
}

/// A box office in one binary, whose modules can be extracted into services of their own, live, and taken back.
#[derive(Debug, Parser)]
#[command(name = "banyan", version, propagate_version = true)]
#[command(after_help = "Examples:
  banyan                                     the whole system, on http://127.0.0.1:8080
  banyan extract catalog                     the catalog in a process of its own, beside it
  banyan stage catalog shadow --why \"try\"    both asked, compared; the monolith answers
  banyan stage catalog remote                the service answers
  banyan merge-back catalog                  and back again")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Global {
    /// The settings file [default: banyan.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder, where the tokens are [default: the setting data.folder]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The running system's internal address [default: BANYAN_CONTROL, else the setting internal.listen]
    #[arg(long, global = true, value_name = "URL")]
    control: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the whole system, or some modules beside a running one
    #[command(after_help = "Examples:
  banyan serve
  banyan serve --only catalog --join http://127.0.0.1:8081 --listen 127.0.0.1:9000")]
    Serve(serving::ServeArgs),
    /// Starts a process that serves a module, beside the running system
    #[command(
        after_help = "Example:\n  banyan extract catalog        again: one more instance, in turn with the first"
    )]
    Extract(commands::ModuleArgs),
    /// Puts a module back to `local` and ends every process that `extract` started for it
    MergeBack(commands::MergeBackArgs),
    /// Flips the toggle of a module or of one operation, for the next call
    #[command(after_help = "Examples:
  banyan stage catalog shadow --sample 10 --why \"first look\"
  banyan stage catalog canary --percent 5 --cohort staff=header:x-staff=1
  banyan stage catalog.show remote --fallback none
  banyan stage catalog.show inherit")]
    Stage(commands::StageArgs),
    /// The migration map: who answers what, and how both sides compare
    Status(output::Json),
    /// Who calls whom and who hears whom: what is declared, and what is seen
    #[command(after_help = "Examples:\n  banyan map\n  banyan map --json")]
    Map(output::Json),
    /// The last requests, each with the calls that it caused
    #[command(after_help = "Examples:
  banyan requests --outcome error
  banyan requests --module seating --min-ms 100
  banyan requests show 4bf92f3577b34da6a3ce929d0e0e4736")]
    Requests(requests::RequestsArgs),
    /// How the service's answers differ from the monolith's, and what is said of it
    #[command(after_help = "Examples:
  banyan diffs catalog
  banyan diffs catalog --operation catalog.show --path /prices/0/price/amount --kind value
  banyan diffs catalog --path /venue --acknowledge-until 2026-12-24 --why \"comes with the new venues\"
  banyan diffs catalog --save tests/cases")]
    Diffs(diffs::DiffsArgs),
    /// Does saved mismatches again, on either side; nothing is written because of it
    #[command(after_help = "Examples:
  banyan cases tests/cases
  banyan cases tests/cases/catalog.show-value-starts_at-1f2e3d4c.json --side remote")]
    Cases(cases::CasesArgs),
    /// Who changed what, when and why
    Audit(trail::AuditArgs),
    /// What happens in the modules
    #[command(subcommand)]
    Events(events::EventsCommand),
    /// Events that a subscription could not handle, for a person to decide
    #[command(subcommand)]
    DeadLetters(letters::LettersCommand),
    /// Business processes over several modules, and those that need a person
    #[command(subcommand)]
    Sagas(sagas::SagasCommand),
    /// A contract's OpenAPI document
    Openapi(commands::OpenapiArgs),
    /// What the modules tell others, as an AsyncAPI document: of all of them, or of one
    #[command(after_help = "Examples:\n  banyan asyncapi\n  banyan asyncapi catalog")]
    Asyncapi(commands::AsyncapiArgs),
    /// The keys that sign tokens between processes
    #[command(subcommand)]
    Keys(commands::KeysCommand),
    /// The settings: whether they are right, and what is in force
    #[command(subcommand)]
    Config(commands::ConfigCommand),
    /// Stand-ins for third parties, to try things out
    #[command(subcommand)]
    Sandbox(serving::SandboxCommand),
    /// Brings every schema up to date, and makes schemas and roles on PostgreSQL
    Migrate(output::Json),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = cli.command.unwrap_or(Command::Serve(serving::ServeArgs::default()));
    match run(command, &cli.global) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::message(failure.message());
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: Command, global: &Global) -> Result<(), Failure> {
    let several = matches!(command, Command::Serve(_) | Command::Sandbox(_));
    let mut runtime = if several {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Failed(format!("cannot start the runtime: {e}")))?;
    let done = runtime.block_on(async {
        match command {
            Command::Serve(args) => serving::serve(args, global).await,
            Command::Extract(args) => commands::extract(args, global).await,
            Command::MergeBack(args) => commands::merge_back(args, global).await,
            Command::Stage(args) => commands::stage(args, global).await,
            Command::Status(args) => commands::status(args, global).await,
            Command::Map(args) => map::run(args, global).await,
            Command::Requests(args) => requests::run(args, global).await,
            Command::Diffs(args) => diffs::diffs(args, global).await,
            Command::Cases(args) => cases::cases(args, global).await,
            Command::Audit(args) => trail::audit(args, global).await,
            Command::Events(command) => events::run(command, global).await,
            Command::DeadLetters(command) => letters::run(command, global).await,
            Command::Sagas(command) => sagas::run(command, global).await,
            Command::Openapi(args) => commands::openapi(args),
            Command::Asyncapi(args) => commands::asyncapi(args),
            Command::Keys(command) => commands::keys(command, global).await,
            Command::Config(command) => commands::config(command, global).await,
            Command::Sandbox(command) => serving::sandbox(command, global).await,
            Command::Migrate(args) => commands::migrate(args, global).await,
        }
    });
    // A blocked read of a terminal or file must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

/// The settings of this process, with `flags` on top.
fn settings(global: &Global, mut flags: Vec<Flag>) -> Result<Settings, Failure> {
    if let Some(data) = &global.data {
        flags.push(Flag::new("--data", "data.folder", data.to_string_lossy()));
    }
    let names = modules::names();
    Settings::load(&Sources::of_process(global.config.clone(), flags, &names)).map_err(|mistakes| {
        Failure::Usage(
            format!("{mistakes}\nnothing was started; `banyan config check` says when all is right")
                .replace("\n\n", "\n"),
        )
    })
}
