//! The same, wherever it runs: every operation of every contract is asked the same questions where its module is part of
//! the monolith and where it was extracted, and answers, errors and effects are compared.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use banyan::modules::MODULES;
use http::Method;
use serde_json::{Value, json};
use system_tests::{Answer, Options, System, seed};
use uuid::Uuid;

use crate::{
    cases::{AUTHORIZATION, Expect, valid},
    document::{every_operation, operations},
    raw,
    scenario::{self, Step},
    values::id,
};

/// The headers that a contract names.
const HEADERS: [&str; 8] = [
    "content-type",
    "etag",
    "location",
    "link",
    "www-authenticate",
    "retry-after",
    "allow",
    "cache-control",
];
/// How long an event may take to be in the log.
const EVENTS: Duration = Duration::from_secs(20);
/// How many pages of a list are followed.
const PAGES: usize = 6;

/// What a side made itself, mapped onto what the other made: ids by the order in which they came, times to one time.
#[derive(Default)]
struct Own {
    /// All that was asked, in which the client's own ids and times are found.
    asked: String,
    ids: HashMap<String, usize>,
}

impl Own {
    fn mapped(&mut self, value: Value) -> Value {
        match value {
            Value::Object(object) => Value::Object(object.into_iter().map(|(k, v)| (k, self.mapped(v))).collect()),
            Value::Array(all) => all.into_iter().map(|v| self.mapped(v)).collect(),
            Value::String(text) => Value::String(self.text(text)),
            other => other,
        }
    }

    fn text(&mut self, text: String) -> String {
        // All that was asked is long: it is searched for what may be of our making, and for nothing else.
        let asked = |text: &str| self.asked.contains(text);
        if let Ok(id) = text.parse::<Uuid>() {
            // The client's own id may have been sent in another form.
            if asked(&text) || asked(&id.simple().to_string()) || asked(&id.to_string()) {
                return text;
            }
            return self.numbered(&id.to_string());
        }
        // A cursor holds the id of what was the last on its page.
        if is_cursor(&text) {
            return self.numbered(&text);
        }
        let time =
            text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z') && text[..4].parse::<u16>().is_ok();
        if time && text.starts_with("20") && text.contains('.') && !asked(&text) {
            "a time".to_owned()
        } else if text.contains(' ') {
            let words: Vec<_> = text.split(' ').map(|word| self.word(word)).collect();
            words.join(" ")
        } else {
            text
        }
    }

    /// A word of a sentence, which may be an id with a comma after it.
    fn word(&mut self, word: &str) -> String {
        let bare = word.trim_end_matches([',', ';', '.']);
        match bare.parse::<Uuid>() {
            Ok(_) => word.replace(bare, &self.text(bare.to_owned())),
            Err(_) => word.to_owned(),
        }
    }

    fn numbered(&mut self, id: &str) -> String {
        let next = self.ids.len();
        format!("number {}", self.ids.entry(id.to_owned()).or_insert(next))
    }

    /// The header `link` with its cursor mapped.
    fn link(&mut self, link: &str) -> String {
        let parts = link.split_inclusive(['=', '&', '>']).map(|part| {
            let text = part.trim_end_matches(['=', '&', '>']);
            part.replace(text, &self.text(text.to_owned()))
        });
        parts.collect()
    }

    /// What a page says. One that moves by itself is at another place here and there; until when seats are held is by the
    /// clock; a code is made of an id.
    fn page(&mut self, answer: &Answer) -> Value {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if text.contains("data-live") {
            return json!("a page that moves");
        }
        let lines = text
            .lines()
            .filter(|l| !l.contains("data-until") && !l.contains("held for you until") && !l.contains("<svg"));
        let lines: Vec<_> = lines.map(|line| self.words(line)).collect();
        json!(lines)
    }

    /// A text with the ids in it mapped.
    fn words(&mut self, text: &str) -> String {
        let ends = |c: char| !c.is_ascii_hexdigit() && c != '-';
        let parts = text.split_inclusive(ends).map(|part| {
            let bare = part.trim_end_matches(ends);
            match bare.len() == 36 && bare.parse::<Uuid>().is_ok() {
                true => part.replace(bare, &self.text(bare.to_owned())),
                false => part.to_owned(),
            }
        });
        parts.collect()
    }

    /// What an answer says to whoever reads the contract.
    fn seen(&mut self, answer: &Answer) -> Value {
        let headers = HEADERS.map(|name| match name {
            "link" => self.link(answer.header(name)),
            // Of a page it may name an order that the page made.
            "location" => self.words(answer.header(name)),
            _ => self.text(answer.header(name).to_owned()),
        });
        let mut body = match answer.body.is_empty() {
            true => Value::Null,
            false if answer.header("content-type").starts_with("text/html") => self.page(answer),
            false => self.mapped(answer.json()),
        };
        // What was only accepted goes on meanwhile, here faster than there; what became of it is asked afterwards.
        if answer.status == 202 {
            for field in ["version", "status", "reason", "total", "tickets", "steps"] {
                body.as_object_mut().map(|order| order.remove(field));
            }
        }
        // Which part of the way ran out of time is for the reader of the detail, and differs.
        if body["type"] == "urn:problem-type:way:timed-out" {
            body["detail"] = Value::Null;
        }
        json!({"status": answer.status, "headers": headers, "body": body})
    }
}

/// Whether a text looks like the cursor of a page: opaque to clients, but for its length.
fn is_cursor(text: &str) -> bool {
    text.len() == 48 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

struct Side {
    name: &'static str,
    system: System,
    token: String,
    own: Own,
    /// What later steps ask about.
    found: String,
}

impl Side {
    async fn start(name: &'static str) -> Self {
        let system = System::with(Options {
            args: vec!["--no-sample".to_owned()],
            ..Options::default()
        })
        .await;
        let token = system.token();
        if name == "remote" {
            for module in MODULES {
                let module = module.contract.name;
                system.run(&["extract", module]).await;
                system
                    .run(&["stage", module, "remote", "--fallback", "none", "--why", "parity"])
                    .await;
            }
        }
        Self {
            name,
            system,
            token,
            own: Own::default(),
            found: String::new(),
        }
    }

    async fn ask(&mut self, step: &Step) -> Answer {
        let mut step = step.clone();
        let case = &mut step.case;
        for (name, value) in &mut case.headers {
            // Each side has an operator of its own.
            if name == AUTHORIZATION && value == OPERATOR {
                *value = format!("Bearer {}", self.token);
            }
        }
        // A cursor came from an answer, and the id in it is not the client's own.
        self.own
            .asked
            .push_str(case.target.split("cursor=").next().unwrap_or_default());
        self.own
            .asked
            .push_str(&String::from_utf8_lossy(&case.body[..case.body.len().min(4096)]));
        step.send(&self.system, &mut self.found).await
    }

    /// The event logs by module, but for what differs by nature: ids of events, times, traces.
    async fn events(&mut self) -> BTreeMap<String, Vec<Value>> {
        let text = self
            .system
            .run(&["events", "tail", "--once", "--last", "1000", "--json"])
            .await;
        let each = text
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).expect("an event is JSON"));
        let kept = ["source", "type", "dataversion", "subject", "aggregateversion", "data"];
        let mut events = BTreeMap::<String, Vec<Value>>::new();
        for event in each {
            let source = event["source"].as_str().unwrap_or_default().to_owned();
            let kept = kept.map(|key| event[key].clone());
            events.entry(source).or_default().push(kept.into());
        }
        // Which module is asked first is chance, and new ids are numbered as they come.
        for one in events.values_mut().flatten() {
            *one = self.own.mapped(one.take());
        }
        events
    }
}

/// Stands for the operator's token until a side is asked.
const OPERATOR: &str = "Bearer operator";

/// Asks both sides and says what differs. Answers what both said.
async fn compare(local: &mut Side, remote: &mut Side, step: &Step, differences: &mut Vec<String>) -> [Answer; 2] {
    compare_each(local, remote, [step, step], differences).await
}

/// The same where each side is asked about what it made itself.
async fn compare_each(
    local: &mut Side,
    remote: &mut Side,
    [step, other]: [&Step; 2],
    differences: &mut Vec<String>,
) -> [Answer; 2] {
    let (here, there) = tokio::join!(local.ask(step), remote.ask(other));
    let (seen_here, seen_there) = (local.own.seen(&here), remote.own.seen(&there));
    let what = format!("{}: {}", step.operation, step.case.line());
    if seen_here != seen_there {
        differences.push(format!(
            "{what}\n    local  {seen_here:.400}\n    remote {seen_there:.400}"
        ));
    }
    let module = step.operation.split('.').next().unwrap_or_default();
    for (side, answer) in [(&*local, &here), (&*remote, &there)] {
        let served = answer.served(module);
        // What gets no further than the gateway has no server timing: nobody was asked.
        if !served.is_empty() && served != side.name && here.status != 413 {
            differences.push(format!("{what}\n    the {} side was answered by: {served}", side.name));
        }
        if let Expect::Status(expected) = step.case.expect
            && answer.status != expected
        {
            differences.push(format!(
                "{what}\n    {}: {} and not {expected}",
                side.name, answer.status
            ));
        }
    }
    [here, there]
}

/// The step to the next page of this answer to `step`, if there is one.
fn next_page(step: &Step, answer: &Answer) -> Option<Step> {
    let query = answer.header("link").strip_prefix('<')?.split('>').next()?;
    let path = step.case.target.split('?').next().unwrap_or_default();
    let case = step.case.but("the next page", Expect::Status(200));
    Some(step.once(case.target(format!("{path}{query}"))))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_answer_alike_and_do_the_same() {
    let mut random = seed("both_sides_answer_alike_and_do_the_same");
    let (mut local, mut remote) = tokio::join!(Side::start("local"), Side::start("remote"));
    let mut differences = Vec::new();
    let mut asked = 0;
    for module in MODULES {
        let mut steps = scenario::of(module, OPERATOR.trim_start_matches("Bearer "), &mut random);
        steps.retain(|step| step.case.target.parse::<http::Uri>().is_ok());
        for step in &steps {
            asked += 1;
            let [mut answer, mut other] = compare(&mut local, &mut remote, step, &mut differences).await;
            if let Some(next) = step.followed(&answer) {
                compare(&mut local, &mut remote, &next, &mut differences).await;
            }
            if step.case.method != Method::GET || answer.status != 200 {
                continue;
            }
            let tag = answer.header("etag").to_owned();
            if !tag.is_empty() {
                let case = step
                    .case
                    .but("what the caller has already", Expect::Status(304))
                    .header("if-none-match", Some(&tag));
                let again = step.once(case);
                compare(&mut local, &mut remote, &again, &mut differences).await;
            }
            for _ in 0..PAGES {
                let (Some(here), Some(there)) = (next_page(step, &answer), next_page(step, &other)) else {
                    break;
                };
                [answer, other] = compare_each(&mut local, &mut remote, [&here, &there], &mut differences).await;
            }
        }
    }
    println!("{asked} requests on each side");
    bodies_in_chunks(&local, &remote, &[0, 900 << 10], &mut differences).await;
    let some = differences.len().min(20);
    assert!(
        differences.is_empty(),
        "{} differences, among them:\n{}",
        differences.len(),
        differences[..some].join("\n")
    );

    same_events(&mut local, &mut remote).await;
    for side in [&local, &remote] {
        let log = side.system.log();
        assert!(!log.contains("panicked"), "{}: {log}", side.name);
    }
    every_operation_was_asked_remotely(&remote).await;
}

/// The two event logs say the same. They are written a little after the answers.
async fn same_events(local: &mut Side, remote: &mut Side) {
    let began = Instant::now();
    loop {
        let (here, there) = (local.events().await, remote.events().await);
        for (source, here) in &here {
            let mut both = here.iter().zip(there.get(source).into_iter().flatten());
            if let Some((n, (a, b))) = both.by_ref().enumerate().find(|(_, (a, b))| a != b) {
                panic!("{source}: event {n} differs\n  local  {a}\n  remote {b}");
            }
        }
        let lengths = |events: &BTreeMap<String, Vec<Value>>| -> Vec<(String, usize)> {
            events.iter().map(|(source, all)| (source.clone(), all.len())).collect()
        };
        let (here, there) = (lengths(&here), lengths(&there));
        if !here.is_empty() && here == there {
            return;
        }
        assert!(
            began.elapsed() < EVENTS,
            "{here:?} events happened on the local side and {there:?} on the remote one"
        );
    }
}

/// Nobody knows how long a body in chunks is before its end. One that is too long is the fault of its sender alone: the
/// service answers the next request as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_a_body_in_chunks_is_refused_alike() {
    let (local, remote) = tokio::join!(Side::start("local"), Side::start("remote"));
    let mut differences = Vec::new();
    bodies_in_chunks(&local, &remote, &[0, 2 << 20, 0], &mut differences).await;
    assert!(differences.is_empty(), "{differences:#?}");
}

/// A caller who goes away in the middle of a request harms nobody else, whoever was to answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_harms_nobody() {
    let (local, remote) = tokio::join!(Side::start("local"), Side::start("remote"));
    let all = every_operation();
    for side in [&local, &remote] {
        for operation in all.iter().filter(|o| o.body.is_some()) {
            let half = "content-type: application/json\r\ncontent-length: 5000\r\n";
            let case = valid(operation, &side.token, None, 1);
            let request = raw::request(
                &format!("{} {}", case.method, case.target),
                &side.token,
                half,
                b"{\"name\": ",
            );
            for _ in 0..5 {
                raw::send_and_leave(&side.system, operation.address, &request).await;
            }
            let query = all
                .iter()
                .find(|o| o.module == operation.module && !o.command)
                .expect("a query");
            for _ in 0..20 {
                let answer = valid(query, &side.token, None, 1)
                    .send(&side.system)
                    .await
                    .expect("an answer");
                assert!(
                    answer.status < 500,
                    "{} of the {} side: {}",
                    operation.id,
                    side.name,
                    answer.status
                );
            }
        }
        let log = side.system.log();
        assert!(
            !log.contains("cannot be reached"),
            "the service is blamed for its caller: {log}"
        );
    }
}

/// Asks every operation with so many bytes more than its body needs. Each has an id of its own, so that none depends on
/// what its side has heard of another.
async fn bodies_in_chunks(local: &Side, remote: &Side, sizes: &[usize], differences: &mut Vec<String>) {
    for (operation, own) in every_operation().into_iter().zip(900..) {
        let case = valid(&operation, "", None, 1);
        let body = String::from_utf8_lossy(&case.body).into_owned();
        let target = case.target.replace(&id(0).to_string(), &id(own).to_string());
        let line = format!("{} {target}", case.method);
        let headers = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
        for &more in sizes {
            let chunks = raw::chunked(&body, more);
            let ask = async |side: &Side| {
                let request = raw::request(&line, &side.token, headers, &chunks);
                raw::send(&side.system, operation.address, &request)
                    .await
                    .map(|a| a.status)
            };
            let (here, there) = (ask(local).await, ask(remote).await);
            // What a query carries is nobody's business, and need not travel on to be refused.
            let unread = more > 1 << 20 && !operation.command;
            if (here != there && !unread) || (more > 1 << 20 && here != Some(413)) {
                differences.push(format!(
                    "{} with {more} bytes more in chunks: {here:?} and {there:?}",
                    operation.id
                ));
            }
        }
    }
}

/// The suite proves nothing about an operation that the service was never asked.
async fn every_operation_was_asked_remotely(remote: &Side) {
    for module in MODULES {
        let status = remote.system.status(module.contract.name).await;
        let answered = status["answered"]["remote"].as_u64().unwrap_or_default();
        assert!(
            answered > operations(module).len() as u64 * 10,
            "{}: {answered} calls went to the service",
            module.contract.name
        );
    }
}
