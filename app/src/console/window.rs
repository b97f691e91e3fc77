//! What a list's address says: what is looked for, between which times, from where on.

use chrono::{DateTime, NaiveDateTime, Utc};
use url::form_urlencoded;

/// How many rows a page of a list has.
pub(super) const ROWS: u64 = 50;

/// An address with those parts of a query that are not empty.
pub(super) fn address(path: &str, query: &[(&str, &str)]) -> String {
    let mut given = form_urlencoded::Serializer::new(String::new());
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        given.append_pair(name, value);
    }
    match given.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// A field of a form that may be left empty.
pub(super) fn given(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// A time as a form or a person writes it; UTC unless it says otherwise.
///
/// # Errors
/// A sentence, when it is none.
pub(super) fn time(text: &str) -> Result<Option<DateTime<Utc>>, String> {
    let Some(text) = given(text) else { return Ok(None) };
    if let Ok(exact) = text.parse::<DateTime<Utc>>() {
        return Ok(Some(exact));
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&text, form).ok())
        .map(|naive| Some(naive.and_utc()))
        .ok_or_else(|| format!("“{text}” is no time; write it like 2026-11-21T17:30 (UTC)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_forms_and_people_write_them() {
        let at = |text| time(text).unwrap().map(|at| at.to_rfc3339());
        assert_eq!(at("2026-11-21T17:30").as_deref(), Some("2026-11-21T17:30:00+00:00"));
        assert_eq!(at("2026-11-21T17:30:05").as_deref(), Some("2026-11-21T17:30:05+00:00"));
        assert_eq!(
            at("2026-11-21T17:30:05.25+01:00").as_deref(),
            Some("2026-11-21T16:30:05.250+00:00")
        );
        assert_eq!(at(" "), None);
        assert!(time("yesterday").is_err());
    }

    #[test]
    fn an_address_has_what_is_given_and_nothing_else() {
        assert_eq!(address("/a", &[("x", ""), ("y", "")]), "/a");
        assert_eq!(
            address("/a", &[("x", ""), ("y", "a&b<"), ("z", "1")]),
            "/a?y=a%26b%3C&z=1"
        );
    }
}
