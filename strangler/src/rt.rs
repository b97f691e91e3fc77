//! What generated code refers to. Not for people: it changes with the macros.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

pub use http::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::{PartialSchema, ToSchema};

pub use crate::{
    compare::{DEPTH, Marked, Marks, Probe, Unmarked},
    contract::{Contract, Operation},
    guard::{Guard, authorise},
    openapi::Document,
    page::WebPage,
    parallel::Skip,
    problem::{ContractError, Problem},
    remote::{Remote, Transport},
    stats::ModuleStats,
    switch::{Switch, Way},
    tape::Dialled,
    wire::{Answered, Ask, Asked, body, cookie, form, header, path_param, query},
};
use crate::{
    fault::{Failure, Fault, FaultKind},
    wire::{Accepted, Done, Put},
};

/// A problem's further members.
pub type Fields = Map<String, Value>;

/// The answer to a request for an operation that the contract does not have.
#[cold]
pub fn no_such_operation(contract: &Contract, index: usize) -> Answered {
    Fault::new(
        FaultKind::NoSuchPath,
        format!("{} has no operation {index}", contract.name),
    )
    .into()
}

/// What a query's caller was told, as it looks on the wire.
pub fn seen<T: Serialize, E: ContractError>(answer: &Result<T, Failure<E>>) -> Answered {
    match answer {
        Ok(value) => Answered::value(value),
        Err(failure) => Answered::failure(failure),
    }
}

/// What the caller of a PUT was told.
pub fn seen_put<T: Serialize, E: ContractError>(answer: &Result<Put<T>, Failure<E>>) -> Answered {
    match answer {
        Ok(put) => Answered::put(put),
        Err(failure) => Answered::failure(failure),
    }
}

/// What the caller was told of what is done.
pub fn seen_done<E: ContractError>(answer: &Result<Done, Failure<E>>) -> Answered {
    match answer {
        Ok(done) => Answered::done(done),
        Err(failure) => Answered::failure(failure),
    }
}

/// What the caller was told of what goes on.
pub fn seen_accepted<T: Serialize, E: ContractError>(
    contract: &Contract,
    answer: &Result<Accepted<T>, Failure<E>>,
) -> Answered {
    match answer {
        Ok(accepted) => Answered::accepted(contract, accepted),
        Err(failure) => Answered::failure(failure),
    }
}

/// What a query's caller was shown.
pub fn seen_page<E: ContractError>(answer: &Result<WebPage, Failure<E>>) -> Answered {
    match answer {
        Ok(page) => Answered::page(page),
        Err(failure) => Answered::failure(failure),
    }
}

/// Puts a variant's field into its problem.
pub fn put_field<T: Serialize>(fields: &mut Fields, name: &'static str, value: &T) {
    fields.insert(name.to_owned(), serde_json::to_value(value).unwrap_or(Value::Null));
}

/// Reads a variant's field from a problem; one that is not there reads as null.
pub fn field<T: DeserializeOwned>(fields: &Fields, name: &'static str) -> Option<T> {
    T::deserialize(fields.get(name).unwrap_or(&Value::Null)).ok()
}

/// Title and detail of an error.
pub fn write_error<E: ContractError>(error: &E, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Problem { title, detail, .. } = error.to_problem();
    match detail {
        Some(detail) => write!(f, "{title}: {detail}"),
        None => f.write_str(&title),
    }
}

/// Holds for what can be cloned, kept and handed between threads.
pub trait Plain: Clone + Send + Sync + 'static {}
impl<T: Clone + Send + Sync + 'static> Plain for T {}

/// A parameter in the path is text that reads back, and has a schema.
pub fn is_path_parameter<T: Plain + Display + FromStr<Err: Display> + PartialSchema>() {}

/// A query is a struct that serde can write and read, and has a schema.
pub fn is_query<T: Plain + Serialize + DeserializeOwned + ToSchema>() {}

/// A header is text that reads back.
pub fn is_header<T: Plain + Display + FromStr<Err: Display>>() {}

/// A cookie is text that reads back; one that does not is as good as none.
pub fn is_cookie<T: Plain + Display + FromStr>() {}

/// A body is what serde can write and read, and has a schema.
pub fn is_body<T: Plain + Serialize + DeserializeOwned + ToSchema>() {}

/// An answer is what serde can write and read, and has a schema.
pub fn is_answer<T: Plain + Serialize + DeserializeOwned + ToSchema>() {}

/// A contract's error is an enum under `#[problems("…")]`.
pub fn is_error<E: ContractError>() {}

/// The version of an event's shape: what is written, or 1.
pub const fn version(written: &[u32]) -> u32 {
    match written {
        [version, ..] => *version,
        [] => 1,
    }
}
