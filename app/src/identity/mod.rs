//! Who is asking: the operator's and the join token, the keys this system signs access tokens with, and the check of
//! such a token in a process that was extracted.
//!
//! Nothing here knows of HTTP: the caller hands in what a header said and what fetches the issuer's keys. No secret is
//! ever part of an error, a log line or a `Debug` output.

mod claims;
mod crypto;
mod key_ring;
mod keys;
mod role;
mod secret_file;
mod slots;
mod tokens;
mod verify;

#[cfg(test)]
mod tests;

pub use claims::{ALL_SCOPES, Claims, TokenError};
pub use key_ring::KeyRing;
pub use role::{DatabaseKey, derive_role_password};
pub use secret_file::IdentityError;
pub use tokens::{
    JOIN_TOKEN_FILE, JOIN_TOKEN_VARIABLE, OPERATOR_TOKEN_FILE, OPERATOR_TOKEN_VARIABLE, Token, Tokens, join_token,
    operator_token,
};
pub use verify::{FetchJwks, Verifier};

/// Who issues the tokens: the `iss` of every one.
pub const ISSUER: &str = "banyan";

/// How far the clocks of two processes may be apart, in seconds.
pub const LEEWAY_S: i64 = 5;
