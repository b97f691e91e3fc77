//! What operations must keep to among themselves.

use super::{
    model::{Contract, Operation},
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
            mistakes.at(&operation.ident, format!("`{name}` is a name that the generated types use: choose another"));
        }
    }
    for (place, later) in contract.operations.iter().enumerate() {
        for earlier in &contract.operations[..place] {
            same_request(earlier, later, mistakes);
        }
    }
}

fn same_request(earlier: &Operation, later: &Operation, mistakes: &mut Mistakes) {
    let (first, second) = (earlier.path.value(), later.path.value());
    if shape(&first) != shape(&second) {
        return;
    }
    let name = earlier.plain_name();
    if earlier.method == later.method {
        let method = later.method.key();
        mistakes.at(
            &later.path,
            format!("`{name}` already answers {method} on this path: give this operation another path or method"),
        );
    } else if first != second {
        mistakes.at(
            &later.path,
            format!("this is the path of `{name}` with other names: write \"{first}\", so that both are one path"),
        );
    }
}
