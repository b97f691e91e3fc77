//! What waits in the modules, as parts of pages that are kept up to date: outboxes, logs, subscriptions, queues, dead letters,
//! sagas; and what can be done about a module's processes.

use std::collections::HashMap;

use askama::Template;
use strangler_store::{Backlog, MOST_COUNTED, Waiting};

use super::{fragment::Fragment, module_view::grouped};
use crate::control::{Control, Health, Running};

/// What the ids of these parts begin with.
const ASKED: [&str; 4] = ["hears-", "actions-", "backlog-", "sum-"];

/// Whether the databases have to be asked for this part.
pub(super) fn is_asked(id: &str) -> bool {
    ASKED.iter().any(|prefix| id.starts_with(prefix))
}

/// How every schema is, and what waits where.
pub(super) struct Everything {
    health: HashMap<String, Health>,
    waiting: HashMap<String, Option<Waiting>>,
}

impl Everything {
    /// As it is now. A schema that does not answer is left out.
    pub(super) async fn of(control: &Control) -> Self {
        let waiting = control
            .schemas()
            .map(|db| async move { (db.schema().to_owned(), db.waiting().await.ok()) });
        let (health, waiting) = tokio::join!(control.health(), futures_util::future::join_all(waiting));
        Self {
            health,
            waiting: waiting.into_iter().collect(),
        }
    }

    /// The sums alone, for a page that shows no more: it is a third of the statements.
    pub(super) async fn sums(control: &Control) -> Self {
        Self {
            health: control.health().await,
            waiting: HashMap::new(),
        }
    }

    fn backlog(&self, schema: &str) -> Option<&Backlog> {
        self.health.get(schema)?.backlog.as_ref()
    }

    /// A row about what waits in a schema.
    pub(super) fn row(&self, schema: &str) -> Fragment {
        let waiting = self.waiting.get(schema).and_then(Option::as_ref);
        let view = self.backlog(schema).map(|backlog| BacklogView {
            outbox: counted(backlog.outbox.depth),
            head: grouped(u64::try_from(backlog.log.head).unwrap_or_default()),
            letters: counted(backlog.dead_letters.parked),
            any_letters: backlog.dead_letters.parked > 0,
            aside: counted(backlog.dead_letters.set_aside),
            subscriptions: subscriptions(backlog, waiting),
            queues: waiting.map_or_else(Vec::new, |w| {
                w.queues
                    .iter()
                    .map(|q| QueueView {
                        name: &q.name,
                        ready: counted(q.ready),
                        later: counted(q.later),
                        parked: counted(q.parked),
                    })
                    .collect()
            }),
        });
        Fragment::new(format!("backlog-{schema}"), &BacklogPart { schema, view })
    }

    /// What a module hears, and who hears it.
    pub(super) fn hears(&self, control: &Control, module: &str) -> Fragment {
        let own = self.backlog(module);
        let waiting = self.waiting.get(module).and_then(Option::as_ref);
        let heard_by = control.schemas().filter_map(|db| {
            let of = |backlog: &Backlog| {
                let theirs = backlog.subscriptions.iter().filter(|s| s.source == module);
                theirs
                    .map(|s| HeardBy {
                        schema: db.schema().to_owned(),
                        name: s.name.clone(),
                        lag: lag(s.lag),
                    })
                    .collect::<Vec<_>>()
            };
            self.backlog(db.schema()).map(of)
        });
        let part = HearsPart {
            known: own.is_some(),
            hears: own.map_or_else(Vec::new, |own| subscriptions(own, waiting)),
            heard_by: heard_by.flatten().collect(),
        };
        Fragment::new(format!("hears-{module}"), &part)
    }

    /// How many dead letters wait in all.
    pub(super) fn letters(&self) -> Fragment {
        let parked = self.sum(|b| b.dead_letters.parked);
        let text = match parked {
            0 => "No dead letter waits for a decision now.".to_owned(),
            1 => "1 dead letter waits for a decision now.".to_owned(),
            n => format!("{} dead letters wait for a decision now.", counted(n)),
        };
        self.sentence("sum-letters", text, parked > 0)
    }

    /// How many sagas there are that are not over.
    pub(super) fn sagas(&self) -> Fragment {
        let (stuck, late) = (self.sum(|b| b.sagas.stuck), self.sum(|b| b.sagas.overdue));
        let (back, forward) = (self.sum(|b| b.sagas.compensating), self.sum(|b| b.sagas.running));
        let [stuck_n, late_n, back, forward] = [stuck, late, back, forward].map(counted);
        let text = format!("Now: {stuck_n} stuck, {late_n} late, {back} going back, {forward} going forward.");
        self.sentence("sum-sagas", text, stuck + late > 0)
    }

    fn sum(&self, of: impl Fn(&Backlog) -> u64) -> u64 {
        self.health.values().filter_map(|h| h.backlog.as_ref()).map(of).sum()
    }

    fn sentence(&self, id: &str, text: String, warn: bool) -> Fragment {
        let mut silent: Vec<_> = self
            .health
            .iter()
            .filter(|(_, health)| health.backlog.is_none())
            .map(|(schema, _)| schema.as_str())
            .collect();
        silent.sort_unstable();
        Fragment::new(id.to_owned(), &SentencePart { text, warn, silent })
    }
}

/// What can be done about a module's processes.
pub(super) fn actions(control: &Control, running: &Running) -> Fragment {
    let module = running.contract.name;
    let part = ActionsPart {
        module,
        extract: control.cannot_extract(running),
        merge_back: control.cannot_merge_back(running),
    };
    Fragment::new(format!("actions-{module}"), &part)
}

/// All of these parts, for the stream.
pub(super) async fn fragments(control: &Control) -> Vec<Fragment> {
    let all = Everything::of(control).await;
    let rows = control.schemas().map(|db| all.row(db.schema()));
    let modules = control
        .modules
        .iter()
        .flat_map(|m| [all.hears(control, m.contract.name), actions(control, m)]);
    rows.chain(modules).chain([all.letters(), all.sagas()]).collect()
}

/// A count that ends somewhere.
pub(super) fn counted(n: u64) -> String {
    match n >= MOST_COUNTED {
        true => format!("{} or more", grouped(MOST_COUNTED)),
        false => grouped(n),
    }
}

fn lag(lag: Option<u64>) -> String {
    match lag {
        None => "how far behind is not known".to_owned(),
        Some(0) => "up to date".to_owned(),
        Some(n) => format!("{} behind", grouped(n)),
    }
}

fn subscriptions<'a>(backlog: &'a Backlog, waiting: Option<&'a Waiting>) -> Vec<SubscriptionView<'a>> {
    let of = |list: Option<&Vec<(String, u64)>>, name: &str| {
        list.and_then(|l| l.iter().find(|(n, _)| n == name))
            .map_or(0, |(_, count)| *count)
    };
    let view = |s: &'a strangler_store::SubscriptionBacklog| {
        let aside = of(waiting.map(|w| &w.set_aside), &s.name);
        let parked = of(waiting.map(|w| &w.parked), &s.name);
        SubscriptionView {
            name: &s.name,
            source: &s.source,
            position: grouped(u64::try_from(s.position).unwrap_or_default()),
            lag: lag(s.lag),
            behind: s.lag.is_none_or(|n| n > 0),
            aside: (aside > 0).then(|| counted(aside)),
            parked: (parked > 0).then(|| counted(parked)),
        }
    };
    backlog.subscriptions.iter().map(view).collect()
}

struct SubscriptionView<'a> {
    name: &'a str,
    source: &'a str,
    position: String,
    lag: String,
    behind: bool,
    aside: Option<String>,
    parked: Option<String>,
}

struct QueueView<'a> {
    name: &'a str,
    ready: String,
    later: String,
    parked: String,
}

struct BacklogView<'a> {
    outbox: String,
    head: String,
    letters: String,
    any_letters: bool,
    aside: String,
    subscriptions: Vec<SubscriptionView<'a>>,
    queues: Vec<QueueView<'a>>,
}

#[derive(Template)]
#[template(path = "console/parts/backlog.html")]
struct BacklogPart<'a> {
    schema: &'a str,
    view: Option<BacklogView<'a>>,
}

struct HeardBy {
    schema: String,
    name: String,
    lag: String,
}

#[derive(Template)]
#[template(path = "console/parts/hears.html")]
struct HearsPart<'a> {
    known: bool,
    hears: Vec<SubscriptionView<'a>>,
    heard_by: Vec<HeardBy>,
}

#[derive(Template)]
#[template(path = "console/parts/actions.html")]
struct ActionsPart<'a> {
    module: &'a str,
    extract: Option<String>,
    merge_back: Option<String>,
}

#[derive(Template)]
#[template(path = "console/parts/sentence.html")]
struct SentencePart<'a> {
    text: String,
    warn: bool,
    silent: Vec<&'a str>,
}
