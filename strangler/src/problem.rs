//! Problem details (RFC 9457): how an error leaves a process, and how it comes back as the same error.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A problem document, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// Which problem it is: `urn:problem-type:<contract>:<kebab-case-variant>`; of the way itself,
    /// `urn:problem-type:way:<kind>`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Cow<'static, str>,
    /// The problem in a few words; the same for every occurrence.
    #[schema(value_type = String)]
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time and what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The fields of the error's variant.
    #[serde(flatten)]
    #[schema(ignore)]
    pub extra: Map<String, Value>,
}

/// The media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One kind of problem that a contract names.
#[derive(Clone, Copy, Debug)]
pub struct ProblemKind {
    /// The problem's type URI.
    pub kind: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its HTTP status.
    pub status: u16,
}

/// An error enum of a contract. Written by `#[problems("…")]`; survives the trip over HTTP as the same variant.
pub trait ContractError: Clone + Send + Sync + Sized + std::fmt::Debug + 'static {
    /// Every kind there is, one per variant, in the enum's order.
    const KINDS: &'static [ProblemKind];

    /// The document of this error.
    fn to_problem(&self) -> Problem;

    /// The variant that a document stands for; `None` when it is none of these or a field does not fit.
    fn from_problem(problem: &Problem) -> Option<Self>;
}
