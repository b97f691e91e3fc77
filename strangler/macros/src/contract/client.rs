//! The contract over HTTP.

use proc_macro2::TokenStream;
use quote::quote;

use super::model::{Answer, Argument, Contract, Operation, Place};

pub fn write(contract: &Contract) -> TokenStream {
    let Contract { vis, ident, operations, .. } = contract;
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
    let mut in_path: Vec<_> = arguments
        .iter()
        .filter_map(|a| if let Place::Path(place) = a.place { Some((place, &a.ident)) } else { None })
        .collect();
    in_path.sort_by_key(|(place, _)| *place);
    let in_path = in_path.into_iter().map(|(_, ident)| ident);
    let rest = arguments.iter().map(|Argument { ident, place, .. }| match place {
        Place::Path(_) => quote!(),
        Place::Query => quote!(.query(#ident)?),
        Place::Header(name, _) => quote!(.header(#name, #ident)?),
        Place::Body => quote!(.body(#ident)?),
    });
    quote! {
        #[allow(clippy::ptr_arg, clippy::ref_option, clippy::trivially_copy_pass_by_ref)]
        fn #ask(#(#parameters),*) -> ::std::result::Result<::strangler::__rt::Ask, ::strangler::Fault> {
            let params: &[&dyn ::std::fmt::Display] = &[#(#in_path),*];
            ::std::result::Result::Ok(::strangler::__rt::Ask::new(&#constant, #index, params)#(#rest)*)
        }
    }
}

fn method(contract: &Contract, operation: &Operation) -> TokenStream {
    let (head, ask, constant) = (operation.head(), operation.ask(), contract.constant());
    let (cx, names) = (&operation.cx.0, operation.names());
    let read = match operation.answer {
        Answer::Value(_) => quote!(into_value()),
        Answer::Put(_) => quote!(into_put()),
        Answer::Done => quote!(into_done()),
        Answer::Accepted(_) => quote!(into_accepted(&#constant)),
    };
    quote! {
        #head {
            ::std::boxed::Box::pin(async move {
                self.remote.call(#cx, Self::#ask(#(&#names),*)?).await?.#read
            })
        }
    }
}
