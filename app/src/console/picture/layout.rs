//! Where the boxes, arrows and labels of the map are. The same modules and arrows always give the same picture, so that only
//! its figures change while somebody looks.

/// A box, in the picture's own units, which are pixels at its natural size.
pub(in crate::console) const BOX: (f64, f64) = (204.0, 100.0);
/// From the middle of one box to that of the next.
const PITCH: f64 = 268.0;
/// Room around everything.
const MARGIN: f64 = 12.0;
/// The bar that stands for the world outside.
const BAR: f64 = 34.0;
/// Between two rows, for arrows and their labels.
const GAP: f64 = 132.0;
/// The first lane below a row, and the distance of the next.
const LANE: (f64, f64) = (34.0, 36.0);
/// Two arrows that end at the same box are this far apart.
const APART: f64 = 20.0;
/// Where along a box's edge an arrow may end.
const PLACES: usize = 9;

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::console) struct Rect {
    pub(in crate::console) x: f64,
    pub(in crate::console) y: f64,
    pub(in crate::console) width: f64,
    pub(in crate::console) height: f64,
}

impl Rect {
    pub(in crate::console) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(in crate::console) fn bottom(&self) -> f64 {
        self.y + self.height
    }

    fn middle(&self) -> f64 {
        self.x + self.width / 2.0
    }

    fn grown(&self, by: f64) -> Self {
        Self {
            x: self.x - by,
            y: self.y - by,
            width: self.width + 2.0 * by,
            height: self.height + 2.0 * by,
        }
    }

    pub(in crate::console) fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// Whether the line from `a` to `b` runs through it (Liang and Barsky, 1984).
    fn is_crossed(&self, a: Point, b: Point) -> bool {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut from, mut to) = (0.0_f64, 1.0_f64);
        let sides = [
            (-dx, a.0 - self.x),
            (dx, self.right() - a.0),
            (-dy, a.1 - self.y),
            (dy, self.bottom() - a.1),
        ];
        for (p, q) in sides {
            if p == 0.0 {
                if q < 0.0 {
                    return false;
                }
            } else if p < 0.0 {
                from = from.max(q / p);
            } else {
                to = to.min(q / p);
            }
        }
        from < to
    }
}

/// A place in the picture.
pub(in crate::console) type Point = (f64, f64);

/// An arrow to be drawn: from a box, or from outside, to a box; and the size of its label.
#[derive(Clone, Copy, Debug)]
pub(in crate::console) struct Arrow {
    pub(in crate::console) from: Option<usize>,
    pub(in crate::console) to: usize,
    pub(in crate::console) label: (f64, f64),
}

/// An arrow as it is drawn.
#[derive(Clone, Debug)]
pub(in crate::console) struct Way {
    /// From corner to corner; it ends at the arrow's head.
    pub(in crate::console) points: Vec<Point>,
    /// Where its label stands.
    pub(in crate::console) label: Rect,
}

/// The whole picture.
#[derive(Clone, Debug)]
pub(in crate::console) struct Layout {
    pub(in crate::console) width: f64,
    pub(in crate::console) height: f64,
    /// The world outside.
    pub(in crate::console) outside: Rect,
    /// The boxes, in the order in which they were given.
    pub(in crate::console) boxes: Vec<Rect>,
    /// The arrows, in the order in which they were given.
    pub(in crate::console) ways: Vec<Way>,
}

/// Lays out boxes, each in the row that it was given, and the arrows between them.
pub(in crate::console) fn layout(rows: &[usize], arrows: &[Arrow]) -> Layout {
    // Rows without boxes take no room.
    let mut used: Vec<usize> = rows.to_vec();
    used.sort_unstable();
    used.dedup();
    let row_of = |index: usize| used.iter().position(|row| *row == rows[index]).unwrap_or_default();
    let widest = (0..used.len()).map(|row| (0..rows.len()).filter(|&i| row_of(i) == row).count());
    let columns = widest.max().unwrap_or(1).max(1);
    let width = columns as f64 * PITCH + 2.0 * MARGIN;

    let lanes_below = |row: usize| {
        let same = |arrow: &&Arrow| {
            arrow
                .from
                .is_some_and(|from| row_of(from) == row && row_of(arrow.to) == row)
        };
        arrows.iter().filter(same).count()
    };
    let outside = Rect {
        x: MARGIN,
        y: MARGIN,
        width: width - 2.0 * MARGIN,
        height: BAR,
    };
    let mut tops = Vec::new();
    let mut y = outside.bottom() + GAP;
    for row in 0..used.len() {
        tops.push(y);
        let gap = if row + 1 == used.len() { MARGIN } else { GAP };
        y += BOX.1 + lanes_below(row) as f64 * LANE.1 + gap;
    }
    let height = y + if lanes_below(used.len().saturating_sub(1)) > 0 {
        LANE.0 / 2.0
    } else {
        0.0
    };

    let boxes: Vec<Rect> = (0..rows.len())
        .map(|index| {
            let row = row_of(index);
            let before = (0..index).filter(|&i| row_of(i) == row).count();
            let count = (0..rows.len()).filter(|&i| row_of(i) == row).count();
            let middle = column(before, count, columns, used.len() - 1 - row);
            Rect {
                x: MARGIN + middle * PITCH - BOX.0 / 2.0,
                y: tops[row],
                width: BOX.0,
                height: BOX.1,
            }
        })
        .collect();
    let mut picture = Layout {
        width,
        height,
        outside,
        boxes,
        ways: Vec::new(),
    };
    picture.ways = Router::new(&picture, arrows).route(&row_of);
    picture
}

/// The middle of a box, in columns. A full row fills the columns; a shorter one stands between those below, each row a little
/// aside of the next, so that arrows find a way past it.
fn column(nth: usize, count: usize, columns: usize, above: usize) -> f64 {
    if count == columns {
        return nth as f64 + 0.5;
    }
    let free = (columns - count) as f64;
    let first = (free / 2.0).floor() + 0.5 + if above % 2 == 1 { 0.5 } else { -0.5 };
    first.clamp(0.5, free + 0.5) + nth as f64
}

/// Finds the arrows' ways, one after the other.
struct Router<'a> {
    picture: &'a Layout,
    arrows: &'a [Arrow],
    /// Where arrows end already: a box or the bar, its upper edge or not, and how far along.
    ends: Vec<(Option<usize>, bool, f64)>,
    lines: Vec<(Point, Point)>,
    labels: Vec<Rect>,
    lanes: Vec<usize>,
}

impl<'a> Router<'a> {
    fn new(picture: &'a Layout, arrows: &'a [Arrow]) -> Self {
        Self {
            picture,
            arrows,
            ends: Vec::new(),
            lines: Vec::new(),
            labels: Vec::new(),
            lanes: vec![0; picture.boxes.len() + 1],
        }
    }

    fn route(mut self, row_of: &dyn Fn(usize) -> usize) -> Vec<Way> {
        let mut points = vec![Vec::new(); self.arrows.len()];
        // Lanes below a row first, as they have no choice; the shorter ones further up, so that the longer go around them.
        let level = |arrow: &Arrow| arrow.from.filter(|&from| row_of(from) == row_of(arrow.to));
        let mut lanes: Vec<_> = (0..self.arrows.len())
            .filter_map(|index| Some((index, level(&self.arrows[index])?)))
            .collect();
        let reach = |index: usize, from: usize| {
            let (one, other) = (self.picture.boxes[from], self.picture.boxes[self.arrows[index].to]);
            (one.x - other.x).abs()
        };
        lanes.sort_by(|a, b| reach(a.0, a.1).total_cmp(&reach(b.0, b.1)));
        for (index, from) in lanes {
            points[index] = self.lane(from, self.arrows[index].to, row_of(from));
        }
        for (index, arrow) in self.arrows.iter().enumerate() {
            if points[index].is_empty() {
                points[index] = self.straight(arrow);
            }
        }
        let ways = points.into_iter().zip(self.arrows);
        ways.map(|(points, arrow)| Way {
            label: self.label(&points, arrow.label),
            points,
        })
        .collect()
    }

    fn line(&mut self, points: &[Point]) {
        self.lines.extend(points.windows(2).map(|ends| (ends[0], ends[1])));
    }

    /// Down, along below the row, and up.
    fn lane(&mut self, from: usize, to: usize, row: usize) -> Vec<Point> {
        let lane = self.lanes[row];
        self.lanes[row] += 1;
        let (one, other) = (self.picture.boxes[from], self.picture.boxes[to]);
        let rightwards = other.x >= one.x;
        let ends: [(usize, Rect, bool); 2] = [(from, one, rightwards), (to, other, !rightwards)];
        let [start, end] = ends.map(|(index, side, to_the_right)| {
            let places = place_along(side).into_iter();
            let places: Vec<f64> = if to_the_right {
                places.rev().collect()
            } else {
                places.collect()
            };
            let free = places.iter().copied().find(|&x| !self.is_taken(Some(index), false, x));
            let x = free.unwrap_or_else(|| side.middle());
            self.ends.push((Some(index), false, x));
            x
        });
        let y = one.bottom() + LANE.0 + lane as f64 * LANE.1;
        let points = vec![(start, one.bottom()), (start, y), (end, y), (end, other.bottom())];
        self.line(&points);
        points
    }

    fn is_taken(&self, end: Option<usize>, upper: bool, x: f64) -> bool {
        let near =
            |(other, edge, at): &(Option<usize>, bool, f64)| *other == end && *edge == upper && (at - x).abs() < APART;
        self.ends.iter().any(near)
    }

    /// The straight line that is the least in the way of everything else.
    fn straight(&mut self, arrow: &Arrow) -> Vec<Point> {
        let to = self.picture.boxes[arrow.to];
        let from = arrow.from.map_or(self.picture.outside, |from| self.picture.boxes[from]);
        let down = from.y < to.y;
        let (y1, y2) = if down {
            (from.bottom(), to.y)
        } else {
            (from.y, to.bottom())
        };
        let mut best: Option<(f64, f64, f64)> = None;
        for x2 in place_along(to) {
            // The bar is everywhere: from there it goes straight down.
            let starts = match arrow.from {
                None => vec![x2],
                Some(_) => place_along(from),
            };
            for x1 in starts {
                let cost = self.cost(arrow, (x1, y1), (x2, y2), down);
                if best.is_none_or(|(least, ..)| cost < least) {
                    best = Some((cost, x1, x2));
                }
            }
        }
        let (_, x1, x2) = best.unwrap_or((0.0, from.middle(), to.middle()));
        self.ends.push((arrow.from, !down, x1));
        self.ends.push((Some(arrow.to), down, x2));
        let points = vec![(x1, y1), (x2, y2)];
        self.line(&points);
        points
    }

    fn cost(&self, arrow: &Arrow, a: Point, b: Point, down: bool) -> f64 {
        let others = self.picture.boxes.iter().enumerate();
        let others = others.filter(|(index, _)| Some(*index) != arrow.from && *index != arrow.to);
        let through = others.filter(|(_, other)| other.grown(8.0).is_crossed(a, b)).count();
        let crossed = self.lines.iter().filter(|line| cross(**line, (a, b))).count();
        let ends = [(arrow.from, !down, a.0), (Some(arrow.to), down, b.0)];
        let taken = ends
            .iter()
            .filter(|(end, upper, x)| self.is_taken(*end, *upper, *x))
            .count();
        through as f64 * 10_000.0 + taken as f64 * 1_000.0 + crossed as f64 * 60.0 + (a.0 - b.0).abs() * 0.3
    }

    /// A place on the way where a label hides nothing, or as little as can be.
    fn label(&mut self, points: &[Point], (width, height): (f64, f64)) -> Rect {
        // A lane has its label in the middle of its level part.
        let (a, b) = match points {
            [_, a, b, _] => (*a, *b),
            [a, b, ..] => (*a, *b),
            _ => ((0.0, 0.0), (0.0, 0.0)),
        };
        let mut best: Option<(usize, Rect)> = None;
        for part in [0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73, 0.2, 0.8, 0.86] {
            let at = (a.0 + (b.0 - a.0) * part, a.1 + (b.1 - a.1) * part);
            let most = (self.picture.width - width).max(0.0);
            let place = Rect {
                x: (at.0 - width / 2.0).clamp(0.0, most),
                y: at.1 - height / 2.0,
                width,
                height,
            };
            let boxes = self.picture.boxes.iter().chain([&self.picture.outside]);
            let hidden = boxes.filter(|other| other.grown(3.0).overlaps(&place)).count() * 100
                + self
                    .labels
                    .iter()
                    .filter(|other| other.grown(3.0).overlaps(&place))
                    .count()
                    * 50
                + self.lines.iter().filter(|(a, b)| place.is_crossed(*a, *b)).count();
            if best.is_none_or(|(least, _)| hidden < least) {
                best = Some((hidden, place));
            }
        }
        let place = best.map_or(
            Rect {
                x: a.0,
                y: a.1,
                width,
                height,
            },
            |(_, place)| place,
        );
        self.labels.push(place);
        place
    }
}

/// Where along a box's edge arrows may end, from left to right.
fn place_along(side: Rect) -> Vec<f64> {
    let places = 1..=PLACES;
    places
        .map(|n| (side.x + side.width * n as f64 / (PLACES + 1) as f64).round())
        .collect()
}

/// Whether two lines cross.
fn cross((a, b): (Point, Point), (c, d): (Point, Point)) -> bool {
    let side = |p: Point, q: Point, r: Point| ((q.0 - p.0) * (r.1 - p.1) - (q.1 - p.1) * (r.0 - p.0)).signum();
    side(a, b, c) != side(a, b, d) && side(c, d, a) != side(c, d, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: Option<usize>, to: usize) -> Arrow {
        Arrow {
            from,
            to,
            label: (116.0, 34.0),
        }
    }

    /// Catalog, seating, payments, notifications, ordering, and a storefront.
    fn box_office() -> (Vec<usize>, Vec<Arrow>) {
        let rows = vec![3, 3, 3, 3, 2, 0];
        let outside = [0, 1, 4, 5].map(|to| arrow(None, to));
        let calls = [(4, 1), (4, 2), (5, 0), (5, 1), (5, 4)];
        let events = [(0, 1), (0, 3), (4, 3)];
        let inside = calls.iter().chain(&events).map(|&(from, to)| arrow(Some(from), to));
        (rows, outside.into_iter().chain(inside).collect())
    }

    fn check(rows: &[usize], arrows: &[Arrow]) -> Layout {
        let picture = layout(rows, arrows);
        let whole = Rect {
            x: 0.0,
            y: 0.0,
            width: picture.width,
            height: picture.height,
        };
        let boxes: Vec<_> = picture.boxes.iter().chain([&picture.outside]).collect();
        for (index, one) in boxes.iter().enumerate() {
            assert!(
                one.x >= 0.0 && one.right() <= whole.width && one.bottom() <= whole.height,
                "{one:?} in {whole:?}"
            );
            for other in &boxes[index + 1..] {
                assert!(!one.grown(10.0).overlaps(other), "{one:?} and {other:?}");
            }
        }
        for way in &picture.ways {
            for (x, y) in &way.points {
                assert!(
                    (0.0..=whole.width).contains(x) && (0.0..=whole.height).contains(y),
                    "{way:?}"
                );
            }
        }
        picture
    }

    #[test]
    fn nothing_of_the_box_office_hides_anything_else() {
        for shop in [true, false] {
            let (mut rows, mut arrows) = box_office();
            if !shop {
                rows.pop();
                arrows.retain(|a| a.from != Some(5) && a.to != 5);
            }
            let picture = check(&rows, &arrows);
            for (index, (way, arrow)) in picture.ways.iter().zip(&arrows).enumerate() {
                for (other, side) in picture.boxes.iter().enumerate() {
                    assert!(!side.overlaps(&way.label), "label {index} {way:?} and box {other}");
                    let own = Some(other) == arrow.from || other == arrow.to;
                    let through = way.points.windows(2).any(|ends| side.is_crossed(ends[0], ends[1]));
                    assert!(
                        own || !through,
                        "arrow {index} {way:?} runs through box {other} {side:?}"
                    );
                }
                for (other, later) in picture.ways.iter().enumerate().skip(index + 1) {
                    assert!(
                        !later.label.overlaps(&way.label),
                        "labels {index} and {other}: {way:?} {later:?}"
                    );
                    assert_ne!(later.points, way.points, "{index} and {other}");
                }
            }
        }
    }

    #[test]
    fn boxes_never_overlap_however_many_there_are() {
        check(&[], &[]);
        check(&[3], &[arrow(None, 0)]);
        for size in 1..12 {
            let rows: Vec<_> = (0..size).map(|i| i * 7 % 4).collect();
            let all = (0..size).flat_map(|from| (0..size).filter(move |&to| to != from).map(move |to| (from, to)));
            let mut arrows: Vec<_> = all.map(|(from, to)| arrow(Some(from), to)).collect();
            arrows.push(arrow(None, size - 1));
            check(&rows, &arrows);
        }
    }
}
