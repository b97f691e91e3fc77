//! The shape of a value: what it looks like, whatever it is.

use std::fmt;

use chrono::DateTime;
use serde_json::Value;
use uuid::Uuid;

/// What a JSON value looks like. A field that is always another uuid is noise; the same field turning into a text is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// Nothing is there.
    Nothing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number,
    /// A text that is a UUID.
    Uuid,
    /// A text that is a time (RFC 3339).
    Time,
    /// Any other text.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

impl Shape {
    /// The shape of a value.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(text) if text.len() == 36 && Uuid::try_parse(text).is_ok() => Self::Uuid,
            Value::String(text) if is_time(text) => Self::Time,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Object,
        }
    }

    /// Its name: `uuid`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::Uuid => "uuid",
            Self::Time => "time",
            Self::Text => "text",
            Self::List => "list",
            Self::Object => "object",
        }
    }
}

fn is_time(text: &str) -> bool {
    (20..=35).contains(&text.len()) && text.as_bytes()[4] == b'-' && DateTime::parse_from_rfc3339(text).is_ok()
}

/// What both values of a difference look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shapes {
    /// The monolith's.
    pub local: Shape,
    /// The service's.
    pub remote: Shape,
}

/// `time`, or `time to number` when they are not the same.
impl fmt::Display for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.local.name())?;
        if self.local != self.remote {
            write!(f, " to {}", self.remote.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_the_shape_of_what_it_looks_like() {
        for (value, shape) in [
            (json!(null), Shape::Null),
            (json!(1.5), Shape::Number),
            (json!("0198f2d4-0000-7000-8000-000000000001"), Shape::Uuid),
            (json!("0198f2d4-0000-7000-8000-00000000000x"), Shape::Text),
            (json!("2027-05-01T19:30:00Z"), Shape::Time),
            (json!("2027-05-01T19:30:00.123456+02:00"), Shape::Time),
            (json!("2027-05-01 is a Saturday"), Shape::Text),
            (json!("ééééééééééééé"), Shape::Text),
            (json!(""), Shape::Text),
            (json!([]), Shape::List),
            (json!({}), Shape::Object),
        ] {
            assert_eq!(Shape::of(&value), shape, "{value}");
        }
    }
}
