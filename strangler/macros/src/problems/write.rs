//! Writes the enum and what makes it a contract's error.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Ident, ext::IdentExt};

use super::{Detail, Problems, Variant};
use crate::names::local;

pub fn write(Problems { item, variants }: &Problems) -> TokenStream {
    let ident = &item.ident;
    let kinds = variants.iter().map(
        |Variant {
             kind, title, status, ..
         }| { quote!(::strangler::ProblemKind { kind: #kind, title: #title, status: #status }) },
    );
    let to = variants.iter().map(to_problem);
    let from = variants.iter().map(from_problem);
    quote! {
        #item

        impl ::strangler::ContractError for #ident {
            const KINDS: &'static [::strangler::ProblemKind] = &[#(#kinds),*];

            #[allow(unused_variables)]
            fn to_problem(&self) -> ::strangler::Problem {
                match self {
                    #(#to)*
                }
            }

            fn from_problem(problem: &::strangler::Problem) -> ::std::option::Option<Self> {
                match &*problem.kind {
                    #(#from)*
                    _ => ::std::option::Option::None,
                }
            }
        }

        impl ::std::fmt::Display for #ident {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::strangler::__rt::write_error(self, f)
            }
        }

        impl ::std::error::Error for #ident {}
    }
}

fn names(variant: &Variant) -> Vec<&Ident> {
    variant.fields.iter().filter_map(|f| f.ident.as_ref()).collect()
}

fn to_problem(variant: &Variant) -> TokenStream {
    let Variant {
        ident,
        kind,
        status,
        title,
        detail,
        ..
    } = variant;
    let names = names(variant);
    let keys = names.iter().map(|n| n.unraw().to_string());
    let extra = local("extra");
    let detail = match detail {
        Detail::Format(text) => quote!(::std::option::Option::Some(::std::format!(#text))),
        Detail::Text(text) => quote!(::std::option::Option::Some(::std::string::String::from(#text))),
        Detail::None => quote!(::std::option::Option::None),
    };
    let fields = if names.is_empty() {
        quote!(let #extra = ::strangler::__rt::Fields::new();)
    } else {
        quote! {
            let mut #extra = ::strangler::__rt::Fields::new();
            #(::strangler::__rt::put_field(&mut #extra, #keys, #names);)*
        }
    };
    quote! {
        Self::#ident { #(#names),* } => {
            #fields
            ::strangler::Problem {
                kind: ::std::borrow::Cow::Borrowed(#kind),
                title: ::std::borrow::Cow::Borrowed(#title),
                status: #status,
                detail: #detail,
                extra: #extra,
            }
        }
    }
}

fn from_problem(variant: &Variant) -> TokenStream {
    let Variant { ident, kind, .. } = variant;
    let fields = names(variant).into_iter().map(|name| {
        let key = name.unraw().to_string();
        quote!(#name: ::strangler::__rt::field(&problem.extra, #key)?)
    });
    quote!(#kind => ::std::option::Option::Some(Self::#ident { #(#fields),* }),)
}
