//! Hiding what is nobody's business before anything is kept.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
};

use serde_json::Value;

/// Hides the values of private fields, by the fields' names: in answers, and in the rows, events and calls of a recording, which
/// have types of their own. What is hidden keeps its shape, and equal values stay equal for as long as the process runs: the
/// key of the hash is drawn at its start and kept nowhere.
pub struct Redactor {
    names: BTreeSet<String>,
    key: RandomState,
}

impl Redactor {
    /// Hides fields of these names.
    pub fn new(names: BTreeSet<String>) -> Self {
        Self {
            names,
            key: RandomState::new(),
        }
    }

    /// Whether nothing has to be hidden.
    pub fn is_idle(&self) -> bool {
        self.names.is_empty()
    }

    /// The value that stands at `path` (a JSON pointer), without what is private in it.
    pub fn at(&self, path: &str, mut value: Value) -> Value {
        let private = path.split('/').any(|segment| self.names.contains(segment));
        match private {
            true => self.hide(&mut value),
            false => self.apply(&mut value),
        }
        value
    }

    /// Hides what is private.
    pub fn apply(&self, value: &mut Value) {
        if self.is_idle() {
            return;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match self.names.contains(name.as_str()) {
                        true => self.hide(value),
                        false => self.apply(value),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.apply(value)),
            _ => {}
        }
    }

    fn hide(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let hash = self.key.hash_one(&*text) as u32;
                *text = match text.contains('@') {
                    true => format!("hidden-{hash:08x}@example.invalid"),
                    false => format!("hidden-{hash:08x}"),
                };
            }
            Value::Number(number) => *number = 0.into(),
            Value::Bool(yes) => *yes = false,
            Value::Null => {}
            Value::Array(list) => list.iter_mut().for_each(|value| self.hide(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.hide(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn private_fields_are_hidden_wherever_they_are_and_equal_ones_stay_equal() {
        let redactor = Redactor::new(["email", "card"].map(str::to_owned).into());
        let mut value = json!({
            "email": "ada@example.org",
            "rows": [{"state": {"email": "ada@example.org", "name": "Ada"}}, {"email": "bob@example.org"}],
            "card": {"number": "4111", "cvc": 123, "valid": true},
        });
        redactor.apply(&mut value);
        let text = value.to_string();
        for secret in ["ada@", "bob@", "4111", "123", "true"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("Ada"));
        assert_eq!(value["email"], value["rows"][0]["state"]["email"]);
        assert_ne!(value["email"], value["rows"][1]["email"]);
        assert!(
            redactor
                .at("/order/card/number", json!("4111"))
                .as_str()
                .is_some_and(|s| s.starts_with("hidden-"))
        );
    }
}
