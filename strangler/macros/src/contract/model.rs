//! What a contract says, once it is read and found right.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{Attribute, LitStr, Path, Type, Visibility};

/// A contract.
pub struct Contract {
    pub name: LitStr,
    pub version: u32,
    /// Whether its operations are pages, at paths of their own.
    pub pages: bool,
    /// The type of its events, if it has any.
    pub events: Option<Path>,
    pub vis: Visibility,
    pub ident: Ident,
    /// Doc comment and whatever else stays on the trait.
    pub attributes: Vec<Attribute>,
    pub operations: Vec<Operation>,
}

/// One method of it.
pub struct Operation {
    /// Its place in the trait.
    pub index: usize,
    pub ident: Ident,
    /// Doc comment and whatever else stays on the method.
    pub attributes: Vec<Attribute>,
    pub kind: Kind,
    pub method: Method,
    pub path: LitStr,
    pub auth: Auth,
    pub etag: Option<Ident>,
    pub next: Option<Ident>,
    /// An effect that nobody can capture.
    pub uncaptured: Option<LitStr>,
    /// The context's name and the type it points to, as the author wrote them.
    pub cx: (Ident, Type),
    pub arguments: Vec<Argument>,
    /// What is in the `Ok`.
    pub ok: Type,
    pub answer: Answer,
    pub error: Type,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Query,
    Command,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// As the attribute says it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

pub enum Auth {
    Public,
    SignedIn,
    Scope(LitStr),
}

/// An argument after the context.
pub struct Argument {
    pub ident: Ident,
    pub ty: Type,
    pub place: Place,
}

/// Where in the request an argument travels.
pub enum Place {
    /// In the path; which of its parameters, counted from the left.
    Path(usize),
    Query,
    /// In this header; the type inside the `Option`.
    Header(LitStr, Box<Type>),
    /// In the cookie of this name; the type inside the `Option`.
    Cookie(LitStr, Box<Type>),
    Body,
    /// In the body, as a browser sends a form.
    Form,
}

/// What the answer is on the wire, with the type of its body.
pub enum Answer {
    Value(Type),
    Put(Type),
    Done,
    Accepted(Type),
    /// A `WebPage`, which says itself how it looks on the wire.
    Page,
}

impl Contract {
    /// The names of the generated items.
    pub fn item(&self, suffix: &str) -> Ident {
        format_ident!("{}{}", self.ident, suffix)
    }

    /// `CATALOG`.
    pub fn constant(&self) -> Ident {
        Ident::new(
            &crate::names::words(&self.ident.to_string(), '_').to_uppercase(),
            self.ident.span(),
        )
    }

    /// The private module with the trait that seals this one.
    pub fn seal(&self) -> Ident {
        format_ident!("__{}_sealed", crate::names::words(&self.ident.to_string(), '_'))
    }
}

impl Operation {
    /// The arguments' names.
    pub fn names(&self) -> Vec<&Ident> {
        self.arguments.iter().map(|a| &a.ident).collect()
    }

    /// `id: ShowId, draft: ShowDraft`.
    pub fn parameters(&self) -> TokenStream {
        let arguments = self
            .arguments
            .iter()
            .map(|Argument { ident, ty, .. }| quote!(#ident: #ty));
        quote!(#(#arguments),*)
    }

    /// The method's name without `r#`.
    pub fn plain_name(&self) -> String {
        self.ident.to_string().trim_start_matches("r#").to_owned()
    }

    /// The head of the object-safe method, without body or semicolon.
    pub fn head(&self) -> TokenStream {
        let Self {
            ident,
            cx: (cx, cx_type),
            ok,
            error,
            ..
        } = self;
        let parameters = self.parameters();
        quote! {
            fn #ident<'a>(&'a self, #cx: &'a #cx_type, #parameters)
                -> ::strangler::BoxFuture<'a, ::std::result::Result<#ok, ::strangler::Failure<#error>>>
        }
    }

    /// The function of the client that writes this operation's request.
    pub fn ask(&self) -> Ident {
        format_ident!("ask_{}", self.plain_name(), span = self.ident.span())
    }
}
