//! Reads the arguments after the context.

use syn::{Attribute, FnArg, Ident, LitStr, Meta, Pat, PatType, Signature, ext::IdentExt};

use super::{
    attribute::Wire,
    model::{Argument, Method, Place},
    types::{arguments_of, check_owned},
};
use crate::mistakes::Mistakes;

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

/// The argument, and where in the request it travels.
pub fn argument(
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
        Some(a) if a.path().is_ident("form") => plain(a, "#[form]", Place::Form, mistakes),
        Some(a) if a.path().is_ident("header") => {
            let name = header_name(a, mistakes);
            let inner = optional(ty, "header", mistakes);
            Place::Header(name?, inner?)
        }
        Some(a) if a.path().is_ident("cookie") => {
            let name = cookie_name(a, mistakes);
            let inner = optional(ty, "cookie", mistakes);
            Place::Cookie(name?, inner?)
        }
        Some(other) => {
            mistakes.at(
                other,
                "this has no meaning on an argument; it is `#[query]`, `#[header(\"…\")]`, `#[body]`, or bare: in the path; of a \
                 page also `#[cookie(\"…\")]` and `#[form]`",
            );
            return None;
        }
    };
    Some(Argument {
        ident,
        ty: (**ty).clone(),
        place,
    })
}

fn plain(attribute: &Attribute, write: &str, place: Place, mistakes: &mut Mistakes) -> Place {
    if !matches!(attribute.meta, Meta::Path(_)) {
        mistakes.at(attribute, format!("this says it all by itself: write `{write}`"));
    }
    place
}

/// The type inside the `Option` that a header or a cookie is.
fn optional(ty: &syn::Type, what: &str, mistakes: &mut Mistakes) -> Option<Box<syn::Type>> {
    let inner = arguments_of(ty, "Option").filter(|inner| inner.len() == 1);
    if inner.is_none() {
        mistakes.at(ty, format!("a {what} may be missing: write `Option<…>`"));
    }
    Some(Box::new((*inner?.first()?).clone()))
}

fn cookie_name(attribute: &Attribute, mistakes: &mut Mistakes) -> Option<LitStr> {
    let name = attribute.parse_args::<LitStr>().ok();
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    let fine = |name: &LitStr| !name.value().is_empty() && name.value().bytes().all(token);
    if !name.as_ref().is_some_and(fine) {
        mistakes.at(
            attribute,
            "name the cookie in lower-case letters, digits, `-` and `_`: write `#[cookie(\"basket\")]`",
        );
        return None;
    }
    name
}

fn place_in_path(
    ident: &Ident,
    wire: Option<&Wire>,
    parameters: Option<&[String]>,
    mistakes: &mut Mistakes,
) -> Option<usize> {
    let place = parameters?.iter().position(|p| ident.unraw() == p);
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
        mistakes.at(
            &name,
            "a header's name is lower-case letters, digits and `-`, such as \"if-match\"",
        );
        return None;
    }
    if TAKEN.contains(&value.as_str()) {
        mistakes.at(
            &name,
            format!("`{value}` belongs to the way itself: what matters of it is in the `Cx` already"),
        );
        return None;
    }
    Some(name)
}

/// Reports parameters of the path without an argument.
pub fn every_parameter_is_taken(sig: &Signature, wire: &Wire, parameters: &[String], mistakes: &mut Mistakes) {
    let bare = |input: &FnArg, name: &str| match input {
        FnArg::Typed(PatType { attrs, pat, .. }) => {
            attrs.is_empty() && matches!(&**pat, Pat::Ident(p) if p.ident.unraw() == name)
        }
        FnArg::Receiver(_) => false,
    };
    for name in parameters {
        if !sig.inputs.iter().any(|input| bare(input, name)) {
            mistakes.at(
                &wire.path,
                format!("`{{{name}}}` has no argument: add `{name}: …` to `{}`", sig.ident),
            );
        }
    }
}

/// Reports what a request has only once.
pub fn one_of_each(arguments: &[Argument], wire: Option<&Wire>, mistakes: &mut Mistakes) {
    let (mut query, mut body) = (false, false);
    let (mut headers, mut cookies) = (Vec::new(), Vec::new());
    for Argument { ident, place, .. } in arguments {
        match place {
            Place::Path(_) => {}
            Place::Query if std::mem::replace(&mut query, true) => {
                mistakes.at(ident, "a request has one query: put these into one struct");
            }
            Place::Query => {}
            Place::Body | Place::Form if std::mem::replace(&mut body, true) => {
                mistakes.at(ident, "a request has one body: put these into one struct");
            }
            Place::Body | Place::Form => {
                if let Some(method @ (Method::Get | Method::Delete)) = wire.map(|w| w.method) {
                    let key = method.key();
                    mistakes.at(
                        ident,
                        format!("a `{key}` has no body: use `#[query]`, or another method"),
                    );
                }
            }
            Place::Header(name, _) if headers.contains(&name.value()) => {
                mistakes.at(name, "this header is another argument already");
            }
            Place::Header(name, _) => headers.push(name.value()),
            Place::Cookie(name, _) if cookies.contains(&name.value()) => {
                mistakes.at(name, "this cookie is another argument already");
            }
            Place::Cookie(name, _) => cookies.push(name.value()),
        }
    }
}
