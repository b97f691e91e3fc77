//! Names made from names, and the text of doc comments.

use proc_macro2::{Ident, Span};
use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// A local variable of the generated code that no argument or field of the same name can collide with.
pub fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// `NoSuchShow` in words joined by `separator`: `no-such-show`. A run of capitals is one word: `HTTPError` is
/// `http-error`.
pub fn words(name: &str, separator: char) -> String {
    let chars: Vec<char> = name.trim_start_matches("r#").chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let starts = c.is_uppercase()
            && i > 0
            && (!chars[i - 1].is_uppercase() || chars.get(i + 1).is_some_and(|next| next.is_lowercase()));
        if (starts || c == '_') && !out.is_empty() && !out.ends_with(separator) {
            out.push(separator);
        }
        if c != '_' {
            out.extend(c.to_lowercase());
        }
    }
    out
}

/// Why `name` cannot be a contract's name, which stands in paths, ids and problem types.
pub fn bad_contract_name(name: &str) -> Option<String> {
    let fine = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.ends_with('-');
    if !fine {
        return Some(format!(
            "`{name}` is no contract's name: write lower-case letters, digits and `-`, such as \"catalog\""
        ));
    }
    (name == "way").then(|| "`way` is the name of the way between modules; choose another".to_owned())
}

/// The doc comment, trimmed, its lines joined by `separator`.
pub fn doc_text(attributes: &[Attribute], separator: &str) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines
        .flat_map(|text| text.split('\n').map(|l| l.trim().to_owned()).collect::<Vec<_>>())
        .collect();
    lines.join(separator).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn names_become_words() {
        for (name, want) in [
            ("NoSuchShow", "no-such-show"),
            ("Stale", "stale"),
            ("HTTPError", "http-error"),
            ("A2B", "a2-b"),
            ("Sold_Out", "sold-out"),
        ] {
            assert_eq!(words(name, '-'), want);
        }
        assert_eq!(words("BoxOffice", '_').to_uppercase(), "BOX_OFFICE");
    }
}
