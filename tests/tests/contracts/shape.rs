//! The documents are OpenAPI 3.1: what they refer to is there, what is in a path is declared, and names are names.

use std::collections::BTreeSet;

use banyan::modules::MODULES;
use serde_json::{Value, json};

use crate::document::{document, list};

/// Every `$ref` in a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|v| references(v, found));
        }
        Value::Array(all) => all.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

/// Every schema in a document and where it is.
fn schemas<'a>(value: &'a Value, at: &str, found: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let at = format!("{at}/{key}");
                match key.as_str() {
                    "schema" | "items" => found.push((at.clone(), value)),
                    "schemas" | "properties" => {
                        let each = value.as_object().into_iter().flatten();
                        found.extend(each.map(|(name, v)| (format!("{at}/{name}"), v)));
                    }
                    _ => {}
                }
                schemas(value, &at, found);
            }
        }
        Value::Array(all) => all
            .iter()
            .enumerate()
            .for_each(|(n, v)| schemas(v, &format!("{at}/{n}"), found)),
        _ => {}
    }
}

fn path_mistakes(path: &str, operation: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let parameters = list(&operation["parameters"]);
    let declared: Vec<_> = parameters
        .iter()
        .filter(|p| p["in"] == "path")
        .filter_map(|p| p["name"].as_str())
        .collect();
    let braces: Vec<_> = path
        .split('/')
        .filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'))
        .collect();
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    if set(&declared) != set(&braces) || declared.len() != braces.len() {
        wrong.push(format!("{path} has {braces:?} and declares {declared:?}"));
    }
    let mut names = BTreeSet::new();
    for parameter in parameters {
        let (name, place) = (
            parameter["name"].as_str().unwrap_or_default(),
            parameter["in"].as_str().unwrap_or_default(),
        );
        if !names.insert((name, place)) {
            wrong.push(format!("{path}: the {place} parameter `{name}` is there twice"));
        }
        if !["path", "query", "header", "cookie"].contains(&place) || name.is_empty() || parameter["schema"].is_null() {
            wrong.push(format!("{path}: this is no parameter: {parameter}"));
        }
        if place == "path" && parameter["required"] != true {
            wrong.push(format!("{path}: `{name}` is in the path and must be required"));
        }
    }
    wrong
}

fn response_mistakes(place: &str, operation: &Value, pages: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let responses = operation["responses"].as_object().cloned().unwrap_or_default();
    if !responses.keys().any(|s| s.starts_with('2') || pages && s == "303") {
        wrong.push(format!("{place} names no success"));
    }
    for (status, response) in responses {
        let number: u16 = status.parse().unwrap_or_default();
        let media: Vec<_> = response["content"]
            .as_object()
            .map(|c| c.keys().cloned().collect())
            .unwrap_or_default();
        if !(200..600).contains(&number) || response["description"].as_str().is_none_or(str::is_empty) {
            wrong.push(format!("{place}: {status} is no status with a description"));
        }
        let expected: &[&str] = match number {
            303 => &[],
            400.. if pages => &["application/problem+json", "text/html"],
            _ if pages => &["text/html"],
            204 | 304 => &[],
            400.. => &["application/problem+json"],
            _ => &["application/json"],
        };
        if media != expected {
            wrong.push(format!("{place}: {status} is {media:?} and not {expected:?}"));
        }
    }
    wrong
}

#[test]
fn every_document_is_openapi() {
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    for module in MODULES {
        let (contract, document) = (module.contract, document(module));
        let name = contract.name;
        if !document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1.")) {
            wrong.push(format!("{name}: not OpenAPI 3.1 but {}", document["openapi"]));
        }
        if document["info"]["title"].as_str() != Some(name) || !document["info"]["version"].is_string() {
            wrong.push(format!("{name}: its info is {}", document["info"]));
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        let dangling = found
            .iter()
            .filter(|r| r.strip_prefix('#').and_then(|p| document.pointer(p)).is_none());
        wrong.extend(dangling.map(|r| format!("{name}: {r} leads nowhere")));
        let unused = document["components"]["schemas"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(schema, _)| {
                !found
                    .iter()
                    .any(|r| r.strip_prefix("#/components/schemas/") == Some(schema.as_str()))
            });
        wrong.extend(unused.map(|(schema, _)| format!("{name}: nobody refers to the schema `{schema}`")));
        let mut all = Vec::new();
        schemas(&document, "", &mut all);
        for (at, schema) in all {
            let types = schema["type"]
                .as_str()
                .into_iter()
                .chain(list(&schema["type"]).iter().filter_map(Value::as_str));
            let known = ["string", "integer", "number", "boolean", "array", "object", "null"];
            wrong.extend(
                types
                    .filter(|t| !known.contains(t))
                    .map(|t| format!("{name}: {at} is of the type {t}")),
            );
            if !schema.is_object() {
                wrong.push(format!("{name}: {at} is no schema"));
            }
            let declared = |n: &&Value| n.as_str().is_some_and(|n| !schema["properties"][n].is_null());
            let missing = list(&schema["required"]).iter().filter(|n| !declared(n));
            wrong.extend(missing.map(|n| format!("{name}: {at} requires {n}, which it does not have")));
        }
        let mut operations = 0;
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                operations += 1;
                let place = format!("{} {path}", method.to_uppercase());
                let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
                if !contract
                    .operations
                    .iter()
                    .any(|o| o.id == id && o.method.as_str() == method.to_uppercase())
                {
                    wrong.push(format!(
                        "{place}: `{id}` is no operation of the contract with this method"
                    ));
                }
                if operation["summary"].as_str().is_none_or(str::is_empty) {
                    wrong.push(format!("{place} says nothing about itself"));
                }
                if !ids.insert(id.clone()) {
                    wrong.push(format!("{place}: the operation `{id}` is there twice"));
                }
                let known = |scheme: &String| !document["components"]["securitySchemes"][scheme.as_str()].is_null();
                let schemes = list(&operation["security"])
                    .iter()
                    .flat_map(|s| s.as_object().into_iter().flatten());
                wrong.extend(
                    schemes
                        .filter(|(s, _)| !known(s))
                        .map(|(s, _)| format!("{place}: there is no token `{s}`")),
                );
                wrong.extend(path_mistakes(path, operation));
                wrong.extend(response_mistakes(&place, operation, contract.pages));
            }
        }
        if operations != contract.operations.len() {
            wrong.push(format!(
                "{name}: {operations} operations are in the document, {} in the contract",
                contract.operations.len()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is published is what the contract says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_are_published() {
    let system = system_tests::System::start().await;
    for module in MODULES {
        let (name, version) = (module.contract.name, module.contract.version);
        // That the others are not is for the authorisation tests.
        if module.public {
            let answer = system.get(&format!("/docs/openapi/{name}-v{version}.json")).await;
            let served = module.contract.operations.iter().filter(|o| module.serves(o.id));
            let mut expected = (*document(module)).clone();
            let whole = expected["paths"].take();
            expected["paths"] = json!({});
            for operation in served {
                let path = format!("{}{}", module.contract.prefix(), operation.path);
                let method = operation.method.as_str().to_lowercase();
                expected["paths"][&path][&method] = whole[&path][&method].clone();
            }
            assert_eq!((answer.status, answer.json()), (200, expected), "{name}");
        }
        let printed = system.run(&["openapi", name]).await;
        assert_eq!(
            serde_json::from_str::<Value>(&printed).ok().as_ref(),
            Some(&*document(module)),
            "banyan openapi {name}"
        );
    }
}
