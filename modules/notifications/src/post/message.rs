//! Mails as they travel (RFC 5322): everything in them that people wrote is encoded, so nothing of it can end a header.

use kernel::chrono::{DateTime, Utc};
use lettre::{
    Address, Message,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0},
    },
};

use super::{Failure, Outgoing};

/// Writes mails from one address.
#[derive(Clone)]
pub struct Writer {
    from: Mailbox,
}

impl Writer {
    /// Writes mails from this address, such as `Box Office <tickets@example.org>`.
    ///
    /// # Errors
    /// A sentence, when it is not one address in ASCII.
    pub fn new(from: &str) -> Result<Self, String> {
        let wrong = || "mail comes from one address, such as `Box Office <tickets@example.org>`".to_owned();
        let from: Mailbox = from.parse().map_err(|_| wrong())?;
        let address: &str = from.email.as_ref();
        if !address.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong());
        }
        Ok(Self { from })
    }

    /// Whom mails come from.
    pub(super) fn from(&self) -> &Address {
        &self.from.email
    }

    /// To whom it goes, and the mail in bytes.
    pub(super) fn write(&self, mail: &Outgoing) -> Result<(Address, Vec<u8>), Failure> {
        let to = mail.to.parse::<Address>().ok();
        // Angle brackets, spaces and line ends would end the command that names it.
        let plain = |a: &Address| {
            AsRef::<str>::as_ref(a)
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'<' && b != b'>')
        };
        let to = to
            .filter(plain)
            .ok_or_else(|| Failure::Refused("no mail can be sent to this address".to_owned()))?;
        let at: DateTime<Utc> = mail.at.utc();
        // Encoded, a line end in a header harms nobody until somebody decodes it.
        let on_one_line = |c: char| if c.is_control() { ' ' } else { c };
        let subject: String = mail.subject.chars().map(on_one_line).collect();
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(subject)
            .date(at.into())
            .message_id(Some(format!("<{}@{}>", mail.id, self.from.email.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(MIME_VERSION_1_0)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text.clone());
        let message = message.map_err(|e| Failure::Refused(super::said(&e.to_string())))?;
        Ok((to, message.formatted()))
    }
}
