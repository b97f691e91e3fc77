//! A route: who answers, who else runs, and for whom.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{
    Cx,
    cohort::{self, Cohort},
    share::Share,
};

/// Who answers, and who else runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The monolith answers.
    #[default]
    Local,
    /// The monolith answers; the service is asked too and compared.
    Shadow,
    /// The service answers a share of the callers, the monolith the others.
    Canary,
    /// The service answers.
    Remote,
    /// The service answers; the monolith is asked too and compared.
    Verify,
}

impl Stage {
    /// Every stage, in the order in which a module moves out.
    pub const ALL: [Self; 5] = [Self::Local, Self::Shadow, Self::Canary, Self::Remote, Self::Verify];

    /// Its name: `local`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Remote => "remote",
            Self::Verify => "verify",
        }
    }

    /// Whether it needs a service.
    pub fn needs_service(self) -> bool {
        self != Self::Local
    }

    /// Whether both sides run and are compared.
    pub fn compares(self) -> bool {
        matches!(self, Self::Shadow | Self::Verify)
    }

    /// Who does the module's background work: relay, subscriptions, saga steps, timers.
    pub fn worker(self) -> Side {
        match self {
            Self::Local | Self::Shadow | Self::Canary => Side::Monolith,
            Self::Remote | Self::Verify => Side::Service,
        }
    }
}

/// One of the two sides of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The monolith.
    Monolith,
    /// The processes that were extracted.
    Service,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Monolith => Self::Service,
            Self::Service => Self::Monolith,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or_else(|| {
            format!(
                "`{text}` is no stage; there are {}",
                Self::ALL.map(Self::name).join(", ")
            )
        })
    }
}

/// Whether the monolith answers a query that the service cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// It does, and it is counted.
    #[default]
    Local,
    /// The caller gets the failure.
    None,
}

impl Fallback {
    /// Its name: `local`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::None => "none",
        }
    }
}

impl FromStr for Fallback {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Local, Self::None]
            .into_iter()
            .find(|f| f.name() == text)
            .ok_or_else(|| format!("`{text}` is no fallback; there are local, none"))
    }
}

/// How a module or an operation is routed. As data it is the text that the audit trail has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Route {
    /// Who answers.
    pub stage: Stage,
    /// What happens when the service cannot.
    pub fallback: Fallback,
    /// The share of callers that a canary sends to the service.
    pub percent: Share,
    /// The share of calls that is compared, where both sides run.
    pub sample: Share,
    /// Callers that a canary sends to the service ahead of its share.
    pub cohorts: Arc<[Cohort]>,
}

impl Default for Route {
    fn default() -> Self {
        Self::at(Stage::Local)
    }
}

impl Route {
    /// At this stage, with nothing else said of it.
    pub fn at(stage: Stage) -> Self {
        Self {
            stage,
            fallback: Fallback::Local,
            percent: Share::NONE,
            sample: Share::ALL,
            cohorts: Arc::default(),
        }
    }

    /// Whether the monolith answers what the service cannot. In a canary it always does.
    pub(crate) fn falls_back(&self) -> bool {
        self.fallback == Fallback::Local || self.stage == Stage::Canary
    }

    /// Whether the caller belongs to a cohort.
    pub(crate) fn is_ahead(&self, cx: &Cx) -> bool {
        let (baggage, noted) = (cx.trace().baggage.as_deref(), cx.noted.as_deref());
        self.cohorts
            .iter()
            .any(|cohort| cohort.rule.holds(cx.subject(), baggage, noted))
    }
}

const NO_FALLBACK: &str = " (no fallback)";
const SAMPLE: &str = ", sample ";
const COHORTS: &str = ", cohorts ";

/// As the audit trail has it: `local`, `remote (no fallback)`, `shadow, sample 10%`, `canary 5%, cohorts beta=principal:ada`.
/// It reads back.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.stage)?;
        if self.stage == Stage::Canary {
            write!(f, " {}", self.percent)?;
        }
        if self.stage.compares() && self.sample != Share::ALL {
            write!(f, "{SAMPLE}{}", self.sample)?;
        }
        if !self.cohorts.is_empty() {
            write!(f, "{COHORTS}{}", written(&self.cohorts))?;
        }
        match self.fallback {
            Fallback::Local => Ok(()),
            Fallback::None => f.write_str(NO_FALLBACK),
        }
    }
}

/// Cohorts with spaces between them: as they are kept, and as [`cohort::cohorts`] reads them.
pub fn written(cohorts: &[Cohort]) -> String {
    cohorts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, fallback) = match text.strip_suffix(NO_FALLBACK) {
            Some(rest) => (rest, Fallback::None),
            None => (text, Fallback::Local),
        };
        let (rest, cohorts) = rest.split_once(COHORTS).unwrap_or((rest, ""));
        let (rest, sample) = match rest.split_once(SAMPLE) {
            Some((rest, sample)) => (rest, sample.parse()?),
            None => (rest, Share::ALL),
        };
        let (stage, percent) = match rest.split_once(' ') {
            Some((stage, percent)) => (stage, percent.parse()?),
            None => (rest, Share::NONE),
        };
        Ok(Self {
            stage: stage.parse()?,
            fallback,
            percent,
            sample,
            cohorts: cohort::cohorts(cohorts)?,
        })
    }
}

impl TryFrom<String> for Route {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Route> for String {
    fn from(route: Route) -> Self {
        route.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_read_back_as_they_are_written() {
        for text in [
            "local",
            "shadow",
            "shadow, sample 0.01%",
            "canary 0%",
            "canary 5.25%",
            "canary 5%, cohorts beta=principal:ada b=header:x-beta=1",
            "remote",
            "remote (no fallback)",
            "verify",
            "verify, sample 10% (no fallback)",
        ] {
            assert_eq!(text.parse::<Route>().map(|r| r.to_string()), Ok(text.to_owned()));
        }
        for bad in [
            "",
            "inherit",
            "1 process",
            "canary x",
            "shadow, sample x",
            "canary 5%, cohorts x",
        ] {
            assert!(bad.parse::<Route>().is_err(), "{bad}");
        }
    }
}
