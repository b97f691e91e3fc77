//! Failures of the way between a caller and a module. One shared type that a module cannot make: what a module has to
//! say is in its own contract's error.

use std::{borrow::Cow, fmt};

use crate::problem::{ContractError, Problem};

/// What failed on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The request cannot be read: not JSON, a malformed id or parameter.
    Malformed,
    /// The request can be read but says something that cannot be.
    Invalid,
    /// No valid token where one is asked for.
    Unauthenticated,
    /// The token lacks a scope.
    Forbidden,
    /// A page of another site sent it.
    CrossSite,
    /// No operation has this path.
    NoSuchPath,
    /// The path has operations, but not with this method.
    MethodNotAllowed,
    /// The request's body is larger than allowed.
    TooLarge,
    /// The request's body is of another media type than the operation reads.
    UnsupportedMediaType,
    /// The caller asked too often.
    TooMany,
    /// The budget of the request is used up.
    TimedOut,
    /// Turned away because too much is under way already.
    Shed,
    /// Nobody is there to answer.
    Unavailable,
    /// The service could not be reached or went away before it answered.
    Unreachable,
    /// The service's answer cannot be understood.
    BadAnswer,
    /// The module broke (a panic).
    Broken,
}

impl FaultKind {
    const ALL: [Self; 16] = [
        Self::Malformed,
        Self::Invalid,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::CrossSite,
        Self::NoSuchPath,
        Self::MethodNotAllowed,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::TooMany,
        Self::TimedOut,
        Self::Shed,
        Self::Unavailable,
        Self::Unreachable,
        Self::BadAnswer,
        Self::Broken,
    ];

    /// As it is written: `timed-out`.
    pub fn name(self) -> &'static str {
        let kind = self.parts().1;
        kind.strip_prefix("urn:problem-type:way:").unwrap_or(kind)
    }

    /// The type of the document it travels as.
    pub(crate) fn kind(self) -> &'static str {
        self.parts().1
    }

    /// The HTTP status it travels as.
    pub(crate) fn status(self) -> u16 {
        self.parts().0
    }

    fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Malformed => (400, "urn:problem-type:way:malformed", "The request cannot be read"),
            Self::Invalid => (
                422,
                "urn:problem-type:way:invalid",
                "The request says something that cannot be",
            ),
            Self::Unauthenticated => (401, "urn:problem-type:way:unauthenticated", "A valid token is needed"),
            Self::Forbidden => (403, "urn:problem-type:way:forbidden", "The token does not allow this"),
            Self::CrossSite => (403, "urn:problem-type:way:cross-site", "Sent by a page of another site"),
            Self::NoSuchPath => (404, "urn:problem-type:way:no-such-path", "Nothing is at this path"),
            Self::MethodNotAllowed => (405, "urn:problem-type:way:method-not-allowed", "Not with this method"),
            Self::TooLarge => (413, "urn:problem-type:way:too-large", "The request is too large"),
            Self::UnsupportedMediaType => (
                415,
                "urn:problem-type:way:unsupported-media-type",
                "The body's media type is not read here",
            ),
            Self::TooMany => (429, "urn:problem-type:way:too-many", "Too many requests"),
            Self::TimedOut => (504, "urn:problem-type:way:timed-out", "The request's time is used up"),
            Self::Shed => (503, "urn:problem-type:way:shed", "Too much is under way"),
            Self::Unavailable => (503, "urn:problem-type:way:unavailable", "Nobody is there to answer"),
            Self::Unreachable => (502, "urn:problem-type:way:unreachable", "The service did not answer"),
            Self::BadAnswer => (
                502,
                "urn:problem-type:way:bad-answer",
                "The service's answer cannot be understood",
            ),
            Self::Broken => (500, "urn:problem-type:way:broken", "Something broke here"),
        }
    }
}

/// A failure of the way. Made by the toolkit alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Fault {
    kind: FaultKind,
    detail: Cow<'static, str>,
    /// Whether it is certain that the call had no effect.
    harmless: bool,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.detail)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.parts().2, self.detail)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    pub(crate) fn new(kind: FaultKind, detail: impl Into<Cow<'static, str>>) -> Self {
        let harmless = !matches!(
            kind,
            FaultKind::TimedOut | FaultKind::Unreachable | FaultKind::BadAnswer | FaultKind::Broken
        );
        Self {
            kind,
            detail: detail.into(),
            harmless,
        }
    }

    /// The same fault of a call that certainly had no effect.
    pub(crate) fn harmless(mut self) -> Self {
        self.harmless = true;
        self
    }

    /// What failed.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// What happened this time and what to do next.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether it is certain that the call had no effect, so that even a command may be tried elsewhere.
    pub fn certainly_had_no_effect(&self) -> bool {
        self.harmless
    }

    /// Whether the way, and not the request, is to blame: somebody else may be able to answer.
    pub fn of_the_other_side(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::Unavailable
                | FaultKind::Unreachable
                | FaultKind::BadAnswer
                | FaultKind::Shed
                | FaultKind::Broken
        )
    }

    /// The HTTP status it travels as.
    pub fn status(&self) -> u16 {
        self.kind.parts().0
    }

    /// The document it travels as.
    pub fn to_problem(&self) -> Problem {
        let (status, kind, title) = self.kind.parts();
        Problem {
            kind: kind.into(),
            title: title.into(),
            status,
            detail: Some(self.detail.clone().into_owned()),
            extra: Default::default(),
        }
    }

    /// The fault that a document stands for, if it stands for one.
    pub(crate) fn from_problem(problem: &Problem) -> Option<Self> {
        let kind = FaultKind::ALL.into_iter().find(|k| k.parts().1 == problem.kind)?;
        Some(Self::new(kind, problem.detail.clone().unwrap_or_default()))
    }
}

/// Why a call through a contract gave no answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure<E> {
    /// The module answered with an error of its contract.
    Module(E),
    /// The way to it failed.
    Way(Fault),
}

impl<E> From<Fault> for Failure<E> {
    fn from(fault: Fault) -> Self {
        Self::Way(fault)
    }
}

impl<E: ContractError> Failure<E> {
    /// The document it travels as.
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::Module(error) => error.to_problem(),
            Self::Way(fault) => fault.to_problem(),
        }
    }

    /// What a document stands for; what cannot be understood is [`FaultKind::BadAnswer`].
    pub fn from_problem(problem: &Problem) -> Self {
        if let Some(error) = E::from_problem(problem) {
            return Self::Module(error);
        }
        Self::Way(Fault::from_problem(problem).unwrap_or_else(|| {
            let detail = format!(
                "problem {} (status {}) is none that its contract names",
                problem.kind, problem.status
            );
            Fault::new(FaultKind::BadAnswer, detail)
        }))
    }
}

impl<E: ContractError> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.to_problem();
        write!(f, "{}: {}", problem.title, problem.detail.unwrap_or_default())
    }
}

impl<E: ContractError> std::error::Error for Failure<E> {}
