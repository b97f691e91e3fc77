//! What can be wrong with a request that was right.

mod bodies;

use serde_json::Value;
use system_tests::Address;

use crate::{
    cases::{Case, Expect, nobodys},
    document::{Operation, is_a, resolved},
    values::{Fit, fits},
};

/// Everything that can go wrong with an operation's valid request `base`.
pub fn all(operation: &Operation, base: &Case) -> Vec<Case> {
    let mut cases = ids(operation, base);
    cases.extend(queries(operation, base));
    cases.extend(headers(operation, base));
    cases.extend(methods(operation, base));
    cases.extend(paths(operation, base));
    cases.extend(bodies::all(operation, base));
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
        "0190163d8694739baea5966c26f8ad91",
        "%7B0190163d-8694-739b-aea5-966c26f8ad91%7D",
        "urn:uuid:0190163d-8694-739b-aea5-966c26f8ad91",
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
            let other = |p: &&crate::document::Parameter| p.place == "path" && p.name != parameter.name;
            let others = operation.parameters.iter().filter(other);
            let path = others.fold(operation.path.clone(), |path, p| {
                path.replace(&format!("{{{}}}", p.name), &nobodys().to_string())
            });
            path.replace(&braces, value)
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
            nobody.to_string().replace('-', "%2D"),
            "00000000-0000-0000-0000-000000000000".to_owned(),
            "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
        ];
        // The form that RFC 9562 has; commands would create something, and are asked with their own body elsewhere.
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
                // A page says what is wrong with it.
                (Fit::No, false) if !operation.pages => Expect::Refused,
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
        if operation.pages && operation.command && name == "origin" {
            cases.push(base.but("another site", Expect::Status(403)).header(name, Some(value)));
            continue;
        }
        // Believed between processes, where it asks for an answer that changes nothing: of a command there is none.
        let shadow = (name, value) == ("strangler-run", "shadow") && base.address == Address::Internal;
        let expect = if shadow && operation.command {
            Expect::Refused
        } else {
            base.expect
        };
        cases.push(base.but(format!("{name}: {value}"), expect).header(name, Some(value)));
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
    if operation.body.is_none() && operation.form.is_none() {
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

fn paths(operation: &Operation, base: &Case) -> Vec<Case> {
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
    // What is no contract's page is for the pages behind the gateway.
    let pages = |wrong: &String| !operation.pages || wrong.starts_with("/api");
    let each = wrong.into_iter().filter(|w| w != whole && pages(w));
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
