//! What is in force, and the reference.

use std::fmt::Write as _;

use config::{Config, ValueKind};
use serde_json::json;

use super::{
    Settings,
    keys::{self, KEYS, Kind},
    layers::Values,
    secret::hide_password,
};

/// One key, the value it has, and where that came from.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// The full name: `public.listen`.
    pub key: String,
    /// The value, passwords as `***`; null when it is not set.
    pub value: serde_json::Value,
    /// `default`, `banyan.toml:3`, an environment variable, a flag.
    pub origin: String,
}

/// Every key that these modules have, in the order of the table.
pub(super) fn in_force(values: &Values, modules: &[&str]) -> Vec<InForce> {
    keys::all(modules)
        .into_iter()
        .map(|(key, spec)| {
            let value = find(&values.merged, &key);
            let origin = value
                .as_ref()
                .and_then(|value| value.origin())
                .unwrap_or("default")
                .to_owned();
            let value = match value.map(|value| value.kind) {
                Some(ValueKind::Boolean(switch)) => switch.into(),
                Some(ValueKind::I64(number)) => number.into(),
                Some(ValueKind::String(text)) if spec.secret() => hide_password(&text).into(),
                Some(ValueKind::String(text)) => text.into(),
                _ => serde_json::Value::Null,
            };
            InForce { key, value, origin }
        })
        .collect()
}

/// The value with its origin, which reading it through serde would lose.
fn find(config: &Config, key: &str) -> Option<config::Value> {
    let mut value = config.cache.clone();
    for part in key.split('.') {
        let ValueKind::Table(mut table) = value.kind else {
            return None;
        };
        value = table.remove(part)?;
    }
    Some(value)
}

impl Settings {
    /// What is in force, as TOML, passwords hidden, with where each value came from.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut above = "";
        for InForce { key, value, origin } in &self.in_force {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
            if section != above {
                // Writing to a String cannot fail, here and below.
                let _ = writeln!(text, "{}[{section}]", if above.is_empty() { "" } else { "\n" });
                above = section;
            }
            let _ = match value {
                serde_json::Value::Null => writeln!(text, "# {name} is not set"),
                serde_json::Value::String(value) => {
                    writeln!(text, "{name} = {}  # {origin}", toml::Value::String(value.clone()))
                }
                value => writeln!(text, "{name} = {value}  # {origin}"),
            };
        }
        text
    }

    /// The same as JSON: `{"settings": {"public": {"listen": …}}, "origins": {"public.listen": "default"}}`. What is
    /// not set is null.
    pub fn show_json(&self) -> serde_json::Value {
        let mut settings = json!({});
        let mut origins = json!({});
        for InForce { key, value, origin } in &self.in_force {
            let place = key.split('.').fold(&mut settings, |place, part| &mut place[part]);
            *place = value.clone();
            origins[key] = origin.as_str().into();
        }
        json!({ "settings": settings, "origins": origins })
    }
}

/// All settings as a Markdown table.
pub fn reference() -> String {
    let mut text = String::from("| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
    for key in KEYS {
        let default = key
            .default
            .map_or_else(|| "not set".to_owned(), |default| format!("`{default}`"));
        let file = if key.secret() {
            "; or as a file that holds it, with `_file` after the name"
        } else {
            ""
        };
        let wanted = match &key.kind {
            Kind::Choice(words) => words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(" or "),
            kind => kind.wanted(),
        };
        let _ = writeln!(
            text,
            "| `{}` | {wanted} | {default} | {}{file} |",
            key.name, key.meaning
        );
    }
    text
}
