//! What between two AsyncAPI documents of a module's events would break a listener that was written for the old one.

use serde_json::Value;

use super::{
    list, map,
    schema::{Direction, Schemas},
};

/// A message of a document, and what it carries.
struct Told<'a> {
    event: &'a str,
    version: u64,
    data: &'a Value,
}

/// Every breaking difference from `old` to `new`, as a sentence that names the event and the place. Empty when nobody
/// breaks: a new event, a new field, a new version beside the old one.
pub fn breaking_events(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (channel, was) in map(&old["channels"]) {
        let is = &new["channels"][channel.as_str()];
        if is.is_null() {
            found.push(format!("{channel}: the log is gone"));
            continue;
        }
        if was["address"] != is["address"] {
            let (was, is) = (&was["address"], &is["address"]);
            found.push(format!("{channel}: the log was at {was} and is at {is}"));
        }
        let (told, tells) = (messages(old, channel), messages(new, channel));
        for was in &told {
            message(&mut found, (old, new), was, &told, &tells);
        }
    }
    let [was, is] = [old, new].map(|document| &document["components"]["schemas"]["Envelope"]);
    found.extend(differences((old, new), "the envelope", was, is));
    found
}

fn message(
    found: &mut Vec<String>,
    documents: (&Value, &Value),
    was: &Told<'_>,
    told: &[Told<'_>],
    tells: &[Told<'_>],
) {
    let Told { event, version, .. } = was;
    if let Some(is) = tells.iter().find(|is| is.event == *event && is.version == *version) {
        return found.extend(differences(
            documents,
            &format!("{event} v{version}: data"),
            was.data,
            is.data,
        ));
    }
    let versions: Vec<u64> = tells
        .iter()
        .filter(|is| is.event == *event)
        .map(|is| is.version)
        .collect();
    if !versions.is_empty() {
        let now = versions.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let sentence =
            format!("{event}: version {version} is gone (there is {now}), and a listener of it hears nothing");
        return found.push(sentence);
    }
    // The same under another name is still nothing to those who listen to the old one.
    let renamed = tells.iter().find(|is| {
        let new = !told.iter().any(|was| was.event == is.event);
        new && differences(documents, "", was.data, is.data).is_empty()
            && differences((documents.1, documents.0), "", is.data, was.data).is_empty()
    });
    found.push(match renamed {
        Some(is) => format!(
            "{event}: the event is called {} now, and a listener of {event} hears nothing",
            is.event
        ),
        None => format!("{event}: the event is gone"),
    });
}

fn differences((old, new): (&Value, &Value), place: &str, was: &Value, is: &Value) -> Vec<String> {
    let mut schemas = Schemas::new(old, new, Direction::Answer);
    schemas.compare(place, was, is);
    schemas.sentences
}

/// The messages of a channel, references followed.
fn messages<'a>(document: &'a Value, channel: &str) -> Vec<Told<'a>> {
    let told = |(_, message): (&String, &'a Value)| {
        let message = message["$ref"]
            .as_str()
            .and_then(|r| document.pointer(r.strip_prefix('#')?))?;
        let parts = list(&message["payload"]["allOf"]);
        let part = |key: &str| parts.iter().map(|p| &p["properties"][key]).find(|p| !p.is_null());
        Some(Told {
            event: part("type")?["const"].as_str()?,
            version: part("dataversion")?["const"].as_u64()?,
            data: part("data")?,
        })
    };
    map(&document["channels"][channel]["messages"])
        .filter_map(told)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ADDED: &str = "/components/messages/hall.seat.added.v1";
    const SEAT: &str = "/components/schemas/hall.Seat";

    fn document() -> Value {
        let message = |event: &str, version: u64, schema: &str| {
            let data = json!({"$ref": format!("#/components/schemas/hall.{schema}")});
            let properties = json!({"type": {"const": event}, "dataversion": {"const": version}, "data": data});
            json!({"payload": {"allOf": [{"$ref": "#/components/schemas/Envelope"}, {"properties": properties}]}})
        };
        let reference = |name: &str| json!({"$ref": format!("#/components/messages/{name}")});
        json!({
            "channels": {"hall": {"address": "hall", "messages": {
                "hall.seat.added.v1": reference("hall.seat.added.v1"),
                "hall.seat.removed.v1": reference("hall.seat.removed.v1"),
            }}},
            "components": {
                "messages": {
                    "hall.seat.added.v1": message("hall.seat.added", 1, "Seat"),
                    "hall.seat.removed.v1": message("hall.seat.removed", 1, "Gone"),
                },
                "schemas": {
                    "Envelope": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                    "hall.Gone": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
                    "hall.Seat": {
                        "type": "object",
                        "required": ["id", "number", "state"],
                        "properties": {
                            "id": {"type": "string", "format": "uuid"},
                            "number": {"type": "integer", "format": "int32"},
                            "state": {"type": "string", "enum": ["free", "sold"]},
                            "note": {"type": ["string", "null"]},
                            "rows": {"type": "array", "items": {"type": "integer"}},
                        },
                    },
                },
            },
        })
    }

    /// What breaks after this change.
    fn after(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut new = document();
        change(&mut new);
        assert_ne!(new, document(), "nothing was changed");
        breaking_events(&document(), &new)
    }

    fn at<'a>(document: &'a mut Value, pointer: &str) -> &'a mut Value {
        document.pointer_mut(pointer).expect(pointer)
    }

    fn breaks(change: impl FnOnce(&mut Value), sentence: &str) {
        let found = after(change);
        assert!(
            found.len() == 1 && found[0].contains(sentence),
            "expected one `{sentence}` in {found:#?}"
        );
    }

    fn breaks_nobody(change: impl FnOnce(&mut Value)) {
        assert_eq!(after(change), Vec::<String>::new());
    }

    fn remove(document: &mut Value, pointer: &str, key: &str) {
        let removed = at(document, pointer).as_object_mut().and_then(|map| map.remove(key));
        assert!(removed.is_some(), "{pointer}/{key}");
    }

    #[test]
    fn the_same_document_breaks_nobody() {
        assert!(breaking_events(&document(), &document()).is_empty());
    }

    #[test]
    fn a_removed_event() {
        breaks(
            |d| remove(d, "/channels/hall/messages", "hall.seat.removed.v1"),
            "hall.seat.removed: the event is gone",
        );
        breaks(|d| remove(d, "/channels", "hall"), "hall: the log is gone");
        breaks(
            |d| *at(d, "/channels/hall/address") = "aula".into(),
            "hall: the log was at \"hall\" and is at \"aula\"",
        );
    }

    #[test]
    fn a_renamed_event() {
        let name = format!("{ADDED}/payload/allOf/1/properties/type/const");
        breaks(
            |d| *at(d, &name) = "hall.seat.built".into(),
            "hall.seat.added: the event is called hall.seat.built now",
        );
    }

    #[test]
    fn another_version() {
        let version = format!("{ADDED}/payload/allOf/1/properties/dataversion/const");
        breaks(
            |d| *at(d, &version) = 2.into(),
            "hall.seat.added: version 1 is gone (there is 2)",
        );
        // Beside the old one it breaks nobody.
        breaks_nobody(|d| {
            let mut second = at(d, ADDED).clone();
            second["payload"]["allOf"][1]["properties"]["dataversion"]["const"] = 2.into();
            second["payload"]["allOf"][1]["properties"]["data"] = json!({"type": "string"});
            d["components"]["messages"]["hall.seat.added.v2"] = second;
            let reference = json!({"$ref": "#/components/messages/hall.seat.added.v2"});
            d["channels"]["hall"]["messages"]["hall.seat.added.v2"] = reference;
        });
    }

    #[test]
    fn a_removed_or_renamed_field() {
        let place = "hall.seat.added v1: data/number is gone";
        breaks(|d| remove(d, &format!("{SEAT}/properties"), "number"), place);
        breaks(
            |d| {
                let seat = at(d, SEAT);
                let number = seat["properties"]["number"].clone();
                seat["properties"].as_object_mut().expect("fields").remove("number");
                seat["properties"]["nr"] = number;
                seat["required"][1] = "nr".into();
            },
            place,
        );
    }

    #[test]
    fn what_may_be_absent_or_null_now() {
        breaks(
            |d| *at(d, &format!("{SEAT}/required")) = json!(["id", "state"]),
            "data/number was always there and may be absent now",
        );
        breaks(
            |d| *at(d, &format!("{SEAT}/properties/number/type")) = json!(["integer", "null"]),
            "data/number may be null now",
        );
    }

    #[test]
    fn what_is_wider_than_a_listener_expects() {
        let field = |name: &str| format!("{SEAT}/properties/{name}");
        breaks(
            |d| {
                at(d, &field("state/enum"))
                    .as_array_mut()
                    .expect("values")
                    .push("held".into())
            },
            "data/state has the value \"held\", which a client of before cannot read",
        );
        breaks(
            |d| *at(d, &field("number/format")) = "int64".into(),
            "data/number was of the format int32 and is int64",
        );
        breaks(
            |d| *at(d, &field("number/type")) = "string".into(),
            "data/number was integer and is string",
        );
        breaks(
            |d| *at(d, &field("rows/items/type")) = "string".into(),
            "data/rows/* was integer and is string",
        );
        breaks(
            |d| remove(d, &field("state"), "enum"),
            "data/state had only some values and may have any now",
        );
    }

    #[test]
    fn what_is_narrower_breaks_a_listener_only_where_it_can_tell() {
        // A value that never comes again: whoever waits for it waits in vain.
        breaks(
            |d| *at(d, &format!("{SEAT}/properties/state/enum")) = json!(["free"]),
            "data/state no longer has the value \"sold\"",
        );
        breaks_nobody(|d| *at(d, &format!("{SEAT}/properties/note/type")) = "string".into());
    }

    #[test]
    fn the_envelope_is_kept_too() {
        breaks(
            |d| remove(d, "/components/schemas/Envelope/properties", "id"),
            "the envelope/id is gone",
        );
    }

    #[test]
    fn additions_break_nobody() {
        breaks_nobody(|d| at(d, &format!("{SEAT}/properties"))["colour"] = json!({"type": "string"}));
        breaks_nobody(|d| {
            at(d, &format!("{SEAT}/required"))
                .as_array_mut()
                .expect("names")
                .push("note".into())
        });
        breaks_nobody(|d| {
            let mut more = at(d, ADDED).clone();
            more["payload"]["allOf"][1]["properties"]["type"]["const"] = "hall.seat.moved".into();
            d["components"]["messages"]["hall.seat.moved.v1"] = more;
            let reference = json!({"$ref": "#/components/messages/hall.seat.moved.v1"});
            d["channels"]["hall"]["messages"]["hall.seat.moved.v1"] = reference;
        });
        breaks_nobody(|d| d["channels"]["stage"] = json!({"address": "stage", "messages": {}}));
        // The same schema under another name is the same.
        breaks_nobody(|d| {
            let seat = at(d, SEAT).clone();
            d["components"]["schemas"]["hall.Chair"] = seat;
            *at(d, &format!("{ADDED}/payload/allOf/1/properties/data/$ref")) = "#/components/schemas/hall.Chair".into();
        });
    }
}
