//! `#[contract]`: one trait, four wirings.

mod argument;
mod attribute;
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

use proc_macro2::TokenStream;

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
