//! Two JSON answers, compared value by value.

use serde_json::Value;

/// One way in which two answers differ.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
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
    /// Another effect: a row, an event, a change or a call that is missing, extra or different.
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

/// Everything in which `remote` differs from `local`, in the order of `local`; at most 64.
pub fn differences(local: &Value, remote: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(local, remote, &mut String::new(), &mut found);
    found
}

fn walk(local: &Value, remote: &Value, path: &mut String, found: &mut Vec<Difference>) {
    if found.len() >= MOST || local == remote {
        return;
    }
    let mut differ = |path: &str, kind, local: &Value, remote: &Value| {
        found.push(Difference {
            path: path.to_owned(),
            kind,
            local: local.clone(),
            remote: remote.clone(),
        });
    };
    match (local, remote) {
        (Value::Object(l), Value::Object(r)) => {
            for (key, left) in l {
                match r.get(key) {
                    Some(right) => below(path, key, |path| walk(left, right, path, found)),
                    None => below(path, key, |path| {
                        found.push(Difference {
                            path: path.clone(),
                            kind: DifferenceKind::Missing,
                            local: left.clone(),
                            remote: Value::Null,
                        });
                    }),
                }
            }
            for (key, right) in r.iter().filter(|(key, _)| !l.contains_key(*key)) {
                below(path, key, |path| {
                    found.push(Difference {
                        path: path.clone(),
                        kind: DifferenceKind::Extra,
                        local: Value::Null,
                        remote: right.clone(),
                    });
                });
            }
        }
        (Value::Array(l), Value::Array(r)) if l.len() != r.len() => differ(path, DifferenceKind::Length, local, remote),
        (Value::Array(l), Value::Array(r)) if reordered(l, r) => differ(path, DifferenceKind::Order, local, remote),
        (Value::Array(l), Value::Array(r)) => {
            for (i, (left, right)) in l.iter().zip(r).enumerate() {
                below(path, &i.to_string(), |path| walk(left, right, path, found));
            }
        }
        _ if std::mem::discriminant(local) == std::mem::discriminant(remote) => {
            differ(path, DifferenceKind::Value, local, remote);
        }
        _ => differ(path, DifferenceKind::Type, local, remote),
    }
}

fn below(path: &mut String, key: &str, then: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push('/');
    path.push_str(&key.replace('~', "~0").replace('/', "~1"));
    then(path);
    path.truncate(length);
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
}
