//! The port to whoever carries mail.

mod files;
mod message;
mod smtp;

use std::{sync::Arc, time::Duration};

use strangler::BoxFuture;

pub use crate::domain::{Failure, Outgoing};
pub use files::Files;
pub use message::Writer;
pub use smtp::Smtp;

/// Whoever carries mail. Nothing that it says, in a failure or a log line, holds an address.
pub trait Post: Send + Sync + 'static {
    /// Whether handing a mail over twice comes to the same as once, by the mail's id. If so it is not marked before it is
    /// handed over; whoever is killed in between leaves a mail that is handed over again, and its attempt is not counted.
    /// If not, a mail that was marked is never handed over again unless somebody says so.
    fn is_repeatable(&self) -> bool;

    /// How many mails are on their way by it at a time, at most: each may have a connection of its own. One at least.
    fn at_once(&self) -> usize;

    /// The longest time that [`Ready::hand_over`] takes.
    fn patience(&self) -> Duration;

    /// Does all that comes before the mail is handed over, within a time of its own. A mail that fails here was not sent.
    fn prepare<'a>(&'a self, mail: &'a Outgoing) -> BoxFuture<'a, Result<Box<dyn Ready>, Failure>>;
}

/// A mail that is about to be handed over. Dropping it sends nothing.
pub trait Ready: Send {
    /// Hands it over, within [`Post::patience`]. Dropping the future leaves open what became of it.
    fn hand_over(self: Box<Self>) -> BoxFuture<'static, Result<(), Failure>>;
}

/// The post at `url`, for mails from `from`, such as `Box Office <tickets@example.org>`:
///
/// | url | |
/// | --- | --- |
/// | `file:<folder>` | files named `<mail id>.eml`; the folder is made when it is missing |
/// | `smtp://host:25` | a mail server without TLS; only on loopback, unless `?tls=none` says that it is meant |
/// | `smtp://user:password@host?tls=required` | with STARTTLS, port 587; `opportunistic`: if the server can |
/// | `smtps://user:password@host` | with TLS from the beginning, port 465 |
///
/// The path of the address is the name that this side says it has: `smtp://host/shop.example.org`.
///
/// # Errors
/// A sentence, without the password, when one of the two makes no sense.
pub fn post_of(url: &str, from: &str) -> Result<Arc<dyn Post>, String> {
    post_trusting(url, from, &[])
}

/// The same; a mail server's certificate may also be signed by one of these authorities, whose certificates are PEM.
///
/// # Errors
/// As [`post_of`], and when there is something else in `authorities`.
pub fn post_trusting(url: &str, from: &str, authorities: &[u8]) -> Result<Arc<dyn Post>, String> {
    let writer = Writer::new(from)?;
    match url.split_once(':') {
        Some(("file", folder)) if !folder.is_empty() => Ok(Arc::new(Files::new(folder.into(), writer))),
        Some(("smtp" | "smtps", _)) => Ok(Arc::new(Smtp::trusting(url, writer, authorities)?)),
        _ => Err("mail goes to `file:<folder>`, `smtp://host` or `smtps://host`".to_owned()),
    }
}

/// What somebody said, fit to be shown: on one line, not too long, and with no address in it.
fn said(text: &str) -> String {
    const MOST: usize = 300;
    let line: String = text
        .chars()
        .take(4 * MOST)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words = line
        .split_whitespace()
        .map(|w| if w.contains('@') { "(an address)" } else { w });
    let mut said = words.collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = said.char_indices().nth(MOST) {
        said.truncate(end);
        said.push('…');
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_posts_there_are() {
        let from = "Box Office <tickets@example.org>";
        for good in [
            "file:mail",
            "file:/var/mail out",
            "smtp://127.0.0.1:2525",
            "smtp://localhost",
            "smtp://[::1]:25/shop.example.org",
            "smtp://mail.example.org?tls=none",
            "smtp://mail.example.org?tls=opportunistic",
            "smtp://a%40b:p%20w@mail.example.org?tls=required",
            "smtps://a:b@mail.example.org",
        ] {
            assert_eq!(post_of(good, from).err(), None, "{good}");
        }
        for bad in [
            "",
            "file:",
            "mail",
            "http://localhost",
            "smtp:",
            "smtp://",
            "smtp://mail.example.org",
            "smtp://a:secret@mail.example.org?tls=none",
            "smtp://a:secret@mail.example.org?tls=maybe",
            "smtp://a:secret@mail.example.org:x",
            "smtps://a:secret@mail.example.org?tls=none",
            "smtps://a:secret@mail.example.org?starttls=yes",
            "smtp://a:secret@localhost/not%20a%0d%0aname",
            "smtp://secret@localhost",
        ] {
            let why = post_of(bad, from).err().expect(bad);
            assert!(!why.contains("secret") && !why.contains("a%0d"), "{bad}: {why}");
        }
        for bad in ["", "tickets", "a@b\r\nBcc: c@d", "Ä <ä@example.org>", "a@b, c@d"] {
            assert!(post_of("file:mail", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_was_said_is_shown_without_addresses() {
        assert_eq!(
            said("550 <ada@example.org>:\r\n no such user"),
            "550 (an address) no such user"
        );
        assert_eq!(said(&"é".repeat(5000)).chars().count(), 301);
    }
}
