//! What a valid token says, and why another is refused.

use std::fmt;

use chrono::{DateTime, Utc};
use strangler::{Principal, Scopes};

/// The `scope` that stands for all of them: the operator's.
pub const ALL_SCOPES: &str = "*";

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whom the call is made for: `sub` (absent: somebody unknown) and `scope`.
    pub principal: Principal,
    /// When the token ends (`exp`), to the second.
    pub expires_at: DateTime<Utc>,
}

/// Scopes as a token writes them: separated by one space, [`ALL_SCOPES`] for all of them.
pub(super) fn scopes_from_text(text: &str) -> Scopes {
    let list: Box<[Box<str>]> = text
        .split(' ')
        .filter(|scope| !scope.is_empty())
        .map(Into::into)
        .collect();
    if list.is_empty() {
        Scopes::None
    } else if list.iter().any(|scope| &**scope == ALL_SCOPES) {
        Scopes::All
    } else {
        Scopes::Some(list.into())
    }
}

/// Why a token is refused. The sentences say nothing of what the token holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token of this kind at all.
    Malformed,
    /// Signed with another algorithm than ES256.
    Algorithm,
    /// Signed with a key that the issuer does not publish.
    UnknownKey,
    /// The signature does not fit.
    Signature,
    /// Issued by somebody else.
    Issuer,
    /// Meant for another module.
    Audience,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// Whether it is valid cannot be said: the issuer's keys cannot be fetched at present.
    IssuerAway,
}

impl TokenError {
    /// Whether the same token may well be accepted a little later (503, not 401).
    pub fn is_temporary(self) -> bool {
        self == Self::IssuerAway
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the access token is malformed",
            Self::Algorithm => "the access token is not signed with ES256",
            Self::UnknownKey => "the access token is signed with a key that its issuer does not publish",
            Self::Signature => "the access token's signature is wrong",
            Self::Issuer => "the access token comes from another issuer",
            Self::Audience => "the access token is meant for another module",
            Self::Expired => "the access token has expired",
            Self::NotYetValid => "the access token is not valid yet: compare the clocks of both machines",
            Self::IssuerAway => "the access token cannot be checked: its issuer's keys cannot be fetched at present",
        })
    }
}

impl std::error::Error for TokenError {}
