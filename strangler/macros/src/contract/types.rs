//! What can be seen of a type from its tokens.

use proc_macro2::Span;
use quote::quote;
use syn::{
    GenericArgument, Lifetime, PathArguments, PathSegment, Type, TypeImplTrait, TypeInfer, TypeReference,
    TypeTraitObject,
    spanned::Spanned,
    visit_mut::{self, VisitMut},
};

use crate::mistakes::Mistakes;

/// The place of a type, for generated code that asks something of it: what the type lacks is then reported there.
pub fn at(ty: &Type) -> Span {
    ty.span().resolved_at(Span::call_site())
}

/// The last segment of a path type: `Put` of `strangler::Put<Show>`.
pub fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}

/// The type arguments, if `ty` is a path that ends in `name`.
pub fn arguments_of<'a>(ty: &'a Type, name: &str) -> Option<Vec<&'a Type>> {
    let segment = last_segment(ty).filter(|s| s.ident == name)?;
    let PathArguments::AngleBracketed(list) = &segment.arguments else {
        return Some(Vec::new());
    };
    let types = list.args.iter().filter_map(|a| {
        if let GenericArgument::Type(t) = a {
            Some(t)
        } else {
            None
        }
    });
    Some(types.collect())
}

/// Reports what cannot travel: references, lifetimes, `impl` and `dyn`.
pub fn check_owned(ty: &Type, what: &str, mistakes: &mut Mistakes) {
    struct Borrowed<'a>(&'a str, &'a mut Mistakes);

    impl VisitMut for Borrowed<'_> {
        fn visit_type_reference_mut(&mut self, node: &mut TypeReference) {
            let instead = match &*node.elem {
                Type::Slice(slice) => {
                    let of = &slice.elem;
                    quote!(Vec<#of>).to_string().replace(' ', "")
                }
                elem if last_segment(elem).is_some_and(|s| s.ident == "str") => "String".to_owned(),
                elem => quote!(#elem).to_string().replace(' ', ""),
            };
            let message = format!(
                "{} is owned, so that it can also travel over HTTP: write `{instead}`",
                self.0
            );
            self.1.at(node, message);
        }

        fn visit_lifetime_mut(&mut self, node: &mut Lifetime) {
            if node.ident != "static" {
                self.1.at(
                    node,
                    format!(
                        "{} is owned, so that it can also travel over HTTP: it has no lifetime",
                        self.0
                    ),
                );
            }
        }

        fn visit_type_impl_trait_mut(&mut self, node: &mut TypeImplTrait) {
            self.1.at(
                node,
                format!(
                    "{} has one type that both ends know: name it instead of `impl …`",
                    self.0
                ),
            );
        }

        fn visit_type_trait_object_mut(&mut self, node: &mut TypeTraitObject) {
            self.1.at(
                node,
                format!(
                    "{} has one type that both ends know: name it instead of `dyn …`",
                    self.0
                ),
            );
        }

        fn visit_type_infer_mut(&mut self, node: &mut TypeInfer) {
            self.1.at(
                node,
                format!("{} has one type that both ends know: name it instead of `_`", self.0),
            );
        }

        fn visit_type_mut(&mut self, node: &mut Type) {
            if let Type::Path(path) = node
                && path.path.segments.first().is_some_and(|s| s.ident == "Self")
            {
                self.1
                    .at(path, format!("{} cannot be made of `Self`: name its type", self.0));
                return;
            }
            visit_mut::visit_type_mut(self, node);
        }
    }

    Borrowed(what, mistakes).visit_type_mut(&mut ty.clone());
}
