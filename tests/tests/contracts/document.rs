//! A contract's OpenAPI document as the tests read it.

use std::{collections::BTreeSet, sync::Arc};

use banyan::modules::{MODULES, Module};
use http::Method;
use serde_json::Value;
use strangler::Kind;
use system_tests::Address;

/// The media type of what a browser's form sends.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// A document.
pub type Document = Arc<Value>;

/// One operation of a contract.
#[derive(Clone)]
pub struct Operation {
    /// Its module's name.
    pub module: &'static str,
    /// Where its module is served: the public address, or the internal one alone.
    pub address: Address,
    /// Module and method: `catalog.show`.
    pub id: String,
    /// Whether it changes state.
    pub command: bool,
    /// Its HTTP method.
    pub method: Method,
    /// Its path with braces.
    pub path: String,
    /// What it takes besides the body.
    pub parameters: Vec<Parameter>,
    /// Whether it answers pages.
    pub pages: bool,
    /// The schema of a JSON body.
    pub body: Option<Value>,
    /// The schema of a form's fields.
    pub form: Option<Value>,
    /// The statuses that the document names.
    pub statuses: BTreeSet<u16>,
    /// The document, for references.
    pub document: Document,
}

/// One parameter.
#[derive(Clone)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// `path`, `query` or `header`.
    pub place: String,
    /// Whether it must be there.
    pub required: bool,
    /// Its schema.
    pub schema: Value,
}

/// Where an operation is asked: at the public address, if that serves it.
pub fn address(module: &Module, operation: &str) -> Address {
    if module.serves(operation) {
        Address::Public
    } else {
        Address::Internal
    }
}

/// The document of a module.
pub fn document(module: &Module) -> Document {
    Arc::new(serde_json::to_value((module.contract.openapi)()).expect("a document is JSON"))
}

/// The operations of a module, in the contract's order.
pub fn operations(module: &'static Module) -> Vec<Operation> {
    let document = document(module);
    let each = module.contract.operations.iter();
    each.map(|o| operation(module, o, &document).unwrap_or_else(|| panic!("{} is not in its document", o.id)))
        .collect()
}

/// The operations of every module.
pub fn every_operation() -> Vec<Operation> {
    MODULES.iter().flat_map(operations).collect()
}

fn operation(module: &'static Module, operation: &strangler::Operation, document: &Document) -> Option<Operation> {
    let path = format!("{}{}", module.contract.prefix(), operation.path);
    let there = document["paths"]
        .get(&path)?
        .get(operation.method.as_str().to_lowercase())?;
    let parameters = list(&there["parameters"]).iter().map(|p| {
        let text = |key: &str| p[key].as_str().unwrap_or_default().to_owned();
        Parameter {
            name: text("name"),
            place: text("in"),
            required: p["required"] == true,
            schema: p["schema"].clone(),
        }
    });
    let body = |media: &str| {
        let schema = &there["requestBody"]["content"][media]["schema"];
        Some(schema).filter(|s| !s.is_null()).cloned()
    };
    let responses = there["responses"].as_object()?;
    Some(Operation {
        module: module.contract.name,
        address: address(module, operation.id),
        id: there["operationId"].as_str()?.to_owned(),
        command: operation.kind == Kind::Command,
        method: operation.method.clone(),
        path,
        parameters: parameters.collect(),
        pages: module.contract.pages,
        body: body("application/json"),
        form: body(FORM),
        statuses: responses.keys().filter_map(|s| s.parse().ok()).collect(),
        document: document.clone(),
    })
}

/// The elements of an array; none when it is no array.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The schema that a reference leads to, and of "this or null" the this.
pub fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..32 {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = reference
                .strip_prefix('#')
                .and_then(|pointer| document.pointer(pointer));
            schema = target.unwrap_or_else(|| panic!("{reference} leads nowhere"));
        } else if let Some(one) = list(&schema["oneOf"])
            .iter()
            .chain(list(&schema["anyOf"]))
            .find(|s| s["type"] != "null")
        {
            schema = one;
        } else {
            break;
        }
    }
    schema
}

/// Whether a schema's type may be this.
pub fn is_a(schema: &Value, kind: &str) -> bool {
    schema["type"] == kind || list(&schema["type"]).iter().any(|t| t == kind)
}

/// Whether `null` is a value of a schema that was not resolved yet.
pub fn nullable(schema: &Value) -> bool {
    is_a(schema, "null")
        || list(&schema["oneOf"])
            .iter()
            .chain(list(&schema["anyOf"]))
            .any(|s| is_a(s, "null"))
}
