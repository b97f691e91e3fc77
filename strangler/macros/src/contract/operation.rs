//! Reads one method of the trait.

use syn::{
    Attribute, FnArg, GenericArgument, Ident, Pat, PatType, PathArguments, Receiver, ReturnType, Signature,
    TraitItemFn, Type, TypeReference,
};

use super::{
    argument::{argument, every_parameter_is_taken, one_of_each},
    attribute::Wire,
    model::{Answer, Argument, Kind, Operation},
    path,
    types::{arguments_of, check_owned, last_segment},
};
use crate::mistakes::Mistakes;

/// Attributes that may stay on a method: they mean the same on both traits.
const KEPT: [&str; 5] = ["doc", "deprecated", "allow", "expect", "must_use"];

/// The operation, when it can be read at all; what is wrong is among the mistakes.
pub fn read(index: usize, item: TraitItemFn, mistakes: &mut Mistakes) -> Option<Operation> {
    let TraitItemFn {
        attrs, sig, default, ..
    } = item;
    let (kind, rest) = split(attrs, &sig.ident, mistakes);
    let wire = kind.and_then(|(kind, attribute)| Wire::read(kind, &attribute, mistakes));
    plain_function(&sig, mistakes);
    if let Some(body) = &default {
        mistakes.at(
            body,
            "a contract only says what can be asked: end the line with `;` and answer in the service",
        );
    }
    let mut inputs = sig.inputs.iter().peekable();
    match inputs.next_if(|input| matches!(input, FnArg::Receiver(_))) {
        Some(FnArg::Receiver(Receiver {
            reference: Some((_, None)),
            mutability: None,
            colon_token: None,
            ..
        })) => {}
        Some(other) => mistakes.at(other, "an operation takes `&self`"),
        None => mistakes.at(&sig.ident, "an operation takes `&self` first"),
    }
    let cx = inputs.next_if(|input| context(input).is_some()).and_then(context);
    if cx.is_none() {
        mistakes.at(
            &sig.ident,
            "an operation takes the call context after `&self`: write `cx: &Cx`",
        );
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
    let Wire {
        kind,
        method,
        path,
        auth,
        etag,
        next,
        uncaptured,
    } = wire;
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
        uncaptured,
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
                mistakes.at(
                    &attribute,
                    "this has no meaning on an operation; there are `#[query(…)]` and `#[command(…)]`",
                );
                continue;
            }
        };
        if found.is_some() {
            mistakes.at(
                &attribute,
                "an operation is one of `#[query(…)]` and `#[command(…)]`, once: leave one of them",
            );
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

fn plain_function(sig: &Signature, mistakes: &mut Mistakes) {
    if sig.asyncness.is_none() {
        mistakes.at(
            sig.fn_token,
            format!(
                "an operation may have to go over the network: write `async fn {}`",
                sig.ident
            ),
        );
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
        mistakes.at(
            &sig.generics,
            "an operation is not generic: its types travel over HTTP, so name them",
        );
    }
    if let Some(clause) = &sig.generics.where_clause {
        mistakes.at(clause, "an operation is not generic: leave out the `where`");
    }
}

/// The name and the type behind the reference, if the argument is `cx: &Cx`.
fn context(input: &FnArg) -> Option<(Ident, Type)> {
    let FnArg::Typed(PatType { pat, ty, .. }) = input else {
        return None;
    };
    let (
        Pat::Ident(pat),
        Type::Reference(TypeReference {
            lifetime: None,
            mutability: None,
            elem,
            ..
        }),
    ) = (&**pat, &**ty)
    else {
        return None;
    };
    last_segment(elem)
        .is_some_and(|s| s.ident == "Cx")
        .then(|| (pat.ident.clone(), (**elem).clone()))
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
        (Some("WebPage"), None) => Answer::Page,
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
