//! `#[contract]`: one trait, four wirings.

mod checks;
mod description;
mod model;
mod operation;
mod parse;
mod path;
mod types;

mod client;
mod server;
mod switch;
mod traits;

use proc_macro2::{Ident, Span, TokenStream};

/// A local variable of the generated code that no argument of the same name can collide with.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The code for a trait under `#[contract(…)]`.
pub fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let contract = parse::contract(arguments, item)?;
    Ok([
        traits::write(&contract),
        server::write(&contract),
        client::write(&contract),
        switch::write(&contract),
        description::write(&contract),
    ]
    .into_iter()
    .collect())
}
