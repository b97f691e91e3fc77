//! Values that are not to be seen.

use std::fmt;

use serde::Deserialize;
use url::Url;

/// A value that nobody is to see. Neither `Debug` nor `Display` show it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret with this value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself. Not to be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A database's address as it may be shown: host, port and database stay, passwords (before the `@`, or as a
/// parameter) become `***`. Of what cannot be read as an address nothing stays.
pub fn hide_password(address: &str) -> String {
    let Ok(mut url) = Url::parse(address) else {
        return "***".to_owned();
    };
    if url.password().is_some() && url.set_password(Some("***")).is_err() {
        return "***".to_owned();
    }
    let secret = |name: &str| name.to_ascii_lowercase().contains("password");
    if url.query_pairs().any(|(name, _)| secret(&name)) {
        let pairs: Vec<_> = url.query_pairs().into_owned().collect();
        let shown = pairs
            .iter()
            .map(|(name, value)| (name, if secret(name) { "***" } else { value.as_str() }));
        url.query_pairs_mut().clear().extend_pairs(shown);
    }
    url.into()
}
