//! Parts of the map that are sent again when they change: the same text on the page and in the stream.

use std::{
    fmt::Write,
    hash::{DefaultHasher, Hash, Hasher},
};

use askama::Template;

use super::page::render;

/// What an update has around its content, in bytes.
const FRAME: usize = 32;

/// What an element of the page holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    /// The element's id.
    pub(super) id: String,
    /// Changes with the content: a digest, or a list's newest key.
    pub(super) version: String,
    /// Its content, on one line.
    pub(super) html: String,
    /// Of a list: each row's key and text, newest first. Only those that are new need to be sent.
    rows: Vec<(i64, String)>,
}

impl Fragment {
    pub(super) fn new(id: String, content: &impl Template) -> Self {
        let html = one_line(&render(content));
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        Self {
            id,
            version: format!("{:08x}", hasher.finish() as u32),
            html,
            rows: Vec::new(),
        }
    }

    /// A list, newest row first; `otherwise` is shown when it has none.
    pub(super) fn list(id: &str, rows: Vec<(i64, String)>, otherwise: &impl Template) -> Self {
        let rows: Vec<_> = rows.into_iter().map(|(key, row)| (key, one_line(&row))).collect();
        match rows.first() {
            None => Self::new(id.to_owned(), otherwise),
            Some((newest, _)) => Self {
                id: id.to_owned(),
                version: newest.to_string(),
                html: rows.iter().map(|(_, row)| row.as_str()).collect(),
                rows,
            },
        }
    }

    /// Writes what brings an element from the version `had` up to this one: nothing, the new rows, or everything. Of a list
    /// no more than fits into `room` bytes, the newest.
    pub(super) fn bring_up(&self, had: Option<&str>, room: usize, out: &mut String) {
        if had == Some(&self.version) {
            return;
        }
        let known = had
            .and_then(|v| v.parse::<i64>().ok())
            .filter(|known| self.rows.iter().any(|(key, _)| key == known));
        // Writing into a string does not fail.
        let mut say = |event: &str, html: &str| {
            _ = write!(
                out,
                "event: {event}\ndata: {} {}\ndata: {html}\n\n",
                self.id, self.version
            );
        };
        let room = room.saturating_sub(self.id.len() + self.version.len() + FRAME);
        if let Some(known) = known {
            let new = self.rows.iter().take_while(|(key, _)| *key != known);
            let new: String = new.map(|(_, row)| row.as_str()).collect();
            if new.len() <= room {
                return say("add", &new);
            }
        }
        if self.rows.is_empty() || self.html.len() <= room {
            return say("put", &self.html);
        }
        let mut html = String::new();
        for (_, row) in &self.rows {
            if html.len() + row.len() > room {
                break;
            }
            html.push_str(row);
        }
        say("put", &html);
    }
}

/// Without line breaks, which would end a field of the stream, and without the spaces around them.
fn one_line(html: &str) -> String {
    html.split(['\n', '\r'])
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(source = "<b>{{ text }}</b>", ext = "html")]
    struct Bold<'a> {
        text: &'a str,
    }

    fn list(keys: &[i64]) -> Fragment {
        Fragment::list(
            "events",
            keys.iter().map(|k| (*k, format!("<tr>{k}"))).collect(),
            &Bold { text: "none" },
        )
    }

    fn up(fragment: &Fragment, had: Option<&str>) -> String {
        let mut out = String::new();
        fragment.bring_up(had, usize::MAX, &mut out);
        out
    }

    #[test]
    fn a_line_break_in_data_cannot_end_a_field_and_markup_is_escaped() {
        let fragment = Fragment::new(
            "x".to_owned(),
            &Bold {
                text: "a\n\nevent: put\r\n<i>",
            },
        );
        assert_eq!(fragment.html, "<b>a event: put &#60;i&#62;</b>");
        assert_eq!(up(&fragment, None).matches("\nevent:").count(), 0);
        assert_eq!(up(&fragment, Some(&fragment.version)), "");
    }

    #[test]
    fn of_a_list_the_newest_rows_are_sent_that_fit() {
        let long = list(&(0..1000).rev().collect::<Vec<_>>());
        for had in [None, Some("1"), Some("0")] {
            let mut out = String::new();
            long.bring_up(had, 500, &mut out);
            assert!(out.len() <= 500 && out.len() > 400, "{} bytes", out.len());
            assert!(
                out.starts_with("event: put\ndata: events 999\ndata: <tr>999<tr>998"),
                "{out}"
            );
        }
        let mut out = String::new();
        long.bring_up(Some("997"), 500, &mut out);
        assert_eq!(out, "event: add\ndata: events 999\ndata: <tr>999<tr>998\n\n");
    }

    #[test]
    fn of_a_list_only_new_rows_are_sent() {
        assert_eq!(
            up(&list(&[3, 2, 1]), Some("1")),
            "event: add\ndata: events 3\ndata: <tr>3<tr>2\n\n"
        );
        assert_eq!(up(&list(&[3, 2, 1]), Some("3")), "");
        assert!(
            up(&list(&[9, 8]), Some("3")).starts_with("event: put"),
            "rows are missing in between"
        );
        assert!(
            up(&list(&[1]), Some("7")).starts_with("event: put"),
            "the list was begun anew"
        );
        let empty = list(&[]);
        assert!(
            up(&list(&[1]), Some(&empty.version)).starts_with("event: put"),
            "the sentence has to go"
        );
    }
}
