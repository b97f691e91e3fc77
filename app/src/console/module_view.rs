//! One module as the map shows it: figures put into words, and what each of them is worth.

use askama::Template;
use strangler::{
    Kind,
    routes::{Route, Stage},
    share::Share,
};

use super::{compared::ComparedPart, fragment::Fragment};
use crate::control::ModuleStatus;

/// One operation, and its stage.
pub(super) struct OperationFacts {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) http: String,
    /// Its own route; `None` when it has its module's.
    pub(super) own: Option<Route>,
    pub(super) answered: [u64; 3],
}

/// What somebody typed into the form of a target, to be shown again.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    pub(super) target: &'a str,
    pub(super) why: &'a str,
    pub(super) percent: &'a str,
    pub(super) sample: &'a str,
}

/// What stands in the fields of a form.
struct Fields {
    why: String,
    percent: String,
    sample: String,
}

impl Fields {
    /// What was typed, or what is in force.
    fn of(target: &str, typed: Option<Typed<'_>>, percent: Option<Share>, sample: Option<Share>) -> Self {
        let share = |share: Option<Share>| share.map_or_else(String::new, |s| s.percent().to_string());
        match typed.filter(|typed| typed.target == target) {
            Some(typed) => Self {
                why: typed.why.to_owned(),
                percent: typed.percent.to_owned(),
                sample: typed.sample.to_owned(),
            },
            None => Self {
                why: String::new(),
                percent: share(percent),
                sample: share(sample),
            },
        }
    }
}

/// A module on the map, as fragments.
pub(super) struct ModuleView {
    pub(super) name: String,
    pub(super) doc: String,
    pub(super) contract: u32,
    pub(super) stage: Fragment,
    pub(super) instances: Fragment,
    pub(super) answered: Fragment,
    pub(super) compared: Fragment,
    pub(super) latency: Fragment,
    pub(super) data: Fragment,
    pub(super) flip: Fragment,
    pub(super) operations: Vec<OperationView>,
}

/// An operation on the map.
pub(super) struct OperationView {
    pub(super) name: &'static str,
    pub(super) http: String,
    pub(super) command: bool,
    pub(super) answered: Fragment,
    pub(super) flip: Fragment,
}

impl ModuleView {
    /// Everything about a module. `ready` says why its service cannot answer; `typed` is shown
    /// again.
    pub(super) fn new(
        status: &ModuleStatus,
        doc: &str,
        ready: &Result<(), String>,
        operations: &[OperationFacts],
        typed: Option<Typed<'_>>,
    ) -> Self {
        let name = &status.module;
        let fragment = |part: &str, content: &dyn Rendered| content.fragment(format!("{part}-{name}"));
        let without = ready.as_ref().err().map(String::as_str);
        let remote = status.stage != Stage::Local.name();
        let own_stages = operations.iter().filter(|o| o.own.is_some()).count();
        Self {
            name: name.clone(),
            doc: doc.lines().next().unwrap_or_default().trim().to_owned(),
            contract: status.contract,
            stage: fragment(
                "stage",
                &StagePart {
                    module: name,
                    stage: &status.stage,
                    picture: Picture::of(&status.stage),
                    percent: status.percent,
                    sample: status.sample,
                    cohorts: status.cohorts.iter().map(ToString::to_string).collect(),
                    keyless: (status.keyless > 0).then(|| grouped(status.keyless)),
                    note: note(&status.stage, &status.fallback),
                    own_stages,
                    warning: without.filter(|_| remote),
                },
            ),
            instances: fragment(
                "instances",
                &InstancesPart {
                    module: name,
                    instances: status
                        .instances
                        .iter()
                        .map(|i| Instance {
                            url: &i.url,
                            pid: i.pid,
                            healthy: i.healthy,
                            speaks: (i.contract != status.contract).then_some(i.contract),
                        })
                        .collect(),
                },
            ),
            answered: fragment(
                "answered",
                &AnsweredPart {
                    local: grouped(status.answered.local),
                    remote: grouped(status.answered.remote),
                    fallback: grouped(status.answered.fallback),
                    fell_back: status.answered.fallback > 0,
                },
            ),
            compared: fragment("compared", &ComparedPart::new(status)),
            latency: fragment(
                "latency",
                &LatencyPart {
                    sides: [("local", status.latency_ms.local), ("remote", status.latency_ms.remote)]
                        .map(|(side, q)| (side, milliseconds(q.p50), milliseconds(q.p99))),
                },
            ),
            data: fragment(
                "data",
                &DataPart {
                    database: &status.data.database,
                },
            ),
            flip: fragment(
                "flip",
                &FlipPart {
                    target: name,
                    buttons: buttons(Some(&status.stage), without.is_some(), false),
                    without,
                    reason_id: format!("reason-{name}"),
                    fields: Fields::of(name, typed, status.percent, status.sample),
                },
            ),
            operations: operations
                .iter()
                .map(|o| OperationView {
                    name: o.name,
                    http: o.http.clone(),
                    command: o.kind == Kind::Command,
                    answered: Fragment::new(
                        format!("answered-{}", o.id),
                        &OperationAnsweredPart {
                            counts: o.answered.map(grouped),
                        },
                    ),
                    flip: Fragment::new(
                        format!("flip-{}", o.id),
                        &OperationPart {
                            target: o.id,
                            own: o.own.is_some(),
                            stage: o.own.as_ref().map_or(status.stage.as_str(), |r| r.stage.name()),
                            percent: match &o.own {
                                Some(route) => (route.stage == Stage::Canary).then_some(route.percent),
                                None => status.percent,
                            },
                            buttons: buttons(o.own.as_ref().map(|r| r.stage.name()), without.is_some(), true),
                            without: without.is_some(),
                            reason_id: format!("reason-{name}"),
                            fields: match &o.own {
                                Some(route) => Fields::of(
                                    o.id,
                                    typed,
                                    (route.stage == Stage::Canary).then_some(route.percent),
                                    (route.stage.compares() && route.sample != Share::ALL).then_some(route.sample),
                                ),
                                None => Fields::of(o.id, typed, status.percent, status.sample),
                            },
                        },
                    ),
                })
                .collect(),
        }
    }

    /// Every part of it.
    pub(super) fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        let own = [
            &self.stage,
            &self.instances,
            &self.answered,
            &self.compared,
            &self.latency,
            &self.data,
            &self.flip,
        ];
        own.into_iter()
            .chain(self.operations.iter().flat_map(|o| [&o.answered, &o.flip]))
    }
}

/// A template that becomes a fragment.
trait Rendered {
    fn fragment(&self, id: String) -> Fragment;
}

impl<T: Template> Rendered for T {
    fn fragment(&self, id: String) -> Fragment {
        Fragment::new(id, self)
    }
}

/// Which arrows the picture of a stage has: `on` answers, `also` is compared, `off` is not asked.
struct Picture {
    local: &'static str,
    remote: &'static str,
    words: &'static str,
}

impl Picture {
    fn of(stage: &str) -> Self {
        match stage {
            "local" => Self {
                local: "on",
                remote: "off",
                words: "Every call goes to the monolith.",
            },
            "shadow" => Self {
                local: "on",
                remote: "also",
                words: "Every call goes to the monolith, and a copy of each query to the service.",
            },
            "remote" => Self {
                local: "off",
                remote: "on",
                words: "Every call goes to the service.",
            },
            "verify" => Self {
                local: "also",
                remote: "on",
                words: "Every call goes to the service, and a copy to the monolith.",
            },
            _ => Self {
                local: "on",
                remote: "on",
                words: "Some callers’ calls go to the service, the others’ to the monolith.",
            },
        }
    }
}

fn note(stage: &str, fallback: &str) -> &'static str {
    match (stage, fallback) {
        ("local", _) => "The monolith answers; nobody else runs.",
        ("shadow", _) => "The monolith answers; the service is asked too and compared.",
        ("canary", _) => "The service answers a share of the callers, always the same, and the monolith the others.",
        ("verify", _) => "The service answers; the monolith is asked too and compared.",
        (_, "none") => "The service answers; when it cannot, the caller gets its failure.",
        _ => "The service answers; when it cannot, the monolith answers queries.",
    }
}

#[derive(Template)]
#[template(path = "console/parts/stage.html")]
struct StagePart<'a> {
    module: &'a str,
    stage: &'a str,
    picture: Picture,
    percent: Option<Share>,
    sample: Option<Share>,
    cohorts: Vec<String>,
    /// How many calls took the old path because nobody knows whose they are.
    keyless: Option<String>,
    note: &'static str,
    own_stages: usize,
    warning: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "console/parts/instances.html")]
struct InstancesPart<'a> {
    module: &'a str,
    instances: Vec<Instance<'a>>,
}

/// A process that serves the module.
struct Instance<'a> {
    url: &'a str,
    pid: u32,
    healthy: bool,
    /// The version of the contract, when it is another than the monolith's.
    speaks: Option<u32>,
}

#[derive(Template)]
#[template(path = "console/parts/answered.html")]
struct AnsweredPart {
    local: String,
    remote: String,
    fallback: String,
    fell_back: bool,
}

#[derive(Template)]
#[template(path = "console/parts/operation_answered.html")]
struct OperationAnsweredPart {
    counts: [String; 3],
}

#[derive(Template)]
#[template(path = "console/parts/latency.html")]
struct LatencyPart {
    sides: [(&'static str, String, String); 2],
}

#[derive(Template)]
#[template(path = "console/parts/data.html")]
struct DataPart<'a> {
    database: &'a str,
}

/// A button that flips to a stage.
struct Button {
    stage: &'static str,
    now: bool,
    /// It is so already, and nothing about it can be changed.
    done: bool,
    /// It cannot work as things are.
    off: bool,
}

/// The stages one can flip to; `now` is the own stage (`None`: inherited).
fn buttons(now: Option<&str>, no_service: bool, inherits: bool) -> Vec<Button> {
    let stage = |s: Stage| Button {
        stage: s.name(),
        now: now == Some(s.name()),
        done: now == Some(s.name()) && !(s == Stage::Canary || s.compares()),
        off: no_service && s.needs_service(),
    };
    let inherit = inherits.then(|| Button {
        stage: "inherit",
        now: now.is_none(),
        done: now.is_none(),
        off: false,
    });
    Stage::ALL.into_iter().map(stage).chain(inherit).collect()
}

#[derive(Template)]
#[template(path = "console/parts/flip.html")]
struct FlipPart<'a> {
    target: &'a str,
    buttons: Vec<Button>,
    without: Option<&'a str>,
    reason_id: String,
    fields: Fields,
}

#[derive(Template)]
#[template(path = "console/parts/operation.html")]
struct OperationPart<'a> {
    target: &'a str,
    own: bool,
    stage: &'a str,
    buttons: Vec<Button>,
    percent: Option<Share>,
    without: bool,
    reason_id: String,
    fields: Fields,
}

/// A time that can be read.
pub(super) fn milliseconds(ms: Option<f64>) -> String {
    match ms {
        None => "–".to_owned(),
        Some(ms) if ms < 10.0 => format!("{ms:.2} ms"),
        Some(ms) if ms < 100.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{ms:.0} ms"),
    }
}

/// A number that can be read: from five digits on in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests;
