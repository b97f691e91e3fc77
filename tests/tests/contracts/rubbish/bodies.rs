//! What can be wrong with a body.

use serde_json::{Value, json};

use crate::{
    cases::{Case, Expect},
    document::{Operation, resolved},
    values::{Fit, fits},
};

/// What stands where a value was, until something else is written there.
const HERE: &str = "\u{e000}here\u{e000}";
/// The size of a huge text, a little less than a body may have.
const HUGE: usize = 1_000_000;

/// Everything that can be wrong with the body of an operation's valid request.
pub fn all(operation: &Operation, base: &Case) -> Vec<Case> {
    if operation.form.is_some() {
        return forms(base);
    }
    let Some(schema) = &operation.body else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&base.body).into_owned();
    let value: Value = serde_json::from_str(&text).expect("a valid body is JSON");
    let refused = |what: &str| base.but(what, Expect::Refused);
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(10_000), close.repeat(10_000));
    let mut cases = vec![
        refused("no body").body(""),
        refused("half a body").body(text[..text.len() - 1].to_owned()),
        refused("more after the body").body(format!("{text}{text}")),
        refused("a byte order mark").body(format!("\u{feff}{text}")),
        refused("not UTF-8").body(b"{\"name\": \"\xff\xfe\"}".to_vec()),
        refused("UTF-16").body(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        refused("a comment").body(format!("/* */{text}")),
        refused("deep arrays").body(deep("[", "]")),
        refused("deep objects").body(format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000))),
        refused("deep and never closed").body("[".repeat(500_000)),
        refused("single quotes").body(text.replace('"', "'")),
        base.but("white space around", base.expect)
            .body(format!(" \r\n\t{text}\n ")),
        base.but("too large", Expect::Status(413))
            .body(format!("{text}{}", " ".repeat(1_100_000))),
        base.but("no media type", Expect::Status(415))
            .header("content-type", None),
        base.but("a parameter of the media type", base.expect)
            .header("content-type", Some("application/json; charset=utf-8")),
    ];
    for media in [
        "text/plain",
        "application/xml",
        "multipart/form-data; boundary=x",
        "rubbish",
        "",
        "application/",
        "application/jsonx",
        "application/json; charset=latin1",
    ] {
        cases.push(
            base.but(format!("media type {media}"), Expect::Status(415))
                .header("content-type", Some(media)),
        );
    }
    for coding in ["gzip", "br", "rubbish", "gzip, gzip"] {
        // The body is none of that coding, and must not be taken as it is.
        let what = format!("content-encoding {coding}");
        cases.push(
            base.but(what, Expect::Status(415))
                .header("content-encoding", Some(coding)),
        );
    }
    cases.push(
        base.but("content-encoding identity", base.expect)
            .header("content-encoding", Some("identity")),
    );
    if let Some(object) = value.as_object() {
        let mut more = object.clone();
        more.insert("no_such_property".to_owned(), Value::from("x"));
        let more = Value::Object(more).to_string();
        cases.push(base.but("an unknown property", base.expect).body(more));
        let again = text.trim_end_matches('}').to_owned();
        for (key, value) in object {
            let twice = format!("{again},{}:{value}}}", Value::from(key.as_str()));
            cases.push(base.but(format!("`{key}` twice"), Expect::Anything).body(twice));
        }
    }
    at_every_place(operation, schema, &value, base, &mut cases);
    cases
}

/// Everything that can stand where something else should.
fn at_every_place(operation: &Operation, schema: &Value, body: &Value, base: &Case, cases: &mut Vec<Case>) {
    let huge = format!("\"{}\"", "x".repeat(HUGE));
    let raw = [
        "null",
        "true",
        "[]",
        "{}",
        "\"\"",
        "\" \"",
        "\"text\"",
        "\"\\u0000\"",
        "\"\\u001b[31m\"",
        "\"a\nb\"",
        "\"\\u202eltr\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\ud83c\\udfbb\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"e\\u0301\"",
        "\"\\ufeff\"",
        "0",
        "-0",
        "-1",
        "1.5",
        "1.0",
        "1e2",
        "1e400",
        "-1e400",
        "1e-400",
        "NaN",
        "Infinity",
        "01",
        "+1",
        "0x10",
        ".5",
        "2147483648",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "[null]",
        "[[]]",
        "{\"a\":1}",
        "undefined",
        "",
        "\"00000000-0000-0000-0000-000000000000\"",
        "\"2027-13-01T00:00:00Z\"",
        "\"0000-00-00T00:00:00Z\"",
        "\"';--\"",
        &huge,
    ];
    let document = &operation.document;
    for (pointer, place) in places(document, schema, body, String::new()) {
        let mut holed = body.clone();
        *holed.pointer_mut(&pointer).expect("a place of this body") = Value::from(HERE);
        let holed = holed.to_string();
        let hole = Value::from(HERE).to_string();
        for raw in raw {
            // Surrogates without a partner are no text, though some readers let them pass.
            let value = serde_json::from_str::<Value>(raw).ok();
            let fit = value.map_or(Fit::No, |v| fits(document, &place, &v));
            let expect = if fit == Fit::No {
                Expect::Refused
            } else {
                Expect::Anything
            };
            cases.push(
                base.but(format!("{pointer} {raw:.40}"), expect)
                    .body(holed.replace(&hole, raw)),
            );
        }
        if let Some(Value::Array(all)) = body.pointer(&pointer)
            && let Some(first) = all.first()
        {
            let twice = json!([first, first]);
            let fit = fits(document, &place, &twice);
            let expect = if fit == Fit::No {
                Expect::Refused
            } else {
                Expect::Anything
            };
            let body = holed.replace(&hole, &twice.to_string());
            cases.push(base.but(format!("{pointer} the same twice"), expect).body(body));
        }
        if let Some(Value::Object(fields)) = body.pointer(&pointer) {
            let values = Value::Array(fields.values().cloned().collect()).to_string();
            cases.push(
                base.but(format!("{pointer} as an array"), Expect::Refused)
                    .body(holed.replace(&hole, &values)),
            );
        }
        let Some((parent, key)) = pointer.rsplit_once('/') else {
            continue;
        };
        let mut without = body.clone();
        let Some(Value::Object(parent_value)) = without.pointer_mut(parent) else {
            continue;
        };
        let kept = parent_value.clone();
        parent_value.remove(key);
        let parent_schema = places(document, schema, body, String::new())
            .into_iter()
            .find(|(p, _)| p == parent);
        let fit = parent_schema.map_or(Fit::Perhaps, |(_, s)| {
            fits(document, &s, &Value::Object(parent_value.clone()))
        });
        let expect = if fit == Fit::No {
            Expect::Refused
        } else {
            Expect::Anything
        };
        cases.push(base.but(format!("{pointer} missing"), expect).body(without.to_string()));
        let mut renamed = kept;
        let value = renamed.remove(key).unwrap_or_default();
        renamed.insert(key.to_uppercase(), value);
        let mut other = body.clone();
        *other.pointer_mut(parent).expect("a place of this body") = Value::Object(renamed);
        cases.push(
            base.but(format!("{pointer} in capitals"), expect)
                .body(other.to_string()),
        );
    }
}

/// Every place of a value and the schema that is for it, the whole first.
fn places(document: &Value, schema: &Value, value: &Value, at: String) -> Vec<(String, Value)> {
    let mut found = vec![(at.clone(), schema.clone())];
    let inner = resolved(document, schema);
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                found.extend(places(
                    document,
                    &inner["properties"][key.as_str()],
                    value,
                    format!("{at}/{key}"),
                ));
            }
        }
        // One element stands for all.
        Value::Array(all) => {
            let first = all.iter().take(1);
            found.extend(first.flat_map(|v| places(document, &inner["items"], v, format!("{at}/0"))));
        }
        _ => {}
    }
    found
}

/// Everything that can be wrong with a form. What is in its fields is for the page to say.
fn forms(base: &Case) -> Vec<Case> {
    let text = String::from_utf8_lossy(&base.body).into_owned();
    let mut cases = vec![
        base.but("no media type", Expect::Status(415))
            .header("content-type", None),
        base.but("too large", Expect::Status(413))
            .body(format!("{text}&x={}", "x".repeat(1_100_000))),
        base.but("an unknown field", base.expect)
            .body(format!("{text}&no_such_field=x")),
        base.but("a parameter of the media type", base.expect)
            .header("content-type", Some("application/x-www-form-urlencoded; charset=utf-8")),
    ];
    for media in [
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=x",
        "rubbish",
        "",
    ] {
        let case = base.but(format!("media type {media}"), Expect::Status(415));
        cases.push(case.header("content-type", Some(media)));
    }
    for coding in ["gzip", "rubbish"] {
        let case = base.but(format!("content-encoding {coding}"), Expect::Status(415));
        cases.push(case.header("content-encoding", Some(coding)));
    }
    let huge = format!("email={0}&show={0}&card={0}&order={0}", "x".repeat(HUGE / 5));
    let many = "seat=x&".repeat(HUGE / 8);
    for body in [
        "",
        "&&&",
        "=",
        "%",
        "%ff=%ff",
        "seat",
        "seat=&seat=",
        "email=%00&show=%0d%0a",
        "{}",
        &huge,
        &many,
    ] {
        cases.push(
            base.but(format!("form {body:.20}"), Expect::Anything)
                .body(body.to_owned()),
        );
    }
    cases.push(
        base.but("not UTF-8", Expect::Anything)
            .body(b"email=\xff\xfe&seat=\x80".to_vec()),
    );
    cases
}
