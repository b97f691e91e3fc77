//! One Rust file, read as tokens: what it names, where, and the texts in it. Comments, documentation and `#[cfg(test)]` items are
//! left out, and a name is followed through the file's own `use`, so that `env::var` is known for what it is.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::FromStr;

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree, token_stream};

/// A Rust file of a crate.
pub struct Source {
    /// Below the workspace: `modules/catalog/src/domain.rs`.
    pub path: String,
    /// Below its crate: `src/domain.rs`.
    pub within: String,
    pub text: String,
    /// Tests are not read further: no rule speaks of them.
    pub test: bool,
    names: Vec<Name>,
    /// The string literals as they are written, with their lines.
    pub literals: Vec<(String, usize)>,
}

/// Something that a file names: `tokio::spawn`, or a single word.
pub struct Name {
    /// With what the file's `use` lines say about the first part.
    pub full: String,
    pub line: usize,
}

impl Source {
    /// Reads a file; `test` files keep their text alone.
    pub fn read(path: &str, within: &str, text: &str, test: bool) -> Self {
        let mut reader = Reader::default();
        if !test {
            let tokens = TokenStream::from_str(text).unwrap_or_else(|error| panic!("{path} is not Rust: {error}"));
            reader.tokens(tokens);
        }
        let names = reader
            .names
            .iter()
            .map(|(parts, line)| Name {
                full: reader.resolve(parts),
                line: *line,
            })
            .collect();
        let (path, within, text) = (path.to_owned(), within.to_owned(), text.to_owned());
        Self {
            path,
            within,
            text,
            test,
            names,
            literals: reader.literals,
        }
    }

    /// Whether the file belongs to `src/<room>.rs` or `src/<room>/`.
    pub fn in_room(&self, room: &str) -> bool {
        let below = self
            .within
            .strip_prefix("src/")
            .and_then(|rest| rest.strip_prefix(room));
        below.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// Everything that the file names.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    /// `path:line`.
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }
}

impl Name {
    /// Whether this is `path` or something below it: `std::fs` and `std::fs::read` are under `std::fs`.
    pub fn is_under(&self, path: &str) -> bool {
        self.full
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    }

    /// Whether this ends in `path`: `chrono::Utc::now` and `Utc::now` end in `Utc::now`.
    pub fn ends_in(&self, path: &str) -> bool {
        self.full
            .strip_suffix(path)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
    }
}

type Tokens = Peekable<token_stream::IntoIter>;

#[derive(Default)]
struct Reader {
    names: Vec<(Vec<String>, usize)>,
    literals: Vec<(String, usize)>,
    /// What the `use` lines bring in: the name here, and the whole path.
    imports: HashMap<String, Vec<String>>,
}

impl Reader {
    fn resolve(&self, parts: &[String]) -> String {
        match self.imports.get(&parts[0]) {
            Some(import) => [import.as_slice(), &parts[1..]].concat().join("::"),
            None => parts.join("::"),
        }
    }

    fn tokens(&mut self, stream: TokenStream) {
        let mut tokens = stream.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(word) => {
                    let importing = word == "use";
                    self.path(vec![word.to_string()], word.span().start().line, &mut tokens, false);
                    if importing {
                        self.import(&mut tokens);
                    }
                }
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    tokens.next_if(|next| matches!(next, TokenTree::Punct(mark) if mark.as_char() == '!'));
                    if let Some(TokenTree::Group(attribute)) = tokens.next_if(|next| is_group(next, Delimiter::Bracket))
                    {
                        self.attribute(&attribute, &mut tokens);
                    }
                }
                TokenTree::Literal(literal) => self.literals.push((literal.to_string(), literal.span().start().line)),
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Punct(_) => {}
            }
        }
    }

    /// Documentation is not code; what is compiled for tests alone is skipped with its item.
    fn attribute(&mut self, attribute: &Group, tokens: &mut Tokens) {
        let written: String = attribute.stream().to_string().split_whitespace().collect();
        if written == "cfg(test)" || written.starts_with("cfg(all(test,") {
            for token in tokens.by_ref() {
                let ends = matches!(&token, TokenTree::Punct(mark) if mark.as_char() == ';');
                if ends || is_group(&token, Delimiter::Brace) {
                    break;
                }
            }
        } else if !written.starts_with("doc=") {
            self.tokens(attribute.stream());
        }
    }

    /// After `use`: one tree, up to its semicolon.
    fn import(&mut self, tokens: &mut Tokens) {
        skip_colons(tokens);
        if let Some(TokenTree::Ident(first)) = tokens.next_if(|next| matches!(next, TokenTree::Ident(_))) {
            self.path(vec![first.to_string()], first.span().start().line, tokens, true);
        } else if let Some(TokenTree::Group(group)) = tokens.next_if(|next| is_group(next, Delimiter::Brace)) {
            self.branches(&[], group.stream(), true);
        }
    }

    /// The rest of a path whose first parts are known.
    fn path(&mut self, mut parts: Vec<String>, line: usize, tokens: &mut Tokens, importing: bool) {
        while skip_colons(tokens) {
            match tokens.peek() {
                Some(TokenTree::Ident(next)) => parts.push(next.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let branches = group.stream();
                    tokens.next();
                    return self.branches(&parts, branches, importing);
                }
                _ => break,
            }
            tokens.next();
        }
        if importing {
            let mut name = parts.last().cloned().unwrap_or_default();
            if name == "self" {
                parts.pop();
                name = parts.last().cloned().unwrap_or_default();
            }
            if tokens
                .next_if(|next| matches!(next, TokenTree::Ident(word) if word == "as"))
                .is_some()
                && let Some(TokenTree::Ident(alias)) = tokens.next()
            {
                name = alias.to_string();
            }
            self.imports.insert(name, parts.clone());
        }
        if !parts.is_empty() {
            self.names.push((parts, line));
        }
    }

    /// `{a, b::{c, d}}` below a path.
    fn branches(&mut self, above: &[String], stream: TokenStream, importing: bool) {
        let mut tokens = stream.into_iter().peekable();
        while let Some(token) = tokens.next() {
            if let TokenTree::Ident(word) = token {
                let parts = above.iter().cloned().chain([word.to_string()]).collect();
                self.path(parts, word.span().start().line, &mut tokens, importing);
            }
        }
    }
}

/// Steps over `::`, and says whether it was there.
fn skip_colons(tokens: &mut Tokens) -> bool {
    let first = |next: &TokenTree| matches!(next, TokenTree::Punct(mark) if mark.as_char() == ':' && mark.spacing() == Spacing::Joint);
    tokens.next_if(first).is_some() && tokens.next().is_some()
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

#[test]
fn names_are_found_through_use_and_groups_and_aliases() {
    let text = "use std::{env, time::SystemTime as Wall};\nuse tokio::sync::mpsc::{self, unbounded_channel};\n\
                fn f() { env::var(\"A\"); Wall::now(); mpsc::channel(1); vec![chrono::Utc::now()] }";
    let source = Source::read("a.rs", "src/a.rs", text, false);
    let found = |path: &str| source.names().any(|name| name.full == path);
    let expected = [
        "std::env::var",
        "std::time::SystemTime::now",
        "tokio::sync::mpsc::channel",
        "tokio::sync::mpsc::unbounded_channel",
        "chrono::Utc::now",
    ];
    for path in expected {
        assert!(found(path), "{path} was not found");
    }
}

#[test]
fn comments_texts_documentation_and_tests_are_not_names() {
    let text = "//! tokio::a\n/// tokio::b\n/* tokio::c */ fn f() { g(\"tokio::d\"); }\n#[cfg(test)]\nmod tests { use tokio::e; }\n\
                #[cfg(test)]\nuse tokio::{f};\n#[doc = \"tokio::g\"]\nstruct H;";
    let source = Source::read("a.rs", "src/a.rs", text, false);
    let found: Vec<&str> = source
        .names()
        .map(|name| name.full.as_str())
        .filter(|name| name.contains("tokio"))
        .collect();
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(source.literals, [("\"tokio::d\"".to_owned(), 3)]);
    assert!(source.names().any(|name| name.full == "H" && name.line == 9));
}
