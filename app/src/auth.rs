//! Who asks, at each of the three doors: the public address, the internal address, and the address of an extracted
//! process. And the token with which a call goes on to such a process.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use strangler::{
    Principal, Scopes,
    direct::STRANGLER_MODULE,
    gateway::{Authenticate, Authenticated, NotKnown},
    pool::Credentials,
};

use crate::{
    identity::{KeyRing, Tokens, Verifier},
    modules,
};

/// The bearer token of a request; an error when the header is there and is none.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>, String> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Some(token.trim()))
        }
        _ => Err("the authorization header is not of the form `Bearer …`".to_owned()),
    }
}

fn operator() -> Principal {
    Principal::known("operator", Scopes::All)
}

/// The public address: the operator's token carries every scope; without a token one is anybody.
pub struct PublicDoor(pub Arc<Tokens>);

impl Authenticate for PublicDoor {
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap) -> Authenticated<'a> {
        Authenticated::Now(match bearer(headers) {
            Ok(None) => Ok(Principal::ANYBODY),
            Ok(Some(token)) if self.0.operator.matches(token) => Ok(operator()),
            Ok(Some(_)) => Err("the token is not one that is known here".to_owned().into()),
            Err(why) => Err(why.into()),
        })
    }
}

/// Who may pass the internal address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insider {
    /// With the operator's token.
    Operator,
    /// With the join token.
    Joined,
}

/// The internal address: nothing answers without one of the two tokens.
pub struct InternalDoor(pub Arc<Tokens>);

impl InternalDoor {
    /// Who it is, or a sentence.
    pub fn insider(&self, headers: &HeaderMap) -> Result<Insider, String> {
        match bearer(headers)? {
            Some(token) if self.0.operator.matches(token) => Ok(Insider::Operator),
            Some(token) if self.0.join.matches(token) => Ok(Insider::Joined),
            Some(_) => Err("the token is neither the operator's nor the join token".to_owned()),
            None => Err("the internal address asks for the operator's token or the join token".to_owned()),
        }
    }
}

/// A module that calls others on its own account may do what it needs for that, and nothing else.
fn of_module(name: &HeaderValue) -> Principal {
    match name.to_str().map(modules::find) {
        Ok(Ok(module)) => {
            let scopes = module.acts.iter().map(|&scope| scope.into()).collect();
            Principal::known(module.contract.name, Scopes::Some(scopes))
        }
        _ => Principal::ANYBODY,
    }
}

impl Authenticate for InternalDoor {
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap) -> Authenticated<'a> {
        let who = self.insider(headers).map(|who| match who {
            Insider::Operator => operator(),
            Insider::Joined => headers.get(STRANGLER_MODULE).map_or(Principal::ANYBODY, of_module),
        });
        Authenticated::Now(who.map_err(Into::into))
    }
}

/// An extracted process: a token that the monolith signed for this module.
pub struct ServiceDoor(pub Arc<Verifier>);

impl Authenticate for ServiceDoor {
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap) -> Authenticated<'a> {
        match bearer(headers) {
            Ok(Some(token)) => Authenticated::Later(Box::pin(async move {
                self.0
                    .verify(token)
                    .await
                    .map(|claims| claims.principal.clone())
                    .map_err(|e| match e.is_temporary() {
                        true => NotKnown::NotNow(e.to_string()),
                        false => NotKnown::Refused(e.to_string()),
                    })
            })),
            Ok(None) => Authenticated::Now(Err("this process asks for a token that the monolith signed"
                .to_owned()
                .into())),
            Err(why) => Authenticated::Now(Err(why.into())),
        }
    }
}

/// Exchanges who asks for a short-lived token that is good for the called module alone.
pub struct Exchange(pub Arc<KeyRing>);

impl Credentials for Exchange {
    fn authorization(&self, principal: &Principal, module: &str) -> Result<HeaderValue, String> {
        let token = self.0.issue_for(principal, module).map_err(|e| e.to_string())?;
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|e| e.to_string())?;
        value.set_sensitive(true);
        Ok(value)
    }
}
