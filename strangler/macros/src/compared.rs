//! `#[derive(Compared)]`: the marks on a struct's fields, by the names the fields have in JSON.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{
    Attribute, Data, DeriveInput, Expr, ExprLit, ExprUnary, Field, Fields, Ident, Lit, LitStr, Meta, Token, UnOp,
    ext::IdentExt, punctuated::Punctuated, spanned::Spanned,
};

use crate::mistakes::Mistakes;

pub fn expand(input: TokenStream) -> syn::Result<TokenStream> {
    let input: DeriveInput = syn::parse2(input)?;
    let mut mistakes = Mistakes::default();
    let body = match &input.data {
        Data::Struct(data) => marks(&data.fields, &input.attrs, &mut mistakes),
        Data::Enum(_) | Data::Union(_) => {
            mistakes.at(
                &input.ident,
                "`Compared` is for structs: an enum has no fields that have a place in every answer",
            );
            quote!()
        }
    };
    mistakes.check()?;
    let (ident, (generics, arguments, bounds)) = (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        impl #generics ::strangler::Compared for #ident #arguments #bounds {
            fn marks(depth: u8) -> ::strangler::Marks {
                #[allow(unused_imports)]
                use ::strangler::__rt::{Marked as _, Unmarked as _};
                #body
            }
        }
    })
}

fn marks(fields: &Fields, attributes: &[Attribute], mistakes: &mut Mistakes) -> TokenStream {
    let style = serde(attributes, "rename_all").map(|style| style.value());
    let transparent =
        matches!(fields, Fields::Unnamed(fields) if fields.unnamed.len() == 1) || serde_has(attributes, "transparent");
    let each = fields.iter().map(|field| {
        let own = own(field, mistakes);
        let ty = &field.ty;
        let below = quote_spanned!(ty.span()=> (&::strangler::__rt::Probe::<#ty>::NEW).marks(depth));
        if transparent {
            return quote!(.flattened(#below #own));
        }
        if serde_has(&field.attrs, "skip") {
            return quote!();
        }
        if serde_has(&field.attrs, "flatten") {
            return quote!(.flattened(#below));
        }
        let Some(ident) = &field.ident else {
            return quote!();
        };
        let name = match serde(&field.attrs, "rename") {
            Some(name) => name.value(),
            None => match style.as_deref().map(|style| restyle(&ident.unraw().to_string(), style)) {
                Some(Some(name)) => name,
                Some(None) => {
                    mistakes.at(ident, "`Compared` knows camelCase, PascalCase, kebab-case and snake_case; rename the field instead");
                    String::new()
                }
                None => ident.unraw().to_string(),
            },
        };
        quote!(.field(#name, #below #own))
    });
    let each: Vec<_> = each.collect();
    quote!(::strangler::Marks::default() #(#each)*)
}

/// What stands on the field itself.
fn own(field: &Field, mistakes: &mut Mistakes) -> TokenStream {
    const MARKS: &str =
        "write #[compare(ignore)], #[compare(unordered)], #[compare(tolerance = 0.01)] or #[compare(private)]";
    let mut own = quote!();
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("compare")) {
        let read = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        let Some(read) = mistakes.keep(read) else { continue };
        if read.is_empty() {
            mistakes.at(attribute, MARKS);
        }
        for meta in read {
            let mark = match &meta {
                Meta::Path(path) => ["ignore", "unordered", "private"]
                    .into_iter()
                    .find(|name| path.is_ident(name)),
                _ => None,
            };
            match (mark, &meta) {
                (Some(name), _) => {
                    let name = Ident::new(name, meta.span());
                    own.extend(quote!(.#name()));
                }
                (None, Meta::NameValue(pair)) if pair.path.is_ident("tolerance") => match number(&pair.value) {
                    Some(by) => own.extend(quote!(.tolerance(#by))),
                    None => mistakes.at(&pair.value, "a tolerance is a positive number, in the field's own unit"),
                },
                _ => mistakes.at(&meta, MARKS),
            }
        }
    }
    own
}

fn number(value: &Expr) -> Option<f64> {
    let by = match value {
        Expr::Lit(ExprLit {
            lit: Lit::Float(by), ..
        }) => by.base10_parse().ok()?,
        Expr::Lit(ExprLit { lit: Lit::Int(by), .. }) => by.base10_parse::<u32>().ok()?.into(),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), .. }) => return None,
        _ => return None,
    };
    (by >= 0.0).then_some(by)
}

fn serde_metas(attributes: &[Attribute]) -> impl Iterator<Item = Meta> {
    attributes
        .iter()
        .filter(|a| a.path().is_ident("serde"))
        .filter_map(|a| a.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok())
        .flatten()
}

fn serde_has(attributes: &[Attribute], word: &str) -> bool {
    serde_metas(attributes).any(|meta| meta.path().is_ident(word))
}

fn serde(attributes: &[Attribute], name: &str) -> Option<LitStr> {
    serde_metas(attributes).find_map(|meta| match meta {
        Meta::NameValue(pair) if pair.path.is_ident(name) => match pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Some(text),
            _ => None,
        },
        _ => None,
    })
}

/// A field's name in the style of `rename_all`.
fn restyle(name: &str, style: &str) -> Option<String> {
    let words = name.split('_').filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars
            .next()
            .map(|first| first.to_uppercase().chain(chars).collect::<String>())
            .unwrap_or_default()
    };
    Some(match style {
        "snake_case" => name.to_owned(),
        "kebab-case" => words.collect::<Vec<_>>().join("-"),
        "PascalCase" => words.map(capital).collect(),
        "camelCase" => words
            .enumerate()
            .map(|(i, word)| if i == 0 { word.to_owned() } else { capital(word) })
            .collect(),
        _ => return None,
    })
}
