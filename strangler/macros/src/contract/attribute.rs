//! Reads `#[query(…)]` and `#[command(…)]`.

use syn::{Attribute, Expr, Ident, LitStr, Meta, Type, punctuated::Punctuated};

use super::{
    model::{Answer, Auth, Kind, Method},
    parse::{Entries, Entry, text},
};
use crate::mistakes::Mistakes;

/// What the attribute says.
pub struct Wire {
    pub kind: Kind,
    pub method: Method,
    pub path: LitStr,
    pub auth: Option<Auth>,
    pub etag: Option<Ident>,
    pub next: Option<Ident>,
    pub uncaptured: Option<LitStr>,
}

impl Wire {
    /// What it says, when it can be read at all; what is wrong is among the mistakes.
    pub fn read(kind: Kind, attribute: &Attribute, mistakes: &mut Mistakes) -> Option<Self> {
        let entries = if matches!(attribute.meta, Meta::Path(_)) {
            Entries::new()
        } else {
            mistakes.keep(attribute.parse_args_with(Punctuated::parse_terminated))?
        };
        let (mut route, mut auth, mut etag, mut next, mut uncaptured) = (None, None, None, None, None);
        for Entry { key, value } in entries {
            let name = key.to_string();
            let seen = if let Some(method) = Method::ALL.into_iter().find(|m| m.key() == name) {
                route.replace((method, key.clone(), value)).is_some()
            } else {
                match name.as_str() {
                    "auth" => auth.replace(value).is_some(),
                    "etag" => etag.replace(value).is_some(),
                    "next" => next.replace(value).is_some(),
                    "uncaptured" => uncaptured.replace((key.clone(), value)).is_some(),
                    _ => {
                        let methods = Method::ALL.map(|m| format!("`{}`", m.key())).join(", ");
                        mistakes.at(
                            &key,
                            format!(
                                "`{name}` is not known here; there are {methods}, `auth`, `etag`, `next`, `uncaptured`"
                            ),
                        );
                        false
                    }
                }
            };
            if seen {
                mistakes.at(&key, "an operation has one of these: leave out the other");
            }
        }
        if auth.is_none() {
            mistakes.at(
                attribute,
                "say who may call it: add `auth = public`, `auth = signed_in` or `auth = scope(\"…\")`; there is no default",
            );
        }
        let auth = auth.and_then(|value| read_auth(&value, mistakes));
        let etag = etag.and_then(|value| field("etag", &value, mistakes));
        let next = next.and_then(|value| field("next", &value, mistakes));
        let uncaptured = uncaptured.and_then(|(key, value)| read_effect(kind, &key, &value, mistakes));
        let Some((method, key, value)) = route else {
            let example = if kind == Kind::Query {
                "get = \"/…\""
            } else {
                "put = \"/…\""
            };
            mistakes.at(attribute, format!("say where it is: add `{example}`"));
            return None;
        };
        match (kind, method) {
            (Kind::Query, Method::Get) => {}
            (Kind::Query, _) => mistakes.at(&key, "a query is a `get`; what changes something is a `#[command(…)]`"),
            (Kind::Command, Method::Get) => {
                mistakes.at(
                    &key,
                    "a command is never a `get`; what changes nothing is a `#[query(…)]`",
                );
            }
            _ => {}
        }
        let Some(path) = text(&value) else {
            mistakes.at(value, format!("the path is a string: write `{key} = \"/…\"`"));
            return None;
        };
        Some(Self {
            kind,
            method,
            path,
            auth,
            etag,
            next,
            uncaptured,
        })
    }

    /// Reports answers and keys that do not go together.
    pub fn fits(&self, ok: &Type, answer: &Answer, mistakes: &mut Mistakes) {
        let value = matches!(answer, Answer::Value(_));
        if self.kind == Kind::Query && !value && !matches!(answer, Answer::Page) {
            mistakes.at(
                ok,
                "a query changes nothing, so it cannot put, do or accept anything: answer the value itself",
            );
        }
        if let Some(field) = &self.etag
            && !matches!(answer, Answer::Value(_) | Answer::Put(_))
        {
            mistakes.at(field, "only a value or a `Put` has an entity tag: leave out `etag`");
        }
        if let Some(field) = &self.next
            && !(value && self.kind == Kind::Query)
        {
            mistakes.at(field, "only a query has a next page: leave out `next`");
        }
    }
}

fn read_effect(kind: Kind, key: &Ident, value: &Expr, mistakes: &mut Mistakes) -> Option<LitStr> {
    if kind == Kind::Query {
        mistakes.at(
            key,
            "a query changes nothing, so there is nothing to capture: leave out `uncaptured`",
        );
        return None;
    }
    let effect = text(value).filter(|effect| !effect.value().trim().is_empty());
    if effect.is_none() {
        mistakes.at(
            value,
            "say in words which effect cannot be captured: write `uncaptured = \"prints on the box office's printer\"`",
        );
    }
    effect
}

fn read_auth(value: &Expr, mistakes: &mut Mistakes) -> Option<Auth> {
    match value {
        Expr::Path(path) if path.path.is_ident("public") => return Some(Auth::Public),
        Expr::Path(path) if path.path.is_ident("signed_in") => return Some(Auth::SignedIn),
        Expr::Call(call) if matches!(&*call.func, Expr::Path(p) if p.path.is_ident("scope")) => {
            let scope = call.args.first().filter(|_| call.args.len() == 1).and_then(text);
            // RFC 6749, 3.3: a scope is printable ASCII without blanks, quotes and backslashes.
            let fine = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
            match scope {
                Some(scope) if fine(&scope.value()) => return Some(Auth::Scope(scope)),
                _ => mistakes.at(value, "a scope is one word: write `scope(\"catalog:write\")`"),
            }
        }
        _ => mistakes.at(value, "there are `public`, `signed_in` and `scope(\"…\")`"),
    }
    None
}

fn field(key: &str, value: &Expr, mistakes: &mut Mistakes) -> Option<Ident> {
    if let Expr::Path(path) = value
        && let Some(ident) = path.path.get_ident()
    {
        return Some(ident.clone());
    }
    mistakes.at(
        value,
        format!("`{key}` names a field of the answer: write `{key} = version`, without quotes"),
    );
    None
}
