//! Two JSON answers, compared value by value.

mod marks;
mod shape;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};
use uuid::Uuid;

pub use marks::{Compared, DEPTH, Marked, Marks, Probe, Unmarked};
pub use shape::{Shape, Shapes};

/// One way in which two answers differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// JSON pointer of the place; empty for the whole answer.
    pub path: String,
    /// In what way.
    pub kind: DifferenceKind,
    /// What the monolith has there.
    pub local: Value,
    /// What the service has there.
    pub remote: Value,
}

/// In what way two values differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DifferenceKind {
    /// Another value of the same type.
    Value,
    /// A value of another type.
    Type,
    /// The service lacks it.
    Missing,
    /// Only the service has it.
    Extra,
    /// The same elements in another order.
    Order,
    /// Another number of elements.
    Length,
    /// Another HTTP status.
    Status,
    /// Something else would have been done: a row, an event, a call.
    Effect,
}

impl DifferenceKind {
    /// Its name, as it is written: `value`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Type => "type",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Order => "order",
            Self::Length => "length",
            Self::Status => "status",
            Self::Effect => "effect",
        }
    }
}

/// At most this many differences of one comparison are told apart.
const MOST: usize = 64;

/// How many elements of lists in any order are matched by trying, before they are compared in their order.
const TRIED: usize = 256;

impl Difference {
    /// The place with every index as `*`: the same place in every element of a list.
    pub fn place(&self) -> String {
        place(&self.path)
    }

    /// What both values look like.
    pub fn shapes(&self) -> Shapes {
        // An effect that one side lacks has no value there.
        let there = |value: &Value, absent: DifferenceKind| match value {
            Value::Null if self.kind == absent || self.kind == DifferenceKind::Effect => Shape::Nothing,
            value => Shape::of(value),
        };
        Shapes {
            local: there(&self.local, DifferenceKind::Extra),
            remote: there(&self.remote, DifferenceKind::Missing),
        }
    }
}

/// A JSON pointer with every segment that is a number or an id as `*`.
pub fn place(pointer: &str) -> String {
    let is_number = |segment: &str| !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
    let is_index = |segment: &str| is_number(segment) || (segment.len() == 36 && Uuid::try_parse(segment).is_ok());
    let segments = pointer.split('/');
    let segments = segments.map(|segment| if is_index(segment) { "*" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// Everything in which `remote` differs from `local`, in the order of `local`; at most 64.
pub fn differences(local: &Value, remote: &Value) -> Vec<Difference> {
    differences_but(local, remote, Marks::NONE)
}

/// The same, but for what may differ.
pub fn differences_but(local: &Value, remote: &Value, marks: &Marks) -> Vec<Difference> {
    let mut walk = Walk {
        path: String::new(),
        found: Vec::new(),
    };
    walk.compare(local, remote, marks);
    walk.found
}

struct Walk {
    path: String,
    found: Vec<Difference>,
}

impl Walk {
    fn compare(&mut self, local: &Value, remote: &Value, marks: &Marks) {
        if self.found.len() >= MOST || marks.is_ignored() || local == remote {
            return;
        }
        match (local, remote) {
            (Value::Object(l), Value::Object(r)) => self.objects(l, r, marks),
            (Value::Array(l), Value::Array(r)) => self.lists((local, l), (remote, r), marks),
            (Value::Number(l), Value::Number(r)) if equal(l, r) => {}
            (Value::Number(l), Value::Number(r)) if marks.tolerated().is_some_and(|by| within(l, r, by)) => {}
            _ if std::mem::discriminant(local) == std::mem::discriminant(remote) => {
                self.note(DifferenceKind::Value, local, remote);
            }
            _ => self.note(DifferenceKind::Type, local, remote),
        }
    }

    fn objects(&mut self, l: &Map<String, Value>, r: &Map<String, Value>, marks: &Marks) {
        for (key, left) in l {
            let marks = marks.of(key);
            match r.get(key) {
                Some(right) => self.below(key, |walk| walk.compare(left, right, marks)),
                None if marks.is_ignored() => {}
                None => self.below(key, |walk| walk.note(DifferenceKind::Missing, left, &Value::Null)),
            }
        }
        for (key, right) in r.iter().filter(|(key, _)| !l.contains_key(*key)) {
            if !marks.of(key).is_ignored() {
                self.below(key, |walk| walk.note(DifferenceKind::Extra, &Value::Null, right));
            }
        }
    }

    fn lists(&mut self, (local, l): (&Value, &Vec<Value>), (remote, r): (&Value, &Vec<Value>), marks: &Marks) {
        let each = marks.of_each();
        if l.len() != r.len() {
            return self.note(DifferenceKind::Length, local, remote);
        }
        let sorted;
        let (l, r) = match marks.is_unordered() {
            true => {
                sorted = (in_order(l), matched(l, r, each));
                (&sorted.0, &sorted.1)
            }
            false if reordered(l, r) => return self.note(DifferenceKind::Order, local, remote),
            false => {
                sorted = (l.iter().collect(), r.iter().collect());
                (&sorted.0, &sorted.1)
            }
        };
        for (i, (left, right)) in l.iter().zip(r).enumerate() {
            self.below(&i.to_string(), |walk| walk.compare(left, right, each));
        }
    }

    fn note(&mut self, kind: DifferenceKind, local: &Value, remote: &Value) {
        if self.found.len() < MOST {
            self.found.push(Difference {
                path: self.path.clone(),
                kind,
                local: local.clone(),
                remote: remote.clone(),
            });
        }
    }

    fn below(&mut self, key: &str, then: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&key.replace('~', "~0").replace('/', "~1"));
        then(self);
        self.path.truncate(length);
    }
}

/// 45 and 45.0 are one number in JSON; written as integers, they are compared to the last digit.
fn equal(l: &Number, r: &Number) -> bool {
    l.is_f64() != r.is_f64() && l.as_f64() == r.as_f64()
}

fn within(l: &Number, r: &Number, by: f64) -> bool {
    matches!((l.as_f64(), r.as_f64()), (Some(l), Some(r)) if (l - r).abs() <= by)
}

fn in_order(list: &[Value]) -> Vec<&Value> {
    list.iter().collect()
}

/// The elements of `r`, each at the place of one in `l` that it equals but for what may differ; the others fill up the rest in
/// their order.
fn matched<'a>(l: &[Value], r: &'a [Value], marks: &Marks) -> Vec<&'a Value> {
    let mut left: Vec<Option<&Value>> = r.iter().map(Some).collect();
    if l.len() > TRIED {
        // Too many to try each with each: equal ones are found by their text.
        let mut by_text: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, value) in r.iter().enumerate().rev() {
            by_text.entry(value.to_string()).or_default().push(i);
        }
        let found: Vec<_> = l
            .iter()
            .map(|v| by_text.get_mut(&v.to_string()).and_then(Vec::pop))
            .collect();
        return fill(found, &mut left);
    }
    let found = l.iter().map(|want| {
        let same = |value: &Option<&Value>| value.is_some_and(|value| differences_but(want, value, marks).is_empty());
        let at = left.iter().position(same)?;
        left[at] = None;
        Some(at)
    });
    let found: Vec<_> = found.collect();
    left = r.iter().map(Some).collect();
    fill(found, &mut left)
}

fn fill<'a>(found: Vec<Option<usize>>, left: &mut [Option<&'a Value>]) -> Vec<&'a Value> {
    let taken: Vec<_> = found.into_iter().map(|at| at.and_then(|at| left[at].take())).collect();
    let mut rest = left.iter_mut().filter_map(Option::take);
    taken
        .into_iter()
        .filter_map(|value| value.or_else(|| rest.next()))
        .collect()
}

/// Whether two lists of one length hold the same elements. Text forms are compared sorted: no quadratic search.
fn reordered(l: &[Value], r: &[Value]) -> bool {
    let sorted = |list: &[Value]| {
        let mut texts: Vec<_> = list.iter().map(Value::to_string).collect();
        texts.sort_unstable();
        texts
    };
    l.len() > 1 && sorted(l) == sorted(r)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DifferenceKind as Kind, *};

    fn kinds(local: Value, remote: Value) -> Vec<(String, DifferenceKind)> {
        differences(&local, &remote)
            .into_iter()
            .map(|d| (d.path, d.kind))
            .collect()
    }

    #[test]
    fn each_kind_is_told() {
        let local = json!({"a": 1, "b": {"c": "x"}, "list": [1, 2, 3]});
        assert_eq!(kinds(local.clone(), local.clone()), []);
        assert_eq!(
            kinds(local.clone(), json!({"a": 2, "b": {"c": "x"}, "list": [1, 2, 3]})),
            [("/a".into(), Kind::Value)]
        );
        assert_eq!(
            kinds(local.clone(), json!({"a": "1", "b": {"c": "x"}, "list": [1, 2, 3]})),
            [("/a".into(), Kind::Type)]
        );
        assert_eq!(
            kinds(local.clone(), json!({"a": 1, "b": {}, "list": [1, 2, 3]})),
            [("/b/c".into(), Kind::Missing)]
        );
        assert_eq!(
            kinds(
                local.clone(),
                json!({"a": 1, "b": {"c": "x", "d/e": 0}, "list": [1, 2, 3]})
            ),
            [("/b/d~1e".into(), Kind::Extra)]
        );
        assert_eq!(
            kinds(local.clone(), json!({"a": 1, "b": {"c": "x"}, "list": [1, 2]})),
            [("/list".into(), Kind::Length)]
        );
        assert_eq!(
            kinds(local.clone(), json!({"a": 1, "b": {"c": "x"}, "list": [3, 2, 1]})),
            [("/list".into(), Kind::Order)]
        );
        assert_eq!(
            kinds(local, json!({"a": 1, "b": {"c": "x"}, "list": [1, 9, 3]})),
            [("/list/1".into(), Kind::Value)]
        );
        assert_eq!(kinds(json!([]), json!({})), [(String::new(), Kind::Type)]);
    }

    #[test]
    fn a_wild_answer_is_bounded() {
        let local = Value::Array((0..10_000).map(|i| json!(i)).collect());
        let remote = Value::Array((0..10_000).map(|i| json!(i + 1)).collect());
        assert_eq!(differences(&local, &remote).len(), MOST);
    }

    #[test]
    fn what_may_differ_is_no_difference() {
        let marks = Marks::default()
            .field("at", Marks::default().ignore())
            .field("total", Marks::default().tolerance(0.01))
            .field("tags", Marks::default().unordered())
            .field(
                "rows",
                Marks::default()
                    .unordered()
                    .each(Marks::default().field("id", Marks::default().ignore())),
            );
        let local = json!({"at": 1, "total": 10.0, "tags": ["a", "b"], "rows": [{"id": 1, "x": 1}, {"id": 2, "x": 2}]});
        let same = |remote: Value| {
            differences_but(&local, &remote, &marks)
                .into_iter()
                .map(|d| (d.path, d.kind))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            same(json!({"total": 10.01, "tags": ["b", "a"], "rows": [{"id": 8, "x": 2}, {"id": 9, "x": 1}]})),
            []
        );
        assert_eq!(
            same(json!({"at": 1, "total": 10.02, "tags": ["b", "c"], "rows": [{"x": 2}, {"x": 3}]})),
            [
                ("/total".into(), Kind::Value),
                ("/tags/0".into(), Kind::Value),
                ("/rows/0/x".into(), Kind::Value),
            ]
        );
        assert_eq!(
            same(json!({"total": 10, "tags": [], "rows": [{"x": 2}, {"x": 1}]})),
            [("/tags".into(), Kind::Length)]
        );
    }

    #[test]
    fn what_was_wrong_with_a_form_is_told_in_words_of_ones_own() {
        let own = Marks::default().field("at", Marks::default().ignore());
        let way = json!({"type": "urn:problem-type:way:invalid", "detail": "the body: x"});
        let domain = json!({"type": "urn:problem-type:catalog:no-such-show", "detail": "no show has the id x"});
        for (status, body, words) in [(422, way, 0), (404, domain, 1)] {
            let mut other = body.clone();
            other["detail"] = json!("otherwise");
            let found = differences_but(&body, &other, Marks::of_answer(&own, status, &body));
            assert_eq!(found.len(), words, "{body}");
        }
        assert_eq!(Marks::of_answer(&own, 200, &json!({})), &own);
    }

    #[test]
    fn a_pointer_with_a_star_ignores_it_everywhere() {
        let marks = Marks::default().ignoring("/items/*/updated_at").ignoring("/a~1b");
        let (local, remote) = (
            json!({"items": [{"updated_at": 1, "x": 1}, {"updated_at": 2}], "a/b": 1}),
            json!({"items": [{"updated_at": 3, "x": 2}, {"updated_at": 4}], "a/b": 2}),
        );
        let found = differences_but(&local, &remote, &marks);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].path.as_str(), found[0].place().as_str()),
            ("/items/0/x", "/items/*/x")
        );
    }

    #[test]
    fn one_number_written_in_two_ways_is_one_number() {
        assert_eq!(kinds(json!(45), json!(45.0)), []);
        assert_eq!(
            kinds(json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)),
            [(String::new(), Kind::Value)]
        );
        assert_eq!(kinds(json!(45), json!(45.5)), [(String::new(), Kind::Value)]);
    }

    #[test]
    fn a_long_list_in_any_order_is_matched() {
        let marks = Marks::default().unordered();
        let local = Value::Array((0..2_000).map(|i| json!({"n": i})).collect());
        let remote = Value::Array((0..2_000).rev().map(|i| json!({"n": i})).collect());
        assert_eq!(differences_but(&local, &remote, &marks), []);
    }
}
