//! One line of a story.

use banyan::modules::{self, Module};
use serde_json::Value;
use strangler::Operation;
use system_tests::Answer;

use super::{FOUND, Step};
use crate::{
    cases::{AUTHORIZATION, Case, Expect},
    document::{FORM, address},
    values::id as id_of,
};

/// One line of a story: what is asked, and what is expected.
pub(super) struct Line {
    operation: &'static str,
    id: String,
    query: &'static str,
    condition: Option<&'static str>,
    body: Value,
    expect: Expect,
    until: fn(&Answer) -> bool,
    finds: Option<&'static str>,
    second: Option<u32>,
}

/// A line about `operation` (`catalog.show`), which needs no id.
pub(super) fn list(operation: &'static str, query: &'static str) -> Line {
    Line {
        operation,
        id: String::new(),
        query,
        condition: None,
        body: Value::Null,
        expect: Expect::Anything,
        until: |_| true,
        finds: None,
        second: None,
    }
}

/// A line about the thing whose id an earlier answer held.
pub(super) fn found(operation: &'static str, query: &'static str) -> Line {
    Line {
        id: FOUND.to_owned(),
        ..list(operation, query)
    }
}

/// A line about the thing with this id.
pub(super) fn ask(operation: &'static str, id: u64) -> Line {
    Line {
        id: id_of(id).to_string(),
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

    /// With this at the end of the path.
    pub(super) fn and(self, second: u32) -> Self {
        Self {
            second: Some(second),
            ..self
        }
    }

    /// Later lines ask about what is there in the answer.
    pub(super) fn finds(self, pointer: &'static str) -> Self {
        Self {
            finds: Some(pointer),
            ..self
        }
    }

    /// Asked again until the answer is like this.
    pub(super) fn until(self, until: fn(&Answer) -> bool) -> Self {
        Self { until, ..self }
    }

    pub(super) fn step(self, token: &str) -> Step {
        let (module, operation) = find(self.operation);
        let mut path = operation.path.replace("{id}", &self.id).replace("{file}", &self.id);
        if path.contains("{order}") {
            let second = self.second.expect("an order");
            path = path.replace("{order}", &id_of(second.into()).to_string());
        } else if let Some(second) = self.second {
            let (before, _) = path.rsplit_once('/').expect("a path");
            path = format!("{before}/{second}");
        }
        let case = Case {
            what: "the story".to_owned(),
            address: address(module, operation.id),
            method: operation.method.clone(),
            target: format!("{}{path}{}", module.contract.prefix(), self.query),
            headers: vec![(AUTHORIZATION.to_owned(), format!("Bearer {token}"))],
            body: Default::default(),
            expect: self.expect,
        };
        let case = case.header("if-match", self.condition);
        let case = match &self.body {
            Value::Null => case,
            Value::String(form) => case.header("content-type", Some(FORM)).body(form.clone()),
            body => case
                .header("content-type", Some("application/json"))
                .body(body.to_string()),
        };
        Step {
            operation: operation.id.to_owned(),
            case,
            until: self.until,
            finds: self.finds,
        }
    }
}

fn find(id: &str) -> (&'static Module, &'static Operation) {
    let (module, _) = id.split_once('.').expect("module and method");
    let module = modules::find(module).expect("a module");
    let index = module.contract.operation(id).expect("an operation of this module");
    (module, &module.contract.operations[index])
}
