//! One line of a story.

use banyan::modules::{self, Module};
use serde_json::Value;
use strangler::Operation;
use system_tests::Answer;

use super::Step;
use crate::{
    cases::{AUTHORIZATION, Case, Expect},
    document::address,
    values::id,
};

/// One line of a story: what is asked, and what is expected.
pub(super) struct Line {
    operation: &'static str,
    id: Option<u64>,
    query: &'static str,
    condition: Option<&'static str>,
    body: Value,
    expect: Expect,
    until: fn(&Answer) -> bool,
}

/// A line about `operation` (`catalog.show`), which needs no id.
pub(super) fn list(operation: &'static str, query: &'static str) -> Line {
    Line {
        operation,
        id: None,
        query,
        condition: None,
        body: Value::Null,
        expect: Expect::Anything,
        until: |_| true,
    }
}

/// A line about the thing with this id.
pub(super) fn ask(operation: &'static str, id: u64) -> Line {
    Line {
        id: Some(id),
        ..list(operation, "")
    }
}

/// A line with a body.
pub(super) fn put(operation: &'static str, id: u64, body: Value) -> Line {
    Line {
        body,
        ..ask(operation, id)
    }
}

impl Line {
    /// With `if-match`.
    pub(super) fn expecting(self, condition: &'static str) -> Self {
        Self {
            condition: Some(condition),
            ..self
        }
    }

    /// Answered with this status.
    pub(super) fn gets(self, status: u16) -> Self {
        Self {
            expect: Expect::Status(status),
            ..self
        }
    }

    /// Asked again until the answer is like this.
    pub(super) fn until(self, until: fn(&Answer) -> bool) -> Self {
        Self { until, ..self }
    }

    pub(super) fn step(self, token: &str) -> Step {
        let (module, operation) = find(self.operation);
        let id = self.id.map(|n| id(n).to_string()).unwrap_or_default();
        let path = operation.path.replace("{id}", &id);
        let case = Case {
            what: "the story".to_owned(),
            address: address(module),
            method: operation.method.clone(),
            target: format!("{}{path}{}", module.contract.prefix(), self.query),
            headers: vec![(AUTHORIZATION.to_owned(), format!("Bearer {token}"))],
            body: Default::default(),
            expect: self.expect,
        };
        let case = case.header("if-match", self.condition);
        let case = match &self.body {
            Value::Null => case,
            body => case
                .header("content-type", Some("application/json"))
                .body(body.to_string()),
        };
        Step {
            operation: operation.id.to_owned(),
            case,
            until: self.until,
        }
    }
}

fn find(id: &str) -> (&'static Module, &'static Operation) {
    let (module, _) = id.split_once('.').expect("module and method");
    let module = modules::find(module).expect("a module");
    let index = module.contract.operation(id).expect("an operation of this module");
    (module, &module.contract.operations[index])
}
