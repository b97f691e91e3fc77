//! Reads one method of the trait.

use syn::{
    Attribute, Expr, FnArg, GenericArgument, Ident, LitStr, Meta, Pat, PatType, PathArguments, Receiver, ReturnType,
    Signature, TraitItemFn, Type, TypeReference, punctuated::Punctuated,
};

use super::{
    model::{Answer, Argument, Auth, Kind, Method, Operation, Place},
    parse::{Entries, Entry, text},
    path,
    types::{arguments_of, check_owned, last_segment},
};
use crate::mistakes::Mistakes;

/// Attributes that may stay on a method: they mean the same on both traits.
const KEPT: [&str; 5] = ["doc", "deprecated", "allow", "expect", "must_use"];

/// Headers that the way itself writes and reads.
const TAKEN: [&str; 13] = [
    "accept",
    "authorization",
    "baggage",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "idempotency-key",
    "if-none-match",
    "request-timeout",
    "strangler-run",
    "traceparent",
    "tracestate",
];

/// The operation, when it can be read at all; what is wrong is among the mistakes.
pub fn read(index: usize, item: TraitItemFn, mistakes: &mut Mistakes) -> Option<Operation> {
    let TraitItemFn { attrs, sig, default, .. } = item;
    let (kind, rest) = split(attrs, &sig.ident, mistakes);
    let wire = kind.and_then(|(kind, attribute)| Wire::read(kind, &attribute, mistakes));
    plain_function(&sig, mistakes);
    if let Some(body) = &default {
        mistakes.at(body, "a contract only says what can be asked: end the line with `;` and answer in the service");
    }
    let mut inputs = sig.inputs.iter().peekable();
    match inputs.next_if(|input| matches!(input, FnArg::Receiver(_))) {
        Some(FnArg::Receiver(Receiver { reference: Some((_, None)), mutability: None, colon_token: None, .. })) => {}
        Some(other) => mistakes.at(other, "an operation takes `&self`"),
        None => mistakes.at(&sig.ident, "an operation takes `&self` first"),
    }
    let cx = inputs.next_if(|input| context(input).is_some()).and_then(context);
    if cx.is_none() {
        mistakes.at(&sig.ident, "an operation takes the call context after `&self`: write `cx: &Cx`");
    }
    let parameters = wire.as_ref().and_then(|w| path::parameters(&w.path, mistakes));
    let arguments: Vec<Argument> = inputs
        .filter_map(|input| argument(input, wire.as_ref(), parameters.as_deref(), mistakes))
        .collect();
    if let Some((wire, parameters)) = wire.as_ref().zip(parameters.as_ref()) {
        every_parameter_is_taken(&sig, wire, parameters, mistakes);
    }
    one_of_each(&arguments, wire.as_ref(), mistakes);
    let (ok, answer, error) = output(&sig, mistakes)?;
    let wire = wire?;
    wire.fits(&ok, &answer, mistakes);
    let Wire { kind, method, path, auth, etag, next } = wire;
    Some(Operation {
        index,
        ident: sig.ident.clone(),
        attributes: rest,
        kind,
        method,
        path,
        auth: auth?,
        etag,
        next,
        cx: cx?,
        arguments,
        ok,
        answer,
        error,
    })
}

/// The attribute that says what kind of operation it is, and those that stay.
fn split(
    attributes: Vec<Attribute>,
    ident: &Ident,
    mistakes: &mut Mistakes,
) -> (Option<(Kind, Attribute)>, Vec<Attribute>) {
    let (mut found, mut rest) = (None, Vec::new());
    for attribute in attributes {
        let kind = match attribute.path().get_ident().map(ToString::to_string).as_deref() {
            Some("query") => Kind::Query,
            Some("command") => Kind::Command,
            Some(name) if KEPT.contains(&name) => {
                rest.push(attribute);
                continue;
            }
            _ => {
                mistakes.at(&attribute, "this has no meaning on an operation; there are `#[query(…)]` and `#[command(…)]`");
                continue;
            }
        };
        if found.is_some() {
            mistakes.at(&attribute, "an operation is one of `#[query(…)]` and `#[command(…)]`, once: leave one of them");
        } else {
            found = Some((kind, attribute));
        }
    }
    if found.is_none() {
        mistakes.at(
            ident,
            "say what kind of operation this is: `#[query(get = \"/…\", auth = …)]` if it changes nothing, otherwise \
             `#[command(put = \"/…\", auth = …)]`",
        );
    }
    (found, rest)
}

/// What the attribute says.
struct Wire {
    kind: Kind,
    method: Method,
    path: LitStr,
    auth: Option<Auth>,
    etag: Option<Ident>,
    next: Option<Ident>,
}

impl Wire {
    fn read(kind: Kind, attribute: &Attribute, mistakes: &mut Mistakes) -> Option<Self> {
        let entries = if matches!(attribute.meta, Meta::Path(_)) {
            Entries::new()
        } else {
            mistakes.keep(attribute.parse_args_with(Punctuated::parse_terminated))?
        };
        let (mut route, mut auth, mut etag, mut next) = (None, None, None, None);
        for Entry { key, value } in entries {
            let name = key.to_string();
            let seen = if let Some(method) = Method::ALL.into_iter().find(|m| m.key() == name) {
                route.replace((method, key.clone(), value)).is_some()
            } else {
                match name.as_str() {
                    "auth" => auth.replace(value).is_some(),
                    "etag" => etag.replace(value).is_some(),
                    "next" => next.replace(value).is_some(),
                    _ => {
                        let methods = Method::ALL.map(|m| format!("`{}`", m.key())).join(", ");
                        mistakes.at(&key, format!("`{name}` is not known here; there are {methods}, `auth`, `etag`, `next`"));
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
        let Some((method, key, value)) = route else {
            let example = if kind == Kind::Query { "get = \"/…\"" } else { "put = \"/…\"" };
            mistakes.at(attribute, format!("say where it is: add `{example}`"));
            return None;
        };
        match (kind, method) {
            (Kind::Query, Method::Get) => {}
            (Kind::Query, _) => mistakes.at(&key, "a query is a `get`; what changes something is a `#[command(…)]`"),
            (Kind::Command, Method::Get) => {
                mistakes.at(&key, "a command is never a `get`; what changes nothing is a `#[query(…)]`");
            }
            _ => {}
        }
        let Some(path) = text(&value) else {
            mistakes.at(value, format!("the path is a string: write `{key} = \"/…\"`"));
            return None;
        };
        Some(Self { kind, method, path, auth, etag, next })
    }

    /// Reports answers and keys that do not go together.
    fn fits(&self, ok: &Type, answer: &Answer, mistakes: &mut Mistakes) {
        let value = matches!(answer, Answer::Value(_));
        if self.kind == Kind::Query && !value {
            mistakes.at(ok, "a query changes nothing, so it cannot put, do or accept anything: answer the value itself");
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
    mistakes.at(value, format!("`{key}` names a field of the answer: write `{key} = version`, without quotes"));
    None
}

fn plain_function(sig: &Signature, mistakes: &mut Mistakes) {
    if sig.asyncness.is_none() {
        mistakes.at(sig.fn_token, format!("an operation may have to go over the network: write `async fn {}`", sig.ident));
    }
    if let Some(token) = &sig.constness {
        mistakes.at(token, "an operation is a plain `async fn`: leave out `const`");
    }
    if let Some(token) = &sig.unsafety {
        mistakes.at(token, "an operation is a plain `async fn`: leave out `unsafe`");
    }
    if let Some(token) = &sig.abi {
        mistakes.at(token, "an operation is a plain `async fn`: leave out `extern`");
    }
    if let Some(token) = &sig.variadic {
        mistakes.at(token, "an operation has named arguments: leave out `...`");
    }
    if !sig.generics.params.is_empty() {
        mistakes.at(&sig.generics, "an operation is not generic: its types travel over HTTP, so name them");
    }
    if let Some(clause) = &sig.generics.where_clause {
        mistakes.at(clause, "an operation is not generic: leave out the `where`");
    }
}

/// The name and the type behind the reference, if the argument is `cx: &Cx`.
fn context(input: &FnArg) -> Option<(Ident, Type)> {
    let FnArg::Typed(PatType { pat, ty, .. }) = input else { return None };
    let (Pat::Ident(pat), Type::Reference(TypeReference { lifetime: None, mutability: None, elem, .. })) = (&**pat, &**ty)
    else {
        return None;
    };
    last_segment(elem).is_some_and(|s| s.ident == "Cx").then(|| (pat.ident.clone(), (**elem).clone()))
}

fn argument(
    input: &FnArg,
    wire: Option<&Wire>,
    parameters: Option<&[String]>,
    mistakes: &mut Mistakes,
) -> Option<Argument> {
    let FnArg::Typed(PatType { attrs, pat, ty, .. }) = input else {
        mistakes.at(input, "`&self` comes first");
        return None;
    };
    check_owned(ty, "an argument", mistakes);
    let ident = match &**pat {
        Pat::Ident(p) if p.by_ref.is_none() && p.mutability.is_none() && p.subpat.is_none() => p.ident.clone(),
        other => {
            mistakes.at(other, "an argument has a plain name: write `name: Type`");
            return None;
        }
    };
    for second in attrs.iter().skip(1) {
        mistakes.at(second, "an argument travels in one place: leave one of these");
    }
    let place = match attrs.first() {
        None => Place::Path(place_in_path(&ident, wire, parameters, mistakes)?),
        Some(a) if a.path().is_ident("query") => plain(a, "#[query]", Place::Query, mistakes),
        Some(a) if a.path().is_ident("body") => plain(a, "#[body]", Place::Body, mistakes),
        Some(a) if a.path().is_ident("header") => {
            let name = header_name(a, mistakes);
            let inner = arguments_of(ty, "Option").filter(|inner| inner.len() == 1);
            if inner.is_none() {
                mistakes.at(ty, "a header may be missing: write `Option<…>`");
            }
            Place::Header(name?, (*inner?.first()?).clone())
        }
        Some(other) => {
            mistakes.at(
                other,
                "this has no meaning on an argument; it is `#[query]`, `#[header(\"…\")]`, `#[body]`, or bare: in the path",
            );
            return None;
        }
    };
    Some(Argument { ident, ty: (**ty).clone(), place })
}

fn plain(attribute: &Attribute, write: &str, place: Place, mistakes: &mut Mistakes) -> Place {
    if !matches!(attribute.meta, Meta::Path(_)) {
        mistakes.at(attribute, format!("this says it all by itself: write `{write}`"));
    }
    place
}

fn place_in_path(
    ident: &Ident,
    wire: Option<&Wire>,
    parameters: Option<&[String]>,
    mistakes: &mut Mistakes,
) -> Option<usize> {
    let place = parameters?.iter().position(|p| ident == p);
    if place.is_none() {
        let path = wire.map(|w| w.path.value()).unwrap_or_default();
        mistakes.at(
            ident,
            format!(
                "the path \"{path}\" has no `{{{ident}}}`: add it, or say where the argument travels with `#[query]`, \
                 `#[header(\"…\")]` or `#[body]`"
            ),
        );
    }
    place
}

fn header_name(attribute: &Attribute, mistakes: &mut Mistakes) -> Option<LitStr> {
    let Ok(name) = attribute.parse_args::<LitStr>() else {
        mistakes.at(attribute, "name the header: write `#[header(\"if-match\")]`");
        return None;
    };
    let value = name.value();
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    if value.is_empty() || !value.bytes().all(token) {
        mistakes.at(&name, "a header's name is lower-case letters, digits and `-`, such as \"if-match\"");
        return None;
    }
    if TAKEN.contains(&value.as_str()) {
        mistakes.at(&name, format!("`{value}` belongs to the way itself: what matters of it is in the `Cx` already"));
        return None;
    }
    Some(name)
}

fn every_parameter_is_taken(sig: &Signature, wire: &Wire, parameters: &[String], mistakes: &mut Mistakes) {
    let bare = |input: &FnArg, name: &str| match input {
        FnArg::Typed(PatType { attrs, pat, .. }) => {
            attrs.is_empty() && matches!(&**pat, Pat::Ident(p) if p.ident == name)
        }
        FnArg::Receiver(_) => false,
    };
    for name in parameters {
        if !sig.inputs.iter().any(|input| bare(input, name)) {
            mistakes.at(&wire.path, format!("`{{{name}}}` has no argument: add `{name}: …` to `{}`", sig.ident));
        }
    }
}

fn one_of_each(arguments: &[Argument], wire: Option<&Wire>, mistakes: &mut Mistakes) {
    let (mut query, mut body, mut headers) = (false, false, Vec::new());
    for Argument { ident, place, .. } in arguments {
        match place {
            Place::Path(_) => {}
            Place::Query if std::mem::replace(&mut query, true) => {
                mistakes.at(ident, "a request has one query: put these into one struct");
            }
            Place::Query => {}
            Place::Body if std::mem::replace(&mut body, true) => {
                mistakes.at(ident, "a request has one body: put these into one struct");
            }
            Place::Body => {
                if let Some(method @ (Method::Get | Method::Delete)) = wire.map(|w| w.method) {
                    let key = method.key();
                    mistakes.at(ident, format!("a `{key}` has no body: use `#[query]`, or another method"));
                }
            }
            Place::Header(name, _) if headers.contains(&name.value()) => {
                mistakes.at(name, "this header is another argument already");
            }
            Place::Header(name, _) => headers.push(name.value()),
        }
    }
}

/// What is in the `Ok`, how it travels, and the error.
fn output(sig: &Signature, mistakes: &mut Mistakes) -> Option<(Type, Answer, Type)> {
    const INSTEAD: &str = "an operation can fail: write `-> Result<T, E>` with the contract's error";
    let ReturnType::Type(_, ty) = &sig.output else {
        mistakes.at(&sig.ident, INSTEAD);
        return None;
    };
    let Some([ok, error]) = arguments_of(ty, "Result").and_then(|a| <[&Type; 2]>::try_from(a).ok()) else {
        mistakes.at(ty, INSTEAD);
        return None;
    };
    check_owned(ok, "an answer", mistakes);
    check_owned(error, "an error", mistakes);
    let segment = last_segment(ok);
    let inner = segment.and_then(|s| match &s.arguments {
        PathArguments::AngleBracketed(list) => match list.args.first() {
            Some(GenericArgument::Type(inner)) if list.args.len() == 1 => Some(inner.clone()),
            _ => None,
        },
        _ => None,
    });
    let name = segment.map(|s| s.ident.to_string());
    let answer = match (name.as_deref(), inner) {
        (Some("Put"), Some(inner)) => Answer::Put(inner),
        (Some("Accepted"), Some(inner)) => Answer::Accepted(inner),
        (Some("Done"), None) => Answer::Done,
        (Some(name @ ("Put" | "Accepted")), None) => {
            mistakes.at(ok, format!("say of what: write `{name}<T>`"));
            return None;
        }
        _ if matches!(ok, Type::Tuple(t) if t.elems.is_empty()) => {
            mistakes.at(ok, "there is nothing to say in the answer: write `Done`");
            return None;
        }
        _ => Answer::Value(ok.clone()),
    };
    Some((ok.clone(), answer, error.clone()))
}
