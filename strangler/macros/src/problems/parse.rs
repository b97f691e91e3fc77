//! Reads the enum and its variants' attributes.

use proc_macro2::{Ident, TokenStream};
use syn::{
    Attribute, Fields, Item, ItemEnum, LitInt, LitStr, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
};

use super::{Detail, Problems, Variant};
use crate::{
    mistakes::Mistakes,
    names::{bad_contract_name, doc_text, words},
};

/// Members of every problem document (RFC 9457, 3.1).
const TAKEN: [&str; 5] = ["type", "title", "status", "detail", "instance"];

const EXAMPLE: &str = "write `#[problem(404, \"No such show\", detail = \"no show has the id {id}\")]`";

/// What `#[problem(…)]` says.
struct Said {
    status: LitInt,
    title: LitStr,
    detail: Option<LitStr>,
}

impl Parse for Said {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let wrong = |e: syn::Error| syn::Error::new(e.span(), format!("{e}: {EXAMPLE}"));
        let status = input.parse().map_err(wrong)?;
        input.parse::<Token![,]>().map_err(wrong)?;
        let title = input.parse().map_err(wrong)?;
        let mut detail = None;
        if input.parse::<Option<Token![,]>>()?.is_some() && !input.is_empty() {
            let key = input.call(Ident::parse_any).map_err(wrong)?;
            if key != "detail" {
                return Err(syn::Error::new(
                    key.span(),
                    format!("`{key}` is not known here; there is `detail`: {EXAMPLE}"),
                ));
            }
            input.parse::<Token![=]>().map_err(wrong)?;
            detail = Some(input.parse().map_err(wrong)?);
            input.parse::<Option<Token![,]>>()?;
        }
        if input.is_empty() {
            Ok(Self { status, title, detail })
        } else {
            Err(wrong(input.error("unexpected")))
        }
    }
}

/// The enum, or all that is wrong with it.
pub fn problems(arguments: TokenStream, item: TokenStream) -> syn::Result<Problems> {
    let mut mistakes = Mistakes::default();
    let mut item = match syn::parse2::<Item>(item)? {
        Item::Enum(item) => item,
        other => {
            mistakes.at(
                other,
                "a contract's errors are an enum: put `#[problems(\"…\")]` on `pub enum …`",
            );
            mistakes.check()?;
            unreachable!("a mistake was just added");
        }
    };
    let name = contract_name(arguments, &item.ident, &mut mistakes).unwrap_or_default();
    if !item.generics.params.is_empty() {
        mistakes.at(
            &item.generics,
            "a contract's errors are not generic: they travel over HTTP, so name the types",
        );
    }
    if item.variants.is_empty() {
        mistakes.at(&item.ident, "an enum without variants can be no error: add one");
    }
    let variants = variants(&name, &mut item, &mut mistakes);
    mistakes.check().map(|()| Problems { item, variants })
}

fn contract_name(arguments: TokenStream, ident: &Ident, mistakes: &mut Mistakes) -> Option<String> {
    const INSTEAD: &str = "name the contract: write `#[problems(\"catalog\")]`";
    if arguments.is_empty() {
        mistakes.at(ident, INSTEAD);
        return None;
    }
    let Ok(name) = syn::parse2::<LitStr>(arguments.clone()) else {
        mistakes.at(arguments, INSTEAD);
        return None;
    };
    if let Some(message) = bad_contract_name(&name.value()) {
        mistakes.at(&name, message);
    }
    Some(name.value())
}

fn variants(contract: &str, item: &mut ItemEnum, mistakes: &mut Mistakes) -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    for variant in &mut item.variants {
        let (mine, rest): (Vec<Attribute>, _) = std::mem::take(&mut variant.attrs)
            .into_iter()
            .partition(|a| a.path().is_ident("problem"));
        variant.attrs = rest;
        if let Some(cfg) = variant.attrs.iter().find(|a| a.path().is_ident("cfg")) {
            mistakes.at(cfg, "both ends know every problem: leave out the `cfg`");
        }
        let fields = match &variant.fields {
            Fields::Unit => Vec::new(),
            Fields::Named(fields) => fields.named.iter().cloned().collect(),
            Fields::Unnamed(fields) => {
                mistakes.at(fields, "a problem's fields have names on the wire: write `{ id: … }`");
                continue;
            }
        };
        for field in &fields {
            if let Some(name) = &field.ident
                && TAKEN.contains(&name.unraw().to_string().as_str())
            {
                let name = name.unraw();
                mistakes.at(
                    &field.ident,
                    format!("`{name}` is a member of every problem document: choose another name"),
                );
            }
        }
        let kind = format!("urn:problem-type:{contract}:{}", words(&variant.ident.to_string(), '-'));
        if variants.iter().any(|v| v.kind == kind) {
            mistakes.at(
                &variant.ident,
                format!("another variant has the type `{kind}` already: choose another name"),
            );
        }
        for second in mine.iter().skip(1) {
            mistakes.at(second, "a variant is one problem: leave one of these");
        }
        let Some(attribute) = mine.first() else {
            mistakes.at(&variant.ident, format!("say which status and title this is: {EXAMPLE}"));
            continue;
        };
        let Some(said) = mistakes.keep(said(attribute)) else {
            continue;
        };
        let names: Vec<_> = fields
            .iter()
            .filter_map(|f| f.ident.as_ref())
            .map(|i| i.unraw().to_string())
            .collect();
        let Said { status, title, detail } = said;
        let number = status.base10_parse().ok().filter(|s| (400..=599).contains(s));
        if number.is_none() {
            mistakes.at(&status, "a problem has a status from 400 to 599");
        }
        if title.value().trim().is_empty() {
            mistakes.at(
                &title,
                "a title says in a few words what is wrong, the same for every occurrence",
            );
        }
        if let Some(detail) = &detail {
            format_string(detail, &names, mistakes);
        }
        let doc = doc_text(&variant.attrs, " ");
        let detail = match detail {
            Some(detail) => Detail::Format(detail),
            None if doc.is_empty() => Detail::None,
            None => Detail::Text(doc),
        };
        variants.push(Variant {
            ident: variant.ident.clone(),
            fields,
            kind,
            status: number.unwrap_or(500),
            title,
            detail,
        });
    }
    variants
}

fn said(attribute: &Attribute) -> syn::Result<Said> {
    match &attribute.meta {
        syn::Meta::List(_) => attribute.parse_args(),
        _ => Err(syn::Error::new_spanned(
            attribute,
            format!("say which status and title this is: {EXAMPLE}"),
        )),
    }
}

/// Reports what stands in braces and is no field.
fn format_string(detail: &LitStr, fields: &[String], mistakes: &mut Mistakes) {
    let text = detail.value().replace("{{", "").replace("}}", "");
    for part in text.split('{').skip(1) {
        let Some((inside, _)) = part.split_once('}') else {
            mistakes.at(
                detail,
                "a `{` lacks its `}`; a brace that is only text is written twice: `{{`",
            );
            return;
        };
        let name = inside.split(':').next().unwrap_or_default().trim();
        if fields.iter().any(|f| f == name) {
            continue;
        }
        let all = fields
            .iter()
            .map(|f| format!("`{{{f}}}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let all = if all.is_empty() {
            "the variant has none".to_owned()
        } else {
            format!("there is {all}")
        };
        mistakes.at(detail, format!("`{{{inside}}}` names no field of this variant; {all}"));
    }
}
