//! `#[problems]`: an enum becomes a contract's error.

mod parse;
mod write;

use proc_macro2::{Ident, TokenStream};
use syn::{Field, ItemEnum, LitStr};

/// An enum of errors.
struct Problems {
    /// As the author wrote it, without the `problem` attributes.
    item: ItemEnum,
    variants: Vec<Variant>,
}

/// One of its variants.
struct Variant {
    ident: Ident,
    fields: Vec<Field>,
    /// `urn:problem-type:catalog:no-such-show`.
    kind: String,
    status: u16,
    title: LitStr,
    detail: Detail,
}

/// What a problem says of this occurrence.
enum Detail {
    /// A format string over the variant's fields.
    Format(LitStr),
    /// The doc comment, as it stands.
    Text(String),
    None,
}

/// The code for an enum under `#[problems("…")]`.
pub fn expand(arguments: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    parse::problems(arguments, item).map(|problems| write::write(&problems))
}
