//! The contract behind bytes.

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;

use super::{
    model::{Answer, Argument, Contract, Kind, Operation, Place},
    types::at,
};
use crate::names::local;

pub fn write(contract: &Contract) -> TokenStream {
    let Contract {
        vis, ident, operations, ..
    } = contract;
    let (server, constant) = (contract.item("Server"), contract.constant());
    let about = format!(" Answers requests to the operations of [`{ident}`], bytes in and bytes out.");
    let new = format!(" Answers with `inner`: the module itself behind its guard, or a [`{ident}Switch`].");
    let endpoints = operations.iter().map(|operation| endpoint(contract, operation));
    let arms = operations.iter().map(|operation| {
        let (index, serve) = (operation.index, serve(operation));
        quote!(#index => ::std::boxed::Box::pin(self.#serve(cx, asked)),)
    });
    quote! {
        #[doc = #about]
        #vis struct #server {
            inner: ::std::sync::Arc<dyn #ident>,
        }

        impl #server {
            #[doc = #new]
            pub fn new(inner: ::std::sync::Arc<dyn #ident>) -> Self {
                Self { inner }
            }

            #(#endpoints)*
        }

        impl ::strangler::Serve for #server {
            fn contract(&self) -> &'static ::strangler::Contract {
                &#constant
            }

            fn serve<'a>(
                &'a self,
                index: usize,
                cx: &'a ::strangler::Cx,
                asked: ::strangler::__rt::Asked<'a>,
            ) -> ::strangler::BoxFuture<'a, ::strangler::__rt::Answered> {
                match index {
                    #(#arms)*
                    other => ::std::boxed::Box::pin(::std::future::ready(
                        ::strangler::__rt::no_such_operation(&#constant, other),
                    )),
                }
            }
        }
    }
}

fn serve(operation: &Operation) -> Ident {
    format_ident!("serve_{}", operation.plain_name())
}

fn endpoint(contract: &Contract, operation: &Operation) -> TokenStream {
    let Operation {
        index,
        ident: method,
        arguments,
        ..
    } = operation;
    let (constant, callers, serve) = (contract.constant(), &contract.ident, serve(operation));
    let (cx, asked, answer, failure) = (local("cx"), local("asked"), local("answer"), local("failure"));
    let names = operation.names();
    let decode = arguments.iter().map(|argument| decode(argument, &asked));
    let failed = quote_spanned!(at(&operation.error)=> ::strangler::__rt::Answered::failure(&#failure));
    let encode = encode(operation, &constant, &answer, &asked);
    quote! {
        async fn #serve(&self, #cx: &::strangler::Cx, #asked: ::strangler::__rt::Asked<'_>) -> ::strangler::__rt::Answered {
            // First of all, so that nobody unauthorised has anything read.
            if let ::std::result::Result::Err(fault) = ::strangler::__rt::authorise(#constant.operations[#index].auth, #cx) {
                return fault.into();
            }
            #(#decode)*
            match #callers::#method(&*self.inner, #cx, #(#names),*).await {
                ::std::result::Result::Ok(#answer) => #encode,
                ::std::result::Result::Err(#failure) => #failed,
            }
        }
    }
}

fn decode(Argument { ident, ty, place }: &Argument, asked: &Ident) -> TokenStream {
    let read = match place {
        Place::Path(place) => {
            let (place, name) = (Literal::usize_unsuffixed(*place), ident.unraw().to_string());
            quote_spanned!(at(ty)=> ::strangler::__rt::path_param::<#ty>(&#asked, #place, #name))
        }
        Place::Query => quote_spanned!(at(ty)=> ::strangler::__rt::query::<#ty>(&#asked)),
        Place::Header(name, inner) => quote_spanned!(at(inner)=> ::strangler::__rt::header::<#inner>(&#asked, #name)),
        Place::Cookie(name, inner) => quote_spanned!(at(inner)=> ::strangler::__rt::cookie::<#inner>(&#asked, #name)),
        Place::Body => quote_spanned!(at(ty)=> ::strangler::__rt::body::<#ty>(&#asked)),
        Place::Form => quote_spanned!(at(ty)=> ::strangler::__rt::form::<#ty>(&#asked)),
    };
    quote! {
        let #ident: #ty = match #read {
            ::std::result::Result::Ok(value) => value,
            ::std::result::Result::Err(fault) => return fault.into(),
        };
    }
}

fn encode(operation: &Operation, constant: &Ident, answer: &Ident, asked: &Ident) -> TokenStream {
    let mut encode = match &operation.answer {
        Answer::Value(ty) => quote_spanned!(at(ty)=> ::strangler::__rt::Answered::value(&#answer)),
        Answer::Put(ty) => quote_spanned!(at(ty)=> ::strangler::__rt::Answered::put(&#answer)),
        Answer::Done => quote!(::strangler::__rt::Answered::done(&#answer)),
        Answer::Page => quote!(::strangler::__rt::Answered::page(&#answer)),
        Answer::Accepted(ty) => quote_spanned!(at(ty)=> ::strangler::__rt::Answered::accepted(&#constant, &#answer)),
    };
    let value = match &operation.answer {
        Answer::Put(_) => quote!(#answer.value()),
        _ => quote!(#answer),
    };
    if let Some(field) = &operation.etag {
        let kind = kind(operation.kind);
        encode = quote!(#encode.etag(&#value.#field, &#asked, #kind));
    }
    if let Some(field) = &operation.next {
        encode = quote!(#encode.next(#value.#field.as_deref(), &#asked));
    }
    encode
}

/// `Kind::Query`.
pub fn kind(kind: Kind) -> TokenStream {
    match kind {
        Kind::Query => quote!(::strangler::Kind::Query),
        Kind::Command => quote!(::strangler::Kind::Command),
    }
}
