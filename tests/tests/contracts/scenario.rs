//! The requests that both sides of a module are asked, in this order.

use banyan::modules::Module;
use rand::{Rng, seq::SliceRandom};
use serde_json::{Value, json};
use system_tests::Random;

use crate::{
    cases::{AUTHORIZATION, Case, Expect, valid},
    document::{Operation, operations},
    rubbish,
    values::id,
};

/// How many things of each kind there are.
const IDS: u64 = 4;
/// How many valid requests each operation gets.
const VALID: usize = 25;
/// One in so many kinds of rubbish is asked.
const RUBBISH: usize = 6;

/// One request to an operation.
#[derive(Clone)]
pub struct Step {
    /// The operation's id.
    pub operation: String,
    /// The request.
    pub case: Case,
}

/// What a module is asked: its own story, then what was made up from its document, valid and not.
pub fn of(module: &'static Module, token: &str, random: &mut Random) -> Vec<Step> {
    let mut steps: Vec<Step> = story(module.contract.name)
        .into_iter()
        .map(|line| line.step(module, token))
        .collect();
    let operations = operations(module);
    let mut made_up = Vec::new();
    for operation in &operations {
        let step = |case| Step {
            operation: operation.id.clone(),
            case,
        };
        for _ in 0..VALID {
            let case = valid(operation, token, Some(random), IDS);
            let conditions = [
                None,
                Some("*"),
                Some("\"1\""),
                Some("\"2\", \"3\""),
                Some("W/\"1\""),
                Some("rubbish"),
            ];
            let condition = conditions[random.random_range(0..conditions.len())];
            made_up.push(step(if operation.command {
                case.header("if-match", condition)
            } else {
                case
            }));
        }
        made_up.extend(refusals(operation, token).into_iter().map(step));
        let base = valid(operation, token, Some(random), IDS);
        let some = rubbish::all(operation, &base)
            .into_iter()
            .filter(|_| random.random_range(0..RUBBISH) == 0);
        made_up.extend(some.map(step));
    }
    made_up.shuffle(random);
    steps.extend(made_up);
    steps
}

/// What every operation refuses in the same way wherever it is.
fn refusals(operation: &Operation, token: &str) -> Vec<Case> {
    let base = valid(operation, token, None, 1);
    vec![
        base.but("no token", Expect::Anything).header(AUTHORIZATION, None),
        base.but("a wrong token", Expect::Status(401))
            .header(AUTHORIZATION, Some("Bearer wrong")),
        base.but("no time", Expect::Status(504))
            .header("request-timeout", Some("0")),
        base.but("too large a body", Expect::Status(413))
            .body("x".repeat(1_100_000)),
    ]
}

/// One line of a module's story: operation, path parameters, query, `if-match`, body.
struct Line {
    operation: &'static str,
    id: Option<u64>,
    query: &'static str,
    expected: Option<&'static str>,
    body: Value,
}

impl Line {
    fn step(self, module: &'static Module, token: &str) -> Step {
        let index = module
            .contract
            .operation(self.operation)
            .expect("an operation of this module");
        let operation = &module.contract.operations[index];
        let id = self.id.map(|n| id(n).to_string()).unwrap_or_default();
        let target = format!(
            "{}{}{}",
            module.contract.prefix(),
            operation.path.replace("{id}", &id),
            self.query
        );
        let case = Case {
            what: "the story".to_owned(),
            method: operation.method.clone(),
            target,
            headers: vec![(AUTHORIZATION.to_owned(), format!("Bearer {token}"))],
            body: Default::default(),
            expect: Expect::Anything,
        };
        let case = case.header("if-match", self.expected);
        let case = match &self.body {
            Value::Null => case,
            body => case
                .header("content-type", Some("application/json"))
                .body(body.to_string()),
        };
        Step {
            operation: operation.id.to_owned(),
            case,
        }
    }
}

fn ask(operation: &'static str, id: u64) -> Line {
    Line {
        operation,
        id: Some(id),
        query: "",
        expected: None,
        body: Value::Null,
    }
}

fn list(operation: &'static str, query: &'static str) -> Line {
    Line {
        operation,
        id: None,
        query,
        expected: None,
        body: Value::Null,
    }
}

fn put(operation: &'static str, id: u64, expected: Option<&'static str>, body: Value) -> Line {
    Line {
        operation,
        id: Some(id),
        query: "",
        expected,
        body,
    }
}

/// A story by hand, for what chance seldom meets. A module without one is tested with what its document tells.
fn story(module: &str) -> Vec<Line> {
    match module {
        "catalog" => catalog(),
        _ => Vec::new(),
    }
}

fn catalog() -> Vec<Line> {
    let act = |name: &str| json!({"name": name, "genre": "jazz"});
    let section = |name: &str| json!({"name": name, "rows": 10, "seats_per_row": 20});
    let venue = |sections: &[Value]| json!({"name": "Stadthalle", "city": "Wien", "time_zone": "Europe/Vienna", "sections": sections});
    let show = |act: u64, venue: u64, month: u32, section: &str, amount: i64| {
        let price = json!({"section": section, "price": {"amount": amount, "currency": "EUR"}});
        json!({"act": id(act), "venue": id(venue), "starts_at": format!("2031-{month:02}-01T19:30:00Z"), "prices": [price]})
    };
    let mut story = vec![
        ask("act", 100),
        put("announce_act", 100, Some("*"), act("too early")),
        put("announce_act", 100, None, act("Blue Hour Trio")),
        put("announce_act", 100, None, act("Blue Hour Trio")),
        ask("act", 100),
        put("announce_act", 100, Some("\"1\""), act("Blue Hour Quartet")),
        put("announce_act", 100, Some("\"1\""), act("a lost update")),
        ask("act", 100),
        ask("venue", 100),
        put(
            "register_venue",
            100,
            None,
            venue(&[section("Stalls"), section("Circle")]),
        ),
        put(
            "register_venue",
            100,
            None,
            venue(&[section("Stalls"), section("Stalls")]),
        ),
        put(
            "register_venue",
            100,
            None,
            venue(&[section("Stalls"), section("Circle"), section("Boxes")]),
        ),
        ask("venue", 100),
        put("announce", 100, None, show(999, 100, 5, "Stalls", 4500)),
        put("announce", 100, None, show(100, 999, 5, "Stalls", 4500)),
        put("announce", 100, None, show(100, 100, 5, "Lawn", 4500)),
        put("announce", 100, None, show(100, 100, 5, "Stalls", 4500)),
        put("announce", 100, None, show(100, 100, 5, "Stalls", 4500)),
        put("announce", 100, Some("\"1\""), show(100, 100, 6, "Circle", 4600)),
        ask("show", 100),
        put("cancel", 100, Some("\"1\""), Value::Null),
        put("cancel", 100, Some("\"2\""), Value::Null),
        put("cancel", 100, None, Value::Null),
        ask("cancel", 998),
        ask("show", 100),
        put("announce", 100, None, show(100, 100, 7, "Stalls", 4500)),
    ];
    story.extend((0..7).map(|n| {
        put(
            "announce",
            110 + u64::from(n),
            None,
            show(100, 100, 1 + n / 2, "Boxes", n.into()),
        )
    }));
    let lists = [
        "",
        "?limit=3",
        "?limit=1&from=2031-02-01T00:00:00Z",
        "?to=2031-02-02T00:00:00Z",
        "?from=2031-03-01T19:30:00Z&limit=2",
        "?act=01900000-0000-7000-8000-000000000064",
        "?act=01900000-0000-7000-8000-0000000003e7",
        "?from=2032-01-01T00:00:00Z",
    ];
    story.extend(lists.map(|query| list("shows", query)));
    story
}
