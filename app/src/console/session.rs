//! Who is signed in: a cookie that says until when, and a seal over it that only this data folder's operator token
//! makes. So a session survives a restart, ends when the token is changed, and is kept nowhere.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use strangler::{Clock, Principal, Scopes};

use super::{Console, login};
use crate::identity::Token;

/// The cookie's name.
const COOKIE: &str = "banyan-console";
/// How long a session lasts, in seconds.
const LASTS_S: i64 = 12 * 60 * 60;
/// What the key is derived for: another use of the token gets another key.
const PURPOSE: &[u8] = b"banyan console session 1";

/// The same for what the server says of itself in an address.
const SAID: &[u8] = b"banyan console outcome 1";

/// Seals sessions and checks them; and sentences, so that nobody can put words into the console's mouth.
pub(super) struct Sessions {
    key: hmac::Key,
    said: hmac::Key,
    clock: Arc<dyn Clock>,
}

impl Sessions {
    pub(super) fn new(operator: &Token, clock: Arc<dyn Clock>) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, operator.expose().as_bytes());
        let derive = |purpose| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, purpose).as_ref());
        Self {
            key: derive(PURPOSE),
            said: derive(SAID),
            clock,
        }
    }

    /// A text that can be sent through an address and comes back as it was.
    pub(super) fn seal(&self, text: &str) -> String {
        let seal = hmac::sign(&self.said, text.as_bytes());
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{}", encode(text.as_bytes()), encode(seal.as_ref()))
    }

    /// A text that this seals; `None` when it was made elsewhere.
    pub(super) fn unseal(&self, sealed: &str) -> Option<String> {
        let (text, seal) = sealed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let (text, seal) = (decode(text)?, decode(seal)?);
        hmac::verify(&self.said, &text, &seal).ok()?;
        String::from_utf8(text).ok()
    }

    /// The `Set-Cookie` of a session that begins now.
    pub(super) fn begin(&self, headers: &HeaderMap) -> String {
        let until = (self.clock.now().timestamp() + LASTS_S).to_string();
        let seal = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, until.as_bytes()));
        cookie(&format!("{until}.{seal}"), LASTS_S, headers)
    }

    /// The `Set-Cookie` that ends a session.
    pub(super) fn end(&self, headers: &HeaderMap) -> String {
        cookie("", 0, headers)
    }

    /// For how many more seconds the session of this request lasts; `None` when there is none.
    pub(super) fn lasts(&self, headers: &HeaderMap) -> Option<u64> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
        let mut values = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        values.find_map(|(name, value)| if name == COOKIE { self.check(value) } else { None })
    }

    fn check(&self, value: &str) -> Option<u64> {
        let (until, seal) = value.split_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        hmac::verify(&self.key, until.as_bytes(), &seal).ok()?;
        let left = until.parse::<i64>().ok()?.checked_sub(self.clock.now().timestamp())?;
        u64::try_from(left).ok().filter(|&left| left > 0)
    }
}

fn cookie(value: &str, max_age: i64, headers: &HeaderMap) -> String {
    // Behind a proxy that speaks TLS the cookie need never travel without it.
    let secure = if headers.get("x-forwarded-proto").is_some_and(|v| v == "https") {
        "; Secure"
    } else {
        ""
    };
    format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/console; Max-Age={max_age}{secure}")
}

/// The operator, signed in. Anybody else is sent to sign in, and back.
pub(super) struct SignedIn(pub(super) Principal);

impl FromRequestParts<Arc<Console>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Response> {
        if console.sessions.lasts(&parts.headers).is_some() {
            return Ok(Self(Principal::known("operator", Scopes::All)));
        }
        let back = parts.uri.path_and_query().map_or("/console", |p| p.as_str());
        let back = if parts.method.is_safe() { back } else { "/console" };
        Err(Redirect::to(&login::address(back)).into_response())
    }
}

/// Somebody signed in who wants a stream: a browser's stream cannot follow to a form.
pub(super) struct Listener {
    /// For how many more seconds the session lasts.
    pub(super) lasts: u64,
}

impl FromRequestParts<Arc<Console>> for Listener {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Response> {
        match console.sessions.lasts(&parts.headers) {
            Some(lasts) => Ok(Self { lasts }),
            None => Err((StatusCode::UNAUTHORIZED, "Sign in at /console/login first.\n").into_response()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use chrono::{DateTime, TimeDelta, Utc};
    use strangler::ManualClock;

    use super::*;
    use crate::identity::Tokens;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn clock(seconds: i64) -> Arc<dyn Clock> {
        Arc::new(ManualClock::new(at() + TimeDelta::seconds(seconds)))
    }

    fn token() -> (tempfile::TempDir, Token) {
        let folder = tempfile::tempdir().unwrap();
        let token = Tokens::open(folder.path()).unwrap().operator;
        (folder, token)
    }

    fn sent(cookie: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_str(&format!("a=b; {cookie}; c")).unwrap());
        headers
    }

    fn value(set_cookie: &str) -> &str {
        set_cookie.split(';').next().unwrap()
    }

    #[test]
    fn a_session_survives_a_restart_and_ends_in_time() {
        let (_folder, token) = token();
        let set = Sessions::new(&token, clock(0)).begin(&HeaderMap::new());
        assert!(
            set.ends_with("; HttpOnly; SameSite=Strict; Path=/console; Max-Age=43200"),
            "{set}"
        );
        let headers = sent(value(&set));
        assert_eq!(Sessions::new(&token, clock(1)).lasts(&headers), Some(43_199));
        assert_eq!(Sessions::new(&token, clock(43_199)).lasts(&headers), Some(1));
        assert_eq!(Sessions::new(&token, clock(43_200)).lasts(&headers), None);
    }

    #[test]
    fn a_forged_session_is_none() {
        let (_folder, token) = token();
        let sessions = Sessions::new(&token, clock(0));
        let set = sessions.begin(&HeaderMap::new());
        let (until, seal) = value(&set)
            .strip_prefix("banyan-console=")
            .unwrap()
            .split_once('.')
            .unwrap();
        let longer = (until.parse::<i64>().unwrap() + 1).to_string();
        for forged in [
            format!("{longer}.{seal}"),
            format!("{until}."),
            format!("{until}.AAAA"),
            until.to_owned(),
            String::new(),
        ] {
            assert_eq!(
                sessions.lasts(&sent(&format!("banyan-console={forged}"))),
                None,
                "{forged}"
            );
        }
        assert_eq!(sessions.lasts(&sent(&format!("other={until}.{seal}"))), None);
        assert!(
            sessions
                .lasts(&sent(&format!("banyan-console=x; banyan-console={until}.{seal}")))
                .is_some()
        );
    }

    #[test]
    fn a_sentence_is_the_servers_own() {
        let (_folder, token) = token();
        let sessions = Sessions::new(&token, clock(0));
        let sealed = sessions.seal("3 dead letters are retried: ניסוי");
        assert_eq!(
            sessions.unseal(&sealed).as_deref(),
            Some("3 dead letters are retried: ניסוי")
        );
        let (_, seal) = sealed.split_once('.').unwrap();
        let forged = format!("{}.{seal}", URL_SAFE_NO_PAD.encode("call 0800 123456"));
        for forged in [forged.as_str(), "", ".", "x", seal] {
            assert_eq!(sessions.unseal(forged), None, "{forged}");
        }
        // A sealed number is no session.
        let number = sessions.seal("1900000000");
        assert_eq!(sessions.lasts(&sent(&format!("banyan-console={number}"))), None);
    }

    #[test]
    fn another_token_ends_every_session() {
        let ((_one, token), (_other, changed)) = (token(), token());
        let set = Sessions::new(&token, clock(0)).begin(&HeaderMap::new());
        assert_eq!(Sessions::new(&changed, clock(0)).lasts(&sent(value(&set))), None);
    }

    #[test]
    fn behind_tls_the_cookie_asks_for_it() {
        let (_folder, token) = token();
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        assert!(Sessions::new(&token, clock(0)).begin(&headers).ends_with("; Secure"));
    }
}
