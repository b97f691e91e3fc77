//! Settings: `banyan.toml`, then the environment, then flags; the later wins.
//!
//! One table ([`keys`]) says which keys there are, of what type, within which range, and what they mean. Reading,
//! checking, `config show` and the reference come from it. All mistakes of all sources are reported at once, each with
//! the place it was made, and no secret is ever printed.

mod combinations;
mod keys;
mod layers;
mod mistakes;
mod secret;
mod show;
mod sources;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer};

pub use mistakes::{Mistake, SettingsErrors};
pub use secret::{Secret, hide_password};
pub use show::{InForce, reference};
pub use sources::{Flag, Sources, variable};

use crate::telemetry::LogFormat;

/// Everything that can be set, checked and with its type. Sizes are in bytes.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// The public address.
    pub public: Public,
    /// The internal address.
    pub internal: Internal,
    /// The data folder.
    pub data: Data,
    /// The database that takes the data folder's place.
    #[serde(default)]
    pub database: Database,
    /// What is set for single modules, by name; only modules for which something is set.
    #[serde(default)]
    pub modules: BTreeMap<String, Module>,
    /// Access tokens between processes.
    pub identity: Identity,
    /// Parallel runs.
    pub parallel_run: ParallelRun,
    /// Calls to extracted services.
    pub remote: Remote,
    /// Processes that joined.
    pub instances: Instances,
    /// The console.
    pub console: Console,
    /// The log.
    pub log: Log,
    /// The way down.
    pub shutdown: Shutdown,
    #[serde(skip)]
    in_force: Vec<InForce>,
}

/// `[public]`: where everybody comes in.
#[derive(Clone, Debug, Deserialize)]
pub struct Public {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether answers say who gave them (`Server-Timing`).
    pub server_timing: bool,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// How many connections may be open at once.
    pub connections: usize,
    /// How many orders may be followed at once from one address.
    pub streams_per_client: usize,
    /// How long a request may take.
    #[serde(rename = "budget_ms", deserialize_with = "milliseconds")]
    pub budget: Duration,
}

/// `[internal]`: contracts between processes, control, metrics.
#[derive(Clone, Debug, Deserialize)]
pub struct Internal {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many connections may be open at once.
    pub connections: usize,
}

/// `[data]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Data {
    /// The folder of tokens and keys and, on the embedded default, of the databases.
    pub folder: PathBuf,
}

/// `[database]`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Database {
    /// A `postgres://` address: one schema and one role per module there, instead of files in the data folder.
    pub url: Option<Secret>,
}

/// `[modules.<name>]`.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Module {
    /// The module's own database (`sqlite:` or `postgres://`), after it has moved.
    pub database_url: Option<Secret>,
    /// Of payments: the provider's address.
    pub provider_url: Option<String>,
    /// Of notifications: where mail goes.
    pub mail: Option<Secret>,
    /// Of notifications: who writes.
    pub from: Option<String>,
    /// Of notifications: the file with the authorities of the mail server.
    pub mail_ca_file: Option<PathBuf>,
    /// Of notifications: how many days mails are kept that are over; 0 is for ever.
    pub keep_days: Option<u32>,
}

/// `[identity]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Identity {
    /// How long an access token is valid, in seconds.
    pub token_ttl_s: u32,
    /// How old a signing key becomes before the next one takes over, in seconds.
    pub rotate_s: u32,
}

/// `[parallel_run]`: the second run of a compared call.
#[derive(Clone, Debug, Deserialize)]
pub struct ParallelRun {
    /// How many may wait; what does not fit is dropped and counted.
    pub queue: usize,
    /// How many may run at once.
    pub in_flight: usize,
    /// How long one may take.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
    /// The largest body that is kept for a comparison, in bytes.
    pub body_limit: usize,
}

/// `[remote]`: calls to a service.
#[derive(Clone, Debug, Deserialize)]
pub struct Remote {
    /// How long one may take, within what is left of the request's budget.
    #[serde(rename = "timeout_ms", deserialize_with = "milliseconds")]
    pub timeout: Duration,
    /// How many may be under way at once to one service.
    pub in_flight: usize,
}

/// `[instances]`: processes that joined.
#[derive(Clone, Debug, Deserialize)]
pub struct Instances {
    /// How often one shows that it is alive.
    #[serde(rename = "heartbeat_ms", deserialize_with = "milliseconds")]
    pub heartbeat: Duration,
    /// After how long a silence it counts as lost.
    #[serde(rename = "lost_after_ms", deserialize_with = "milliseconds")]
    pub lost_after: Duration,
}

/// `[console]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Console {
    /// How many of the last requests are kept with their calls; 0 keeps none, and costs nothing.
    pub requests: usize,
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Log {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged: a level or `target=level`, separated by commas.
    pub level: String,
}

/// `[shutdown]`.
#[derive(Clone, Debug, Deserialize)]
pub struct Shutdown {
    /// How long accepted work may take to finish after SIGTERM.
    #[serde(rename = "grace_ms", deserialize_with = "milliseconds")]
    pub grace: Duration,
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

impl Settings {
    /// Reads and checks all sources.
    ///
    /// # Errors
    /// All mistakes of all sources, in the order of the sources.
    pub fn load(sources: &Sources<'_>) -> Result<Self, SettingsErrors> {
        let (values, mut mistakes) = layers::read(sources);
        match values.merged.clone().try_deserialize::<Self>() {
            Ok(settings) => {
                let settings = Self {
                    in_force: show::in_force(&values, sources.modules),
                    ..settings
                };
                mistakes.extend(combinations::check(&settings, &values.failed));
                if mistakes.is_empty() {
                    Ok(settings)
                } else {
                    Err(SettingsErrors(mistakes))
                }
            }
            // Every value was checked against the table, so this is a table that does not fit the struct: a bug, and
            // a test keeps it out.
            Err(error) => {
                mistakes.push(Mistake::new("settings", format!("cannot be read: {error}")));
                Err(SettingsErrors(mistakes))
            }
        }
    }

    /// Every key with its value (secrets hidden) and where it came from, in the order of the reference.
    pub fn in_force(&self) -> &[InForce] {
        &self.in_force
    }

    /// Where the value of a key (`public.listen`) came from: `default`, `banyan.toml:3`, an environment variable, a
    /// flag.
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.in_force
            .iter()
            .find(|one| one.key == key)
            .map(|one| one.origin.as_str())
    }
}
