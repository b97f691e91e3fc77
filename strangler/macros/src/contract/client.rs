//! The contract over HTTP.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{
    model::{Answer, Argument, Contract, Operation, Place},
    types::at,
};
use crate::names::local;

pub fn write(contract: &Contract) -> TokenStream {
    let Contract {
        vis, ident, operations, ..
    } = contract;
    let (client, constant, seal) = (contract.item("Client"), contract.constant(), contract.seal());
    let about = format!(" [`{ident}`] in another process.");
    let asks = operations.iter().map(|operation| ask(contract, operation));
    let methods = operations.iter().map(|operation| method(contract, operation));
    quote! {
        #[doc = #about]
        #[derive(::std::clone::Clone)]
        #vis struct #client {
            remote: ::strangler::__rt::Remote,
        }

        impl #client {
            /// Asks over `transport` and counts the answers into `stats`.
            pub fn new(
                transport: ::std::sync::Arc<dyn ::strangler::__rt::Transport>,
                stats: ::std::sync::Arc<::strangler::__rt::ModuleStats>,
            ) -> Self {
                Self { remote: ::strangler::__rt::Remote::new(&#constant, transport, stats) }
            }

            #(#asks)*
        }

        impl #seal::Sealed for #client {}

        impl #ident for #client {
            #(#methods)*
        }
    }
}

/// The request of one operation; the switch writes it as well, to have the other side compared.
fn ask(contract: &Contract, operation: &Operation) -> TokenStream {
    let Operation { index, arguments, .. } = operation;
    let (constant, ask) = (contract.constant(), operation.ask());
    let parameters = arguments.iter().map(|Argument { ident, ty, .. }| quote!(#ident: &#ty));
    let params = local("params");
    let bare = quote!(::strangler::__rt::Ask::new(&#constant, #index, #params));
    let (mut in_path, mut written) = (Vec::new(), None);
    for Argument { ident, ty, place } in arguments {
        let so_far = written
            .as_ref()
            .map_or_else(|| bare.clone(), |written| quote!(#written?));
        written = Some(match place {
            Place::Path(place) => {
                in_path.push((place, quote_spanned!(at(ty)=> #ident as &dyn ::std::fmt::Display)));
                continue;
            }
            Place::Query => quote_spanned!(at(ty)=> #so_far.query(#ident)),
            Place::Header(name, _) => quote_spanned!(at(ty)=> #so_far.header(#name, #ident)),
            Place::Cookie(name, _) => quote_spanned!(at(ty)=> #so_far.cookie(#name, #ident)),
            Place::Body => quote_spanned!(at(ty)=> #so_far.body(#ident)),
            Place::Form => quote_spanned!(at(ty)=> #so_far.form(#ident)),
        });
    }
    in_path.sort_by_key(|(place, _)| **place);
    let in_path = in_path.into_iter().map(|(_, ident)| ident);
    let written = written.unwrap_or_else(|| quote!(::std::result::Result::Ok(#bare)));
    quote! {
        #[allow(clippy::ptr_arg, clippy::ref_option, clippy::trivially_copy_pass_by_ref)]
        fn #ask(#(#parameters),*) -> ::std::result::Result<::strangler::__rt::Ask, ::strangler::Fault> {
            let #params: &[&dyn ::std::fmt::Display] = &[#(#in_path),*];
            #written
        }
    }
}

/// How an answer is read.
pub fn read(contract: &Contract, operation: &Operation) -> TokenStream {
    let constant = contract.constant();
    let (ok, error) = (at(&operation.ok), at(&operation.error));
    match operation.answer {
        Answer::Value(_) => quote_spanned!(ok=> into_value()),
        Answer::Put(_) => quote_spanned!(ok=> into_put()),
        Answer::Done => quote_spanned!(error=> into_done()),
        Answer::Accepted(_) => quote_spanned!(ok=> into_accepted(&#constant)),
        Answer::Page => quote_spanned!(error=> into_page()),
    }
}

fn method(contract: &Contract, operation: &Operation) -> TokenStream {
    let (head, ask) = (operation.head(), operation.ask());
    let (cx, names) = (&operation.cx.0, operation.names());
    let read = read(contract, operation);
    quote! {
        #head {
            ::std::boxed::Box::pin(async move {
                self.remote.call(#cx, Self::#ask(#(&#names),*)?).await?.#read
            })
        }
    }
}
