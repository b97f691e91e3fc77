//! Addresses that mail is sent to.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest address that mail can be sent to (RFC 5321, 4.5.3.1.3, without the brackets).
const MOST: usize = 254;

/// A mail address as browsers take it (WHATWG HTML, "valid e-mail address"), 254 characters at most: ASCII, without
/// quotes, comments or white space. Never shown in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = Email, min_length = 3, max_length = 254, example = "ada@example.org")]
pub struct Email(String);

impl Email {
    /// The text, for whoever sends the mail.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Email {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let valid = text.len() <= MOST
            && text
                .split_once('@')
                .is_some_and(|(name, domain)| is_name(name) && domain.split('.').all(is_label));
        match valid {
            true => Ok(Self(text)),
            // The text itself is not repeated: it may be somebody's address with a slip in it.
            false => Err("not a mail address, such as ada@example.org".to_owned()),
        }
    }
}

/// What stands before the `@`.
fn is_name(text: &str) -> bool {
    let special = |c| b".!#$%&'*+/=?^_`{|}~-".contains(&c);
    (1..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_alphanumeric() || special(c))
}

/// One part of a domain.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_mail_address() {
        let long = format!("{}@example.org", "a".repeat(64));
        for good in ["ada@example.org", "a.b+c'd@xn--bcher-kva.example", "x@localhost", &long] {
            assert!(Email::try_from(good.to_owned()).is_ok(), "{good}");
        }
        let too_long = format!("a@{}", ["b".repeat(63).as_str(); 4].join("."));
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example..org",
            "ada@-example.org",
            "ada@example.org.",
            "a da@example.org",
            "ada@exam ple.org",
            "ada@example.org\r\nBcc: all@example.org",
            "ada@@example.org",
            "ada@example.org,bob@example.org",
            "<ada@example.org>",
            "ädä@example.org",
            &format!("a{long}"),
            &too_long,
        ] {
            assert!(Email::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn it_is_not_shown() {
        let email = Email::try_from("ada@example.org".to_owned()).expect("an address");
        assert_eq!(format!("{email:?}"), "Email(…)");
    }
}
