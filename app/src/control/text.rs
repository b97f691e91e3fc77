//! What somebody looks for, before a database is asked for it.

/// Whether this can be looked for: nothing has a control character in its name, and not every database takes all of them.
///
/// # Errors
/// A sentence that says which text is meant.
pub(super) fn searchable(name: &str, text: Option<&str>) -> Result<(), String> {
    match text.is_some_and(|text| text.chars().any(char::is_control)) {
        true => Err(format!(
            "the {name} has control characters in it, and nothing is called so; write it in letters, digits and signs"
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_is_called_is_not_looked_for() {
        for good in [None, Some(""), Some("seating-from-catalog"), Some("ניסוי é")] {
            assert_eq!(searchable("subscription", good), Ok(()));
        }
        for bad in ["\0", "a\nb", "\u{1b}[31m", "\u{85}"] {
            let why = searchable("subscription", Some(bad)).unwrap_err();
            assert!(why.starts_with("the subscription has control characters"), "{why}");
        }
    }
}
