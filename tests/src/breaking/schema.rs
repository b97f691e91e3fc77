//! Two schemas of one value.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{list, map};

/// Which way a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client: all that was taken must be taken.
    Input,
    /// To the client: all that is given must have been expected.
    Answer,
}

/// Bounds of inputs, and whether a higher one is tighter.
const BOUNDS: [(&str, bool); 9] = [
    ("minimum", true),
    ("exclusiveMinimum", true),
    ("minLength", true),
    ("minItems", true),
    ("minProperties", true),
    ("maximum", false),
    ("exclusiveMaximum", false),
    ("maxLength", false),
    ("maxItems", false),
];

pub(super) struct Schemas<'a> {
    old: &'a Value,
    new: &'a Value,
    direction: Direction,
    /// Pairs of references under comparison: a type may contain itself.
    open: Vec<(String, String)>,
    pub(super) sentences: Vec<String>,
}

/// The schema that a reference leads to.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..32 {
        let Some(pointer) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) else {
            break;
        };
        schema = document.pointer(pointer).unwrap_or(&Value::Null);
    }
    schema
}

/// The alternatives of a schema without `null`.
fn variants(schema: &Value) -> Vec<&Value> {
    let all = list(&schema["oneOf"]).iter().chain(list(&schema["anyOf"]));
    all.filter(|s| s["type"] != "null").collect()
}

fn nullable(schema: &Value) -> bool {
    let alternatives = list(&schema["oneOf"]).iter().chain(list(&schema["anyOf"]));
    schema["type"] == "null"
        || list(&schema["type"]).iter().any(|t| t == "null")
        || alternatives.into_iter().any(|s| s["type"] == "null")
}

fn types(schema: &Value) -> BTreeSet<&str> {
    let all = schema["type"]
        .as_str()
        .into_iter()
        .chain(list(&schema["type"]).iter().filter_map(Value::as_str));
    all.filter(|t| *t != "null").collect()
}

/// Whether every one of `some` is among `all`; a number may be an integer.
fn covers(all: &BTreeSet<&str>, some: &BTreeSet<&str>) -> bool {
    all.is_empty()
        || (!some.is_empty()
            && some
                .iter()
                .all(|t| all.contains(t) || (*t == "integer" && all.contains("number"))))
}

fn words(set: &BTreeSet<&str>) -> String {
    if set.is_empty() {
        "anything".to_owned()
    } else {
        set.iter().copied().collect::<Vec<_>>().join(" or ")
    }
}

fn required(schema: &Value, name: &str) -> bool {
    list(&schema["required"]).iter().any(|r| r == name)
}

impl<'a> Schemas<'a> {
    pub(super) fn new(old: &'a Value, new: &'a Value, direction: Direction) -> Self {
        Self {
            old,
            new,
            direction,
            open: Vec::new(),
            sentences: Vec::new(),
        }
    }

    fn say(&mut self, place: &str, what: impl std::fmt::Display) {
        self.sentences.push(format!("{place} {what}"));
    }

    pub(super) fn compare(&mut self, place: &str, old: &Value, new: &Value) {
        let pair = (
            old["$ref"].as_str().unwrap_or_default().to_owned(),
            new["$ref"].as_str().unwrap_or_default().to_owned(),
        );
        if !pair.0.is_empty() && self.open.contains(&pair) {
            return;
        }
        self.open.push(pair);
        let (was, is) = (self.old, self.new);
        self.plain(place, resolved(was, old), resolved(is, new));
        self.open.pop();
    }

    fn plain(&mut self, place: &str, old: &Value, new: &Value) {
        // `X or null` is X that may be null, however it is written.
        let (was, is) = (variants(old), variants(new));
        let input = self.direction == Direction::Input;
        match (nullable(old), nullable(new)) {
            (true, false) if input => self.say(place, "may no longer be null"),
            (false, true) if !(input || types(new).is_empty() && is.is_empty()) => self.say(place, "may be null now"),
            _ => {}
        }
        match (was.as_slice(), is.as_slice()) {
            ([], []) => self.value(place, old, new),
            ([one], [other]) => self.compare(place, one, other),
            ([one], []) => self.compare(place, one, new),
            ([], [one]) => self.compare(place, old, one),
            (was, is) => self.alternatives(place, was, is, old, new),
        }
    }

    /// Each alternative that counts (of an input the old ones, of an answer the new ones) needs a counterpart.
    fn alternatives(&mut self, place: &str, was: &[&Value], is: &[&Value], old: &Value, new: &Value) {
        let was = if was.is_empty() { vec![old] } else { was.to_vec() };
        let is = if is.is_empty() { vec![new] } else { is.to_vec() };
        let fits = |one: &Value, other: &Value| {
            let mut trial = Schemas {
                open: self.open.clone(),
                sentences: Vec::new(),
                ..*self
            };
            trial.compare("", one, other);
            trial.sentences.is_empty()
        };
        let lost = match self.direction {
            Direction::Input => was
                .iter()
                .filter(|one| !is.iter().any(|other| fits(one, other)))
                .count(),
            Direction::Answer => is
                .iter()
                .filter(|other| !was.iter().any(|one| fits(one, other)))
                .count(),
        };
        match (lost, self.direction) {
            (0, _) => {}
            (_, Direction::Input) => self.say(place, "no longer takes one of its alternatives as it did"),
            (_, Direction::Answer) => self.say(place, "has an alternative that it did not have"),
        }
    }

    fn value(&mut self, place: &str, old: &Value, new: &Value) {
        let (was, is) = (types(old), types(new));
        let input = self.direction == Direction::Input;
        let fits = if input { covers(&is, &was) } else { covers(&was, &is) };
        if !fits {
            self.say(place, format!("was {} and is {}", words(&was), words(&is)));
            return;
        }
        self.enumeration(place, old, new);
        self.format(place, old, new);
        if input {
            self.bounds(place, old, new);
        }
        self.properties(place, old, new);
        if !old["items"].is_null() && !new["items"].is_null() {
            self.compare(&format!("{place}/*"), &old["items"], &new["items"]);
        } else if input && old["items"].is_null() && !new["items"].is_null() && !is.is_empty() {
            self.say(place, "took items of any kind and no longer does");
        }
        let parts = |s: &Value| list(&s["allOf"]).to_vec();
        for (n, one) in parts(old).iter().enumerate() {
            match parts(new).get(n) {
                Some(other) => self.compare(place, one, other),
                None => self.say(place, "is no longer put together from the same parts"),
            }
        }
    }

    fn enumeration(&mut self, place: &str, old: &Value, new: &Value) {
        let values = |s: &Value| match (&s["enum"], &s["const"]) {
            (Value::Array(all), _) => Some(all.clone()),
            (_, Value::Null) => None,
            (_, one) => Some(vec![one.clone()]),
        };
        let input = self.direction == Direction::Input;
        let (was, is) = match (values(old), values(new)) {
            (None, None) => return,
            (None, Some(_)) if input => return self.say(place, "took any value and takes only some now"),
            (Some(_), None) if !input => return self.say(place, "had only some values and may have any now"),
            (was, is) => (was.unwrap_or_default(), is),
        };
        let Some(is) = is else { return };
        for gone in was.iter().filter(|v| !is.contains(v)) {
            self.say(place, format!("no longer has the value {gone}"));
        }
        if !input && !was.is_empty() {
            for more in is.iter().filter(|v| !was.contains(v)) {
                self.say(
                    place,
                    format!("has the value {more}, which a client of before cannot read"),
                );
            }
        }
    }

    fn format(&mut self, place: &str, old: &Value, new: &Value) {
        let (was, is) = (&old["format"], &new["format"]);
        if was == is {
            return;
        }
        let name = |f: &Value| f.as_str().unwrap_or("free").to_owned();
        let wider =
            |a: &Value, b: &Value| a.is_null() || (a == "int64" && b == "int32") || (a == "double" && b == "float");
        let fits = if self.direction == Direction::Input {
            wider(is, was)
        } else {
            wider(was, is)
        };
        if !fits {
            self.say(place, format!("was of the format {} and is {}", name(was), name(is)));
        }
    }

    fn bounds(&mut self, place: &str, old: &Value, new: &Value) {
        for (bound, higher_is_tighter) in BOUNDS {
            let (was, is) = (old[bound].as_f64(), new[bound].as_f64());
            let tighter = match (was, is) {
                (_, None) => false,
                (None, Some(least)) => {
                    !(higher_is_tighter && least <= 0.0 && bound.contains("min") && bound != "minimum")
                }
                (Some(was), Some(is)) => {
                    if higher_is_tighter {
                        is > was
                    } else {
                        is < was
                    }
                }
            };
            if tighter {
                let was = was.map_or_else(|| "none".to_owned(), |w| w.to_string());
                self.say(
                    place,
                    format!("has a tighter {bound}: {was} before, {} now", new[bound]),
                );
            }
        }
        if !new["pattern"].is_null() && old["pattern"] != new["pattern"] {
            self.say(place, format!("must match another pattern: {}", new["pattern"]));
        }
        if new["uniqueItems"] == true && old["uniqueItems"] != true {
            self.say(place, "no longer takes the same item twice");
        }
        if new["additionalProperties"] == false && old["additionalProperties"] != false {
            self.say(place, "no longer takes properties that it does not know");
        }
    }

    fn properties(&mut self, place: &str, old: &Value, new: &Value) {
        let input = self.direction == Direction::Input;
        for (name, was) in map(&old["properties"]) {
            let at = format!("{place}/{name}");
            let is = &new["properties"][name.as_str()];
            if is.is_null() {
                self.say(&at, "is gone");
                continue;
            }
            match (required(old, name), required(new, name)) {
                (false, true) if input => self.say(&at, "was optional and is required"),
                (true, false) if !input => self.say(&at, "was always there and may be absent now"),
                _ => {}
            }
            self.compare(&at, was, is);
        }
        let known = |name: &str| !old["properties"][name].is_null() || required(old, name);
        for name in list(&new["required"])
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| input && !known(name))
        {
            self.say(&format!("{place}/{name}"), "is new and required");
        }
    }
}
