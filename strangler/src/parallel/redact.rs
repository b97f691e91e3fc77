//! Hiding what is nobody's business before anything is kept.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
};

use serde_json::Value;

use crate::Contract;

/// What every text begins with that was hidden.
pub const HIDDEN: &str = "hidden-";

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

    /// Hides what is private in any of these contracts: a recording has in it what its module calls and hears, too.
    pub fn of(contracts: impl IntoIterator<Item = &'static Contract>) -> Self {
        Self::new(contracts.into_iter().flat_map(Contract::private_fields).collect())
    }

    /// Whether a field of this name is private: it has the name of a private field, or begins with it as `token_digest` does.
    fn is_private(&self, field: &str) -> bool {
        let is = |name: &String| {
            let rest = field.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        self.names.iter().any(is)
    }

    /// The value that stands at `path` (a JSON pointer), without what is private in it.
    pub fn at(&self, path: &str, mut value: Value) -> Value {
        let private = path.split('/').any(|segment| self.is_private(segment));
        match private {
            true => self.hide(&mut value),
            false => self.apply(&mut value),
        }
        value
    }

    /// Hides what is private.
    pub fn apply(&self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        (name, value) if self.is_private(name) => self.hide(value),
                        // A body that is no JSON is a form, or something of which nothing is known.
                        ("body", Value::String(text)) => *text = self.form(text).unwrap_or_else(|| self.hidden(text)),
                        ("target", Value::String(target)) => {
                            if let Some((path, query)) = target.split_once('?') {
                                let query = self.form(query).unwrap_or_else(|| self.hidden(query));
                                *target = format!("{path}?{query}");
                            }
                        }
                        (_, value) => self.apply(value),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| self.apply(value)),
            _ => {}
        }
    }

    /// What a browser sends as a form, or a query, without what is private in it; `None` when it is neither.
    fn form(&self, text: &str) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "=&%+-_.~*!'(),:;@/$[]".contains(c);
        if !text.chars().all(plain) {
            return None;
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match self.is_private(&name) {
                true => form.append_pair(&name, &self.hidden(&value)),
                false => form.append_pair(&name, &value),
            };
        }
        Some(form.finish())
    }

    fn hidden(&self, text: &str) -> String {
        let hash = self.key.hash_one(text) as u32;
        match text.contains('@') {
            true => format!("{HIDDEN}{hash:08x}@example.invalid"),
            false => format!("{HIDDEN}{hash:08x}"),
        }
    }

    fn hide(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hidden(text),
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
        let redactor = Redactor::new(["email", "card", "token"].map(str::to_owned).into());
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
        let mut command = json!({
            "target": "/orders?email=ada%40example.org&limit=3",
            "body": "email=ada%40example.org&card=4111&show=x",
            "state": {"token_digest": "d1ce57", "tokens": 3, "token": "tok_ok"},
        });
        redactor.apply(&mut command);
        let text = command.to_string();
        for secret in ["ada", "4111", "d1ce57", "tok_ok"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(
            text.contains("limit=3") && text.contains("show=x") && text.contains("\"tokens\":3"),
            "{text}"
        );
        let mut wild = json!({"body": "--x\r\ncontent-disposition: form-data; name=\"email\"\r\n\r\nada@example.org"});
        redactor.apply(&mut wild);
        assert!(!wild.to_string().contains("ada"), "{wild}");
        assert!(
            redactor
                .at("/order/card/number", json!("4111"))
                .as_str()
                .is_some_and(|s| s.starts_with("hidden-"))
        );
    }
}
