//! Writing for people and for programs.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Failure;

/// Whether data is printed as JSON.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct Json {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Writes text to stdout. A reader that went away (`| head`) ends the program quietly.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Failure::Failed(format!("cannot write to stdout: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// Writes a value as JSON, indented on a terminal.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let pretty = io::stdout().is_terminal();
    let made = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    let made = made.map_err(|e| Failure::Failed(format!("cannot write the answer as JSON: {e}")))?;
    text(&format!("{made}\n"))
}

/// Writes a message for the person to stderr.
pub(super) fn message(text: &str) {
    _ = writeln!(io::stderr(), "{}", text.trim_end());
}

/// A table with aligned columns; the first row is its head.
pub(super) fn table(rows: &[Vec<String>]) -> Result<(), Failure> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        rows.iter()
            .filter_map(|r| r.get(c))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{:width$}  ", printable(cell)));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    text(&out)
}

/// Text from outside without what would steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}
