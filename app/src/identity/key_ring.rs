//! The issuer's side: which keys there are, and tokens signed with the newest.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Header, jwk::JwkSet};
use serde::Serialize;
use strangler::{Clock, Principal, Scopes};

use super::{
    ALL_SCOPES, FetchJwks, ISSUER, IdentityError, LEEWAY_S, crypto, keys::SigningKey, secret_file, slots::Slots,
};

/// The signing keys of this system, and the short-lived access tokens signed with them.
///
/// The newest key signs. A key that was followed by another is published until the last token it can have signed is
/// over (and [`LEEWAY_S`] more), then removed, file and all. Rotation needs no restart, and nobody waits for it: issuing
/// reads the current key without a lock.
pub struct KeyRing {
    folder: PathBuf,
    ttl_s: u32,
    rotate: TimeDelta,
    clock: Arc<dyn Clock>,
    state: ArcSwap<State>,
    /// Held while the keys change.
    changing: Mutex<()>,
    issued: Slots<Issued>,
}

struct State {
    signing: Arc<SigningKey>,
    /// Keys that sign no more, and until when they are published.
    retired: Vec<(Arc<SigningKey>, DateTime<Utc>)>,
    /// The key set as JSON.
    jwks: Arc<str>,
    /// When something is to be done next: a rotation or a removal.
    due: DateTime<Utc>,
}

/// A token that may be handed out again.
struct Issued {
    subject: Option<Box<str>>,
    scopes: Box<[Box<str>]>,
    audience: Box<str>,
    key: Arc<SigningKey>,
    token: Arc<str>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// The claims as they are written.
#[derive(Serialize)]
struct Written<'a> {
    iss: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl KeyRing {
    /// Reads the keys under `<data>/keys`, and makes folder and key where there is none. `ttl_s` is how long a token is
    /// valid, `rotate_s` how old a key becomes before the next one takes over, both in seconds.
    ///
    /// # Errors
    /// When the folder or a key cannot be read or made, when others may read a key, and when one is damaged.
    pub fn open(data: &Path, ttl_s: u32, rotate_s: u32, clock: Arc<dyn Clock>) -> Result<Self, IdentityError> {
        crypto::install();
        let folder = data.join("keys");
        secret_file::make_folder(&folder)?;
        let mut keys: Vec<Arc<SigningKey>> = SigningKey::load_all(&folder)?.into_iter().map(Arc::new).collect();
        if keys.last().is_none_or(|newest| newest.ttl_s != ttl_s) {
            let created = next_creation(clock.now(), keys.last());
            keys.push(Arc::new(SigningKey::generate(&folder, created, ttl_s)?));
        }
        let retired = keys
            .windows(2)
            .map(|pair| (pair[0].clone(), last_needed(&pair[0], pair[1].created)))
            .collect();
        let Some(signing) = keys.pop() else {
            return Err(IdentityError::Crypto);
        };
        let rotate = TimeDelta::seconds(rotate_s.into());
        let ring = Self {
            folder,
            ttl_s,
            rotate,
            clock,
            state: ArcSwap::from_pointee(State::new(signing, retired, rotate)),
            changing: Mutex::new(()),
            issued: Slots::new(),
        };
        ring.maintain()?;
        Ok(ring)
    }

    /// The public halves of all keys that may have signed a token still valid: a JWK set (RFC 7517) as JSON.
    pub fn jwks(&self) -> Arc<str> {
        self.maintain_or_log();
        self.state.load().jwks.clone()
    }

    /// The key set for a [`Verifier`](super::Verifier) in this same process.
    pub fn fetch(self: &Arc<Self>) -> FetchJwks {
        let ring = self.clone();
        Box::new(move || {
            let keys = ring.jwks();
            Box::pin(async move { Ok(keys.to_string()) })
        })
    }

    /// The id of the key that signs at present.
    pub fn signing_key_id(&self) -> String {
        self.state.load().signing.kid.clone()
    }

    /// Makes a new key and signs with it from now on; tokens signed before stay valid until they end. Writes to disk.
    ///
    /// # Errors
    /// When the key cannot be made or written; the present one then stays in use.
    pub fn rotate(&self) -> Result<(), IdentityError> {
        let turn = self.turn();
        self.rotate_now(&turn)
    }

    /// Rotates when the key has reached its age, and removes keys that are no longer needed. Cheap when nothing is due;
    /// issuing and publishing do it too, so that calling it now and then is enough.
    ///
    /// # Errors
    /// When a key cannot be made, written or removed; what was in use stays in use.
    pub fn maintain(&self) -> Result<(), IdentityError> {
        if self.clock.now() < self.state.load().due {
            return Ok(());
        }
        let turn = self.turn();
        if self.clock.now() >= self.state.load().signing.created + self.rotate {
            self.rotate_now(&turn)?;
        }
        self.remove_unneeded(&turn)
    }

    fn maintain_or_log(&self) {
        if let Err(error) = self.maintain() {
            tracing::error!(%error, "the signing keys could not be rotated; the present one stays in use");
        }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn rotate_now(&self, _turn: &MutexGuard<'_, ()>) -> Result<(), IdentityError> {
        let state = self.state.load_full();
        let created = next_creation(self.clock.now(), Some(&state.signing));
        let signing = Arc::new(SigningKey::generate(&self.folder, created, self.ttl_s)?);
        let mut retired = state.retired.clone();
        retired.push((state.signing.clone(), last_needed(&state.signing, created)));
        tracing::info!(kid = %signing.kid, "access tokens are signed with a new key");
        self.state.store(Arc::new(State::new(signing, retired, self.rotate)));
        Ok(())
    }

    fn remove_unneeded(&self, _turn: &MutexGuard<'_, ()>) -> Result<(), IdentityError> {
        let state = self.state.load_full();
        let now = self.clock.now();
        let (kept, over): (Vec<_>, Vec<_>) = state.retired.iter().cloned().partition(|(_, until)| now < *until);
        if over.is_empty() {
            return Ok(());
        }
        // Unpublished first: a file that cannot be removed must not keep its key in use.
        self.state
            .store(Arc::new(State::new(state.signing.clone(), kept, self.rotate)));
        over.iter()
            .try_for_each(|(key, _)| secret_file::remove(&key.path(&self.folder)))
    }

    /// A token that lets `audience` (a module's name) know for whom a call is made. One that was issued before is
    /// handed out again until half its life is over: the usual call signs nothing and allocates nothing.
    ///
    /// # Errors
    /// When a scope is empty or has a character that RFC 6749 does not allow in one, and when signing fails.
    pub fn issue(
        &self,
        subject: Option<&str>,
        scopes: &[impl AsRef<str>],
        audience: &str,
    ) -> Result<Arc<str>, IdentityError> {
        let scope_hash = scopes
            .iter()
            .fold(0, |hash, scope| self.issued.hash((hash, scope.as_ref())));
        let hash = self.issued.hash((subject, scope_hash, audience));
        let now = self.clock.now();
        if let Some(issued) = &*self.issued.get(hash)
            && issued.fits(subject, scopes, audience)
            && (issued.from..issued.until).contains(&now)
            && Arc::ptr_eq(&issued.key, &self.state.load().signing)
        {
            return Ok(issued.token.clone());
        }
        self.maintain_or_log();
        let key = self.state.load().signing.clone();
        let token: Arc<str> = sign(&key, subject, scopes, audience, now)?.into();
        let issued = Issued {
            subject: subject.map(Into::into),
            scopes: scopes.iter().map(|scope| scope.as_ref().into()).collect(),
            audience: audience.into(),
            key,
            token: token.clone(),
            from: now,
            until: now + TimeDelta::milliseconds(i64::from(self.ttl_s) * 500),
        };
        self.issued.put(hash, issued);
        Ok(token)
    }

    /// [`issue`](Self::issue) for a principal.
    ///
    /// # Errors
    /// The same.
    pub fn issue_for(&self, principal: &Principal, audience: &str) -> Result<Arc<str>, IdentityError> {
        let subject = principal.subject.as_deref();
        match &principal.scopes {
            Scopes::None => self.issue(subject, &[] as &[&str], audience),
            Scopes::All => self.issue(subject, &[ALL_SCOPES], audience),
            Scopes::Some(scopes) => self.issue(subject, scopes, audience),
        }
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("folder", &self.folder)
            .field("signing", &self.signing_key_id())
            .finish()
    }
}

impl State {
    fn new(signing: Arc<SigningKey>, retired: Vec<(Arc<SigningKey>, DateTime<Utc>)>, rotate: TimeDelta) -> Self {
        let all = std::iter::once(&signing).chain(retired.iter().map(|(key, _)| key));
        let set = JwkSet {
            keys: all.map(|key| key.public.clone()).collect(),
        };
        let jwks = serde_json::to_string(&set).unwrap_or_else(|_| r#"{"keys":[]}"#.to_owned());
        let due = retired
            .iter()
            .map(|(_, until)| *until)
            .fold(signing.created + rotate, Ord::min);
        Self {
            signing,
            retired,
            jwks: jwks.into(),
            due,
        }
    }
}

impl Issued {
    fn fits(&self, subject: Option<&str>, scopes: &[impl AsRef<str>], audience: &str) -> bool {
        self.subject.as_deref() == subject
            && *self.audience == *audience
            && self.scopes.len() == scopes.len()
            && self
                .scopes
                .iter()
                .zip(scopes)
                .all(|(ours, theirs)| **ours == *theirs.as_ref())
    }
}

/// When a key made now says that it was made: later than the one before it, even when the clock went back.
fn next_creation(now: DateTime<Utc>, newest: Option<&Arc<SigningKey>>) -> DateTime<Utc> {
    newest.map_or(now, |newest| now.max(newest.created + TimeDelta::microseconds(1)))
}

/// Until when a key is needed that signed its last token when the next key was made.
fn last_needed(key: &SigningKey, followed: DateTime<Utc>) -> DateTime<Utc> {
    followed + TimeDelta::seconds(i64::from(key.ttl_s) + LEEWAY_S)
}

fn sign(
    key: &SigningKey,
    subject: Option<&str>,
    scopes: &[impl AsRef<str>],
    audience: &str,
    now: DateTime<Utc>,
) -> Result<String, IdentityError> {
    let mut scope = String::new();
    for one in scopes.iter().map(AsRef::as_ref) {
        // RFC 6749, section 3.3: printable ASCII but space, quote and backslash.
        if one.is_empty()
            || !one
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\')
        {
            return Err(IdentityError::Impossible(
                "a scope must be printable ASCII without spaces, quotes and backslashes",
            ));
        }
        if !scope.is_empty() {
            scope.push(' ');
        }
        scope.push_str(one);
    }
    let iat = now.timestamp();
    let claims = Written {
        iss: ISSUER,
        aud: audience,
        sub: subject,
        scope: &scope,
        iat,
        nbf: iat,
        exp: iat + i64::from(key.ttl_s),
    };
    let header = Header {
        kid: Some(key.kid.clone()),
        ..Header::new(Algorithm::ES256)
    };
    jsonwebtoken::encode(&header, &claims, &key.private).map_err(|_| IdentityError::Crypto)
}
