//! What the contract says of itself, and what its types must be able to do.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Type, ext::IdentExt, spanned::Spanned};

use super::{
    model::{Answer, Argument, Auth, Contract, Operation, Place},
    server::kind,
    types::at,
};
use crate::names::doc_text;

pub fn write(contract: &Contract) -> TokenStream {
    let Contract {
        name,
        version,
        pages,
        events,
        vis,
        ident,
        attributes,
        operations,
    } = contract;
    let constant = contract.constant();
    let about = format!(" The description of [`{ident}`]: its name, version and operations.");
    let doc = doc_text(attributes, "\n");
    let described = operations.iter().map(|operation| describe(&name.value(), operation));
    let documented = operations.iter().map(document);
    let events = match events {
        Some(events) => quote_spanned!(events.span()=> <#events as ::strangler::Event>::EVENTS),
        None => quote!(&[]),
    };
    let able = operations.iter().map(able);
    quote! {
        #[doc = #about]
        #vis static #constant: ::strangler::Contract = ::strangler::Contract {
            name: #name,
            version: #version,
            pages: #pages,
            doc: #doc,
            operations: &[#(#described),*],
            events: #events,
            openapi: || ::strangler::__rt::Document::new(&#constant) #(#documented)* .finish(),
        };

        const _: fn() = || {
            #(#able)*
        };
    }
}

fn describe(module: &str, operation: &Operation) -> TokenStream {
    let Operation { attributes, path, .. } = operation;
    let name = operation.plain_name();
    let id = format!("{module}.{name}");
    let doc = doc_text(attributes, "\n");
    let kind = kind(operation.kind);
    let method = Ident::new(&operation.method.key().to_uppercase(), proc_macro2::Span::call_site());
    let mut headers: Vec<_> = operation
        .arguments
        .iter()
        .filter_map(|argument| match &argument.place {
            Place::Header(name, _) => Some(name.value()),
            Place::Cookie(..) => Some("cookie".to_owned()),
            Place::Path(_) | Place::Query | Place::Body | Place::Form => None,
        })
        .collect();
    headers.dedup();
    let uncaptured = match &operation.uncaptured {
        Some(effect) => quote!(::std::option::Option::Some(#effect)),
        None => quote!(::std::option::Option::None),
    };
    let auth = match &operation.auth {
        Auth::Public => quote!(Public),
        Auth::SignedIn => quote!(SignedIn),
        Auth::Scope(scope) => quote!(Scope(#scope)),
    };
    let marks = |ty: &Type| {
        quote_spanned! {at(ty)=> {
            #[allow(unused_imports)]
            use ::strangler::__rt::{Marked as _, Unmarked as _};
            (&::strangler::__rt::Probe::<#ty>::NEW).marks(::strangler::__rt::DEPTH)
        }}
    };
    let inputs = operation
        .arguments
        .iter()
        .filter_map(|Argument { ty, place, .. }| match place {
            Place::Query | Place::Body | Place::Form => {
                let marks = marks(ty);
                Some(quote!(.flattened(#marks)))
            }
            Place::Path(_) | Place::Header(..) | Place::Cookie(..) => None,
        });
    let answer = match &operation.answer {
        Answer::Value(ty) | Answer::Put(ty) | Answer::Accepted(ty) => marks(ty),
        Answer::Done | Answer::Page => quote!(::strangler::__rt::Marks::default()),
    };
    quote! {
        ::strangler::Operation {
            name: #name,
            id: #id,
            kind: #kind,
            method: ::strangler::__rt::Method::#method,
            path: #path,
            auth: ::strangler::Auth::#auth,
            headers: &[#(#headers),*],
            uncaptured: #uncaptured,
            doc: #doc,
            input_marks: || ::strangler::__rt::Marks::default() #(#inputs)*,
            answer_marks: || #answer,
        }
    }
}

fn document(operation: &Operation) -> TokenStream {
    let Operation {
        index,
        arguments,
        answer,
        error,
        ..
    } = operation;
    let inputs = arguments.iter().map(|Argument { ident, ty, place }| match place {
        Place::Path(_) => {
            let name = ident.unraw().to_string();
            quote_spanned!(at(ty)=> .path_param::<#ty>(#name))
        }
        Place::Query => quote_spanned!(at(ty)=> .query::<#ty>()),
        Place::Header(name, inner) => quote_spanned!(at(inner)=> .header::<#inner>(#name)),
        Place::Cookie(name, inner) => quote_spanned!(at(inner)=> .cookie::<#inner>(#name)),
        Place::Body => quote_spanned!(at(ty)=> .body::<#ty>()),
        Place::Form => quote_spanned!(at(ty)=> .form::<#ty>()),
    });
    let answer = match answer {
        Answer::Value(ty) => quote_spanned!(at(ty)=> .value::<#ty>()),
        Answer::Put(ty) => quote_spanned!(at(ty)=> .put::<#ty>()),
        Answer::Done => quote!(.done()),
        Answer::Page => quote!(.page()),
        Answer::Accepted(ty) => quote_spanned!(at(ty)=> .accepted::<#ty>()),
    };
    let etag = operation.etag.as_ref().map(|_| quote!(.etag()));
    let next = operation.next.as_ref().map(|_| quote!(.next()));
    let problems = quote_spanned!(at(error)=> .problems::<#error>());
    quote!(.operation(#index, |op| op #(#inputs)* #etag #next #answer #problems))
}

/// Names what a type lacks at the place where the contract uses it.
fn able(operation: &Operation) -> TokenStream {
    let assert = |what: &str, ty: &Type| {
        let what = Ident::new(what, at(ty));
        quote_spanned!(at(ty)=> ::strangler::__rt::#what::<#ty>();)
    };
    let arguments = operation
        .arguments
        .iter()
        .map(|Argument { ty, place, .. }| match place {
            Place::Path(_) => assert("is_path_parameter", ty),
            Place::Query => assert("is_query", ty),
            Place::Header(_, inner) => assert("is_header", inner),
            Place::Cookie(_, inner) => assert("is_cookie", inner),
            Place::Body | Place::Form => assert("is_body", ty),
        });
    let answer = match &operation.answer {
        Answer::Value(ty) | Answer::Put(ty) | Answer::Accepted(ty) => Some(assert("is_answer", ty)),
        Answer::Done | Answer::Page => None,
    };
    let error = assert("is_error", &operation.error);
    quote!(#(#arguments)* #answer #error)
}
