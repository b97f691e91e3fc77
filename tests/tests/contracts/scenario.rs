//! The requests that both sides of a module are asked, in this order.

mod catalog;
mod line;
mod notifications;
mod ordering;
mod payments;
mod seating;
mod storefront;

use std::time::Duration;

use banyan::modules::Module;
use rand::{Rng, seq::SliceRandom};
use system_tests::{Answer, Random, System, eventually};

use self::line::Line;
use crate::{
    cases::{AUTHORIZATION, Case, Expect, plain, valid},
    document::{Operation, operations},
    rubbish,
};

/// How many things of each kind there are.
const IDS: u64 = 4;
/// How many valid requests each operation gets.
const VALID: usize = 25;
/// One in so many kinds of rubbish is asked.
const RUBBISH: usize = 6;
/// How long it may take until an answer is what it comes to in the end. A mail about a show that nobody has heard of is sent
/// without its name after half of it.
const SOON: Duration = Duration::from_secs(60);

/// One request to an operation.
#[derive(Clone)]
pub struct Step {
    /// The operation's id.
    pub operation: String,
    /// The request.
    pub case: Case,
    /// Whether this answer is what it comes to in the end. A query is asked again until it is.
    pub until: fn(&Answer) -> bool,
    /// Where in the answer there is what later steps ask about: [`FOUND`] in their targets.
    pub finds: Option<&'static str>,
}

/// Stands in a target for what an earlier answer held: ids that the system made.
const FOUND: &str = "{found}";

impl Step {
    /// A step that is answered once and for all.
    fn now(operation: &str, case: Case) -> Self {
        Self {
            operation: operation.to_owned(),
            case,
            until: |_| true,
            finds: None,
        }
    }

    /// Another request to the same operation, answered once and for all.
    pub fn once(&self, case: Case) -> Self {
        Self::now(&self.operation, case)
    }

    /// What was accepted goes on after the answer: the question whose answer says what became of it.
    pub fn followed(&self, answer: &Answer) -> Option<Self> {
        if answer.status != 202 {
            return None;
        }
        let case = self.case.but("what became of it", Expect::Status(200));
        let case = case.method("GET").target(answer.header("location")).body("");
        let until: fn(&Answer) -> bool = match self.case.method.as_str() {
            "DELETE" => |answer| ["cancelled", "stuck"].iter().any(|s| answer.json()["status"] == *s),
            _ => |answer| answer.status == 200 && answer.json()["status"] != "placed",
        };
        // Nothing of the request but its token is asked again.
        let token = case.headers.iter().find(|(name, _)| name == AUTHORIZATION).cloned();
        let headers = token.into_iter().collect();
        Some(Self {
            until,
            ..self.once(Case { headers, ..case })
        })
    }

    /// Asks a system, until the answer is what it comes to in the end. `found` is what was found in an answer, and is
    /// written when this one has more.
    pub async fn send(&self, system: &System, found: &mut String) -> Answer {
        let case = self.case.clone().target(self.case.target.replace(FOUND, found));
        let answer = eventually(&case.line(), SOON, || async {
            let answer = case.send(system).await;
            let answer = answer.unwrap_or_else(|why| panic!("{}: {why}", case.line()));
            (self.until)(&answer).then_some(answer)
        })
        .await;
        if let Some(pointer) = self.finds {
            let text = match pointer.strip_prefix('/') {
                Some(_) => answer.json().pointer(pointer).map(plain),
                // In a page: what stands after this, up to a quotation mark.
                None => {
                    let page = String::from_utf8_lossy(&answer.body).into_owned();
                    let after = page.split_once(pointer).map(|(_, after)| after.to_owned());
                    after.and_then(|after| after.split('"').next().map(str::to_owned))
                }
            };
            *found = text.unwrap_or_else(|| panic!("{}: there is no {pointer} in the answer", case.line()));
        }
        answer
    }
}

/// What a module is asked: its own story, then what was made up from its document, valid and not.
pub fn of(module: &'static Module, token: &str, random: &mut Random) -> Vec<Step> {
    let lines = story(module.contract.name).into_iter();
    let mut steps: Vec<Step> = lines.map(|line| line.step(token)).collect();
    let operations = operations(module);
    let mut made_up = Vec::new();
    for operation in &operations {
        let step = |case| Step::now(&operation.id, case);
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

/// A story by hand, for what chance seldom meets. A module without one is tested with what its document tells.
fn story(module: &str) -> Vec<Line> {
    match module {
        "catalog" => catalog::story(),
        "notifications" => notifications::story(),
        "ordering" => ordering::story(),
        "payments" => payments::story(),
        "seating" => seating::story(),
        "storefront" => storefront::story(),
        _ => Vec::new(),
    }
}
