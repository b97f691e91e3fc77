//! What a broken rule says.

use std::fmt;

/// One arrow that the house plan does not have.
#[derive(Debug)]
pub struct Violation {
    /// Where the arrow starts: a crate, or a file with its line.
    pub from: String,
    /// What it points to.
    pub to: String,
    /// The rule against it, as a sentence.
    pub because: String,
    /// What to do instead, as a sentence.
    pub instead: String,
}

impl Violation {
    /// An arrow, the sentence against it and the way out.
    pub fn new(
        from: impl Into<String>,
        to: impl Into<String>,
        because: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            because: because.into(),
            instead: instead.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} → {}: {}. Instead: {}.",
            self.from, self.to, self.because, self.instead
        )
    }
}
