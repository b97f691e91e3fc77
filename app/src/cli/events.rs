//! `banyan events tail`.

use clap::{Args, Subcommand};
use serde::Deserialize;
use strangler_store::Envelope;
use tokio::sync::mpsc;

use super::{
    Failure, Global,
    client::Client,
    output::{self, Json},
};
use crate::modules;

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
    /// Prints the last events and then those to come, until it is interrupted
    #[command(after_help = "Examples:\n  banyan events tail\n  banyan events tail --module catalog --once --json")]
    Tail(TailArgs),
}

#[derive(Debug, Args)]
pub(super) struct TailArgs {
    /// Only this module's events
    #[arg(long)]
    module: Option<String>,
    /// How many of the last events of each module to begin with
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=1000))]
    last: u64,
    /// Do not wait for more
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    output: Json,
}

#[derive(Deserialize)]
struct Batch {
    position: i64,
    events: Vec<Envelope>,
}

pub(super) async fn run(EventsCommand::Tail(args): EventsCommand, global: &Global) -> Result<(), Failure> {
    let sources = match &args.module {
        Some(name) => vec![modules::find(name).map_err(Failure::Usage)?.contract.name],
        None => modules::names(),
    };
    let (send, mut receive) = mpsc::channel(16);
    for source in sources {
        let (client, send, last, once) = (Client::find(global)?, send.clone(), args.last, args.once);
        tokio::spawn(async move {
            let mut path = format!("/control/v1/events/{source}?limit={last}");
            loop {
                let batch = client.get::<Batch>(&path).await;
                let next = batch.as_ref().ok().map(|b| b.position);
                if send.send(batch.map(|b| b.events)).await.is_err() {
                    return;
                }
                match next {
                    Some(position) if !once => path = format!("/control/v1/events/{source}?after={position}"),
                    _ => return,
                }
            }
        });
    }
    drop(send);
    while let Some(events) = receive.recv().await {
        for event in events? {
            if args.output.json {
                output::json(&event)?;
            } else {
                let at = event.time.format("%Y-%m-%d %H:%M:%S%.3fZ");
                output::text(&format!(
                    "{at}  {}#{}  {}  {} v{}\n",
                    event.source, event.position, event.event_type, event.subject, event.aggregateversion
                ))?;
            }
        }
    }
    Ok(())
}
