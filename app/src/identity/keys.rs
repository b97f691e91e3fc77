//! Signing keys on disk: one PEM file each, named after the key's id.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, SecondsFormat, Utc};
use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};

use super::{IdentityError, crypto, secret_file};

const TAG: &str = "PRIVATE KEY";

/// A key pair that signs tokens, or did.
pub(super) struct SigningKey {
    /// The thumbprint of its public half (RFC 7638).
    pub(super) kid: String,
    /// Its private half.
    pub(super) private: EncodingKey,
    /// Its public half, as it is published.
    pub(super) public: Jwk,
    /// When it was made, and began to sign.
    pub(super) created: DateTime<Utc>,
    /// For how long the tokens it signs are valid, in seconds. Part of the key, because it also says for how long the
    /// key must be kept after its last signature.
    pub(super) ttl_s: u32,
}

impl SigningKey {
    /// Makes a key and writes it to the folder.
    pub(super) fn generate(folder: &Path, created: DateTime<Utc>, ttl_s: u32) -> Result<Self, IdentityError> {
        let pkcs8 = crypto::generate().map_err(|_| IdentityError::Crypto)?;
        let key = Self::from_pkcs8(&pkcs8, created, ttl_s).map_err(|_| IdentityError::Crypto)?;
        let created = created.to_rfc3339_opts(SecondsFormat::Micros, true);
        let body = pem::encode_config(
            &pem::Pem::new(TAG, pkcs8),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        );
        secret_file::create(
            &key.path(folder),
            &format!("created: {created}\nttl_s: {ttl_s}\n{body}"),
        )?;
        Ok(key)
    }

    fn from_pkcs8(pkcs8: &[u8], created: DateTime<Utc>, ttl_s: u32) -> jsonwebtoken::errors::Result<Self> {
        let private = EncodingKey::from_ec_der(pkcs8);
        let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self {
            kid,
            private,
            public,
            created,
            ttl_s,
        })
    }

    /// Where the key is kept.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.pem", self.kid))
    }

    /// The keys in the folder, oldest first.
    pub(super) fn load_all(folder: &Path) -> Result<Vec<Self>, IdentityError> {
        let unreadable = |error: io::Error| IdentityError::File {
            path: folder.to_owned(),
            tried: "read",
            cause: error.to_string(),
        };
        let mut keys = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "pem") {
                // One that another process has just removed is no longer needed.
                keys.extend(Self::load(&path)?);
            }
        }
        keys.sort_by(|a, b| (a.created, &a.kid).cmp(&(b.created, &b.kid)));
        Ok(keys)
    }

    fn load(path: &Path) -> Result<Option<Self>, IdentityError> {
        let Some(text) = secret_file::read(path)? else {
            return Ok(None);
        };
        let key = Self::parse(&text).filter(|key| path.file_stem().is_some_and(|stem| stem == key.kid.as_str()));
        match key {
            Some(key) => Ok(Some(key)),
            None => Err(IdentityError::Damaged {
                path: path.to_owned(),
                what: "is damaged: it is not the signing key that its name says; restore it from a backup, or remove \
                       it: access tokens that it signed are then refused, and new ones are signed with another key",
            }),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let created = DateTime::parse_from_rfc3339(field("created")?).ok()?.to_utc();
        let ttl_s = field("ttl_s")?.parse().ok()?;
        let body = pem::parse(text).ok().filter(|body| body.tag() == TAG)?;
        Self::from_pkcs8(body.contents(), created, ttl_s).ok()
    }
}
