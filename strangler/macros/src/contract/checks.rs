//! What operations must keep to among themselves.

use super::{
    model::{Answer, Contract, Operation, Place},
    path::shape,
};
use crate::mistakes::Mistakes;

/// Names that the generated types use themselves.
const TAKEN: [&str; 2] = ["guarded", "new"];

/// Reports what no operation shows by itself.
pub fn check(contract: &Contract, mistakes: &mut Mistakes) {
    for operation in &contract.operations {
        let name = operation.plain_name();
        if TAKEN.contains(&name.as_str()) {
            mistakes.at(
                &operation.ident,
                format!("`{name}` is a name that the generated types use: choose another"),
            );
        }
    }
    for operation in &contract.operations {
        match contract.pages {
            true => a_page(operation, mistakes),
            false => no_page(operation, mistakes),
        }
    }
    for (place, later) in contract.operations.iter().enumerate() {
        let path = shape(&later.path.value());
        let mut earlier = contract.operations[..place]
            .iter()
            .filter(|e| shape(&e.path.value()) == path);
        if let Some(same) = earlier.clone().find(|e| e.method == later.method) {
            same_request(same, later, mistakes);
        } else if let Some(other) = earlier.find(|e| e.path.value() != later.path.value()) {
            other_names(other, later, mistakes);
        }
    }
}

/// What an operation of pages must be.
fn a_page(operation: &Operation, mistakes: &mut Mistakes) {
    if !matches!(operation.answer, Answer::Page) {
        mistakes.at(
            &operation.ok,
            "a contract of pages answers pages: write `Result<WebPage, …>`, or leave out `pages = true`",
        );
    }
    if operation.path.value().split('/').nth(1) == Some("api") {
        mistakes.at(
            &operation.path,
            "below `/api` are the other contracts: a page is at another path",
        );
    }
}

/// What only an operation of pages may be.
fn no_page(operation: &Operation, mistakes: &mut Mistakes) {
    const INSTEAD: &str = "write `#[contract(…, pages = true)]`";
    if let Answer::Page = operation.answer {
        mistakes.at(
            &operation.ok,
            format!("a page is answered by a contract of pages: {INSTEAD}"),
        );
    }
    for argument in &operation.arguments {
        match argument.place {
            Place::Form => mistakes.at(&argument.ident, format!("a form is sent by a page: {INSTEAD}")),
            Place::Cookie(..) => {
                mistakes.at(
                    &argument.ident,
                    format!("cookies reach contracts of pages alone: {INSTEAD}"),
                );
            }
            _ => {}
        }
    }
}

fn same_request(earlier: &Operation, later: &Operation, mistakes: &mut Mistakes) {
    let (name, method) = (earlier.plain_name(), later.method.key());
    mistakes.at(
        &later.path,
        format!("`{name}` already answers {method} on this path: give this operation another path or method"),
    );
}

fn other_names(earlier: &Operation, later: &Operation, mistakes: &mut Mistakes) {
    let (name, path) = (earlier.plain_name(), earlier.path.value());
    mistakes.at(
        &later.path,
        format!("this is the path of `{name}` with other names: write \"{path}\", so that both are one path"),
    );
}
