//! Reads the trait and the attribute's own arguments.

use proc_macro2::{Ident, TokenStream};
use syn::{
    Expr, ExprLit, Item, ItemTrait, Lit, LitStr, Path, Token, TraitItem,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

use super::{
    checks,
    model::{Answer, Contract},
    operation,
};
use crate::{mistakes::Mistakes, names};

/// `key = value` in an attribute.
pub struct Entry {
    pub key: Ident,
    pub value: Expr,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = input.call(Ident::parse_any)?;
        input.parse::<Token![=]>()?;
        Ok(Self {
            key,
            value: input.parse()?,
        })
    }
}

/// `key = value, …`
pub type Entries = Punctuated<Entry, Token![,]>;

/// The text, if the expression is a string literal.
pub fn text(value: &Expr) -> Option<LitStr> {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => Some(text.clone()),
        Expr::Group(group) => text(&group.expr),
        _ => None,
    }
}

/// The contract, or all that is wrong with it.
pub fn contract(arguments: TokenStream, item: TokenStream) -> syn::Result<Contract> {
    let mut mistakes = Mistakes::default();
    let item = match syn::parse2::<Item>(item)? {
        Item::Trait(item) => item,
        other => {
            mistakes.at(other, "a contract is a trait: put `#[contract(…)]` on `pub trait …`");
            mistakes.check()?;
            unreachable!("a mistake was just added");
        }
    };
    let head = head(arguments, &item.ident, &mut mistakes);
    plain_trait(&item, &mut mistakes);
    let mut operations = Vec::new();
    let mut index = 0;
    for item in item.items {
        match item {
            TraitItem::Fn(method) => {
                operations.extend(operation::read(index, method, &mut mistakes));
                index += 1;
            }
            other => mistakes.at(
                other,
                "a contract has operations only: `async fn …` with `#[query(…)]` or `#[command(…)]`",
            ),
        }
    }
    if index == 0 {
        mistakes.at(
            &item.ident,
            "a contract has at least one operation: add an `async fn` with `#[query(…)]` or `#[command(…)]`",
        );
    }
    let Head {
        name,
        version,
        pages,
        events,
    } = head.unwrap_or_else(|| Head {
        name: LitStr::new("?", item.ident.span()),
        version: 0,
        // Unknown, so that nothing is said that the head's own mistake explains.
        pages: operations.iter().any(|o| matches!(o.answer, Answer::Page)),
        events: None,
    });
    let contract = Contract {
        name,
        version,
        pages,
        events,
        vis: item.vis,
        ident: item.ident,
        attributes: item.attrs,
        operations,
    };
    checks::check(&contract, &mut mistakes);
    mistakes.check().map(|()| contract)
}

/// What the attribute says.
struct Head {
    name: LitStr,
    version: u32,
    pages: bool,
    events: Option<Path>,
}

/// `name = "catalog", version = 1`, `events = CatalogEvent` where there are any, and `pages = true` where they are pages.
fn head(arguments: TokenStream, ident: &Ident, mistakes: &mut Mistakes) -> Option<Head> {
    let entries = Entries::parse_terminated.parse2(arguments).map_err(|e| {
        syn::Error::new(
            e.span(),
            format!("{e}: write `#[contract(name = \"catalog\", version = 1)]`"),
        )
    });
    let entries = mistakes.keep(entries)?;
    let (mut name, mut version, mut events, mut pages) = (None, None, None, None);
    for Entry { key, value } in &entries {
        let seen = match key.to_string().as_str() {
            "name" => name.replace(value).is_some(),
            "version" => version.replace(value).is_some(),
            "events" => events.replace(value).is_some(),
            "pages" => pages.replace(value).is_some(),
            other => {
                mistakes.at(
                    key,
                    format!("`{other}` is not known here; there are `name`, `version`, `events` and `pages`"),
                );
                false
            }
        };
        if seen {
            mistakes.at(key, format!("`{key}` is there twice: leave one of them"));
        }
    }
    if name.is_none() {
        mistakes.at(ident, "the contract has no name: add `name = \"catalog\"`");
    }
    if version.is_none() {
        mistakes.at(ident, "the contract has no version: add `version = 1`");
    }
    let name = name.and_then(|value| {
        let Some(name) = text(value) else {
            mistakes.at(value, "the name is a string: write `name = \"catalog\"`");
            return None;
        };
        if let Some(message) = names::bad_contract_name(&name.value()) {
            mistakes.at(&name, message);
        }
        Some(name)
    });
    let version = version.and_then(|value| {
        let number = match value {
            Expr::Lit(ExprLit {
                lit: Lit::Int(number), ..
            }) => number.base10_parse::<u32>().ok().filter(|&v| v > 0),
            _ => None,
        };
        if number.is_none() {
            mistakes.at(value, "versions count from 1: write `version = 1`");
        }
        number
    });
    let events = events.and_then(|value| match value {
        Expr::Path(path) => Some(path.path.clone()),
        other => {
            mistakes.at(other, "the events are a type: write `events = CatalogEvent`");
            None
        }
    });
    let pages = pages.is_some_and(|value| {
        let Expr::Lit(ExprLit {
            lit: Lit::Bool(yes), ..
        }) = value
        else {
            mistakes.at(value, "its operations are pages or they are not: write `pages = true`");
            return true;
        };
        yes.value()
    });
    name.zip(version).map(|(name, version)| Head {
        name,
        version,
        pages,
        events,
    })
}

fn plain_trait(item: &ItemTrait, mistakes: &mut Mistakes) {
    for attribute in item.attrs.iter().filter(|a| a.path().is_ident("contract")) {
        mistakes.at(
            attribute,
            "one `#[contract(…)]` is enough: a second version is a trait of its own",
        );
    }
    if let Some(token) = &item.unsafety {
        mistakes.at(token, "a contract is a safe trait: leave out `unsafe`");
    }
    if let Some(token) = &item.auto_token {
        mistakes.at(token, "a contract has operations: leave out `auto`");
    }
    if !item.generics.params.is_empty() {
        mistakes.at(
            &item.generics,
            "a contract is not generic: its types travel over HTTP, so name them",
        );
    }
    if let Some(clause) = &item.generics.where_clause {
        mistakes.at(clause, "a contract is not generic: leave out the `where`");
    }
    if !item.supertraits.is_empty() {
        mistakes.at(
            &item.supertraits,
            "a contract stands alone: leave out these traits; `Send`, `Sync` and `'static` are added",
        );
    }
}
