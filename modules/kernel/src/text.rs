//! Texts that people write: bounded, never blank, without control characters.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

/// A text of 1 to `MOST` characters that is not blank and has no control characters. It is kept as it was written: any
/// script, either direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Text<const MOST: usize>(String);

/// A name: up to 200 characters.
pub type Name = Text<200>;
/// A short label: up to 60 characters.
pub type Word = Text<60>;

impl<const MOST: usize> Text<MOST> {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MOST: usize> TryFrom<String> for Text<MOST> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let length = text.chars().count();
        if length > MOST {
            return Err(format!("at most {MOST} characters, not {length}"));
        }
        if text.trim().is_empty() {
            return Err("must not be blank".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        Ok(Self(text))
    }
}

impl<const MOST: usize> TryFrom<&str> for Text<MOST> {
    type Error = String;

    fn try_from(text: &str) -> Result<Self, String> {
        text.to_owned().try_into()
    }
}

impl<const MOST: usize> From<Text<MOST>> for String {
    fn from(text: Text<MOST>) -> Self {
        text.0
    }
}

impl<const MOST: usize> fmt::Display for Text<MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MOST: usize> PartialSchema for Text<MOST> {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MOST));
        RefOr::T(Schema::Object(text.build()))
    }
}

impl<const MOST: usize> ToSchema for Text<MOST> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("Text{MOST}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        for good in ["x", "Ólöf Arnalds", "مقهى", &"é".repeat(200), " padded "] {
            assert!(Name::try_from(good).is_ok(), "{good}");
        }
        for bad in ["", "   ", "a\0b", "a\nb", &"é".repeat(201)] {
            assert!(Name::try_from(bad).is_err(), "{bad:?}");
        }
    }
}
