//! The log: one line per event on stderr, for people or as JSON, with the trace it belongs to.
//!
//! A span with a field `trace_id` gives that id to every line written inside it, at whatever depth; nothing else of a
//! span is written. In JSON it is `trace_id` at the top level, beside `time`, `level`, `target`, `message` and the
//! event's own fields.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::{self, Write as _},
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
    sync::Arc,
};

use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::{Map, Value};
use strangler::{Clock, SystemClock};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    field::RecordFields,
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::settings::variable;

/// The field of a span that names its trace.
const TRACE_ID: &str = "trace_id";
/// Crates that say too much at `info`: at `warn` unless the level names them.
const NOISY: [&str; 6] = ["sqlx", "sea_orm", "hyper", "h2", "rustls", "reqwest"];

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; in colour when stderr is a terminal and `NO_COLOR` is not set.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// Why the log could not be set up.
#[derive(Debug)]
pub enum TelemetryError {
    /// The level cannot be read.
    Level(tracing_subscriber::filter::ParseError),
    /// It was set up before.
    Twice,
}

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(error) => write!(f, "the log level cannot be read: {error}"),
            Self::Twice => f.write_str("the log has been set up already"),
        }
    }
}

impl std::error::Error for TelemetryError {}

/// Sets up the log of this process, and has panics logged. `level` is a level, or `target=level`, separated by commas.
///
/// # Errors
/// When the level cannot be read, and when this was called before.
pub fn init(format: LogFormat, level: &str) -> Result<(), TelemetryError> {
    let filter = filter(level).map_err(TelemetryError::Level)?;
    let color = io::stderr().is_terminal() && variable("NO_COLOR").is_none();
    subscriber(format, color, filter, io::stderr)
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;
    log_panics();
    Ok(())
}

/// The level, with noisy crates at `warn`, or quieter where everything is.
fn filter(level: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    let general = level.split(',').map(str::trim).rfind(|part| !part.contains(['=', '[']));
    let noise = match general.map(str::to_ascii_lowercase).as_deref() {
        Some("off") => "off",
        Some("error") => "error",
        _ => "warn",
    };
    let mut directives = String::new();
    for name in NOISY {
        // Writing to a String cannot fail.
        let _ = write!(directives, "{name}={noise},");
    }
    // What comes later wins over what comes before about the same target.
    EnvFilter::try_new(directives + level)
}

fn subscriber<W>(format: LogFormat, color: bool, filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(color)
        .with_writer(writer)
        .fmt_fields(NoSpanFields)
        .event_format(Lines(format));
    tracing_subscriber::registry().with(filter).with(Traces).with(lines)
}

/// From now on a panic is an error line with its place. Where errors are not logged, it is written as it was before.
fn log_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if tracing::enabled!(target: "banyan::panic", Level::ERROR) {
            log_panic(info);
        } else {
            before(info);
        }
    }));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("of another type than text");
    let location = info.location().map(ToString::to_string);
    let thread = std::thread::current();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        target: "banyan::panic",
        location = location.as_deref().unwrap_or("unknown"),
        thread = thread.name().unwrap_or("unnamed"),
        backtrace = backtrace.as_deref(),
        "panicked: {message}"
    );
}

/// The trace of a span, its own or that of the span around it.
struct InTrace(Arc<str>);

/// Notes the trace of each span.
struct Traces;

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut own = TraceOf(None);
        attributes.record(&mut own);
        let around = || {
            span.parent()?
                .extensions()
                .get::<InTrace>()
                .map(|trace| trace.0.clone())
        };
        if let Some(trace) = own.0.or_else(around) {
            span.extensions_mut().replace(InTrace(trace));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut own = TraceOf(None);
        values.record(&mut own);
        if let (Some(span), Some(trace)) = (context.span(id), own.0) {
            span.extensions_mut().replace(InTrace(trace));
        }
    }
}

struct TraceOf(Option<Arc<str>>);

impl Visit for TraceOf {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == TRACE_ID {
            self.0 = Some(value.into());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == TRACE_ID {
            self.0 = Some(format!("{value:?}").into());
        }
    }
}

/// Spans are not written, so their fields need not be formatted.
struct NoSpanFields;

impl<'w> FormatFields<'w> for NoSpanFields {
    fn format_fields<R: RecordFields>(&self, _: Writer<'w>, _: R) -> fmt::Result {
        Ok(())
    }
}

/// Formats events.
struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let span = event
            .parent()
            .map_or_else(|| context.lookup_current(), |id| context.span(id));
        let trace = span.and_then(|span| span.extensions().get::<InTrace>().map(|trace| trace.0.clone()));
        let time = SystemClock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        match self.0 {
            LogFormat::Human => human(writer, &time, trace.as_deref(), event),
            LogFormat::Json => json(writer, &time, trace.as_deref(), event),
        }
    }
}

fn human(mut writer: Writer<'_>, time: &str, trace: Option<&str>, event: &Event<'_>) -> fmt::Result {
    let meta = event.metadata();
    let mut fields = HumanFields::default();
    event.record(&mut fields);
    if writer.has_ansi_escapes() {
        let color = match *meta.level() {
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            Level::DEBUG => 34,
            Level::TRACE => 35,
        };
        write!(
            writer,
            "\x1b[2m{time}\x1b[0m \x1b[{color}m{:>5}\x1b[0m \x1b[2m{}\x1b[0m: ",
            meta.level(),
            meta.target()
        )?;
    } else {
        write!(writer, "{time} {:>5} {}: ", meta.level(), meta.target())?;
    }
    write!(writer, "{}{}", fields.message, fields.others)?;
    match trace {
        Some(trace) if !fields.names_trace => writeln!(writer, " {TRACE_ID}={}", OneLine(trace)),
        _ => writeln!(writer),
    }
}

#[derive(Default)]
struct HumanFields {
    message: String,
    others: String,
    names_trace: bool,
}

impl Visit for HumanFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        if field.name() == "message" {
            let _ = write!(self.message, "{}", OneLine(&format!("{value:?}")));
        } else {
            self.names_trace |= field.name() == TRACE_ID;
            let _ = write!(self.others, " {}={}", field.name(), OneLine(&format!("{value:?}")));
        }
    }
}

/// Text on one line: what came from outside cannot write a line of its own, or move the terminal's cursor.
struct OneLine<'t>(&'t str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            char if char.is_control() => write!(f, "{}", char.escape_default()),
            char => f.write_char(char),
        })
    }
}

fn json(mut writer: Writer<'_>, time: &str, trace: Option<&str>, event: &Event<'_>) -> fmt::Result {
    let meta = event.metadata();
    let mut line = JsonFields(Map::new());
    for (name, value) in [
        ("time", time),
        ("level", meta.level().as_str()),
        ("target", meta.target()),
    ] {
        line.0.insert(name.to_owned(), value.into());
    }
    if let Some(trace) = trace {
        line.0.insert(TRACE_ID.to_owned(), trace.into());
    }
    event.record(&mut line);
    writeln!(writer, "{}", Value::Object(line.0))
}

struct JsonFields(Map<String, Value>);

impl JsonFields {
    /// A field of an event does not take the place of what every line has.
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name();
        let name = if self.0.contains_key(name) {
            format!("event_{name}")
        } else {
            name.to_owned()
        };
        self.0.insert(name, value);
    }
}

impl Visit for JsonFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, level: &str, work: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = subscriber(format, false, filter(level).unwrap(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, work);
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn within_a_request() {
        let request = tracing::info_span!("request", trace_id = %"00000000000000000000000000000abc", path = "/secret");
        let _request = request.enter();
        let inner = tracing::info_span!("inner", other = 1);
        let _inner = inner.enter();
        tracing::info!(seats = 2, ok = true, name = "a\nb", "held");
    }

    #[test]
    fn json_lines_carry_the_trace_at_the_top_level() {
        let text = logged(LogFormat::Json, "info", within_a_request);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["trace_id"], "00000000000000000000000000000abc");
        assert_eq!((&line["message"], &line["level"]), (&"held".into(), &"INFO".into()));
        assert_eq!(
            (&line["seats"], &line["ok"], &line["name"]),
            (&2.into(), &true.into(), &"a\nb".into())
        );
        assert!(line["time"].as_str().unwrap().ends_with('Z') && line["path"].is_null());
    }

    #[test]
    fn lines_for_people_carry_it_too_and_stay_one_line() {
        let text = logged(LogFormat::Human, "info", within_a_request);
        let end = "telemetry::tests: held seats=2 ok=true name=\"a\\nb\" trace_id=00000000000000000000000000000abc\n";
        assert!(text.contains("  INFO ") && text.ends_with(end), "{text}");
        let text = logged(LogFormat::Human, "info", || tracing::warn!("one\nINFO two\x1b[2J"));
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("one\\nINFO two\\u{1b}[2J"), "{text}");
        assert!(!text.contains("trace_id"));
    }

    #[test]
    fn a_field_does_not_replace_what_every_line_has() {
        let text = logged(LogFormat::Json, "info", || tracing::info!(level = "loud", "x"));
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["event_level"]), (&"INFO".into(), &"loud".into()));
    }

    #[test]
    fn noisy_crates_are_at_warn_unless_named() {
        let chatter = || {
            tracing::info!(target: "sqlx::query", "chatter");
            tracing::info!(target: "sea_orm_migration", "chatter");
            tracing::warn!(target: "h2::proto", "trouble");
        };
        let lines = |level: &str| logged(LogFormat::Human, level, chatter).lines().count();
        assert_eq!(lines("debug"), 1);
        assert_eq!(lines("info,sqlx=info"), 2);
        assert_eq!(lines("error"), 0);
        assert_eq!(lines("off"), 0);
    }

    #[test]
    fn a_panic_is_an_error_line_with_its_place() {
        log_panics();
        let text = logged(LogFormat::Json, "info", || {
            let _ = panic::catch_unwind(|| panic!("the {} is gone", "seat"));
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["message"]),
            (&"ERROR".into(), &"panicked: the seat is gone".into())
        );
        assert!(line["location"].as_str().unwrap().contains("telemetry.rs:"), "{text}");
    }
}
