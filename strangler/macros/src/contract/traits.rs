//! The object-safe trait, the trait that a module implements, and the guard between them.

use proc_macro2::TokenStream;
use quote::quote;

use super::model::{Contract, Operation};
use crate::names::local;

pub fn write(contract: &Contract) -> TokenStream {
    let callers = callers(contract);
    let service = service(contract);
    let guarded = guarded(contract);
    quote!(#callers #service #guarded)
}

fn callers(contract: &Contract) -> TokenStream {
    let Contract {
        vis,
        ident,
        attributes,
        operations,
        ..
    } = contract;
    let seal = contract.seal();
    let about = format!(
        " What callers hold, as `Arc<dyn {ident}>`: every call is one boxed future. It comes from \
         [`{ident}Service::guarded`], [`{ident}Client`] and [`{ident}Switch`], and from nothing else."
    );
    let methods = operations.iter().map(|operation| {
        let attributes = &operation.attributes;
        let head = operation.head();
        quote!(#(#attributes)* #head;)
    });
    quote! {
        mod #seal {
            pub trait Sealed {}
        }

        #(#attributes)*
        #[doc = ""]
        #[doc = #about]
        #vis trait #ident: #seal::Sealed + ::std::marker::Send + ::std::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

fn service(contract: &Contract) -> TokenStream {
    let Contract {
        vis, ident, operations, ..
    } = contract;
    let (service, guarded, constant) = (contract.item("Service"), contract.item("Guarded"), contract.constant());
    let about =
        format!(" The operations of [`{ident}`] as the module writes them: `impl {service}` with plain `async fn`s.");
    let methods = operations.iter().map(|operation| {
        let Operation {
            ident,
            attributes,
            cx: (cx, cx_type),
            ok,
            error,
            ..
        } = operation;
        let parameters = operation.parameters();
        quote! {
            #(#attributes)*
            fn #ident(&self, #cx: &#cx_type, #parameters)
                -> impl ::std::future::Future<Output = ::std::result::Result<#ok, #error>> + ::std::marker::Send;
        }
    });
    quote! {
        #[doc = #about]
        #vis trait #service: ::std::marker::Send + ::std::marker::Sync + 'static {
            #(#methods)*

            /// The service behind its guard: authorisation, deadline, counts and latency. The one way to something that
            /// callers can hold, so that a local call cannot walk around what the contract promises.
            fn guarded(
                self,
                stats: ::std::sync::Arc<::strangler::__rt::ModuleStats>,
            ) -> ::std::sync::Arc<dyn #ident>
            where
                Self: ::std::marker::Sized,
            {
                let guard = ::strangler::__rt::Guard::new(&#constant, stats);
                ::std::sync::Arc::new(#guarded { service: self, guard })
            }
        }
    }
}

fn guarded(contract: &Contract) -> TokenStream {
    let Contract { ident, operations, .. } = contract;
    let (service, guarded, seal) = (contract.item("Service"), contract.item("Guarded"), contract.seal());
    let methods = operations.iter().map(|operation| {
        let Operation {
            index,
            ident,
            cx: (cx, _),
            ..
        } = operation;
        let (head, names) = (operation.head(), operation.names());
        let [entered, call] = ["entered", "call"].map(local);
        // The service is called inside the future that the guard runs: what it does before its first await is guarded
        // as well.
        quote! {
            #head {
                if !self.guard.records(#cx) {
                    return ::std::boxed::Box::pin(self.guard.run(#index, #cx, async move {
                        #service::#ident(&self.service, #cx, #(#names),*).await
                    }));
                }
                ::std::boxed::Box::pin(async move {
                    let #entered = self.guard.enter(#cx);
                    let #cx = #entered.cx();
                    let #call = async move { #service::#ident(&self.service, #cx, #(#names),*).await };
                    self.guard.run_recorded(#index, &#entered, #call).await
                })
            }
        }
    });
    quote! {
        struct #guarded<S> {
            service: S,
            guard: ::strangler::__rt::Guard,
        }

        impl<S> #seal::Sealed for #guarded<S> {}

        impl<S: #service> #ident for #guarded<S> {
            #(#methods)*
        }
    }
}
