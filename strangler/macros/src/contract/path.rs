//! Paths of operations: `/shows/{id}/prices`.

use proc_macro2::Ident;
use syn::LitStr;

use crate::mistakes::Mistakes;

/// The names of the path's parameters from left to right; `None` when the path is wrong.
pub fn parameters(path: &LitStr, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    let text = path.value();
    let Some(rest) = text.strip_prefix('/') else {
        mistakes.at(path, format!("a path starts with `/`: write \"/{text}\""));
        return None;
    };
    let mut names: Vec<String> = Vec::new();
    if rest.is_empty() {
        return Some(names);
    }
    for segment in rest.split('/') {
        match parameter(segment) {
            Ok(Some(name)) if names.iter().any(|n| n == name) => {
                mistakes.at(
                    path,
                    format!("`{{{name}}}` is in the path twice: give each parameter a name of its own"),
                );
                return None;
            }
            Ok(Some(name)) => names.push(name.to_owned()),
            Ok(None) => {}
            Err(message) => {
                mistakes.at(path, message);
                return None;
            }
        }
    }
    Some(names)
}

/// The name in the braces, when the segment is a parameter.
fn parameter(segment: &str) -> Result<Option<&str>, String> {
    if segment.is_empty() {
        return Err("a path has no empty segments and no `/` at its end".to_owned());
    }
    if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'))
        && !name.contains(['{', '}'])
    {
        return match syn::parse_str::<Ident>(name) {
            Ok(_) => Ok(Some(name)),
            Err(_) => Err(format!(
                "`{{{name}}}` does not name an argument: write a name in the braces, such as `{{id}}`"
            )),
        };
    }
    if segment.contains(['{', '}']) {
        return Err(format!(
            "`{segment}`: a parameter is a whole segment, with both its braces, such as `/{{id}}/`"
        ));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if !segment.bytes().all(plain) || segment == "." || segment == ".." {
        return Err(format!(
            "`{segment}`: write segments of letters, digits, `-`, `.`, `_` and `~`"
        ));
    }
    Ok(None)
}

/// The path with its parameters' names left out: two paths of one shape match the same requests.
pub fn shape(path: &str) -> String {
    let segments = path.split('/').map(|s| if s.starts_with('{') { "{}" } else { s });
    segments.collect::<Vec<_>>().join("/")
}
