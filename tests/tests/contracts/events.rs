//! What modules tell others is documented, and does not change by accident: each module's events are kept under
//! `tests/snapshots/` as an AsyncAPI document, and a difference that breaks a listener is named.

use std::{collections::BTreeSet, fs, path::Path};

use banyan::{docs::events_document, modules::MODULES};
use serde_json::Value;
use strangler::Contract;
use strangler_store::Envelope;
use system_tests::{breaking::breaking_events, office};

use crate::snapshots::{UPDATE, folder, sorted, update};

/// The document of one module's events. What is told of the system as a whole, its version above all, is no promise.
fn document(contract: &'static Contract) -> Value {
    let mut document = events_document([contract]);
    document.as_object_mut().expect("an object").remove("info");
    document
}

fn telling() -> impl Iterator<Item = &'static Contract> {
    MODULES.iter().map(|m| m.contract).filter(|c| !c.events.is_empty())
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect()
}

#[test]
fn no_listener_is_broken_by_accident() {
    let mut complaints = Vec::new();
    for contract in telling() {
        let name = contract.name;
        let (file, now) = (folder().join(format!("{name}-events.json")), document(contract));
        let before = fs::read_to_string(&file)
            .ok()
            .and_then(|text| serde_json::from_str::<Value>(&text).ok());
        let broken = before
            .as_ref()
            .map(|before| breaking_events(before, &now))
            .unwrap_or_default();
        if update() {
            let text = serde_json::to_string_pretty(&sorted(now)).expect("JSON");
            fs::write(&file, text + "\n").expect("written");
            broken
                .iter()
                .for_each(|sentence| println!("accepted: {name}: {sentence}"));
            continue;
        }
        let again = format!("run this test with {UPDATE}=1 and commit tests/snapshots/{name}-events.json");
        match before {
            None => complaints.push(format!("the events of {name} have no snapshot: {again}")),
            Some(before) if before == now => {}
            Some(_) if broken.is_empty() => {
                complaints.push(format!(
                    "the events of {name} changed and break nobody, so the snapshot should follow: {again}"
                ));
            }
            Some(_) => {
                let sentences = broken.join("\n    ");
                complaints.push(format!(
                    "the events of {name} break their listeners:\n    {sentences}\n  undo that, or tell the new version beside \
                     the old one; as long as nobody listens, {again}"
                ));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_snapshot_of_events_is_of_a_module_that_tells_any() {
    for entry in fs::read_dir(folder()).expect("the snapshots").flatten() {
        let name = entry.file_name().into_string().expect("a name");
        if let Some(module) = name.strip_suffix("-events.json") {
            let tells = telling().any(|c| c.name == module);
            assert!(
                tells,
                "{module} tells nothing any more: delete {name} if its listeners are gone"
            );
        }
    }
}

/// A document that is what AsyncAPI 3.0 asks for, as far as its own parts go.
#[test]
fn the_document_is_whole() {
    let document = events_document(MODULES.iter().map(|m| m.contract));
    assert_eq!(document["asyncapi"], "3.0.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let target = reference
            .strip_prefix('#')
            .and_then(|pointer| document.pointer(pointer));
        assert!(target.is_some(), "{reference} leads nowhere");
    }
    let fits = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    for part in ["messages", "schemas"] {
        let names = keys(&document["components"][part]);
        assert!(names.iter().all(|name| fits(name)), "{names:?}");
    }
    for (name, operation) in document["operations"].as_object().expect("operations") {
        assert_eq!(operation["action"], "send", "{name}");
        let channel = operation["channel"]["$ref"].as_str().expect("a channel");
        for message in operation["messages"].as_array().expect("messages") {
            let message = message["$ref"].as_str().expect("a reference");
            assert!(
                message.starts_with(&format!("{channel}/messages/")),
                "{message} is of another channel"
            );
        }
    }
    for (name, message) in document["components"]["messages"].as_object().expect("messages") {
        assert!(
            message["summary"].as_str().is_some_and(|s| s.ends_with('.')),
            "{name} says nothing of itself"
        );
        assert_eq!(message["contentType"], "application/cloudevents+json", "{name}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            references.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(all) => all.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

/// The envelope is described by hand, beside what is written: they are the same.
#[test]
fn the_envelope_is_described_as_it_is_written() {
    let document = events_document(telling());
    let described = &document["components"]["schemas"]["Envelope"];
    let envelope = Envelope {
        specversion: Envelope::SPEC_VERSION.to_owned(),
        id: office::id(),
        source: "catalog".to_owned(),
        event_type: "catalog.act.announced".to_owned(),
        dataversion: 1,
        subject: office::id(),
        aggregateversion: 1,
        time: strangler::Clock::now(&strangler::SystemClock),
        traceparent: String::new(),
        datacontenttype: Envelope::CONTENT_TYPE.to_owned(),
        data: Value::Null,
        position: 1,
    };
    let written = serde_json::to_value(envelope).expect("JSON");
    assert_eq!(keys(&described["properties"]), keys(&written));
    let required: BTreeSet<_> = described["required"]
        .as_array()
        .expect("names")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(required, keys(&written), "every attribute is always there");
    for (name, schema) in described["properties"].as_object().expect("attributes") {
        let value = &written[name.as_str()];
        let fits = match schema["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            _ => schema["const"].is_null() || schema["const"] == *value,
        };
        assert!(fits, "{name} is {value} and described as {schema}");
    }
}

/// A contract crate that has events names them to its contract: otherwise nobody would know of them.
#[test]
fn no_contract_keeps_its_events_to_itself() {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .join("modules");
    let mut seen = 0;
    for module in MODULES {
        let (name, events) = (module.contract.name, module.contract.events);
        let sources = fs::read_dir(modules.join(name).join("contract/src")).expect("the contract's sources");
        let text: String = sources
            .flatten()
            .filter_map(|file| fs::read_to_string(file.path()).ok())
            .collect();
        let tells = text.contains("strangler::events!") || text.contains("impl Event for");
        assert_eq!(
            tells,
            !events.is_empty(),
            "{name}: write the events with strangler::events! and `events = …` in #[contract]"
        );
        let prefix = format!("{name}.");
        let mut once = BTreeSet::new();
        for event in events {
            assert!(
                event.event_type.starts_with(&prefix),
                "{} is no event of {name}",
                event.event_type
            );
            assert!(
                once.insert((event.event_type, event.version)),
                "{} is there twice",
                event.event_type
            );
            seen += 1;
        }
    }
    assert!(seen >= 7, "{seen} events");
}
