//! Whatever arrives is answered: with a success when it is as the document says, with a whole problem document when it is
//! not, and never with a failure of ours.

use banyan::modules::MODULES;
use futures_util::{StreamExt, stream};
use rand::seq::SliceRandom;
use system_tests::{Answer, Database, Options, System, seed};

use crate::{
    cases::{Case, Expect, valid},
    document::{FORM, Operation, every_operation, operations},
    raw, rubbish, scenario,
};

/// How many valid requests each operation gets.
const VALID: usize = 150;
/// How many of them, made up, are then spoilt in every way.
const BASES: usize = 3;
/// How many requests are under way at once.
const AT_ONCE: usize = 8;
/// How many things of each kind there are.
const IDS: u64 = 6;
/// What the way itself may answer.
const OF_THE_WAY: [u16; 9] = [400, 401, 403, 404, 405, 413, 415, 422, 431];

/// What is wrong with an answer.
fn wrong(operation: &Operation, case: &Case, answer: &Answer) -> Option<String> {
    let status = answer.status;
    let success = (200..400).contains(&status);
    let problem = answer.json();
    let kind = problem["type"].as_str().unwrap_or_default();
    let head = case.method == "HEAD";
    // Beyond the pages of the contracts are others, which are no contract's business.
    if operation.pages && status == 404 && answer.header("traceparent").is_empty() {
        return None;
    }
    let page = operation.pages && answer.header("content-type").starts_with("text/html");
    if status >= 500 {
        return Some("a failure of ours".to_owned());
    }
    // HEAD is answered by what GET asks of the same path.
    let asked = operation.document["paths"][operation.path.as_str()]["get"]["responses"].as_object();
    let by_get = || asked.is_some_and(|responses| responses.contains_key(&status.to_string()));
    let named = if head {
        by_get()
    } else {
        operation.statuses.contains(&status)
    };
    if !named && (success || !OF_THE_WAY.contains(&status)) {
        return Some(format!(
            "neither the document ({:?}) nor the way names this status",
            operation.statuses
        ));
    }
    if let Some(name) = header_mistake(operation, case, answer) {
        return Some(format!("the document and the answer differ about the header `{name}`"));
    }
    if status >= 400 && !head && !page && !answer.is_problem() {
        return Some("not a whole problem document".to_owned());
    }
    if answer.header("traceparent").len() != 55 {
        return Some("no traceparent".to_owned());
    }
    if status == 405 && answer.header("allow").is_empty() {
        return Some("405 without `allow`".to_owned());
    }
    if status == 401 && answer.header("www-authenticate").is_empty() {
        return Some("401 without `www-authenticate`".to_owned());
    }
    if head && !answer.body.is_empty() {
        return Some("a body in answer to HEAD".to_owned());
    }
    if (status == 204 || status == 304) && !answer.body.is_empty() {
        return Some("a body where there is none".to_owned());
    }
    match case.expect {
        Expect::Anything => None,
        Expect::Status(expected) => (status != expected).then(|| format!("{expected} was expected")),
        Expect::Refused => {
            let refused = matches!(status, 400 | 413 | 415 | 422) && kind.starts_with("urn:problem-type:way:");
            (!refused).then(|| "it should have been refused".to_owned())
        }
        Expect::Taken => {
            let own = kind.starts_with(&format!("urn:problem-type:{}:", operation.module));
            (!success && !own && !page).then(|| "the document allows it, and it was refused".to_owned())
        }
    }
}

/// A header of a success that the document names and the answer lacks, or the other way round. A link is there only when
/// more is.
fn header_mistake(operation: &Operation, case: &Case, answer: &Answer) -> Option<&'static str> {
    let method = case.method.as_str().replace("HEAD", "GET").to_lowercase();
    let responses = &operation.document["paths"][operation.path.as_str()][method]["responses"];
    let named = &responses[answer.status.to_string()]["headers"];
    let both = |name: &&str| named[*name].is_null() == answer.header(name).is_empty();
    let links = named["link"].is_object() || answer.header("link").is_empty();
    let differs = ["etag", "location"].into_iter().find(|name| !both(name));
    (answer.status < 400)
        .then(|| differs.or((!links).then_some("link")))
        .flatten()
}

/// Sends the cases, some at a time, and says what was wrong with which answer. Requests that cannot be written with a
/// client are left to the raw ones.
async fn run(system: &System, cases: Vec<(&Operation, Case)>) -> Vec<String> {
    let possible = cases
        .into_iter()
        .filter(|(_, case)| case.target.parse::<http::Uri>().is_ok());
    let answers = stream::iter(possible).map(|(operation, case)| async move {
        let answer = match case.send(system).await {
            Ok(answer) => answer,
            Err(why) => return Some(format!("{}: {}\n    no answer: {why}", operation.id, case.line())),
        };
        let wrong = wrong(operation, &case, &answer)?;
        let body: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
        Some(format!(
            "{}: {}\n    {wrong}: {} {body}",
            operation.id,
            case.line(),
            answer.status
        ))
    });
    answers
        .buffer_unordered(AT_ONCE)
        .filter_map(|wrong| async move { wrong })
        .collect()
        .await
}

fn report(wrong: &[String]) -> String {
    format!(
        "{} answers are wrong, among them:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(25)].join("\n")
    )
}

async fn still_well(system: &System) {
    assert_eq!(system.get("/readyz").await.status, 200, "the system is no longer ready");
    let log = system.log();
    let panicked: Vec<_> = log.lines().filter(|l| l.contains("panicked")).collect();
    assert!(panicked.is_empty(), "something panicked: {panicked:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_answered_as_the_document_says() {
    check(&System::start().await, "every_request_is_answered_as_the_document_says").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_answered_on_postgresql_too() {
    let name = "every_request_is_answered_on_postgresql_too";
    let Some(database) = Database::make(name).await else {
        return;
    };
    let system = System::with(Options {
        database: Some(database.url()),
        ..Options::default()
    })
    .await;
    check(&system, name).await;
    drop(system);
    database.drop().await;
}

async fn check(system: &System, test: &str) {
    let mut random = seed(test);
    let token = system.token();
    let all = every_operation();

    let mut cases = Vec::new();
    for operation in &all {
        cases.extend((0..VALID).map(|_| (operation, valid(operation, &token, Some(&mut random), IDS))));
    }
    cases.shuffle(&mut random);
    let wrong = run(system, cases).await;
    assert!(wrong.is_empty(), "{}", report(&wrong));

    // From here on there is something under most ids.
    let mut cases = Vec::new();
    for operation in &all {
        let plain = valid(operation, &token, None, 1);
        let made_up = (0..BASES).map(|_| valid(operation, &token, Some(&mut random), IDS));
        for base in std::iter::once(plain).chain(made_up) {
            cases.extend(rubbish::all(operation, &base).into_iter().map(|case| (operation, case)));
        }
    }
    cases.shuffle(&mut random);
    let wrong = run(system, cases).await;
    assert!(wrong.is_empty(), "{}", report(&wrong));

    raw_requests(system, &token, &all).await;
    still_well(system).await;
}

/// Every success that a document names is met: by what was made up from it, or by the module's own scenario.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_success_happens() {
    let mut random = seed("every_documented_success_happens");
    let system = System::start().await;
    let token = system.token();
    let mut missing = Vec::new();
    for module in MODULES {
        let operations = operations(module);
        let cases = scenario::of(module, &token, &mut random);
        let mut found = String::new();
        let mut met = std::collections::BTreeSet::new();
        for step in cases {
            let answer = step.send(&system, &mut found).await;
            if let Some(next) = step.followed(&answer) {
                next.send(&system, &mut found).await;
            }
            let tag = answer.header("etag").to_owned();
            met.insert((step.operation.clone(), answer.status));
            if step.case.method == http::Method::GET && !tag.is_empty() {
                let again = step
                    .case
                    .header("if-none-match", Some(&tag))
                    .send(&system)
                    .await
                    .expect("an answer");
                met.insert((step.operation, again.status));
            }
        }
        for operation in &operations {
            let successes = operation.statuses.iter().filter(|s| **s < 400);
            // A page may always send people on; what follows a form always does.
            let successes = successes.filter(|s| operation.command || **s != 303);
            let unmet = successes.filter(|s| !met.contains(&(operation.id.clone(), **s)));
            missing.extend(unmet.map(|s| format!("{} never answered {s}", operation.id)));
        }
    }
    assert!(
        missing.is_empty(),
        "{missing:#?}\nadd a step to the module's scenario (scenario.rs)"
    );
    still_well(&system).await;
}

async fn raw_requests(system: &System, token: &str, all: &[Operation]) {
    for operation in all {
        let base = valid(operation, token, None, 1);
        let line = format!("{} {}", base.method, base.target);
        let body = String::from_utf8_lossy(&base.body).into_owned();
        let media = if operation.form.is_some() {
            FORM
        } else {
            "application/json"
        };
        let json = &format!("content-type: {media}\r\ntransfer-encoding: chunked\r\n");
        let whole = raw::send(
            system,
            operation.address,
            &raw::request(&line, token, json, &raw::chunked(&body, 0)),
        )
        .await;
        let whole = whole.expect("an answer");
        let case = base.but("a body in chunks", Expect::Taken);
        assert_eq!(
            wrong(operation, &case, &whole),
            None,
            "{}: {}",
            operation.id,
            case.line()
        );

        let large = raw::send(
            system,
            operation.address,
            &raw::request(&line, token, json, &raw::chunked(&body, 2 << 20)),
        )
        .await;
        let large = large.unwrap_or_else(|| panic!("{}: too large a body in chunks got no answer", operation.id));
        assert_eq!(large.status, 413, "{}: too large a body in chunks", operation.id);

        let path = &base.target;
        let length = body.len();
        let fields: String = (0..300).map(|n| format!("x-{n}: {n}\r\n")).collect();
        for (what, bytes) in [
            (
                "a header that is not ASCII",
                raw::request(&line, token, "x-name: \u{e9}\u{202e}\r\nif-match: \u{e9}\r\n", b""),
            ),
            (
                "a media type that is not ASCII",
                raw::request(
                    &line,
                    token,
                    &format!("content-type: \u{e9}\r\ncontent-length: {length}\r\n"),
                    body.as_bytes(),
                ),
            ),
            (
                "a header of raw bytes",
                [
                    raw::request(&line, token, "", b"")
                        .split_last_chunk::<2>()
                        .expect("an end")
                        .0,
                    b"x: \x80\xff\r\n\r\n",
                ]
                .concat(),
            ),
            ("a null in a header", raw::request(&line, token, "x: a\0b\r\n", b"")),
            ("300 headers", raw::request(&line, token, &fields, b"")),
            (
                "two lengths",
                raw::request(&line, token, "content-length: 1\r\ncontent-length: 2\r\n", b"ab"),
            ),
            (
                "a length and chunks",
                raw::request(
                    &line,
                    token,
                    "content-length: 5\r\ntransfer-encoding: chunked\r\n",
                    b"0\r\n\r\n",
                ),
            ),
            (
                "a negative length",
                raw::request(&line, token, "content-length: -1\r\n", b""),
            ),
            (
                "a length beyond u64",
                raw::request(&line, token, "content-length: 99999999999999999999\r\n", b""),
            ),
            (
                "chunks that are none",
                raw::request(&line, token, "transfer-encoding: chunked\r\n", b"zz\r\nrubbish"),
            ),
            (
                "two tokens",
                raw::request(&line, token, &format!("authorization: Bearer {token}\r\n"), b""),
            ),
            (
                "bytes in the path",
                raw::request(&format!("{} {path}\u{e9}\u{1f3bb}", base.method), token, "", b""),
            ),
            (
                "a control character in the path",
                raw::request(&format!("{} {path}\u{1}", base.method), token, "", b""),
            ),
            (
                "braces in the path",
                raw::request(&format!("{} {}", base.method, operation.path), token, "", b""),
            ),
            (
                "another host in the target",
                raw::request(&format!("{} http://elsewhere{path}", base.method), token, "", b""),
            ),
            ("no method", raw::request(path, token, "", b"")),
            ("a fragment", raw::request(&format!("{line}#x"), token, "", b"")),
        ] {
            // What HTTP itself forbids may be answered without a word; everything else must be.
            if let Some(answer) = raw::send(system, operation.address, &bytes).await {
                assert!(answer.status < 500, "{}: {what}: {}", operation.id, answer.status);
            }
        }
    }
}
