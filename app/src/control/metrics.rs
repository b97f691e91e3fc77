//! `/metrics` on the internal address: figures for Prometheus, in its text format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). Labels are names of modules, operations and
//! subscriptions, which are fixed in the program: nothing that a caller sends becomes a label, and nobody is named.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use strangler::{
    Clock,
    routes::Stage,
    stats::{Histogram, OperationStats},
};
use strangler_store::Backlog;
use tokio::sync::Mutex;

use super::{Control, Health, HealthStatus, Running, process};

/// How old the figures of the databases may be. However often somebody asks, they are counted no oftener.
const FRESH: Duration = Duration::from_secs(1);
/// The bounds of the histograms: about 0.13 ms to 34 s.
const BOUNDS: std::ops::RangeInclusive<f64> = 1e-4..=40.0;
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How every schema is, by its name.
type Counted = Arc<HashMap<String, Health>>;

/// The figures of a running system. They are answered to anybody who reaches the internal address.
pub struct Metrics {
    control: Arc<Control>,
    counted: Mutex<Option<(Instant, Counted)>>,
}

impl Metrics {
    /// Of this control plane.
    pub fn new(control: Arc<Control>) -> Self {
        Self {
            control,
            counted: Mutex::default(),
        }
    }

    /// The answer to a request for `/metrics`.
    pub async fn answer(&self) -> Response {
        let health = self.health().await;
        let mut page = Page::default();
        operations(&mut page, &self.control.modules);
        parallel_run(&mut page, &self.control.modules);
        instances(&mut page, &self.control);
        backlogs(&mut page, &health, self.control.clock().now());
        this_process(&mut page);
        let media = HeaderValue::from_static(MEDIA_TYPE);
        ([(header::CONTENT_TYPE, media)], page.text()).into_response()
    }

    async fn health(&self) -> Counted {
        let mut counted = self.counted.lock().await;
        if let Some((at, health)) = &*counted
            && at.elapsed() < FRESH
        {
            return health.clone();
        }
        let health = Arc::new(self.control.health().await);
        *counted = Some((Instant::now(), health.clone()));
        health
    }
}

/// Families of metrics in the making, each with its samples together.
#[derive(Default)]
struct Page {
    families: Vec<Family>,
    places: BTreeMap<&'static str, usize>,
}

struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    samples: String,
}

impl Page {
    /// The family of this name. One without samples is not written.
    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) -> &mut Family {
        let next = self.families.len();
        let place = *self.places.entry(name).or_insert(next);
        if place == next {
            self.families.push(Family {
                name,
                kind,
                help,
                samples: String::new(),
            });
        }
        &mut self.families[place]
    }

    fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64) {
        self.family(name, "counter", help).sample("", labels, value as f64);
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: f64) {
        self.family(name, "gauge", help).sample("", labels, value);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for family in self.families.iter().filter(|f| !f.samples.is_empty()) {
            let Family {
                name,
                kind,
                help,
                samples,
            } = family;
            // Writing to a String cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}");
        }
        text
    }
}

impl Family {
    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.samples, "{}{suffix}", self.name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
            let _ = write!(self.samples, "{}{label}=\"{text}\"", if n == 0 { '{' } else { ',' });
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.samples, "{close} {}", number(value));
    }

    /// Nothing, when nothing was counted.
    fn histogram(&mut self, labels: &[(&str, &str)], counted: &Histogram) {
        let (doublings, sum) = counted.doublings();
        let all = doublings.last().map_or(0, |(_, n)| *n);
        if all == 0 {
            return;
        }
        let bounds = doublings
            .iter()
            .filter(|(bound, _)| BOUNDS.contains(bound) || bound.is_infinite());
        for (bound, shorter) in bounds {
            let le = number(*bound);
            let labels: Vec<_> = labels.iter().copied().chain([("le", le.as_str())]).collect();
            self.sample("_bucket", &labels, *shorter as f64);
        }
        self.sample("_sum", labels, sum);
        self.sample("_count", labels, all as f64);
    }
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return "+Inf".to_owned();
    }
    value.to_string()
}

type Counter = fn(&OperationStats) -> u64;

fn operations(page: &mut Page, modules: &[Running]) {
    let sides: [(&str, Counter); 3] = [
        ("local", |o| o.local.load(Relaxed)),
        ("remote", |o| o.remote.load(Relaxed)),
        ("fallback", |o| o.fallback.load(Relaxed)),
    ];
    let others: [(&'static str, &'static str, Counter); 4] = [
        (
            "banyan_operation_refused_total",
            "Calls refused before the module was asked.",
            |o| o.refused.load(Relaxed),
        ),
        (
            "banyan_operation_abandoned_total",
            "Calls whose caller went away before the answer.",
            |o| o.dropped.load(Relaxed),
        ),
        (
            "banyan_operation_failures_total",
            "Calls over HTTP answered with 5xx.",
            |o| o.failed.load(Relaxed),
        ),
        (
            "banyan_canary_keyless_total",
            "Calls that took the old path in a canary, as their caller cannot be told from others.",
            |o| o.keyless.load(Relaxed),
        ),
    ];
    for running in modules {
        let module = running.contract.name;
        let route = &running.switch.routes().all().module;
        if route.stage == Stage::Canary {
            let help = "The share of callers that a module's canary sends to the service, in percent.";
            page.gauge(
                "banyan_canary_percent",
                help,
                &[("module", module)],
                route.percent.percent(),
            );
        }
        for (operation, counted) in running
            .contract
            .operations
            .iter()
            .zip(running.switch.stats().operations())
        {
            let labels = [("module", module), ("operation", operation.name)];
            for (side, read) in sides {
                let labels = [labels[0], labels[1], ("side", side)];
                let help = "Calls answered: by the monolith, by the service, or by the monolith in its place.";
                page.counter("banyan_operation_answered_total", help, &labels, read(counted));
            }
            for (name, help, read) in others {
                page.counter(name, help, &labels, read(counted));
            }
            for (side, time) in [("local", &counted.local_time), ("remote", &counted.remote_time)] {
                let labels = [labels[0], labels[1], ("side", side)];
                let help = "How long answers took. The sum is exact to a sixteenth.";
                page.family("banyan_operation_duration_seconds", "histogram", help)
                    .histogram(&labels, time);
            }
        }
    }
}

fn parallel_run(page: &mut Page, modules: &[Running]) {
    for running in modules {
        let run = running.switch.parallel().summary();
        let verdicts = [
            ("matched", run.matched),
            ("mismatched", run.mismatched),
            ("candidate_error", run.candidate_error),
            ("timed_out", run.timed_out),
            ("inconclusive", run.inconclusive),
            ("dropped", run.dropped),
        ];
        for (verdict, count) in verdicts {
            let labels = [("module", running.contract.name), ("verdict", verdict)];
            let help = "Calls of the parallel run, by verdict; their sum is what was eligible.";
            page.counter("banyan_parallel_run_total", help, &labels, count);
        }
    }
}

fn instances(page: &mut Page, control: &Control) {
    for running in &control.modules {
        let all = control.registry.of(running.contract.name);
        let healthy = all.iter().filter(|i| i.healthy()).count();
        for (state, count) in [("healthy", healthy), ("unhealthy", all.len() - healthy)] {
            let labels = [("module", running.contract.name), ("state", state)];
            let help = "Processes registered beside the monolith.";
            page.gauge("banyan_instances", help, &labels, count as f64);
        }
    }
}

fn backlogs(page: &mut Page, health: &HashMap<String, Health>, now: DateTime<Utc>) {
    let mut schemas: Vec<_> = health.iter().collect();
    schemas.sort_by_key(|(schema, _)| *schema);
    for (schema, health) in schemas {
        let labels = [("module", schema.as_str())];
        let degraded = f64::from(u8::from(health.health == HealthStatus::Degraded));
        page.gauge(
            "banyan_degraded",
            "1 when something of the module needs a person.",
            &labels,
            degraded,
        );
        if let Some(backlog) = &health.backlog {
            one_backlog(page, schema, backlog, now);
        }
    }
}

fn one_backlog(page: &mut Page, schema: &str, backlog: &Backlog, now: DateTime<Utc>) {
    let age = |since: Option<DateTime<Utc>>| since.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0));
    let (letters, outbox, sagas) = (&backlog.dead_letters, &backlog.outbox, &backlog.sagas);
    let figures = [
        (
            "banyan_event_log_head",
            "Position of the log's last event.",
            backlog.log.head as f64,
        ),
        (
            "banyan_event_log_floor",
            "Events up to this position have been pruned.",
            backlog.log.floor as f64,
        ),
        (
            "banyan_outbox_events",
            "Events committed and not in the log yet; counted to 10000.",
            outbox.depth as f64,
        ),
        (
            "banyan_outbox_age_seconds",
            "Age of the oldest of them; 0 when there is none.",
            age(outbox.oldest),
        ),
        (
            "banyan_dead_letters",
            "Events parked until a person decides; counted to 10000.",
            letters.parked as f64,
        ),
        (
            "banyan_dead_letters_age_seconds",
            "Time since the oldest of them was parked; 0 when there is none.",
            age(letters.oldest),
        ),
        (
            "banyan_events_set_aside",
            "Events tried again by themselves, or waiting behind such; counted to 10000.",
            letters.set_aside as f64,
        ),
        (
            "banyan_sagas_overdue",
            "Sagas not over whose deadline passed after the point of no return; counted to 10000.",
            sagas.overdue as f64,
        ),
        (
            "banyan_sagas_stuck_age_seconds",
            "Time since the first stuck saga last changed; 0 when there is none.",
            age(sagas.oldest_stuck),
        ),
    ];
    for (name, help, value) in figures {
        page.gauge(name, help, &[("module", schema)], value);
    }
    for (state, count) in [
        ("running", sagas.running),
        ("compensating", sagas.compensating),
        ("stuck", sagas.stuck),
    ] {
        let labels = [("module", schema), ("state", state)];
        let help = "Sagas that are not over, by state; counted to 10000.";
        page.gauge("banyan_sagas", help, &labels, count as f64);
    }
    for subscription in &backlog.subscriptions {
        let Some(lag) = subscription.lag else { continue };
        let labels = [
            ("module", schema),
            ("subscription", subscription.name.as_str()),
            ("source", subscription.source.as_str()),
        ];
        page.gauge(
            "banyan_subscription_lag_events",
            "Events a subscription has not handled yet.",
            &labels,
            lag as f64,
        );
    }
}

fn this_process(page: &mut Page) {
    page.gauge(
        "banyan_build_info",
        "Always 1; the version is a label.",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    let Some(usage) = process::usage() else { return };
    let cpu = page.family("process_cpu_seconds_total", "counter", "Time on a processor.");
    cpu.sample("", &[], usage.cpu_seconds);
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Memory in RAM.",
            usage.resident_bytes as f64,
        ),
        (
            "process_virtual_memory_bytes",
            "Address space.",
            usage.virtual_bytes as f64,
        ),
        (
            "process_start_time_seconds",
            "When the process started, since 1970.",
            usage.start_seconds,
        ),
        ("process_threads", "Threads.", usage.threads as f64),
        (
            "process_open_fds",
            "Open files and connections.",
            usage.open_files as f64,
        ),
    ] {
        page.gauge(name, help, &[], value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_stay_together_and_values_are_escaped() {
        let mut page = Page::default();
        page.counter("a_total", "A.", &[("x", "1")], 1);
        page.gauge("b", "B.", &[], 0.5);
        page.family("never", "gauge", "Nothing.");
        page.counter("a_total", "A.", &[("x", "a\"b\\c\nd")], u64::from(u32::MAX));
        let want = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"a\\\"b\\\\c\\nd\"} 4294967295\n\
                    # HELP b B.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(page.text(), want);
    }

    #[test]
    fn a_histogram_ends_with_all_and_is_absent_when_empty() {
        let counted = Histogram::default();
        let mut page = Page::default();
        page.family("t", "histogram", "T.").histogram(&[("m", "x")], &counted);
        assert_eq!(page.text(), "");
        counted.record(Duration::from_millis(3));
        counted.record(Duration::from_secs(3600));
        page.family("t", "histogram", "T.").histogram(&[("m", "x")], &counted);
        let text = page.text();
        assert!(
            text.contains("t_bucket{m=\"x\",le=\"+Inf\"} 2\n") && text.contains("t_count{m=\"x\"} 2\n"),
            "{text}"
        );
        assert!(text.contains("t_bucket{m=\"x\",le=\"0.002097152\"} 0\n"), "{text}");
        assert!(text.contains("t_bucket{m=\"x\",le=\"0.004194304\"} 1\n"), "{text}");
    }
}
