//! One call, as one place saw it.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{FaultKind, Operation};

/// Which place saw the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallPart {
    /// A gateway: it came over HTTP.
    Request,
    /// Whoever asked another process.
    Ask,
    /// The module itself.
    Run,
}

/// Which side of the switch answered a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallSide {
    /// The monolith.
    Local,
    /// The module's service.
    Remote,
    /// The monolith in place of a service that could not.
    Fallback,
    /// Either, only to be compared.
    Shadow,
}

impl CallSide {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Fallback => "fallback",
            Self::Shadow => "shadow",
        }
    }
}

impl fmt::Display for CallSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A call as it is kept: of one size, and with nothing that has to be freed.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) trace: u128,
    pub(super) subject: Option<Uuid>,
    pub(super) span: u64,
    pub(super) parent: u64,
    pub(super) operation: &'static Operation,
    pub(super) module: &'static str,
    pub(super) caller: &'static str,
    pub(super) start_us: i64,
    pub(super) took_us: i64,
    pub(super) status: u16,
    pub(super) fault: Option<FaultKind>,
    pub(super) part: CallPart,
    pub(super) side: CallSide,
}

impl Span {
    pub(super) fn record(&self) -> CallRecord {
        CallRecord {
            trace: self.trace,
            span: self.span,
            parent: self.parent,
            operation: self.operation.id.into(),
            module: self.module.into(),
            caller: self.caller.into(),
            subject: self.subject,
            part: self.part,
            side: self.side,
            start_us: self.start_us,
            took_us: self.took_us,
            status: self.status,
            fault: self.fault.map(|fault| fault.name().into()),
        }
    }
}

/// A call as one place saw it, for whoever joins the parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The trace.
    #[serde(with = "hex128")]
    pub trace: u128,
    /// Its own span.
    #[serde(with = "hex64")]
    pub span: u64,
    /// The span within which it was made; 0 when there is none.
    #[serde(with = "hex64")]
    pub parent: u64,
    /// What was called: `catalog.show`.
    pub operation: Cow<'static, str>,
    /// Whose operation that is.
    pub module: Cow<'static, str>,
    /// The module that called, or [`OUTSIDE`](super::OUTSIDE).
    pub caller: Cow<'static, str>,
    /// What it was about: the first parameter of the path that is a UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Uuid>,
    /// Which place saw this.
    pub part: CallPart,
    /// Which side answered, as far as that place knows.
    pub side: CallSide,
    /// When it began, in microseconds of Unix time by the clock of its process.
    pub start_us: i64,
    /// How long it took, in microseconds.
    pub took_us: i64,
    /// The HTTP status of the answer, or the one that it would have.
    pub status: u16,
    /// What failed on the way, if that was it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Cow<'static, str>>,
}

macro_rules! hexadecimal {
    ($name:ident, $number:ty, $digits:literal) => {
        mod $name {
            use serde::{Deserialize, Deserializer, Serializer, de::Error};

            pub fn serialize<S: Serializer>(number: &$number, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&format_args!(concat!("{:0", $digits, "x}"), number))
            }

            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<$number, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                <$number>::from_str_radix(&text, 16).map_err(D::Error::custom)
            }
        }
    };
}

hexadecimal!(hex64, u64, "16");
hexadecimal!(hex128, u128, "32");
