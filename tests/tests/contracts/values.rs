//! Values that fit a schema, and whether a value does.
//!
//! References between things resolve by themselves: ids come from one small pool, whatever they are ids of, and the texts
//! in lists are numbered, so that those of one list differ and those of another name the same; the first is the section
//! of the seats that documents have for an example.

use rand::{Rng, seq::IndexedRandom};
use serde_json::{Map, Value, json};
use system_tests::Random;
use uuid::Uuid;

use crate::document::{is_a, list, nullable, resolved};

/// Texts in several scripts, without anything that a name may not have.
const TEXTS: [&str; 7] = [
    "Stalls",
    "Ólöf & the Tide",
    "نادية",
    "田中歩",
    "🎻 naïve",
    "e\u{301}tude",
    "a",
];

/// A source of values for one document.
pub struct Values<'a> {
    /// The document that references are looked up in.
    pub document: &'a Value,
    /// Chance; `None` makes the same value every time.
    pub random: Option<&'a mut Random>,
    /// How many ids there are.
    pub ids: u64,
}

/// The id with this number. Its version is 7, so that nobody may refuse it.
pub fn id(n: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(n))
}

impl Values<'_> {
    fn draw(&mut self, from: i64, to: i64) -> i64 {
        self.random
            .as_mut()
            .map_or(from, |r| r.random_range(from..=to.max(from)))
    }

    fn chance(&mut self) -> bool {
        self.draw(0, 1) == 1
    }

    /// One of the ids.
    pub fn id(&mut self) -> Uuid {
        let most = i64::try_from(self.ids).unwrap_or(i64::MAX) - 1;
        id(self.draw(0, most).unsigned_abs())
    }

    /// A value of the schema. Optional properties are there half the time.
    pub fn of(&mut self, schema: &Value) -> Value {
        self.nth(schema, None)
    }

    fn nth(&mut self, schema: &Value, place: Option<usize>) -> Value {
        if nullable(schema) && self.chance() {
            return Value::Null;
        }
        let schema = resolved(self.document, schema);
        if let Some(one) = schema.get("example").or_else(|| schema.get("const")) {
            return one.clone();
        }
        for key in ["examples", "enum"] {
            if let [_, ..] = list(&schema[key]) {
                return self.one_of(list(&schema[key]));
            }
        }
        match () {
            () if is_a(schema, "object") => self.object(schema, place),
            () if is_a(schema, "array") => self.array(schema),
            () if is_a(schema, "string") => Value::String(self.text(schema, place)),
            () if is_a(schema, "boolean") => Value::Bool(self.chance()),
            () if is_a(schema, "integer") || is_a(schema, "number") => {
                let least = schema["minimum"].as_i64().unwrap_or(0);
                let most = schema["maximum"].as_i64().unwrap_or(i64::from(i32::MAX));
                json!(self.draw(least, most.min(least + 30)))
            }
            () => json!({}),
        }
    }

    fn object(&mut self, schema: &Value, place: Option<usize>) -> Value {
        let mut object = Map::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let required = list(&schema["required"]).iter().any(|r| r == name);
            if required || self.chance() {
                object.insert(name.clone(), self.nth(property, place));
            }
        }
        Value::Object(object)
    }

    fn one_of(&mut self, all: &[Value]) -> Value {
        let most = i64::try_from(all.len()).unwrap_or(1) - 1;
        all[usize::try_from(self.draw(0, most)).unwrap_or_default()].clone()
    }

    fn array(&mut self, schema: &Value) -> Value {
        let least = schema["minItems"].as_i64().unwrap_or(0).max(1);
        let most = schema["maxItems"].as_i64().unwrap_or(i64::MAX).min(least + 2);
        let length = self.draw(least, most);
        let mut all: Vec<Value> = Vec::new();
        for n in 0..usize::try_from(length).unwrap_or_default() {
            let one = self.nth(&schema["items"], Some(n));
            // A set may come out smaller than was drawn, but not smaller than it may be.
            if schema["uniqueItems"] != true || !all.contains(&one) {
                all.push(one);
            }
        }
        assert!(
            fits(self.document, schema, &json!(all)) != Fit::No,
            "{all:?} is no {schema}"
        );
        Value::Array(all)
    }

    fn text(&mut self, schema: &Value, place: Option<usize>) -> String {
        match schema["format"].as_str() {
            Some("uuid") => return self.id().to_string(),
            Some("date-time") => {
                let (year, second) = (self.draw(2030, 2090), self.draw(0, 59));
                return format!("{year}-06-15T19:30:{second:02}Z");
            }
            Some("email") => return "ada@example.org".to_owned(),
            _ => {}
        }
        let most = usize::try_from(schema["maxLength"].as_u64().unwrap_or(200)).unwrap_or(200);
        let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0)).unwrap_or(0);
        let text = match (place, self.random.as_mut()) {
            (Some(0), _) | (None, None) => TEXTS[0].to_owned(),
            (Some(n), _) => format!("Part {n}"),
            (None, Some(random)) => match random.random_range(0..8) {
                0 => "x".repeat(most),
                1 => "ß".repeat(most),
                _ => (*TEXTS.choose(random).unwrap_or(&"a")).to_owned(),
            },
        };
        let mut text: String = text.chars().take(most).collect();
        while text.chars().count() < least {
            text.push('x');
        }
        text
    }
}

/// Whether a value fits a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Whoever believes the schema may send it.
    Yes,
    /// It must be refused.
    No,
    /// The schema cannot tell.
    Perhaps,
}

/// Whether `value` fits the schema. Only that value, not what it consists of.
pub fn fits(document: &Value, schema: &Value, value: &Value) -> Fit {
    if value.is_null() && nullable(schema) {
        return Fit::Yes;
    }
    let schema = resolved(document, schema);
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if schema["type"].is_null() {
        return Fit::Perhaps;
    }
    if kind == "number" && is_a(schema, "integer") {
        // 1.0 is an integer to JSON Schema and need not be one to anybody else.
        return if value.as_f64().is_some_and(|n| n.fract() == 0.0) {
            Fit::Perhaps
        } else {
            Fit::No
        };
    }
    if !(is_a(schema, kind) || kind == "integer" && is_a(schema, "number")) {
        return Fit::No;
    }
    if schema["enum"].as_array().is_some_and(|all| !all.contains(value)) {
        return Fit::No;
    }
    let within = |size: f64, least: &str, most: &str| {
        schema[least].as_f64().is_none_or(|l| size >= l) && schema[most].as_f64().is_none_or(|m| size <= m)
    };
    let fits = match value {
        Value::Number(n) => {
            let small = schema["format"] != "int32" || n.as_i64().is_some_and(|n| i32::try_from(n).is_ok());
            let whole = schema["format"] != "int64" || n.as_i64().is_some() || n.as_u64().is_some();
            small && whole && within(n.as_f64().unwrap_or(0.0), "minimum", "maximum")
        }
        Value::String(s) => within(s.chars().count() as f64, "minLength", "maxLength"),
        Value::Array(a) => {
            let twice = || a.iter().enumerate().any(|(n, one)| a[..n].contains(one));
            within(a.len() as f64, "minItems", "maxItems") && (schema["uniqueItems"] != true || !twice())
        }
        _ => true,
    };
    match (fits, value) {
        (false, _) => Fit::No,
        (true, Value::String(s)) if schema["format"] == "uuid" => {
            if s.parse::<Uuid>().is_ok() {
                Fit::Yes
            } else {
                Fit::No
            }
        }
        (true, Value::Object(given)) => {
            let lacks = list(&schema["required"])
                .iter()
                .filter_map(Value::as_str)
                .any(|name| !given.contains_key(name));
            if lacks { Fit::No } else { Fit::Perhaps }
        }
        (true, Value::Number(_) | Value::Bool(_)) => Fit::Yes,
        _ => Fit::Perhaps,
    }
}
