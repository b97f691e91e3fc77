//! The table of all keys, and what a value must be.

use std::net::SocketAddr;

use config::ValueKind;
use tracing_subscriber::EnvFilter;
use url::Url;

/// One key.
pub(super) struct Key {
    /// Its full name; `modules.<name>.…` stands for one per module.
    pub(super) name: &'static str,
    /// What its value must be.
    pub(super) kind: Kind,
    /// Its value when nobody sets it.
    pub(super) default: Option<&'static str>,
    /// What it means, in half a sentence.
    pub(super) meaning: &'static str,
}

impl Key {
    /// Whether its value is hidden, and may be given as `…_file`.
    pub(super) fn secret(&self) -> bool {
        matches!(self.kind, Kind::DatabaseUrl { .. } | Kind::MailUrl)
    }
}

/// What a value must be.
pub(super) enum Kind {
    /// An IP address and a port.
    Address,
    /// `true` or `false`.
    Switch,
    /// A whole number of a unit, from `least` to `most`.
    Number { least: i64, most: i64, unit: &'static str },
    /// The path of a folder.
    Folder,
    /// The path of a file.
    File,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// What is logged.
    LogLevel,
    /// The address of a database.
    DatabaseUrl { sqlite: bool },
    /// The address of a server: `http://host:port`.
    HttpUrl,
    /// Where mail goes: `file:folder`, `smtp://host:port`, `smtps://user:password@host`.
    MailUrl,
    /// Who writes a mail: `Name <name@example.org>`.
    Mailbox,
}

/// A value as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Raw {
    /// Text from the environment or the command line: its type is what the key wants.
    Untyped(String),
    /// A string in the file.
    Text(String),
    /// A number in the file; `None` when it is too large for anything.
    Number(Option<i64>),
    /// `true` or `false` in the file.
    Switch(bool),
    /// Something else in the file: what.
    Other(&'static str),
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        kind,
        default: Some(default),
        meaning,
    }
}

const fn optional(name: &'static str, kind: Kind, meaning: &'static str) -> Key {
    Key {
        name,
        kind,
        default: None,
        meaning,
    }
}

const fn number(least: i64, most: i64, unit: &'static str) -> Kind {
    Kind::Number { least, most, unit }
}

const BYTES: &str = "bytes";
const MS: &str = "milliseconds";
const SECONDS: &str = "seconds";
const MIB: i64 = 1024 * 1024;
const MINUTE: i64 = 60_000;

/// All keys, in the order in which they are shown.
pub(super) static KEYS: &[Key] = &[
    key(
        "public.listen",
        Kind::Address,
        "127.0.0.1:8080",
        "where everybody comes in; port 0 takes a free one",
    ),
    key(
        "public.server_timing",
        Kind::Switch,
        "true",
        "answers say who gave them (Server-Timing)",
    ),
    key(
        "public.body_limit",
        number(1024, 64 * MIB, BYTES),
        "1048576",
        "the largest request body",
    ),
    key(
        "public.connections",
        number(1, 65_536, "connections"),
        "1024",
        "connections open at once",
    ),
    key(
        "public.streams_per_client",
        number(1, 512, "streams"),
        "16",
        "progress streams open at once from one address; more where a proxy stands in front",
    ),
    key(
        "public.budget_ms",
        number(10, 10 * MINUTE, MS),
        "10000",
        "how long a request may take",
    ),
    key(
        "internal.listen",
        Kind::Address,
        "127.0.0.1:8081",
        "contracts between processes, control, metrics",
    ),
    key(
        "internal.connections",
        number(1, 65_536, "connections"),
        "1024",
        "connections open at once",
    ),
    key(
        "data.folder",
        Kind::Folder,
        "data",
        "tokens and keys and, on the embedded default, the databases",
    ),
    optional(
        "database.url",
        Kind::DatabaseUrl { sqlite: false },
        "a PostgreSQL database instead of the folder: one schema and one role per module",
    ),
    optional(
        "modules.<name>.database_url",
        Kind::DatabaseUrl { sqlite: true },
        "the module's own database, after it has moved",
    ),
    optional(
        "modules.payments.provider_url",
        Kind::HttpUrl,
        "the payment provider; a sandbox on loopback when nothing is set",
    ),
    optional(
        "modules.notifications.mail",
        Kind::MailUrl,
        "the mail server; files in the data folder when nothing is set",
    ),
    optional(
        "modules.notifications.from",
        Kind::Mailbox,
        "who writes mails; Banyan Box Office <box-office@banyan.example> when nothing is set",
    ),
    optional(
        "modules.notifications.mail_ca_file",
        Kind::File,
        "authorities (PEM) that may sign the mail server's certificate, besides the public ones",
    ),
    optional(
        "modules.notifications.keep_days",
        number(0, 36_500, "days"),
        "how long mails are kept that are over, addresses included; 90 when nothing is set, 0: for ever",
    ),
    key(
        "identity.token_ttl_s",
        number(10, 3600, SECONDS),
        "60",
        "how long an access token between processes is valid",
    ),
    key(
        "identity.rotate_s",
        number(60, 365 * 86_400, SECONDS),
        "86400",
        "how old a signing key becomes",
    ),
    key(
        "parallel_run.queue",
        number(1, 65_536, "calls"),
        "256",
        "second runs that may wait; more are dropped",
    ),
    key(
        "parallel_run.in_flight",
        number(1, 1024, "calls"),
        "8",
        "second runs at once",
    ),
    key(
        "parallel_run.timeout_ms",
        number(10, MINUTE, MS),
        "2000",
        "how long a second run may take",
    ),
    key(
        "parallel_run.body_limit",
        number(1024, 64 * MIB, BYTES),
        "1048576",
        "the largest body kept for a comparison",
    ),
    key(
        "remote.timeout_ms",
        number(10, 10 * MINUTE, MS),
        "5000",
        "how long a call to a service may take",
    ),
    key(
        "remote.in_flight",
        number(1, 65_536, "calls"),
        "256",
        "calls under way at once to one service",
    ),
    key(
        "instances.heartbeat_ms",
        number(50, MINUTE, MS),
        "500",
        "how often a joined process shows that it is alive",
    ),
    key(
        "instances.lost_after_ms",
        number(100, 10 * MINUTE, MS),
        "3000",
        "the silence after which it counts as lost",
    ),
    key(
        "console.requests",
        number(0, 100_000, "requests"),
        "1000",
        "how many of the last requests are kept with their calls, in memory; 0: none",
    ),
    key(
        "log.format",
        Kind::Choice(&["human", "json"]),
        "human",
        "how lines of the log look",
    ),
    key(
        "log.level",
        Kind::LogLevel,
        "info",
        "what is logged: a level, or target=level, separated by commas",
    ),
    key(
        "shutdown.grace_ms",
        number(0, 10 * MINUTE, MS),
        "15000",
        "how long accepted work may take after SIGTERM",
    ),
];

/// What the keys of modules begin with.
const MODULE: &str = "modules.";

/// Every key by its full name, for these modules, in the order in which they are shown.
pub(super) fn all(modules: &[&str]) -> Vec<(String, &'static Key)> {
    let own = |key: &Key| key.name.starts_with(MODULE) && !key.name.contains("<name>");
    let mut all = Vec::new();
    for key in KEYS.iter().filter(|key| !own(key)) {
        if !key.name.contains("<name>") {
            all.push((key.name.to_owned(), key));
            continue;
        }
        // What one module alone has stands with what each has: a section is there once.
        for module in modules {
            all.push((key.name.replace("<name>", module), key));
            let section = format!("{MODULE}{module}.");
            let its = KEYS.iter().filter(|key| own(key) && key.name.starts_with(&section));
            all.extend(its.map(|key| (key.name.to_owned(), key)));
        }
    }
    all
}

impl Kind {
    /// What a value must be, after "must be".
    pub(super) fn wanted(&self) -> String {
        match self {
            Self::Address => "an IP address and a port, like 127.0.0.1:8080 or [::1]:8080".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Number { least, most, unit } => format!("a whole number from {least} to {most} ({unit})"),
            Self::Folder => "the path of a folder".to_owned(),
            Self::File => "the path of a file".to_owned(),
            Self::Choice(words) => words.join(" or "),
            Self::LogLevel => "error, warn, info, debug, trace or off, or target=level, separated by commas".to_owned(),
            Self::HttpUrl => "like http://127.0.0.1:9090".to_owned(),
            Self::MailUrl => "like smtp://127.0.0.1:25, smtps://user:password@host or file:/path/to/folder".to_owned(),
            Self::Mailbox => "like Box Office <tickets@example.org>".to_owned(),
            Self::DatabaseUrl { sqlite: false } => "like postgres://user:password@host:5432/database".to_owned(),
            Self::DatabaseUrl { sqlite: true } => {
                "like sqlite:///path/to/file.db or postgres://user:password@host:5432/database".to_owned()
            }
        }
    }

    /// The value, when it is what it must be; otherwise a sentence that says what it must be and, unless it is a
    /// secret, what it is.
    pub(super) fn check(&self, raw: &Raw) -> Result<ValueKind, String> {
        let refused = || match (self, raw) {
            (Self::DatabaseUrl { .. } | Self::MailUrl, _) => format!("must be {}", self.wanted()),
            (_, Raw::Untyped(text) | Raw::Text(text)) if text.is_empty() => {
                format!("is empty, and must be {}", self.wanted())
            }
            (_, Raw::Untyped(text) | Raw::Text(text)) => format!("must be {}, not {text:?}", self.wanted()),
            (_, Raw::Number(Some(number))) => format!("must be {}, not {number}", self.wanted()),
            (_, Raw::Number(None)) => format!("must be {}, not a number as large as that", self.wanted()),
            (_, Raw::Switch(switch)) => format!("must be {}, not {switch}", self.wanted()),
            (_, Raw::Other(what)) => format!("must be {}, not {what}", self.wanted()),
        };
        self.parse(raw).ok_or_else(refused)
    }

    fn parse(&self, raw: &Raw) -> Option<ValueKind> {
        let text = match raw {
            Raw::Untyped(text) | Raw::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let good = match self {
            Self::Switch => {
                return match raw {
                    Raw::Switch(switch) => Some((*switch).into()),
                    Raw::Untyped(text) => text.parse::<bool>().ok().map(Into::into),
                    _ => None,
                };
            }
            Self::Number { least, most, .. } => {
                let number = match raw {
                    Raw::Number(number) => *number,
                    Raw::Untyped(text) => text.parse().ok(),
                    _ => None,
                };
                return number.filter(|number| (least..=most).contains(&number)).map(Into::into);
            }
            Self::Address => text?.parse::<SocketAddr>().is_ok(),
            Self::Folder | Self::File => !text?.is_empty() && !text?.contains('\0'),
            Self::Choice(words) => words.contains(&text?),
            Self::LogLevel => is_log_level(text?),
            Self::HttpUrl => is_http(text?),
            Self::MailUrl => notifications::post::post_of(text?, "box-office@banyan.example").is_ok(),
            Self::Mailbox => notifications::post::post_of("file:mail", text?).is_ok(),
            Self::DatabaseUrl { sqlite } => is_postgres(text?) || (*sqlite && is_sqlite(text?)),
        };
        good.then(|| text.unwrap_or_default().into())
    }
}

/// A bare word that is no level would be taken for a target and mean something else, so it is refused.
fn is_log_level(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let parts_are_clear = text
        .split(',')
        .map(str::trim)
        .all(|part| part.contains(['=', '[']) || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part)));
    parts_are_clear && EnvFilter::try_new(text).is_ok()
}

fn is_http(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        url.scheme() == "http" && url.host_str().is_some_and(|host| !host.is_empty()) && bare
    })
}

fn is_postgres(text: &str) -> bool {
    text.starts_with("postgres://")
        && Url::parse(text).is_ok_and(|url| {
            let host = url.host_str().is_some_and(|host| !host.is_empty())
                || url
                    .query_pairs()
                    .any(|(name, value)| name == "host" && !value.is_empty());
            let database = url.path().trim_matches('/');
            host && !database.is_empty() && !database.contains('/')
        })
}

fn is_sqlite(text: &str) -> bool {
    text.strip_prefix("sqlite:").is_some_and(|path| {
        let path = path.split('?').next().unwrap_or_default();
        !path.trim_matches('/').is_empty() && !path.contains(":memory:")
    })
}
