//! Reading the sources: file, environment, flags.

use std::{collections::BTreeSet, ffi::OsString, fmt, fs, io, ops::Range, path::Path};

use config::{Config, ConfigError, Map, Source, Value};
use toml::de::{DeTable, DeValue};

use super::{
    Flag, Mistake, Sources,
    keys::{self, Key, Raw},
};

/// The file that is read when no other is named.
const DEFAULT_FILE: &str = "banyan.toml";
/// How every environment variable of this program begins.
const PREFIX: &str = "BANYAN_";
/// Variables that are not settings.
const NOT_SETTINGS: [&str; 3] = ["BANYAN_CONTROL", "BANYAN_OPERATOR_TOKEN", "BANYAN_JOIN_TOKEN"];
/// Neither are those of the tests.
const TESTS: &str = "BANYAN_TEST_";
/// The end of a secret's other name.
const FILE: &str = "_file";

/// What was read.
pub(super) struct Values {
    /// All good values over the defaults, each with its place.
    pub(super) merged: Config,
    /// The keys of which a value was no good.
    pub(super) failed: BTreeSet<String>,
}

/// One value that was found.
struct Found {
    key: String,
    spec: &'static Key,
    /// Given as `…_file`.
    as_file: bool,
    raw: Raw,
    place: String,
    /// How the key is called in a sentence at this place: nothing where the place names it already.
    called: String,
}

struct Reader<'a> {
    modules: &'a [&'a str],
    keys: Vec<(String, &'static Key)>,
    found: Vec<Found>,
    mistakes: Vec<Mistake>,
    failed: BTreeSet<String>,
}

/// Reads all sources. Of values that are no good there is a mistake, and the rest goes on without them.
pub(super) fn read(sources: &Sources<'_>) -> (Values, Vec<Mistake>) {
    let mut reader = Reader {
        modules: sources.modules,
        keys: keys::all(sources.modules),
        found: Vec::new(),
        mistakes: Vec::new(),
        failed: BTreeSet::new(),
    };
    reader.read_file(sources.file.as_deref());
    reader.read_env(&sources.env);
    reader.read_flags(&sources.flags);
    let layer = reader.check();
    let mut defaults = Layer::default();
    for (name, key) in &reader.keys {
        if let Some(Ok(kind)) = key
            .default
            .map(|default| key.kind.check(&Raw::Untyped(default.to_owned())))
        {
            defaults
                .0
                .push((name.clone(), Value::new(Some(&"default".to_owned()), kind)));
        }
    }
    let merged = Config::builder()
        .add_source(defaults)
        .add_source(layer)
        .build()
        .unwrap_or_else(|error: ConfigError| {
            reader.mistakes.push(Mistake::new("settings", error.to_string()));
            Config::default()
        });
    (
        Values {
            merged,
            failed: reader.failed,
        },
        reader.mistakes,
    )
}

impl Reader<'_> {
    fn read_file(&mut self, named: Option<&Path>) {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        let shown = path.display().to_string();
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                return self
                    .mistakes
                    .push(Mistake::new(shown, format!("cannot be read: {error}")));
            }
        };
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = 1 + error.as_bytes()[..good].iter().filter(|byte| **byte == b'\n').count();
                return self.mistakes.push(Mistake::new(
                    format!("{shown}:{line}"),
                    "is not UTF-8 text from here on",
                ));
            }
        };
        let (table, errors) = DeTable::parse_recoverable(&text);
        for error in &errors {
            let (line, column) = position(&text, error.span().unwrap_or_default());
            // The message alone: the rest of the error quotes the line, and a secret may be in it.
            let what = error.message().lines().collect::<Vec<_>>().join(", ");
            self.mistakes.push(Mistake::new(
                format!("{shown}:{line}:{column}"),
                format!("is not TOML: {what}"),
            ));
        }
        if errors.is_empty() {
            self.walk(table.get_ref(), "", &|span| {
                format!("{shown}:{}", position(&text, span).0)
            });
        }
    }

    fn walk(&mut self, table: &DeTable<'_>, above: &str, place: &dyn Fn(Range<usize>) -> String) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        for (name, value) in entries {
            let key = if above.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{above}.{}", name.get_ref())
            };
            let here = place(name.span());
            match (self.lookup(&key), value.get_ref()) {
                (Some((key, spec, as_file)), value) => {
                    let called = format!("{key}{}: ", if as_file { FILE } else { "" });
                    self.found.push(Found {
                        key,
                        spec,
                        as_file,
                        raw: raw(value),
                        place: here,
                        called,
                    });
                }
                (None, DeValue::Table(below)) if self.is_section(&key) => self.walk(below, &key, place),
                (None, DeValue::Table(_)) => {
                    let what = match key.strip_prefix("modules.") {
                        Some(module) => self.unknown_module(module),
                        None => format!("unknown section{}", hint(&key, self.sections().into_iter(), "[", "]")),
                    };
                    self.mistakes.push(Mistake::new(here, format!("{key}: {what}")));
                }
                (None, _) if self.is_section(&key) => {
                    let what = format!("{key}: is a section: write [{key}] on a line of its own, and its keys below");
                    self.mistakes.push(Mistake::new(here, what));
                }
                (None, _) => {
                    let what = format!("{key}: unknown key{}", self.similar(&key, "", ""));
                    self.mistakes.push(Mistake::new(here, what));
                }
            }
        }
    }

    fn read_env(&mut self, env: &[(OsString, OsString)]) {
        let mut env: Vec<_> = env
            .iter()
            .map(|(name, value)| (name.to_string_lossy(), value))
            .collect();
        env.sort();
        for (name, value) in env {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            if NOT_SETTINGS.contains(&&*name) || name.starts_with(TESTS) {
                continue;
            }
            let key = rest.to_lowercase().replace("__", ".");
            let place = name.to_string();
            match (self.lookup(&key), value.to_str()) {
                (Some((key, spec, as_file)), Some(value)) => {
                    let raw = Raw::Untyped(value.to_owned());
                    self.found.push(Found {
                        key,
                        spec,
                        as_file,
                        raw,
                        place,
                        called: String::new(),
                    });
                }
                (Some((key, ..)), None) => {
                    self.failed.insert(key);
                    self.mistakes.push(Mistake::new(place, "is not UTF-8 text"));
                }
                (None, _) => {
                    let what = match key.strip_prefix("modules.").and_then(|rest| rest.split_once('.')) {
                        Some((module, _)) if !self.modules.contains(&module) => self.unknown_module(module),
                        _ => format!("no such setting{}", self.similar_variable(&key)),
                    };
                    self.mistakes.push(Mistake::new(place, what));
                }
            }
        }
    }

    fn read_flags(&mut self, flags: &[Flag]) {
        for Flag { flag, key, value } in flags {
            match self.lookup(key) {
                Some((key, spec, as_file)) => {
                    let raw = Raw::Untyped(value.clone());
                    self.found.push(Found {
                        key,
                        spec,
                        as_file,
                        raw,
                        place: flag.clone(),
                        called: String::new(),
                    });
                }
                None => {
                    let what = format!("{key}: unknown key{}", self.similar(key, "", ""));
                    self.mistakes.push(Mistake::new(flag, what));
                }
            }
        }
    }

    /// Checks what was found, and reads secrets from the files that are named.
    fn check(&mut self) -> Layer {
        let mut layer = Layer::default();
        let found = std::mem::take(&mut self.found);
        for (at, one) in found.iter().enumerate() {
            let other = found[..at]
                .iter()
                .find(|other| other.key == one.key && other.as_file != one.as_file);
            let superseded = found[at + 1..]
                .iter()
                .any(|later| later.key == one.key && later.as_file == one.as_file);
            let checked = match (other, one.as_file) {
                (Some(other), _) => Err(format!(
                    "{} is given twice, as itself and as a file (here and at {}): leave one of them out",
                    one.key, other.place
                )),
                (None, false) => one.spec.kind.check(&one.raw).map(|kind| (kind, one.place.clone())),
                (None, true) if superseded => continue,
                (None, true) => from_file(one),
            };
            match checked {
                Ok((kind, origin)) => layer.0.push((one.key.clone(), Value::new(Some(&origin), kind))),
                Err(what) => {
                    self.failed.insert(one.key.clone());
                    self.mistakes
                        .push(Mistake::new(&one.place, format!("{}{what}", one.called)));
                }
            }
        }
        layer
    }

    /// The key of this name, and whether it is the name of a secret's file.
    fn lookup(&self, name: &str) -> Option<(String, &'static Key, bool)> {
        let find = |name: &str| self.keys.iter().find(|(key, _)| key == name).cloned();
        if let Some((key, spec)) = find(name) {
            return Some((key, spec, false));
        }
        let (key, spec) = find(name.strip_suffix(FILE)?)?;
        spec.secret().then_some((key, spec, true))
    }

    fn sections(&self) -> BTreeSet<&str> {
        self.keys
            .iter()
            .filter_map(|(key, _)| key.split('.').next())
            .chain(["modules"])
            .collect()
    }

    fn is_section(&self, name: &str) -> bool {
        self.sections().contains(name)
            || name
                .strip_prefix("modules.")
                .is_some_and(|name| self.modules.contains(&name))
    }

    fn unknown_module(&self, name: &str) -> String {
        let hint = hint(name, self.modules.iter().copied(), "", "");
        format!("no module is called {name}{hint}; there is {}", self.modules.join(", "))
    }

    /// ", did you mean …?" when there is a name like this one.
    fn similar(&self, name: &str, before: &str, after: &str) -> String {
        let close = hint(name, self.names().iter().map(String::as_str), before, after);
        if !close.is_empty() {
            return close;
        }
        // The right name in the wrong section.
        let last = name.rsplit('.').next().unwrap_or(name);
        let mut same = self.keys.iter().filter(|(key, _)| key.rsplit('.').next() == Some(last));
        match (same.next(), same.next()) {
            (Some((key, _)), None) => format!(", did you mean {before}{key}{after}?"),
            _ => String::new(),
        }
    }

    fn similar_variable(&self, key: &str) -> String {
        let variable = |key: &str| format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
        let names: Vec<String> = self.names().iter().map(|name| variable(name)).collect();
        hint(&variable(key), names.iter().map(String::as_str), "", "")
    }

    fn names(&self) -> Vec<String> {
        let files = self
            .keys
            .iter()
            .filter(|(_, spec)| spec.secret())
            .map(|(key, _)| format!("{key}{FILE}"));
        self.keys.iter().map(|(key, _)| key.clone()).chain(files).collect()
    }
}

fn hint<'n>(name: &str, names: impl Iterator<Item = &'n str>, before: &str, after: &str) -> String {
    let nearest = names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min();
    match nearest {
        Some((distance, known)) if distance <= 1 + name.len() / 5 => format!(", did you mean {before}{known}{after}?"),
        _ => String::new(),
    }
}

/// A secret from the file that is named, and where it came from.
fn from_file(found: &Found) -> Result<(config::ValueKind, String), String> {
    let path = match &found.raw {
        Raw::Untyped(path) | Raw::Text(path) if !path.is_empty() => Path::new(path),
        _ => return Err("must be the path of a file that holds the value".to_owned()),
    };
    let text = fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let kind = found
        .spec
        .kind
        .check(&Raw::Untyped(text.trim().to_owned()))
        .map_err(|what| format!("what {} holds {what}", path.display()))?;
    Ok((kind, format!("{} (from {})", found.place, path.display())))
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => Raw::Number(i64::from_str_radix(number.as_str(), number.radix()).ok()),
        DeValue::Boolean(switch) => Raw::Switch(*switch),
        DeValue::Float(_) => Raw::Other("a number with a fraction"),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Array(_) => Raw::Other("a list"),
        DeValue::Table(_) => Raw::Other("a section"),
    }
}

/// Line and column, both from 1.
fn position(text: &str, span: Range<usize>) -> (usize, usize) {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        1 + before.matches('\n').count(),
        1 + before[line_start..].chars().count(),
    )
}

/// Values with their places, the later over the earlier.
#[derive(Clone, Default)]
struct Layer(Vec<(String, Value)>);

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.iter().cloned().collect())
    }
}
