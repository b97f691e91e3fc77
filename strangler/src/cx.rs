//! The call context: who asks, how long there is, which trace it belongs to. Explicit, handed from call to call, never a
//! task-local.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue, header::HeaderName};

use crate::{cohort::Noted, share, tape::Tape};

/// What is left of the caller's budget, in seconds with a fraction.
pub const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("request-timeout");
/// `live` or `shadow`; stripped on the public address.
pub const STRANGLER_RUN: HeaderName = HeaderName::from_static("strangler-run");
/// Which module asks, or `outside`: for whoever records calls. Believed only inside.
pub const STRANGLER_CALLER: HeaderName = HeaderName::from_static("strangler-caller");
/// What stands for the caller in a canary: 16 hexadecimal digits, so that no session leaves its process. Believed only inside.
pub const STRANGLER_KEY: HeaderName = HeaderName::from_static("strangler-key");
/// What the gateway noted of the request for cohorts, like a form. Believed only inside.
pub const STRANGLER_NOTED: HeaderName = HeaderName::from_static("strangler-noted");
/// W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C trace context, the vendors' part.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// W3C baggage.
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// The key that makes a repeat recognisable.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a principal may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scopes {
    /// Nothing that asks for a scope.
    #[default]
    None,
    /// Everything: the operator.
    All,
    /// These, by name.
    Some(Arc<[Box<str>]>),
}

impl Scopes {
    /// Whether `scope` is among them.
    pub fn allow(&self, scope: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(list) => list.iter().any(|s| &**s == scope),
        }
    }
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// Who it is; `None` is somebody nobody asked for a name.
    pub subject: Option<Arc<str>>,
    /// What they may do.
    pub scopes: Scopes,
}

impl Principal {
    /// Somebody unknown, who may do what anybody may.
    pub const ANYBODY: Self = Self {
        subject: None,
        scopes: Scopes::None,
    };

    /// A known principal with these scopes.
    pub fn known(subject: &str, scopes: Scopes) -> Self {
        Self {
            subject: Some(subject.into()),
            scopes,
        }
    }
}

/// A W3C trace context: the trace, this span within it, and what travels along.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    /// The trace's id; never zero.
    pub trace_id: u128,
    /// This span's id; never zero.
    pub span_id: u64,
    /// The span that this one is a child of; zero when it begins the trace.
    pub parent_id: u64,
    /// Trace flags; bit 0 is `sampled`.
    pub flags: u8,
    /// The vendors' part, carried and not read.
    pub state: Option<Arc<str>>,
    /// Baggage, carried and not read.
    pub baggage: Option<Arc<str>>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.traceparent())
    }
}

impl Trace {
    /// A new trace that starts here.
    pub fn start() -> Self {
        Self {
            trace_id: rand::random::<u128>() | 1,
            span_id: rand::random::<u64>() | 1,
            parent_id: 0,
            flags: 1,
            state: None,
            baggage: None,
        }
    }

    /// A new span in the same trace.
    pub fn child(&self) -> Self {
        Self {
            span_id: rand::random::<u64>() | 1,
            parent_id: self.span_id,
            ..self.clone()
        }
    }

    /// Reads `traceparent` (version 00, and later ones as far as 00 goes). `None` when it is malformed: a new trace
    /// starts then, as the W3C recommendation says.
    pub fn parse(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        let hex = |s: &str| s.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        if b.len() < 55 || !text.is_ascii() || b[2] != b'-' || b[35] != b'-' || b[52] != b'-' {
            return None;
        }
        let (version, trace, span, flags) = (&text[..2], &text[3..35], &text[36..52], &text[53..55]);
        if version == "ff" || (version == "00" && b.len() != 55) || (b.len() > 55 && b[55] != b'-') {
            return None;
        }
        if ![version, trace, span, flags].iter().all(|s| hex(s)) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace, 16).ok().filter(|&t| t != 0)?;
        let span_id = u64::from_str_radix(span, 16).ok().filter(|&s| s != 0)?;
        Some(Self {
            trace_id,
            span_id,
            parent_id: 0,
            flags: u8::from_str_radix(flags, 16).ok()? & 1,
            state: None,
            baggage: None,
        })
    }

    /// The `traceparent` header's value: 55 bytes of ASCII.
    pub fn traceparent(&self) -> String {
        String::from_utf8_lossy(&self.traceparent_bytes()).into_owned()
    }

    /// The same without an allocation.
    pub fn traceparent_bytes(&self) -> [u8; 55] {
        fn hex(out: &mut [u8], mut value: u128) {
            for byte in out.iter_mut().rev() {
                *byte = b"0123456789abcdef"[(value & 15) as usize];
                value >>= 4;
            }
        }
        let mut out = *b"00-00000000000000000000000000000000-0000000000000000-00";
        hex(&mut out[3..35], self.trace_id);
        hex(&mut out[36..52], self.span_id.into());
        hex(&mut out[53..55], self.flags.into());
        out
    }

    /// The trace's id as 32 hexadecimal digits.
    pub fn id(&self) -> TraceId {
        TraceId(self.trace_id)
    }
}

/// A trace id that prints as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a call counts, or is made only to be compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Run {
    /// Somebody waits for the answer.
    #[default]
    Live,
    /// The answer is compared and thrown away.
    Shadow,
}

/// Why the local side is asked; decides under what name the guard counts the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purpose {
    #[default]
    Answer,
    Fallback,
    Compare,
}

/// Who makes the next call, for whoever records calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said: it is not recorded.
    #[default]
    Untold,
    /// Somebody beyond the gateway, which has recorded that already.
    Gateway(&'static str),
    /// This module, in this process.
    Module(&'static str),
}

/// The call context. Cheap to clone; a clone allocates nothing.
#[derive(Clone, Debug)]
pub struct Cx {
    principal: Principal,
    deadline: Option<Instant>,
    trace: Trace,
    idempotency_key: Option<Arc<str>>,
    session: Option<Arc<str>>,
    /// What stands for the caller, when another process said so.
    key: Option<u64>,
    pub(crate) noted: Option<Arc<Noted>>,
    run: Run,
    pub(crate) purpose: Purpose,
    pub(crate) origin: Origin,
    pub(crate) tape: Option<Arc<Tape>>,
}

impl Cx {
    /// A context for `principal` that starts a trace of its own and has no deadline yet.
    pub fn new(principal: Principal) -> Self {
        Self {
            principal,
            deadline: None,
            trace: Trace::start(),
            idempotency_key: None,
            session: None,
            key: None,
            noted: None,
            run: Run::Live,
            purpose: Purpose::Answer,
            origin: Origin::Untold,
            tape: None,
        }
    }

    /// The context of work that the system does by itself (`by` names the worker); it may do everything.
    pub fn system(by: &str) -> Self {
        Self::new(Principal::known(by, Scopes::All))
    }

    /// The context that arrives with an HTTP request. `budget` bounds the time it has; the caller may ask for less with
    /// `request-timeout`. `strangler-run`, and what stands for the caller in a canary, are believed only when `internal`.
    pub fn from_headers(headers: &HeaderMap, principal: Principal, budget: Duration, internal: bool) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
        let mut trace = text(&TRACEPARENT).and_then(Trace::parse);
        if let Some(trace) = &mut trace {
            trace.state = text(&TRACESTATE).filter(|s| s.len() <= 512).map(Into::into);
        }
        let mut trace = trace.map_or_else(Trace::start, |t| t.child());
        trace.baggage = text(&BAGGAGE).filter(|b| b.len() <= 8192).map(Into::into);
        let asked = text(&REQUEST_TIMEOUT)
            .and_then(|s| s.trim().parse::<f64>().ok())
            .filter(|s| s.is_finite() && *s >= 0.0)
            .map(|s| Duration::from_secs_f64(s.min(1e6)));
        let run = match text(&STRANGLER_RUN) {
            Some("shadow") if internal => Run::Shadow,
            _ => Run::Live,
        };
        Self {
            principal,
            deadline: Some(Instant::now() + asked.map_or(budget, |a| a.min(budget))),
            trace,
            idempotency_key: text(&IDEMPOTENCY_KEY).filter(|k| k.len() <= 256).map(Into::into),
            session: cookie(headers, "session").map(Into::into),
            key: text(&STRANGLER_KEY).filter(|_| internal).and_then(read_key),
            noted: text(&STRANGLER_NOTED).filter(|_| internal).and_then(Noted::of_text),
            run,
            purpose: Purpose::Answer,
            origin: Origin::Untold,
            tape: None,
        }
    }

    /// Puts the context into the headers of a call to another process. The access token is not part of it: the way adds
    /// one that is made for the called module alone.
    pub fn to_headers(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_bytes(&self.trace.traceparent_bytes()) {
            headers.insert(TRACEPARENT, value);
        }
        // A caller may have sent some of its own.
        headers.remove(STRANGLER_KEY);
        headers.remove(STRANGLER_NOTED);
        let mut put = |name: HeaderName, value: Option<&str>| {
            if let Some(value) = value.and_then(|v| HeaderValue::from_str(v).ok()) {
                headers.insert(name, value);
            }
        };
        if let Some(key) = self.canary_key() {
            put(STRANGLER_KEY, Some(&format!("{key:016x}")));
        }
        if let Some(noted) = &self.noted {
            put(STRANGLER_NOTED, Some(&noted.to_text()));
        }
        put(TRACESTATE, self.trace.state.as_deref());
        put(BAGGAGE, self.trace.baggage.as_deref());
        put(IDEMPOTENCY_KEY, self.idempotency_key.as_deref());
        if let Some(left) = self.time_left() {
            put(REQUEST_TIMEOUT, Some(&format!("{:.3}", left.as_secs_f64())));
        }
        let run = if self.run == Run::Shadow { "shadow" } else { "live" };
        headers.insert(STRANGLER_RUN, HeaderValue::from_static(run));
        match self.origin {
            Origin::Untold => _ = headers.remove(STRANGLER_CALLER),
            Origin::Gateway(who) | Origin::Module(who) => {
                headers.insert(STRANGLER_CALLER, HeaderValue::from_static(who));
            }
        }
    }

    /// Who asks.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Who asks, by name.
    pub fn subject(&self) -> Option<&str> {
        self.principal.subject.as_deref()
    }

    /// When the answer must be there.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// What is left of the budget; zero when it is used up, `None` when there is no deadline.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|d| d.saturating_duration_since(Instant::now()))
    }

    /// The trace this call belongs to.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The `traceparent` of this span.
    pub fn traceparent(&self) -> String {
        self.trace.traceparent()
    }

    /// The key that makes a repeat recognisable, when the caller sent one.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// The caller's session, when a cookie carries one.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// What stands for the caller in a canary, the same in every process: a hash of the subject, else of the session, else
    /// of the idempotency key. `None` for somebody who cannot be told from others.
    pub fn canary_key(&self) -> Option<u64> {
        let name = || self.subject().or(self.session()).or(self.idempotency_key());
        self.key.or_else(|| name().map(share::key))
    }

    /// Whether the answer counts or is only compared.
    pub fn run(&self) -> Run {
        self.run
    }

    /// The same context with this deadline, if it is earlier than the one it has.
    pub fn within(mut self, budget: Duration) -> Self {
        let by = Instant::now() + budget;
        self.deadline = Some(self.deadline.map_or(by, |d| d.min(by)));
        self
    }

    /// The same context with a budget of its own, whatever the caller's was: for work nobody waits for.
    pub fn with_budget(mut self, budget: Duration) -> Self {
        self.deadline = Some(Instant::now() + budget);
        self
    }

    /// The same context as part of this trace: for work that goes on after the call that caused it.
    pub fn with_trace(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// The same context with a key that makes a repeat recognisable. A key of more than 256 bytes is left out.
    pub fn with_idempotency_key(mut self, key: &str) -> Self {
        self.idempotency_key = (key.len() <= 256).then(|| key.into());
        self
    }

    /// The same context, for what is done for the caller of `caller` with other rights: in a canary on the side where they are,
    /// and on their tape. Within an operation a context made without this is on no tape, and whoever is called with it is called
    /// in earnest when the operation is only done again.
    pub fn on_behalf_of(mut self, caller: &Self) -> Self {
        self.key = caller.canary_key().or(self.key);
        self.noted = caller.noted.clone();
        self.tape = caller.tape.clone();
        self
    }

    /// The same context, in a canary on one side for everything that is done under this name, whoever does it.
    pub fn on_behalf_of_name(mut self, name: &str) -> Self {
        self.key = Some(share::key(name));
        self
    }

    /// The same context for a call that this module makes by itself, as a step of a saga does: so it is recorded who calls.
    /// Within an operation that is known without being said.
    pub fn of_module(mut self, module: &'static str) -> Self {
        self.origin = Origin::Module(module);
        self
    }

    /// The context within an operation of this module: a span of its own, and what is called from there, the module calls.
    pub(crate) fn within_module(&self, module: &'static str) -> Self {
        Self {
            trace: self.trace.child(),
            origin: Origin::Module(module),
            ..self.clone()
        }
    }

    /// The same context in a span of its own: for one call to another process.
    pub(crate) fn asking(&self) -> Self {
        Self {
            trace: self.trace.child(),
            ..self.clone()
        }
    }

    /// The same context for a run that is only compared.
    pub fn shadow(mut self) -> Self {
        self.run = Run::Shadow;
        self.purpose = Purpose::Compare;
        self
    }

    /// The same context for a call that the other side should have answered.
    pub(crate) fn fallback(mut self) -> Self {
        self.purpose = Purpose::Fallback;
        self
    }
}

fn read_key(text: &str) -> Option<u64> {
    let hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(http::header::COOKIE)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .find_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name && !value.is_empty() && value.len() <= 256).then_some(value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparent_goes_round() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Trace::parse(text).map(|t| t.traceparent()).as_deref(), Some(text));
    }

    #[test]
    fn a_malformed_traceparent_is_none() {
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-0",
        ] {
            assert!(Trace::parse(bad).is_none(), "{bad}");
        }
        assert!(Trace::parse("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").is_some());
    }

    #[test]
    fn the_callers_budget_only_shortens() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_TIMEOUT, HeaderValue::from_static("3600"));
        let cx = Cx::from_headers(&headers, Principal::ANYBODY, Duration::from_secs(1), false);
        assert!(cx.time_left().is_some_and(|t| t <= Duration::from_secs(1)));
        headers.insert(REQUEST_TIMEOUT, HeaderValue::from_static("NaN"));
        assert!(
            Cx::from_headers(&headers, Principal::ANYBODY, Duration::from_secs(1), false)
                .time_left()
                .is_some()
        );
        headers.insert(REQUEST_TIMEOUT, HeaderValue::from_static("0"));
        let cx = Cx::from_headers(&headers, Principal::ANYBODY, Duration::from_secs(1), false);
        assert_eq!(cx.time_left(), Some(Duration::ZERO));
    }

    #[test]
    fn a_caller_is_the_same_in_every_process_and_believed_only_inside() {
        let from =
            |headers: &HeaderMap, who, internal| Cx::from_headers(headers, who, Duration::from_secs(1), internal);
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_static("once"));
        let once = from(&headers, Principal::ANYBODY, false).canary_key();
        headers.insert(http::header::COOKIE, HeaderValue::from_static("a=b; session=s1"));
        let session = from(&headers, Principal::ANYBODY, false);
        let ada = from(&headers, Principal::known("ada", Scopes::None), false);
        let keys = ["once", "s1", "ada"].map(|name| Some(share::key(name)));
        assert_eq!([once, session.canary_key(), ada.canary_key()], keys);
        assert_eq!(Cx::new(Principal::ANYBODY).canary_key(), None);

        let mut travelling = HeaderMap::new();
        ada.to_headers(&mut travelling);
        let ordering = || Principal::known("ordering", Scopes::All);
        assert_eq!(from(&travelling, ordering(), true).canary_key(), keys[2]);
        assert_eq!(
            from(&travelling, Principal::ANYBODY, false).canary_key(),
            keys[0],
            "nobody outside says who is who"
        );
        for bad in ["", "xyz", "+123456789abcdef", "0123456789abcdef0"] {
            travelling.insert(STRANGLER_KEY, HeaderValue::from_str(bad).unwrap());
            assert_eq!(
                from(&travelling, ordering(), true).canary_key(),
                Some(share::key("ordering")),
                "{bad}"
            );
        }
        let storefront = Cx::new(Principal::known("storefront", Scopes::None)).on_behalf_of(&session);
        assert_eq!(storefront.canary_key(), keys[1]);
        let nobodys = Cx::new(Principal::known("storefront", Scopes::None)).on_behalf_of(&Cx::new(Principal::ANYBODY));
        assert_eq!(nobodys.canary_key(), Some(share::key("storefront")));
        // What a caller sent is not passed on as if it were ours.
        let mut forged = HeaderMap::new();
        forged.insert(STRANGLER_KEY, HeaderValue::from_static("0123456789abcdef"));
        forged.insert(STRANGLER_NOTED, HeaderValue::from_static("x-beta=1"));
        from(&forged, Principal::ANYBODY, false).to_headers(&mut forged);
        assert!(!forged.contains_key(STRANGLER_KEY) && !forged.contains_key(STRANGLER_NOTED));
    }

    #[test]
    fn a_shadow_run_is_believed_only_inside() {
        let mut headers = HeaderMap::new();
        headers.insert(STRANGLER_RUN, HeaderValue::from_static("shadow"));
        let run = |internal| Cx::from_headers(&headers, Principal::ANYBODY, Duration::from_secs(1), internal).run();
        assert_eq!((run(false), run(true)), (Run::Live, Run::Shadow));
    }
}
