//! `banyan serve`.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

use super::{Failure, Global, output, settings};
use crate::{
    identity::{JOIN_TOKEN_VARIABLE, OPERATOR_TOKEN_FILE, join_token},
    serve::{JoinOptions, ServeOptions, join, monolith},
    settings::{Flag, Settings, variable},
    telemetry,
};

#[derive(Debug, Default, Args)]
pub(super) struct ServeArgs {
    /// Do not load the sample season on the first start
    #[arg(long)]
    no_sample: bool,
    /// Serve only this module, beside the system that --join names
    #[arg(long, value_name = "MODULE", requires = "join")]
    only: Option<String>,
    /// The internal address of the running system
    #[arg(long, value_name = "URL", requires = "only")]
    join: Option<String>,
    /// Where to listen: the public address, or with --only the module's [default: 127.0.0.1:8080, with --only a free port]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Register this address instead: a load balancer's, a sidecar's
    #[arg(long, value_name = "URL", requires = "only")]
    advertise: Option<String>,
    #[arg(long, hide = true, requires = "only")]
    extracted: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Debug, Subcommand)]
pub(super) enum SandboxCommand {
    /// The payment provider's: a real HTTP server with its ledger on disk
    #[command(
        after_help = "Tokens: tok_ok pays, tok_declined does not, tok_slow takes 2 s, tok_flaky fails some calls.
GET /ledger shows what was paid.

Example:
  banyan sandbox payments --listen 127.0.0.1:9090 --data sandbox
  BANYAN_MODULES__PAYMENTS__PROVIDER_URL=http://127.0.0.1:9090 banyan serve"
    )]
    Payments(SandboxArgs),
}

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
}

pub(super) async fn sandbox(command: SandboxCommand, global: &Global) -> Result<(), Failure> {
    let SandboxCommand::Payments(args) = command;
    // Its own folder: it is no part of the system, and has no settings.
    let data = global.data.clone().unwrap_or_else(|| "sandbox".into());
    let ready = |address| output::message(&format!("The payment sandbox is ready: http://{address}/ledger"));
    crate::sandbox::alone(args.listen, &data, ready)
        .await
        .map_err(Failure::Failed)
}

pub(super) async fn serve(args: ServeArgs, global: &Global) -> Result<(), Failure> {
    let mut flags = Vec::new();
    if let (Some(listen), None) = (args.listen, &args.only) {
        flags.push(Flag::new("--listen", "public.listen", listen.to_string()));
    }
    let settings = settings(global, flags)?;
    telemetry::init(settings.log.format, &settings.log.level).map_err(|e| Failure::Failed(e.to_string()))?;
    match (args.only.clone(), args.join.clone()) {
        (Some(module), Some(address)) => join_running(args, settings, module, address).await,
        _ => {
            let options = ServeOptions {
                no_sample: args.no_sample,
                config: global.config.clone(),
            };
            let token = settings.data.folder.join(OPERATOR_TOKEN_FILE);
            let console = move |address: SocketAddr| {
                output::message(&format!(
                    "Banyan is ready.\n  Shop     http://{address}/\n  API      http://{address}/api/v1/catalog/shows\n  Docs     http://{address}/docs/\n  Console  http://{address}/console  (the operator's token is in {})",
                    token.display()
                ));
            };
            monolith(settings, options, console).await.map_err(Failure::Failed)
        }
    }
}

async fn join_running(args: ServeArgs, settings: Settings, module: String, monolith: String) -> Result<(), Failure> {
    for (flag, url) in [("--join", Some(&monolith)), ("--advertise", args.advertise.as_ref())] {
        if let Some(url) = url
            && !(url.starts_with("http://") && url.parse::<http::Uri>().is_ok())
        {
            return Err(Failure::Usage(format!(
                "{flag}: `{url}` is not of the form http://host:port"
            )));
        }
    }
    crate::modules::find(&module).map_err(Failure::Usage)?;
    let token = join_token(variable(JOIN_TOKEN_VARIABLE).as_deref(), &settings.data.folder);
    let options = JoinOptions {
        module,
        monolith,
        listen: args.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
        advertise: args.advertise,
        extracted: args.extracted,
        token: token.map_err(|e| Failure::Failed(e.to_string()))?,
    };
    join(settings, options, |_| ()).await.map_err(Failure::Failed)
}
