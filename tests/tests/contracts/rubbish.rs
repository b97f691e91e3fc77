//! What can be wrong with a request that was right.

use serde_json::Value;

use crate::{
    cases::{Case, Expect, nobodys},
    document::{Operation, is_a, resolved},
    values::{Fit, fits},
};

/// What stands where a value was, until something else is written there.
const HERE: &str = "\u{e000}here\u{e000}";
/// The size of a huge text, a little less than a body may have.
const HUGE: usize = 1_000_000;

/// Everything that can go wrong with an operation's valid request `base`.
pub fn all(operation: &Operation, base: &Case) -> Vec<Case> {
    let mut cases = ids(operation, base);
    cases.extend(queries(operation, base));
    cases.extend(headers(operation, base));
    cases.extend(methods(operation, base));
    cases.extend(paths(base));
    cases.extend(bodies(operation, base));
    cases
}

fn ids(operation: &Operation, base: &Case) -> Vec<Case> {
    let bad = [
        "x",
        "0",
        "-1",
        "%00",
        "%ff",
        "%c3%28",
        "%zz",
        "%",
        "%2",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%F0%9F%8E%BB",
        "null",
        "%e2%80%ae",
        "0190163d-8694-739b-aea5-966c26f8ad9",
        "0190163d-8694-739b-aea5-966c26f8ad911",
        "%20",
        "+",
        ";id",
        "'--",
        "0190163d%2d8694-739b-aea5-966c26f8ad9z",
        "*",
        "{id}",
        "%0d%0aset-cookie:%20x=1",
        "\u{fffd}",
    ];
    let mut cases = Vec::new();
    for parameter in operation.parameters.iter().filter(|p| p.place == "path") {
        let uuid = resolved(&operation.document, &parameter.schema)["format"] == "uuid";
        let braces = format!("{{{}}}", parameter.name);
        // The other parameters stay as they are in a path of nobody's things.
        let with = |value: &str| {
            let path = operation.path.replace(&braces, value);
            let other = |p: &&crate::document::Parameter| p.place == "path" && p.name != parameter.name;
            let others = operation.parameters.iter().filter(other);
            others.fold(path, |path, p| {
                path.replace(&format!("{{{}}}", p.name), &nobodys().to_string())
            })
        };
        let expect = if uuid { Expect::Refused } else { Expect::Anything };
        let long = [
            "a".repeat(200),
            "7".repeat(5_000),
            "%41".repeat(2_700),
            "x".repeat(9_000),
        ];
        for value in bad.iter().map(|b| (*b).to_owned()).chain(long) {
            // Longer than any path that is looked at; to the table there is nothing.
            let expect = if with(&value).len() > 8 << 10 {
                Expect::Status(404)
            } else {
                expect
            };
            cases.push(base.but(format!("id {value:.40}"), expect).target(with(&value)));
        }
        cases.push(base.but("empty id", Expect::Anything).target(with("")));
        let nobody = nobodys();
        let forms = [
            nobody.to_string(),
            nobody.to_string().to_uppercase(),
            nobody.simple().to_string(),
            nobody.urn().to_string(),
            nobody.braced().to_string(),
            nobody.to_string().replace('-', "%2D"),
            "00000000-0000-0000-0000-000000000000".to_owned(),
            "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
        ];
        // Any form that RFC 9562 allows; commands would create something, and are asked with their own body elsewhere.
        let expect = if uuid && !operation.command {
            Expect::Taken
        } else {
            Expect::Anything
        };
        cases.extend(
            forms
                .iter()
                .map(|form| base.but(format!("nobody's id {form}"), expect).target(with(form))),
        );
    }
    cases
}

fn queries(operation: &Operation, base: &Case) -> Vec<Case> {
    let path = base.target.split('?').next().unwrap_or_default();
    let mut cases = Vec::new();
    for parameter in operation.parameters.iter().filter(|p| p.place == "query") {
        let name = &parameter.name;
        let texts = [
            "",
            "0",
            "-1",
            "1",
            "101",
            "99999999999",
            "18446744073709551616",
            "1e400",
            "1.5",
            "NaN",
            "-0",
            "+1",
            "%00",
            "%ff",
            "%",
            "rubbish",
            "null",
            "true",
            "[]",
            "%F0%9F%8E%BB",
            "2027-02-30T00:00:00Z",
            "2027-05-01T19:30:00%2B02:00",
            "2027-05-01T19:30:00+02:00",
            "9999-12-31T23:59:59.9999999Z",
            "10000-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "7fffffffffffffff0190163d8694739baea5966c26f8ad91",
            "00000000000000000190163d8694739baea5966c26f8ad91",
            "'%20or%201=1",
        ];
        for text in texts {
            let schema = resolved(&operation.document, &parameter.schema);
            let number = serde_json::from_str::<Value>(text)
                .ok()
                .filter(|v| v.is_number() && !is_a(schema, "string"));
            let value = number.unwrap_or_else(|| Value::String(text.to_owned()));
            let expect = match (fits(&operation.document, &parameter.schema, &value), text.contains('%')) {
                (Fit::No, false) => Expect::Refused,
                _ => Expect::Anything,
            };
            cases.push(
                base.but(format!("{name}={text}"), expect)
                    .target(format!("{path}?{name}={text}")),
            );
        }
        let twice = format!("{path}?{name}=1&{name}=2");
        cases.push(base.but(format!("{name} twice"), Expect::Anything).target(twice));
        let long = format!("{path}?{name}={}", "9".repeat(17_000));
        cases.push(base.but(format!("long {name}"), Expect::Refused).target(long));
    }
    let asks = operation.parameters.iter().any(|p| p.place == "query" && p.required);
    let expect = if asks { Expect::Refused } else { base.expect };
    for unknown in [
        "?no_such_parameter=1",
        "?",
        "?&&&",
        "?=",
        "?=%ff",
        "?%00=%00",
        "?a[b]=c",
    ] {
        cases.push(
            base.but(format!("query {unknown}"), expect)
                .target(format!("{path}{unknown}")),
        );
    }
    if operation.parameters.iter().all(|p| p.place != "query") {
        let long = format!("{path}?{}", "x".repeat(20_000));
        cases.push(base.but("a long query that nobody reads", expect).target(long));
    }
    cases
}

fn headers(operation: &Operation, base: &Case) -> Vec<Case> {
    let mut cases = Vec::new();
    let conditions = [
        "",
        "*",
        "\"1\"",
        "W/\"1\"",
        "\"9223372036854775807\"",
        "\"-1\"",
        "\"99999999999999999999\"",
        "\"",
        "\"\"",
        "1",
        "\"1\", \"2\"",
        ",,,",
        "rubbish",
        "\"1",
        "\"\\\"\"",
        "* , \"1\"",
    ];
    for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] {
        for value in conditions {
            cases.push(
                base.but(format!("{name} {value}"), Expect::Anything)
                    .header(name, Some(value)),
            );
        }
        let long = vec!["\"1\""; 1_000].join(",");
        cases.push(
            base.but(format!("long {name}"), Expect::Anything)
                .header(name, Some(&long)),
        );
    }
    let harmless = [
        ("traceparent", "rubbish"),
        ("traceparent", "ff-00000000000000000000000000000000-0000000000000000-00"),
        ("traceparent", "00-00000000000000000000000000000000-0000000000000000-00"),
        ("tracestate", "=,=,;;"),
        ("baggage", "%%%,=,;"),
        ("request-timeout", "rubbish"),
        ("request-timeout", "-1"),
        ("request-timeout", "NaN"),
        ("request-timeout", "1e400"),
        ("request-timeout", "inf"),
        ("request-timeout", "99999999999999999999"),
        ("strangler-run", "shadow"),
        ("strangler-run", "rubbish"),
        ("idempotency-key", ""),
        ("cookie", "session"),
        ("cookie", "session=; session=; =;;;"),
        ("accept", "rubbish"),
        ("accept", "text/html"),
        ("accept-encoding", "rubbish;q=9"),
        ("range", "bytes=9-1"),
        ("x-forwarded-for", "rubbish"),
        ("te", "rubbish"),
        ("expect", "100-continue"),
        ("connection", "traceparent, authorization"),
        ("x-http-method-override", "DELETE"),
        ("origin", "null"),
    ];
    for (name, value) in harmless {
        cases.push(
            base.but(format!("{name}: {value}"), base.expect)
                .header(name, Some(value)),
        );
    }
    let long = "k".repeat(8_000);
    for name in ["traceparent", "tracestate", "baggage", "idempotency-key", "x-long"] {
        cases.push(base.but(format!("long {name}"), base.expect).header(name, Some(&long)));
    }
    let tokens = [
        "",
        "Bearer",
        "Bearer ",
        "Basic b3BlcmF0b3I6",
        "Bearer rubbish",
        "Bearer a b",
        "bearer\trubbish",
        "Bearer e30.e30.e30",
    ];
    for token in tokens {
        cases.push(
            base.but(format!("token {token}"), Expect::Status(401))
                .header("authorization", Some(token)),
        );
    }
    if operation.body.is_none() {
        let body = base
            .but("a body that nobody reads", base.expect)
            .header("content-type", Some("text/plain"));
        cases.push(body.clone().body("rubbish"));
        cases.push(
            body.but("a body that is too large", Expect::Status(413))
                .body("x".repeat(1_100_000)),
        );
    }
    cases
}

fn methods(operation: &Operation, base: &Case) -> Vec<Case> {
    let item = operation.document["paths"][operation.path.as_str()].clone();
    let mut cases = Vec::new();
    for method in [
        "OPTIONS",
        "POST",
        "PATCH",
        "TRACE",
        "PROPFIND",
        "BREW",
        "get",
        "GET",
        "PUT",
        "DELETE",
        "A-VERY-LONG-METHOD-NAME",
    ] {
        if item[method.to_lowercase()].is_null() || method == "get" {
            cases.push(base.but(format!("method {method}"), Expect::Status(405)).method(method));
        }
    }
    let head = if item["get"].is_null() {
        Expect::Status(405)
    } else {
        Expect::Anything
    };
    cases.push(base.but("method HEAD", head).method("HEAD").body(""));
    cases
}

fn paths(base: &Case) -> Vec<Case> {
    let (path, whole) = (base.target.split('?').next().unwrap_or_default(), &base.target);
    let wrong = [
        format!("{path}/"),
        format!("{path}/more"),
        path.replacen("/api/", "/api//", 1),
        path.replacen("/v1/", "/v2/", 1),
        path.replacen("/v1/", "/V1/", 1),
        path.replacen("/v1/", "/v1/../v1/", 1),
        path.replacen("/v1/", "/%76%31/", 1),
        "/api".to_owned(),
        "/api/".to_owned(),
        "/api/v1".to_owned(),
        format!("/api/{}", "x/".repeat(3_000)),
    ];
    let each = wrong.into_iter().filter(|w| w != whole);
    // What is below a list may be one of its things.
    let expect = |wrong: &str| {
        if wrong.ends_with("/more") {
            Expect::Anything
        } else {
            Expect::Status(404)
        }
    };
    each.map(|w| base.but(format!("path {w:.60}"), expect(&w)).target(w))
        .collect()
}

fn bodies(operation: &Operation, base: &Case) -> Vec<Case> {
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
