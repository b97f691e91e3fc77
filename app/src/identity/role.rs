//! The key from which the passwords of the modules' database roles are derived.

use std::{fmt, path::Path};

use ring::hmac;

use super::{IdentityError, secret_file};

const FILE: &str = "database-key";
const PREFIX: &str = "bo_db_";

/// 32 random bytes, kept as `database-key` in the data folder.
#[derive(Clone)]
pub struct DatabaseKey(hmac::Key);

impl DatabaseKey {
    /// Reads the key from the data folder, and makes folder and key where they are missing.
    ///
    /// # Errors
    /// As [`Tokens::open`](super::Tokens::open).
    pub fn open(folder: &Path) -> Result<Self, IdentityError> {
        secret_file::make_folder(folder)?;
        let text = secret_file::open_or_make(&folder.join(FILE), PREFIX)?;
        let bytes = secret_file::decode(&text, PREFIX).ok_or(IdentityError::Crypto)?;
        Ok(Self::from_bytes(&bytes))
    }

    /// A key with these bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl fmt::Debug for DatabaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseKey(***)")
    }
}

/// The password of a database role: HMAC-SHA256 (RFC 2104) of its name under the key, as 64 hexadecimal digits. The
/// same key and role always give the same one, so it need not be kept anywhere.
pub fn derive_role_password(key: &DatabaseKey, role: &str) -> String {
    let tag = hmac::sign(&key.0, role.as_bytes());
    tag.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}
