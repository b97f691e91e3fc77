use serde_json::{Value, json};

use super::breaking;

/// A document with one of everything.
fn document() -> Value {
    json!({
        "openapi": "3.1.0",
        "paths": {
            "/things/{id}": {
                "get": {
                    "operationId": "thing",
                    "parameters": [
                        {"name": "id", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}},
                        {"name": "limit", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 1, "maximum": 100}},
                    ],
                    "responses": {
                        "200": {
                            "headers": {"etag": {"schema": {"type": "string"}}},
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                        },
                        "404": {"description": "No such thing"},
                    },
                },
                "put": {
                    "operationId": "put_thing",
                    "security": [{"token": ["write"]}],
                    "requestBody": {
                        "required": true,
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Draft"}}},
                    },
                    "responses": {"204": {"description": "done"}},
                },
            },
            "/things": {"get": {"operationId": "things", "responses": {"200": {"description": "all"}}}},
        },
        "components": {"schemas": {
            "Thing": {
                "type": "object",
                "required": ["id", "state", "size"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "state": {"type": "string", "enum": ["new", "old"]},
                    "size": {"type": "integer", "format": "int32"},
                    "note": {"type": ["string", "null"]},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
                },
            },
            "Draft": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": 60},
                    "kind": {"type": "string", "enum": ["a", "b"]},
                    "size": {"type": "integer", "format": "int64", "minimum": 0},
                    "tags": {"type": "array", "maxItems": 5, "items": {"type": "string"}},
                    "note": {"oneOf": [{"type": "null"}, {"type": "string"}]},
                },
            },
        }},
    })
}

/// What breaks when the value at `pointer` (its parent must be there) becomes `value`; `null` removes it.
fn after(pointer: &str, value: Value) -> Vec<String> {
    let (old, mut new) = (document(), document());
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let key = key.replace("~1", "/");
    match (new.pointer_mut(parent).expect(pointer), value) {
        (Value::Object(map), Value::Null) => assert!(map.remove(&key).is_some(), "{pointer}"),
        (Value::Object(map), value) => _ = map.insert(key, value),
        (Value::Array(list), Value::Null) => _ = list.remove(key.parse().expect("an index")),
        (Value::Array(list), value) if key == "-" => list.push(value),
        (Value::Array(list), value) => list[key.parse::<usize>().expect("an index")] = value,
        _ => panic!("{pointer}"),
    }
    breaking(&old, &new)
}

fn breaks(pointer: &str, value: Value, sentence: &str) {
    let found = after(pointer, value);
    assert!(!found.is_empty(), "{pointer}: nothing was found to break");
    assert!(
        found.iter().all(|s| s.contains(sentence)),
        "{pointer}: expected `{sentence}` in {found:#?}"
    );
}

fn breaks_nobody(pointer: &str, value: Value) {
    let found = after(pointer, value);
    assert!(found.is_empty(), "{pointer}: {found:#?}");
}

const GET: &str = "/paths/~1things~1{id}/get";
const PUT: &str = "/paths/~1things~1{id}/put";
const THING: &str = "/components/schemas/Thing";
const DRAFT: &str = "/components/schemas/Draft";

#[test]
fn the_same_document_breaks_nobody() {
    assert!(breaking(&document(), &document()).is_empty());
}

#[test]
fn operations_that_go_or_change_their_name() {
    breaks("/paths/~1things", Value::Null, "/things: the path is gone");
    breaks(PUT, Value::Null, "PUT /things/{id}: the operation is gone");
    breaks(
        &format!("{GET}/operationId"),
        json!("item"),
        "was called \"thing\" and is called \"item\"",
    );
}

#[test]
fn parameters() {
    breaks(
        &format!("{GET}/parameters/1"),
        Value::Null,
        "the query parameter `limit` is gone",
    );
    breaks(
        &format!("{GET}/parameters/1/required"),
        json!(true),
        "`limit` is required now",
    );
    breaks(
        &format!("{GET}/parameters/1/schema/maximum"),
        json!(50),
        "tighter maximum: 100 before, 50 now",
    );
    breaks(
        &format!("{GET}/parameters/1/schema/minimum"),
        json!(2),
        "tighter minimum: 1 before, 2 now",
    );
    breaks(
        &format!("{GET}/parameters/1/schema/type"),
        json!("string"),
        "was integer and is string",
    );
    let new = |required| json!({"name": "by", "in": "query", "required": required, "schema": {"type": "string"}});
    breaks(&format!("{GET}/parameters/-"), new(true), "`by` is new and required");
    breaks_nobody(&format!("{GET}/parameters/-"), new(false));
    breaks_nobody(&format!("{GET}/parameters/1/schema/maximum"), json!(1000));
    breaks_nobody(&format!("{GET}/parameters/1/schema/maximum"), Value::Null);
}

#[test]
fn answers_that_lack_something() {
    breaks(&format!("{GET}/responses/404"), Value::Null, "the answer 404 is gone");
    breaks(
        &format!("{GET}/responses/200/headers/etag"),
        Value::Null,
        "no longer has the header `etag`",
    );
    let media = format!("{GET}/responses/200/content/application~1json");
    breaks(&media, Value::Null, "no longer there as application/json");
    breaks(&format!("{THING}/properties/size"), Value::Null, "/size is gone");
    breaks(
        &format!("{THING}/required/2"),
        Value::Null,
        "/size was always there and may be absent now",
    );
    breaks_nobody(&format!("{GET}/responses/410"), json!({"description": "gone"}));
    breaks_nobody(&format!("{THING}/properties/colour"), json!({"type": "string"}));
    breaks_nobody(&format!("{THING}/required/-"), json!("note"));
}

#[test]
fn answers_that_are_another_thing() {
    breaks(
        &format!("{THING}/properties/size/type"),
        json!("string"),
        "/size was integer and is string",
    );
    breaks(
        &format!("{THING}/properties/size/format"),
        json!("int64"),
        "/size was of the format int32 and is int64",
    );
    breaks(
        &format!("{THING}/properties/id/format"),
        Value::Null,
        "/id was of the format uuid and is free",
    );
    breaks(
        &format!("{THING}/properties/state/type"),
        json!(["string", "null"]),
        "/state may be null now",
    );
    breaks(
        &format!("{THING}/properties/state/enum"),
        json!(["new"]),
        "/state no longer has the value \"old\"",
    );
    breaks(
        &format!("{THING}/properties/state/enum/-"),
        json!("lost"),
        "has the value \"lost\"",
    );
    breaks(
        &format!("{THING}/properties/parts/items"),
        json!({"type": "string"}),
        "/parts/* was object and is string",
    );
    breaks_nobody(&format!("{THING}/properties/note/type"), json!("string"));
    breaks_nobody(&format!("{THING}/properties/note/maxLength"), json!(5));
}

#[test]
fn inputs_that_ask_for_more() {
    breaks(&format!("{DRAFT}/properties/name"), Value::Null, "/name is");
    breaks(
        &format!("{DRAFT}/required/-"),
        json!("kind"),
        "/kind was optional and is required",
    );
    breaks(
        &format!("{DRAFT}/required/-"),
        json!("colour"),
        "/colour is new and required",
    );
    breaks(
        &format!("{DRAFT}/additionalProperties"),
        json!(false),
        "no longer takes properties",
    );
    breaks_nobody(&format!("{DRAFT}/required"), json!([]));
    breaks_nobody(&format!("{DRAFT}/properties/colour"), json!({"type": "string"}));
}

#[test]
fn inputs_that_take_less() {
    breaks(
        &format!("{DRAFT}/properties/name/maxLength"),
        json!(50),
        "tighter maxLength: 60 before, 50 now",
    );
    breaks(
        &format!("{DRAFT}/properties/name/minLength"),
        json!(2),
        "tighter minLength: 1 before, 2 now",
    );
    breaks(
        &format!("{DRAFT}/properties/tags/maxItems"),
        json!(4),
        "tighter maxItems: 5 before, 4 now",
    );
    breaks(
        &format!("{DRAFT}/properties/tags/minItems"),
        json!(1),
        "tighter minItems: none before, 1 now",
    );
    breaks(
        &format!("{DRAFT}/properties/size/maximum"),
        json!(9),
        "tighter maximum: none before, 9 now",
    );
    breaks(
        &format!("{DRAFT}/properties/size/format"),
        json!("int32"),
        "was of the format int64 and is int32",
    );
    breaks(
        &format!("{DRAFT}/properties/size/type"),
        json!("string"),
        "/size was integer and is string",
    );
    breaks(
        &format!("{DRAFT}/properties/tags/uniqueItems"),
        json!(true),
        "no longer takes the same item twice",
    );
    breaks(
        &format!("{DRAFT}/properties/name/pattern"),
        json!("^x"),
        "must match another pattern",
    );
    breaks(
        &format!("{DRAFT}/properties/name/enum"),
        json!(["x"]),
        "took any value and takes only some now",
    );
    breaks(
        &format!("{DRAFT}/properties/kind/enum"),
        json!(["a"]),
        "/kind no longer has the value \"b\"",
    );
    breaks(
        &format!("{DRAFT}/properties/note"),
        json!({"type": "string"}),
        "/note may no longer be null",
    );
    breaks(
        &format!("{DRAFT}/properties/tags/items/maxLength"),
        json!(3),
        "/tags/* has a tighter maxLength",
    );
    breaks_nobody(&format!("{DRAFT}/properties/name/maxLength"), json!(70));
    breaks_nobody(&format!("{DRAFT}/properties/size/type"), json!("number"));
    breaks_nobody(&format!("{DRAFT}/properties/size/minimum"), Value::Null);
    breaks_nobody(&format!("{DRAFT}/properties/kind/enum/-"), json!("c"));
    breaks_nobody(&format!("{DRAFT}/properties/note"), json!({"type": ["null", "string"]}));
}

#[test]
fn bodies_and_tokens() {
    let body = json!({"required": true, "content": {"application/json": {"schema": {"type": "object"}}}});
    breaks(
        &format!("{GET}/requestBody"),
        body,
        "GET /things/{id}: a body is required now",
    );
    breaks(
        &format!("{GET}/security"),
        json!([{"token": []}]),
        "asks for a token now",
    );
    breaks(
        &format!("{PUT}/security/0/token/-"),
        json!("admin"),
        "asks for the scope `admin` now",
    );
    let media = format!("{PUT}/requestBody/content/application~1json");
    breaks(&media, Value::Null, "the body is no longer there as application/json");
    breaks_nobody(&format!("{PUT}/security"), json!([]));
}

#[test]
fn alternatives() {
    let either = |last: &str| json!({"oneOf": [{"type": "string"}, {"type": last}]});
    let (mut old, mut new) = (document(), document());
    for (schema, sentence) in [
        ("Draft", "no longer takes one of its alternatives"),
        ("Thing", "has an alternative"),
    ] {
        old["components"]["schemas"][schema]["properties"]["size"] = either("integer");
        new["components"]["schemas"][schema]["properties"]["size"] = either("boolean");
        let found = breaking(&old, &new);
        assert!(found.iter().any(|s| s.contains(sentence)), "{found:#?}");
        new = document();
        old = document();
    }
    old["components"]["schemas"]["Draft"]["properties"]["size"] = json!({"type": "string"});
    new["components"]["schemas"]["Draft"]["properties"]["size"] = either("integer");
    assert!(breaking(&old, &new).is_empty());
}

#[test]
fn a_moved_schema_is_the_same_schema() {
    let mut new = document();
    let thing = new["components"]["schemas"]["Thing"].clone();
    new["components"]["schemas"]["Item"] = thing;
    new["paths"]["/things/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"] =
        json!({"$ref": "#/components/schemas/Item"});
    assert!(breaking(&document(), &new).is_empty());
}
