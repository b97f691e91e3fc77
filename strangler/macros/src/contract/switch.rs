//! The trait once more: asks the routes per operation, then calls local, remote or both.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::{
    client::read,
    model::{Answer, Argument, Contract, Kind, Operation},
    types::at,
};
use crate::names::local;

pub fn write(contract: &Contract) -> TokenStream {
    let Contract {
        vis, ident, operations, ..
    } = contract;
    let (switch, client, seal) = (contract.item("Switch"), contract.item("Client"), contract.seal());
    let about = format!(" [`{ident}`] wherever it lives: decides when an operation is called which side answers it.");
    let methods = operations.iter().map(|operation| method(contract, operation));
    quote! {
        #[doc = #about]
        #vis struct #switch {
            switch: ::std::sync::Arc<::strangler::__rt::Switch>,
            local: ::std::sync::Arc<dyn #ident>,
            remote: #client,
        }

        impl #switch {
            /// Decides by `switch` between the module in this process and the service.
            pub fn new(
                switch: ::std::sync::Arc<::strangler::__rt::Switch>,
                local: ::std::sync::Arc<dyn #ident>,
                remote: #client,
            ) -> Self {
                Self { switch, local, remote }
            }
        }

        impl #seal::Sealed for #switch {}

        impl #ident for #switch {
            #(#methods)*
        }
    }
}

fn method(contract: &Contract, operation: &Operation) -> TokenStream {
    let callers = &contract.ident;
    let Operation {
        index,
        ident,
        kind,
        cx: (cx, _),
        ..
    } = operation;
    let (head, names) = (operation.head(), operation.names());
    let [way, answer, fault, spare, fallback] = ["way", "answer", "fault", "spare", "fallback"].map(local);
    // With `names` moved into it; it stands in branches of which one is taken.
    let call = quote!(#callers::#ident(&*self.local, #cx, #(#names),*));
    let (shadow, place, compared) = match kind {
        Kind::Command => (recorded(contract, operation, &call), quote!(), quote!()),
        Kind::Query => {
            let (place, compared) = verify(contract, operation);
            (shadow(contract, operation, &call), place, compared)
        }
    };
    let copies = copies(operation);
    let again = local("cx");
    let on_tape = on_tape(contract, operation);
    quote! {
        #head {
            #on_tape
            if self.switch.is_local(#index) {
                return #call;
            }
            let #way = self.switch.way(#index, #cx);
            ::std::boxed::Box::pin(async move {
                match #way {
                    ::strangler::__rt::Way::Local => #call.await,
                    #shadow
                    ::strangler::__rt::Way::Remote { fallback: #fallback }
                    | ::strangler::__rt::Way::Verify { fallback: #fallback } => {
                        #place
                        let #spare = if #fallback { ::std::option::Option::Some(#copies) } else { ::std::option::Option::None };
                        let #answer = #callers::#ident(&self.remote, #cx, #(#names),*).await;
                        #compared
                        match (#answer, #spare) {
                            (::std::result::Result::Err(#fault), ::std::option::Option::Some((#(#names,)*)))
                                if self.switch.may_fall_back_after(#index, &#fault) =>
                            {
                                let #again = self.switch.fallback_cx(#cx);
                                #callers::#ident(&*self.local, &#again, #(#names),*).await
                            }
                            (#answer, _) => #answer,
                        }
                    }
                }
            })
        }
    }
}

/// A call by a unit of work that is recorded, or done again. Who is called is on no tape of the caller's.
fn on_tape(contract: &Contract, operation: &Operation) -> TokenStream {
    let (callers, client, constant) = (&contract.ident, contract.item("Client"), contract.constant());
    let Operation { ident, cx: (cx, _), .. } = operation;
    let (ask, names, read) = (operation.ask(), operation.names(), read(contract, operation));
    let [tape, asked, answer, line, own] = ["tape", "asked", "answer", "line", "own"].map(local);
    let told = told(contract, operation, &quote!(&#answer));
    quote! {
        if let ::std::option::Option::Some(#tape) = ::strangler::Cx::tape(#cx) {
            return ::std::boxed::Box::pin(async move {
                let #asked = #client::#ask(#(&#names),*)?;
                match #tape.dial(&#constant, &#asked).await {
                    ::strangler::__rt::Dialled::Answered(#answer) => #answer.#read,
                    ::strangler::__rt::Dialled::Live(#line) => {
                        let #own = ::strangler::Cx::untaped(#cx);
                        let #answer = #callers::#ident(self, &#own, #(#names),*).await;
                        #line.heard(#told);
                        #answer
                    }
                }
            });
        }
    }
}

/// What the caller is told, as it looks on the wire.
fn told(contract: &Contract, operation: &Operation, answer: &TokenStream) -> TokenStream {
    let (constant, ok) = (contract.constant(), at(&operation.ok));
    match operation.answer {
        Answer::Value(_) => quote_spanned!(ok=> ::strangler::__rt::seen(#answer)),
        Answer::Put(_) => quote_spanned!(ok=> ::strangler::__rt::seen_put(#answer)),
        Answer::Done => quote_spanned!(ok=> ::strangler::__rt::seen_done(#answer)),
        Answer::Accepted(_) => quote_spanned!(ok=> ::strangler::__rt::seen_accepted(&#constant, #answer)),
        Answer::Page => quote_spanned!(ok=> ::strangler::__rt::seen_page(#answer)),
    }
}

/// The branch that records a command, when there is a place in the queue.
fn recorded(contract: &Contract, operation: &Operation, call: &TokenStream) -> TokenStream {
    let Operation {
        index,
        ident,
        cx: (cx, _),
        ..
    } = operation;
    let (callers, client, constant) = (&contract.ident, contract.item("Client"), contract.constant());
    let (ask, names, copies) = (operation.ask(), operation.names(), copies(operation));
    let [taping, asked, answer, own, seen] = ["taping", "asked", "answer", "own", "seen"].map(local);
    let clone = quote_spanned!(at(&operation.ok)=> ::std::clone::Clone::clone(&#answer));
    let told = told(contract, operation, &quote!(&#seen));
    quote! {
        ::strangler::__rt::Way::Shadow => {
            let ::std::option::Option::Some(#taping) = self.switch.record(#index) else {
                return #call.await;
            };
            let #asked = #copies;
            let #own = #taping.cx(#cx);
            let #answer = #callers::#ident(&*self.local, &#own, #(#names),*).await;
            let #seen = #clone;
            #taping.answered(#cx, &#constant, move || {
                let (#(#names,)*) = #asked;
                (#client::#ask(#(&#names),*), #told)
            });
            #answer
        }
    }
}

/// A tuple with a copy of every argument.
fn copies(operation: &Operation) -> TokenStream {
    let copies = operation
        .arguments
        .iter()
        .map(|Argument { ident, ty, .. }| quote_spanned!(at(ty)=> ::std::clone::Clone::clone(&#ident)));
    quote!((#(#copies,)*))
}

/// The branch that has the other side compared, when there is a place in the queue.
fn shadow(contract: &Contract, operation: &Operation, call: &TokenStream) -> TokenStream {
    let Operation { index, cx: (cx, _), .. } = operation;
    let (client, ask, names, copies) = (
        contract.item("Client"),
        operation.ask(),
        operation.names(),
        copies(operation),
    );
    let [offer, asked, answer, seen] = ["offer", "asked", "answer", "seen"].map(local);
    let clone = quote_spanned!(at(&operation.ok)=> ::std::clone::Clone::clone(&#answer));
    let told = told(contract, operation, &quote!(&#seen));
    quote! {
        ::strangler::__rt::Way::Shadow => {
            let ::std::option::Option::Some(#offer) = self.switch.offer(#index) else {
                return #call.await;
            };
            let #asked = #copies;
            let #answer = #call.await;
            let #seen = #clone;
            #offer.fill(#cx, move || {
                let (#(#names,)*) = #asked;
                (#client::#ask(#(&#names),*), #told)
            });
            #answer
        }
    }
}

/// Takes a place in the queue before the service is asked, and hands over what it answered.
fn verify(contract: &Contract, operation: &Operation) -> (TokenStream, TokenStream) {
    let Operation { index, cx: (cx, _), .. } = operation;
    let (client, ask, names, copies) = (
        contract.item("Client"),
        operation.ask(),
        operation.names(),
        copies(operation),
    );
    let [way, offer, asked, answer, seen] = ["way", "offer", "asked", "answer", "seen"].map(local);
    let clone = quote_spanned!(at(&operation.ok)=> ::std::clone::Clone::clone(&#answer));
    let told = told(contract, operation, &quote!(&#seen));
    let place = quote! {
        let #offer = match #way {
            ::strangler::__rt::Way::Verify { .. } => self.switch.offer_verify(#index),
            _ => ::std::option::Option::None,
        };
        let #offer = #offer.map(|#offer| (#offer, #copies));
    };
    let compared = quote! {
        if let ::std::option::Option::Some((#offer, #asked)) = #offer {
            if let ::std::result::Result::Err(::strangler::Failure::Way(_)) = &#answer {
                #offer.skip(::strangler::__rt::Skip::NotAnswered);
            } else {
                let #seen = #clone;
                #offer.fill(#cx, move || {
                    let (#(#names,)*) = #asked;
                    (#client::#ask(#(&#names),*), #told)
                });
            }
        }
    };
    (place, compared)
}
