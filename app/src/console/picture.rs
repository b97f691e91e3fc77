//! The map's picture: modules as boxes, calls and events as arrows with what goes along them; and a table that says the same.
//! Each box, arrow, label and row is a part of its own, so that a stream carries no more than what changed.

mod layout;

use askama::Template;

use self::layout::{Arrow, Rect, Way, layout};
use super::{
    fragment::Fragment,
    module_view::{grouped, milliseconds},
};
use crate::control::{ArrowKind, MapArrow, MapModule, SystemMap};

/// The size of a label: of calls, and of events.
const CALLS: (f64, f64) = (118.0, 34.0);
const EVENTS: (f64, f64) = (70.0, 18.0);
/// The longest text in a box, in characters.
const LINE: usize = 26;

/// The rows of the picture, by kind of module; what is none of these is in the last.
const ROWS: [&str; 3] = ["edge", "aggregator", "process"];

/// The picture with everything that changes in it.
pub(super) struct Picture {
    pub(super) recording: bool,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) outside: Rect,
    pub(super) boxes: Vec<BoxView>,
    pub(super) ways: Vec<Fragment>,
    pub(super) labels: Vec<Fragment>,
    pub(super) rows: Vec<Fragment>,
}

/// A module's box.
pub(super) struct BoxView {
    pub(super) module: String,
    pub(super) content: Fragment,
}

impl Picture {
    pub(super) fn of(map: &SystemMap) -> Self {
        let row = |m: &MapModule| ROWS.iter().position(|kind| *kind == m.kind).unwrap_or(ROWS.len());
        let rows: Vec<_> = map.modules.iter().map(row).collect();
        let index = |name: &str| map.modules.iter().position(|m| m.module == name);
        // What is said to come from somebody who is no module here has no place in the picture.
        let drawn = map.arrows.iter().filter_map(|arrow| {
            let from = match arrow.from == strangler::calls::OUTSIDE {
                true => None,
                false => Some(index(&arrow.from)?),
            };
            let label = match arrow.kind {
                ArrowKind::Call => CALLS,
                ArrowKind::Event => EVENTS,
            };
            let to = index(&arrow.to)?;
            Some((arrow, Arrow { from, to, label }))
        });
        let (said, arrows): (Vec<_>, Vec<_>) = drawn.unzip();
        let picture = layout(&rows, &arrows);
        let boxes = map.modules.iter().zip(&picture.boxes);
        let ways = || said.iter().zip(&picture.ways);
        Self {
            recording: map.recording,
            width: picture.width,
            height: picture.height,
            outside: picture.outside,
            boxes: boxes.map(|(module, place)| box_of(module, place)).collect(),
            ways: ways().map(|(arrow, way)| way_of(arrow, way)).collect(),
            labels: ways().map(|(arrow, way)| label_of(arrow, way)).collect(),
            rows: map.arrows.iter().map(row_of).collect(),
        }
    }

    /// Every part of it.
    pub(super) fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        let boxes = self.boxes.iter().map(|b| &b.content);
        boxes.chain(&self.ways).chain(&self.labels).chain(&self.rows)
    }
}

#[derive(Template)]
#[template(path = "console/parts/map_box.html")]
struct BoxPart<'a> {
    at: &'a Rect,
    name: String,
    kind: &'a str,
    stage: &'a str,
    runs: String,
    unwell: bool,
    data: String,
}

fn box_of(module: &MapModule, at: &Rect) -> BoxView {
    let healthy = module.instances.iter().filter(|i| i.healthy).count();
    let unwell = module.instances.len() - healthy;
    let runs = match (module.stage.as_str(), healthy) {
        ("local", 0) => "in the monolith".to_owned(),
        ("local", n) => format!("in the monolith, {n} beside it"),
        (_, 1) => "1 instance".to_owned(),
        (_, n) => format!("{n} instances"),
    };
    let runs = match unwell {
        0 => runs,
        n => format!("{runs}, {n} not well"),
    };
    let content = BoxPart {
        at,
        name: cut(&module.module, 20),
        kind: &module.kind,
        stage: &module.stage,
        runs,
        unwell: unwell > 0,
        data: cut(&database(&module.database), LINE),
    };
    BoxView {
        module: module.module.clone(),
        content: Fragment::new(format!("box-{}", module.module), &content),
    }
}

/// Where data is, in few words.
fn database(url: &str) -> String {
    let bare = url.split('?').next().unwrap_or(url);
    match bare.split_once(':') {
        Some(("sqlite", path)) => format!("SQLite {}", path.rsplit('/').next().unwrap_or(path)),
        Some(("postgres", rest)) => {
            let place = rest.trim_start_matches('/');
            let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
            format!("PostgreSQL {place}")
        }
        _ => bare.to_owned(),
    }
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// What an arrow is called among the page's elements.
fn arrow_id(part: &str, arrow: &MapArrow) -> String {
    let kind = match arrow.kind {
        ArrowKind::Call => "call",
        ArrowKind::Event => "event",
    };
    format!("{part}-{kind}-{}-{}", arrow.from, arrow.to)
}

/// The classes of an arrow: what it is, whether it is right, and how much goes along it.
fn class_of(arrow: &MapArrow) -> String {
    let what = match arrow.kind {
        ArrowKind::Call => "call",
        ArrowKind::Event => "event",
    };
    let how = match (arrow.declared, arrow.observed) {
        (false, _) => " wrong",
        (true, true) => " seen",
        (true, false) => "",
    };
    let much = match arrow.per_minute {
        0..60 => "",
        60..1_000 => " some",
        1_000..10_000 => " much",
        _ => " most",
    };
    format!("{what}{how}{much}")
}

#[derive(Template)]
#[template(path = "console/parts/map_way.html")]
struct WayPart {
    class: String,
    line: String,
    head: String,
}

fn way_of(arrow: &MapArrow, way: &Way) -> Fragment {
    let [.., before, end] = &way.points[..] else {
        return Fragment::new(
            arrow_id("way", arrow),
            &WayPart {
                class: class_of(arrow),
                line: String::new(),
                head: String::new(),
            },
        );
    };
    let (dx, dy) = (end.0 - before.0, end.1 - before.1);
    let length = dx.hypot(dy).max(1.0);
    let (dx, dy) = (dx / length, dy / length);
    // The head is 11 long and 9 wide; the line ends within it.
    let (neck, side) = ((end.0 - dx * 11.0, end.1 - dy * 11.0), (-dy * 4.5, dx * 4.5));
    let last = way.points.len() - 1;
    let corners = way.points.iter().enumerate().map(|(nth, corner)| {
        let (x, y) = if nth == last { neck } else { *corner };
        format!("{}{x:.1} {y:.1}", if nth == 0 { "M" } else { "L" })
    });
    let part = WayPart {
        class: class_of(arrow),
        line: corners.collect(),
        head: format!(
            "M{:.1} {:.1}L{:.1} {:.1}L{:.1} {:.1}z",
            end.0,
            end.1,
            neck.0 + side.0,
            neck.1 + side.1,
            neck.0 - side.0,
            neck.1 - side.1
        ),
    };
    Fragment::new(arrow_id("way", arrow), &part)
}

#[derive(Template)]
#[template(path = "console/parts/map_label.html")]
struct LabelPart<'a> {
    at: &'a Rect,
    /// One line, or two.
    lines: Vec<String>,
    tone: &'static str,
}

fn label_of(arrow: &MapArrow, way: &Way) -> Fragment {
    let lines = match (arrow.kind, arrow.observed) {
        (ArrowKind::Call, true) => {
            let errors = match arrow.errors {
                0 => String::new(),
                1 => " · 1 error".to_owned(),
                n => format!(" · {} errors", grouped(n)),
            };
            vec![
                format!("{}/min{errors}", grouped(arrow.per_minute)),
                format!("p99 {}", milliseconds(arrow.p99_ms)),
            ]
        }
        (ArrowKind::Event, true) => arrow
            .lag
            .map(|lag| format!("lag {}", grouped(lag)))
            .into_iter()
            .collect(),
        (_, false) => Vec::new(),
    };
    let tone = match (arrow.declared, arrow.errors_per_minute) {
        (false, _) | (_, 1..) => "bad",
        _ => "",
    };
    Fragment::new(
        arrow_id("said", arrow),
        &LabelPart {
            at: &way.label,
            lines,
            tone,
        },
    )
}

#[derive(Template)]
#[template(path = "console/parts/map_row.html")]
struct RowPart<'a> {
    arrow: &'a MapArrow,
    call: bool,
    per_minute: String,
    requests: String,
    errors: String,
    p50: String,
    p99: String,
    lag: String,
}

fn row_of(arrow: &MapArrow) -> Fragment {
    let part = RowPart {
        arrow,
        call: arrow.kind == ArrowKind::Call,
        per_minute: grouped(arrow.per_minute),
        requests: grouped(arrow.requests),
        errors: grouped(arrow.errors),
        p50: milliseconds(arrow.p50_ms),
        p99: milliseconds(arrow.p99_ms),
        lag: arrow.lag.map_or_else(|| "–".to_owned(), grouped),
    };
    Fragment::new(arrow_id("row", arrow), &part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_data_is_takes_few_words() {
        assert_eq!(
            database("sqlite:///var/lib/banyan/catalog.db?mode=rwc"),
            "SQLite catalog.db"
        );
        assert_eq!(
            database("postgres://banyan_catalog:***@db:5432/banyan"),
            "PostgreSQL db:5432/banyan"
        );
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
