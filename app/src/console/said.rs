//! What the server says became of an action: it goes with the redirect, sealed, and is shown once by the page that follows.

use axum::{
    extract::rejection::FormRejection,
    response::{IntoResponse, Redirect, Response},
};
use strangler::routes::Refusal;

use super::{Console, window::address};
use crate::control::misread;

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// In a sentence.
    pub(super) text: String,
    /// Whether nothing was done.
    pub(super) refused: bool,
}

/// The longest sentence that goes into an address, in bytes.
const LONGEST: usize = 1200;

impl Said {
    pub(super) fn done(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            refused: false,
        }
    }

    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            refused: true,
        }
    }

    /// What is to be said when something was refused.
    pub(super) fn refusal(refusal: &Refusal) -> Self {
        Self::refused(format!("Not done: {}.", ended(&refusal.to_string())))
    }

    /// What is to be said when a form cannot be read: nothing is done then.
    pub(super) fn unread(form: &FormRejection) -> Self {
        Self::refused(format!(
            "Not done: the form was not understood: {}.",
            misread(&form.body_text())
        ))
    }

    /// What an address says that a page was sent to. Nothing, when somebody made it up.
    pub(super) fn of(console: &Console, sealed: Option<&str>) -> Option<Self> {
        let text = console.sessions.unseal(sealed?)?;
        let (kind, text) = text.split_at_checked(1)?;
        Some(Self {
            text: text.to_owned(),
            refused: kind == "!",
        })
    }

    /// Sends whoever acted to a page, which says so.
    pub(super) fn on(self, console: &Console, path: &str, query: &[(&str, &str)]) -> Response {
        let end = (0..=LONGEST.min(self.text.len()))
            .rev()
            .find(|&i| self.text.is_char_boundary(i))
            .unwrap_or(0);
        let kind = if self.refused { "!" } else { "." };
        let sealed = console.sessions.seal(&format!("{kind}{}", &self.text[..end]));
        let query: Vec<_> = query.iter().copied().chain([("said", sealed.as_str())]).collect();
        Redirect::to(&format!("{}#outcome", address(path, &query))).into_response()
    }
}

/// A sentence or more, without the full stop that whoever quotes it adds.
pub(super) fn ended(text: &str) -> &str {
    text.trim_end_matches(|c: char| c == '.' || c.is_whitespace())
}

/// A reason as it was typed; none, when nothing was.
pub(super) fn reason(why: &str) -> Option<String> {
    let why = why.trim();
    (!why.is_empty()).then(|| why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_that_is_quoted_ends_once() {
        assert_eq!(ended("choose that too."), "choose that too");
        assert_eq!(ended("error. .\n"), "error");
        let refusal = Refusal::Wrong("the log says:\nit broke.\n".to_owned());
        assert_eq!(Said::refusal(&refusal).text, "Not done: the log says:\nit broke.");
    }
}
