//! JSON for people: on lines, with one place of it marked.

use serde_json::Value;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The spaces it begins with.
    pub(super) indent: String,
    /// What it says.
    pub(super) text: String,
    /// Whether it belongs to the place that is marked.
    pub(super) marked: bool,
    /// Whether nothing is there where something is expected.
    pub(super) lacking: bool,
}

/// A value on lines.
pub(super) fn plain(value: &Value) -> Vec<Line> {
    let mut writer = Writer::default();
    writer.value(value, String::new(), "", 0, None, false);
    writer.lines
}

/// A value on lines, with what this JSON pointer names marked; where nothing is there, a line says so.
pub(super) fn marked(value: &Value, pointer: &str) -> Vec<Line> {
    let mut tokens: Vec<String> = pointer
        .split('/')
        .skip(1)
        .map(|token| token.replace("~1", "/").replace("~0", "~"))
        .collect();
    // The way is walked from its end.
    tokens.reverse();
    let mut writer = Writer::default();
    writer.value(value, String::new(), "", 0, Some(&tokens), false);
    writer.lines
}

#[derive(Default)]
struct Writer {
    lines: Vec<Line>,
}

impl Writer {
    fn line(&mut self, depth: usize, text: String, marked: bool) {
        self.lines.push(Line {
            indent: "  ".repeat(depth),
            text,
            marked,
            lacking: false,
        });
    }

    /// Writes a value behind its `key`. `way` is what is left of the way to the marked place, if it leads through here.
    fn value(&mut self, value: &Value, key: String, end: &str, depth: usize, way: Option<&[String]>, mark: bool) {
        let here = way.is_some_and(<[String]>::is_empty);
        let mark = mark || here;
        let next = way.and_then(<[String]>::split_last);
        let on = |name: &str| next.filter(|(first, _)| *first == name).map(|(_, rest)| rest);
        match value {
            Value::Object(fields) if !fields.is_empty() || next.is_some() => {
                self.line(depth, format!("{key}{{"), mark);
                for (i, (name, field)) in fields.iter().enumerate() {
                    let comma = if i + 1 < fields.len() { "," } else { "" };
                    let key = format!("{}: ", Value::from(name.as_str()));
                    self.value(field, key, comma, depth + 1, on(name), mark);
                }
                if let Some((name, [])) = next
                    && !fields.contains_key(name)
                {
                    self.lacks(depth + 1, format!("{} is not there", Value::from(name.as_str())));
                }
                self.line(depth, format!("}}{end}"), mark);
            }
            Value::Array(items) if !items.is_empty() || next.is_some() => {
                self.line(depth, format!("{key}["), mark);
                for (i, item) in items.iter().enumerate() {
                    let comma = if i + 1 < items.len() { "," } else { "" };
                    self.value(item, String::new(), comma, depth + 1, on(&i.to_string()), mark);
                }
                if let Some((name, [])) = next
                    && name.parse::<usize>().is_ok_and(|i| i >= items.len())
                {
                    self.lacks(depth + 1, format!("element {name} is not there"));
                }
                self.line(depth, format!("]{end}"), mark);
            }
            simple => self.line(depth, format!("{key}{simple}{end}"), mark),
        }
    }

    fn lacks(&mut self, depth: usize, text: String) {
        self.line(depth, text, true);
        if let Some(line) = self.lines.last_mut() {
            line.lacking = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(lines: &[Line]) -> Vec<String> {
        let mark = |line: &Line| if line.marked { "> " } else { "" };
        lines
            .iter()
            .map(|l| format!("{}{}{}", mark(l), l.indent, l.text))
            .collect()
    }

    #[test]
    fn the_place_that_differs_is_marked_and_nothing_else() {
        let value = json!({"a/b": [1, {"c": "x"}], "d": {}});
        assert_eq!(
            shown(&marked(&value, "/a~1b/1/c")),
            [
                "{",
                "  \"a/b\": [",
                "    1,",
                "    {",
                ">       \"c\": \"x\"",
                "    }",
                "  ],",
                "  \"d\": {}",
                "}"
            ]
        );
        assert_eq!(
            shown(&marked(&value, "/d/e")),
            [
                "{",
                "  \"a/b\": [",
                "    1,",
                "    {",
                "      \"c\": \"x\"",
                "    }",
                "  ],",
                "  \"d\": {",
                ">     \"e\" is not there",
                "  }",
                "}"
            ]
        );
        assert!(marked(&value, "").iter().all(|l| l.marked));
        assert!(plain(&value).iter().all(|l| !l.marked));
        assert_eq!(shown(&plain(&json!("a\nb"))), ["\"a\\nb\""]);
        assert_eq!(
            shown(&marked(&json!([]), "/3")),
            ["[", ">   element 3 is not there", "]"]
        );
    }
}
