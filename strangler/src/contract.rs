//! What a contract says of itself: its name, its version, its operations. Everything that is not typed is driven by it:
//! the gateway's table, the switch, the documents, the console and the command line.

use std::collections::BTreeSet;

use http::Method;
use utoipa::openapi::OpenApi;

use crate::{EventInfo, compare::Marks};

/// A module's contract.
#[derive(Debug)]
pub struct Contract {
    /// The module's name, such as `catalog`.
    pub name: &'static str,
    /// The contract's version; paths start with `/api/v<version>/<name>`, unless they are pages.
    pub version: u32,
    /// Whether its operations are pages for people: their paths are as they are written, and their answers are HTML.
    pub pages: bool,
    /// What the contract is for.
    pub doc: &'static str,
    /// The operations, in the trait's order; an operation's index is its place here.
    pub operations: &'static [Operation],
    /// What the module tells others, in the order of its events' enum.
    pub events: &'static [EventInfo],
    /// Makes the OpenAPI document.
    pub openapi: fn() -> OpenApi,
}

impl Contract {
    /// What every path of the contract starts with: `/api/v1/catalog`; of pages, nothing.
    pub fn prefix(&self) -> String {
        if self.pages {
            return String::new();
        }
        format!("/api/v{}/{}", self.version, self.name)
    }

    /// The operations that are never compared, each with the effect that cannot be captured.
    pub fn not_compared(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.operations.iter().filter_map(|o| Some((o.id, o.uncaptured?)))
    }

    /// The names of all fields that are private: a secret, or about a person.
    pub fn private_fields(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for operation in self.operations {
            (operation.answer_marks)().private_fields(&mut names);
            (operation.input_marks)().private_fields(&mut names);
        }
        names
    }

    /// The index of the operation with this name (`show`) or id (`catalog.show`).
    pub fn operation(&self, name: &str) -> Option<usize> {
        self.operations.iter().position(|o| o.name == name || o.id == name)
    }
}

/// One operation of a contract.
#[derive(Debug)]
pub struct Operation {
    /// The method's name: `show`.
    pub name: &'static str,
    /// Module and method: `catalog.show`.
    pub id: &'static str,
    /// Whether it changes state.
    pub kind: Kind,
    /// The HTTP method.
    pub method: Method,
    /// The path under the contract's prefix, with parameters in braces: `/shows/{id}`.
    pub path: &'static str,
    /// Who may call it.
    pub auth: Auth,
    /// The headers that it reads, in lower case; `cookie` where it reads one.
    pub headers: &'static [&'static str],
    /// Of a command with an effect that nobody can capture: which. It is never compared.
    pub uncaptured: Option<&'static str>,
    /// What it does.
    pub doc: &'static str,
    /// What is said of the fields of what it is asked with: query, form and body.
    pub input_marks: fn() -> Marks,
    /// What is said of the fields of its answer.
    pub answer_marks: fn() -> Marks,
}

/// Whether an operation changes state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Changes nothing and may be run twice.
    Query,
    /// Changes state, and is idempotent by its id.
    Command,
}

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody.
    Public,
    /// Anybody who is known.
    SignedIn,
    /// Whoever has this scope.
    Scope(&'static str),
}
