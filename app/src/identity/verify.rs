//! The other side: a process that was extracted checks tokens with the issuer's published keys.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, JwkSet},
};
use serde::Deserialize;
use strangler::{BoxFuture, Clock, Principal};
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};

use super::{Claims, ISSUER, LEEWAY_S, TokenError, claims::scopes_from_text, crypto, slots::Slots};

/// Fetches the issuer's key set as JSON; an error says in a sentence why it could not.
pub type FetchJwks = Box<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// A longer token is not looked at, in bytes.
const LONGEST_TOKEN: usize = 8 * 1024;
/// The keys are fetched once in this time at most.
const FETCH_EVERY: Duration = Duration::from_secs(1);
/// A fetch may take this long.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How many calls may wait for a fetch; more are refused.
const MOST_WAITING: usize = 64;

type Keys = HashMap<String, Arc<DecodingKey>>;

/// Checks access tokens meant for one module.
///
/// A token that was checked before is only looked up. A key that is not known makes it fetch the issuer's keys again:
/// one fetch at a time and one a second, however many tokens with invented keys arrive. When the issuer is away, the
/// keys known last go on being used.
pub struct Verifier {
    fetch: FetchJwks,
    validation: Validation,
    clock: Arc<dyn Clock>,
    keys: ArcSwap<Keys>,
    checked: Slots<Checked>,
    waiting: Semaphore,
    /// How many fetches were begun.
    begun: AtomicU64,
    last_fetch: Mutex<Option<Fetch>>,
}

#[derive(Clone, Copy)]
struct Fetch {
    begun: Instant,
    /// Whether it succeeded; `None` while it goes on, and for ever when its caller went away.
    succeeded: Option<bool>,
}

struct Checked {
    token: Box<str>,
    claims: Arc<Claims>,
}

/// What is read of a token's header before anything else.
#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

/// What is read of its claims; `iss` and `aud` are checked by `jsonwebtoken`.
#[derive(Deserialize)]
struct Read {
    sub: Option<String>,
    scope: Option<String>,
    exp: i64,
    nbf: Option<i64>,
}

impl Verifier {
    /// A verifier for tokens meant for `audience` (a module's name). Fetches nothing yet.
    pub fn new(audience: &str, fetch: FetchJwks, clock: Arc<dyn Clock>) -> Self {
        crypto::install();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        validation.set_audience(&[audience]);
        validation.set_issuer(&[ISSUER]);
        // Times are compared here, with the injected clock.
        validation.validate_exp = false;
        Self {
            fetch,
            validation,
            clock,
            keys: ArcSwap::default(),
            checked: Slots::new(),
            waiting: Semaphore::new(MOST_WAITING),
            begun: AtomicU64::new(0),
            last_fetch: Mutex::new(None),
        }
    }

    /// What the token says, when it is valid: signed with ES256 by a key of the issuer, meant for this audience, and
    /// neither too early nor too late (by more than [`LEEWAY_S`]).
    ///
    /// # Errors
    /// As [`TokenError`] says.
    pub async fn verify(&self, token: &str) -> Result<Arc<Claims>, TokenError> {
        let hash = self.checked.hash(token);
        if let Some(checked) = &*self.checked.get(hash)
            && *checked.token == *token
            && self.clock.now() < checked.claims.expires_at
        {
            return Ok(checked.claims.clone());
        }
        let kid = key_id(token)?;
        let key = match self.known(&kid) {
            Some(key) => key,
            None => self.fetched(&kid).await?,
        };
        let claims = Arc::new(self.check(token, &key)?);
        if self.clock.now() < claims.expires_at {
            self.checked.put(
                hash,
                Checked {
                    token: token.into(),
                    claims: claims.clone(),
                },
            );
        }
        Ok(claims)
    }

    fn check(&self, token: &str, key: &DecodingKey) -> Result<Claims, TokenError> {
        let read = jsonwebtoken::decode::<Read>(token, key, &self.validation).map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => TokenError::Signature,
            ErrorKind::InvalidAudience => TokenError::Audience,
            ErrorKind::InvalidIssuer => TokenError::Issuer,
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => TokenError::Algorithm,
            ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenError::Audience,
            ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => TokenError::Issuer,
            _ => TokenError::Malformed,
        })?;
        let Read { sub, scope, exp, nbf } = read.claims;
        let now = self.clock.now().timestamp();
        if now >= exp.saturating_add(LEEWAY_S) {
            return Err(TokenError::Expired);
        }
        if nbf.is_some_and(|nbf| now.saturating_add(LEEWAY_S) < nbf) {
            return Err(TokenError::NotYetValid);
        }
        let principal = Principal {
            subject: sub.map(Into::into),
            scopes: scopes_from_text(scope.as_deref().unwrap_or_default()),
        };
        let expires_at = DateTime::from_timestamp(exp, 0).ok_or(TokenError::Malformed)?;
        Ok(Claims { principal, expires_at })
    }

    fn known(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        self.keys.load().get(kid).cloned()
    }

    /// The key, after a fetch that began after it was asked for.
    async fn fetched(&self, kid: &str) -> Result<Arc<DecodingKey>, TokenError> {
        let begun_before = self.begun.load(Ordering::SeqCst);
        let Ok(_place) = self.waiting.try_acquire() else {
            return Err(TokenError::IssuerAway);
        };
        let mut last = self.last_fetch.lock().await;
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        let fetched_meanwhile = self.begun.load(Ordering::SeqCst) > begun_before;
        let succeeded = match *last {
            Some(Fetch {
                succeeded: Some(succeeded),
                ..
            }) if fetched_meanwhile => succeeded,
            fetch => {
                if let Some(fetch) = fetch {
                    tokio::time::sleep_until(fetch.begun + FETCH_EVERY).await;
                }
                // Noted before the fetch: one whose caller goes away counts towards the rate too.
                let begun = Instant::now();
                *last = Some(Fetch { begun, succeeded: None });
                self.begun.fetch_add(1, Ordering::SeqCst);
                let succeeded = self.fetch_now().await;
                *last = Some(Fetch {
                    begun,
                    succeeded: Some(succeeded),
                });
                succeeded
            }
        };
        self.known(kid).ok_or(if succeeded {
            TokenError::UnknownKey
        } else {
            TokenError::IssuerAway
        })
    }

    async fn fetch_now(&self) -> bool {
        let fetched = match tokio::time::timeout(FETCH_TIMEOUT, (self.fetch)()).await {
            Ok(fetched) => fetched.and_then(|json| parse_keys(&json)),
            Err(_) => Err(format!("no answer within {} s", FETCH_TIMEOUT.as_secs())),
        };
        match fetched {
            Ok(keys) => {
                self.keys.store(Arc::new(keys));
                true
            }
            Err(error) => {
                tracing::warn!(
                    error,
                    "the issuer's keys could not be fetched; those known last stay in use"
                );
                false
            }
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("audience", &self.validation.aud)
            .finish_non_exhaustive()
    }
}

/// The key that a token names, when its header is one of ours.
fn key_id(token: &str) -> Result<String, TokenError> {
    if token.len() > LONGEST_TOKEN {
        return Err(TokenError::Malformed);
    }
    let (head, _) = token.split_once('.').ok_or(TokenError::Malformed)?;
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenError::Malformed)?;
    let head: Head = serde_json::from_slice(&head).map_err(|_| TokenError::Malformed)?;
    if head.alg != "ES256" {
        return Err(TokenError::Algorithm);
    }
    match head {
        Head {
            kid: Some(kid),
            crit: None,
            ..
        } => Ok(kid),
        _ => Err(TokenError::Malformed),
    }
}

/// The P-256 keys of a key set; others are somebody else's.
fn parse_keys(json: &str) -> Result<Keys, String> {
    let set: JwkSet = serde_json::from_str(json).map_err(|error| format!("its answer is no key set: {error}"))?;
    let keys: Keys = set
        .keys
        .iter()
        .filter(|key| matches!(&key.algorithm, AlgorithmParameters::EllipticCurve(p) if p.curve == EllipticCurve::P256))
        .filter_map(|key| Some((key.common.key_id.clone()?, Arc::new(DecodingKey::from_jwk(key).ok()?))))
        .collect();
    if keys.is_empty() {
        Err("its key set holds no ES256 key".to_owned())
    } else {
        Ok(keys)
    }
}
