//! Reading Prometheus' text format 0.0.4, strictly: what is not exactly right is refused with its line.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its name, a histogram's suffix included.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// A page of metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The type of each family: `counter`, `gauge` or `histogram`.
    pub types: BTreeMap<String, String>,
    /// Every sample, in the page's order.
    pub samples: Vec<Sample>,
}

impl Metrics {
    /// The value of the sample with this name and these labels among others; `None` when there is none. Panics when there
    /// are several.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |s: &&Sample| s.name == name && labels.iter().all(|(l, v)| s.labels.get(*l).is_some_and(|x| x == v));
        let found: Vec<_> = self.samples.iter().filter(has).collect();
        assert!(found.len() < 2, "{name}{labels:?} is not one sample: {found:?}");
        found.first().map(|s| s.value)
    }
}

fn is_name(text: &str, colon: bool) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || colon && c == ':';
    text.starts_with(first) && text.chars().all(|c| first(c) || c.is_ascii_digit())
}

/// The family that a sample belongs to.
fn family<'a>(types: &BTreeMap<String, String>, name: &'a str) -> Option<&'a str> {
    if types.get(name).is_some_and(|kind| kind != "histogram") {
        return Some(name);
    }
    let parts = ["_bucket", "_sum", "_count"];
    let bare = parts.iter().find_map(|suffix| name.strip_suffix(suffix))?;
    types.get(bare).is_some_and(|kind| kind == "histogram").then_some(bare)
}

/// Reads a page.
///
/// # Errors
/// A sentence that names the first line that is wrong, or the histogram that does not add up.
pub fn parse(text: &str) -> Result<Metrics, String> {
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let mut page = Metrics::default();
    let (mut helped, mut seen, mut closed) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut current = String::new();
    for line in text.lines() {
        let wrong = |why: &str| format!("{why}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("a help without text"))?;
            if !is_name(name, true) || help.is_empty() || !helped.insert(name.to_owned()) {
                return Err(wrong("a wrong or second help"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("a type without kind"))?;
            if !["counter", "gauge", "histogram"].contains(&kind) || !helped.contains(name) {
                return Err(wrong("an unknown type, or one without help"));
            }
            if page.types.insert(name.to_owned(), kind.to_owned()).is_some() {
                return Err(wrong("a second type"));
            }
        } else {
            let sample = sample(line).ok_or_else(|| wrong("no sample"))?;
            let Some(of) = family(&page.types, &sample.name) else {
                return Err(wrong("a sample before its type"));
            };
            if of != current {
                closed.insert(std::mem::replace(&mut current, of.to_owned()));
                if closed.contains(of) {
                    return Err(wrong("a family that is not in one piece"));
                }
            }
            let kind = &page.types[of];
            if kind == "counter" && (!of.ends_with("_total") || sample.value < 0.0) {
                return Err(wrong("a counter that is negative or not called a total"));
            }
            if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                return Err(wrong("the same sample twice"));
            }
            page.samples.push(sample);
        }
    }
    histograms(&page)?;
    Ok(page)
}

/// Buckets only rise, end with `+Inf`, and that one is the count.
fn histograms(page: &Metrics) -> Result<(), String> {
    for name in page
        .types
        .iter()
        .filter(|(_, kind)| *kind == "histogram")
        .map(|(name, _)| name)
    {
        let mut buckets = BTreeMap::<Labels, Vec<(f64, f64)>>::new();
        for sample in page.samples.iter().filter(|s| s.name == format!("{name}_bucket")) {
            let mut labels = sample.labels.clone();
            let bound = labels
                .remove("le")
                .ok_or_else(|| format!("{name}: a bucket without le"))?;
            let bound = if bound == "+Inf" {
                Ok(f64::INFINITY)
            } else {
                bound.parse()
            };
            let bound = bound.map_err(|e| format!("{name}: a bound is no number: {e}"))?;
            buckets.entry(labels).or_default().push((bound, sample.value));
        }
        for (labels, list) in buckets {
            let rising = list.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1);
            let last = list.last().copied().unwrap_or_default();
            let same = |s: &&Sample| s.name == format!("{name}_count") && s.labels == labels;
            let count = page.samples.iter().find(same).map(|s| s.value);
            if !rising || last.0 != f64::INFINITY || Some(last.1) != count {
                return Err(format!("{name}{labels:?} does not add up: {list:?}, count {count:?}"));
            }
        }
    }
    Ok(())
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(mut list) = rest.strip_prefix('{') {
        loop {
            let (label, text) = list.split_once("=\"")?;
            let (value, after) = quoted(text)?;
            if !is_name(label, false) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            match after.strip_prefix(',') {
                Some(more) => list = more,
                None => break rest = after.strip_prefix('}')?,
            }
        }
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    is_name(name, true).then(|| Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The text up to the closing quote, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\\\"\\n\"} 3\na_total{x=\"2\"} 4\n\
                        # HELP h H.\n# TYPE h histogram\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n";

    #[test]
    fn what_is_right_is_read() {
        let page = parse(GOOD).expect("right");
        assert_eq!(page.value("a_total", &[("x", "1\"\n")]), Some(3.0));
        assert_eq!(page.value("h_count", &[]), Some(2.0));
        assert_eq!(page.value("b", &[]), None);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (right, wrong) in [
            ("# TYPE a_total counter\n", ""),
            ("# HELP a_total A.\n", ""),
            ("} 4", "} four"),
            ("{x=\"2\"}", "{x=\"1\\\"\\n\"}"),
            ("{x=\"2\"}", "{x=2}"),
            ("h_bucket{le=\"0.5\"} 1", "h_bucket{le=\"0.5\"} 5"),
            ("h_count 2", "h_count 3"),
            ("+Inf", "9"),
            ("h_count 2\n", "h_count 2\na_total{x=\"3\"} 1\n"),
            ("a_total", "a"),
            ("h_count 2\n", "h_count 2"),
        ] {
            let page = GOOD.replace(right, wrong);
            assert!(page != GOOD && parse(&page).is_err(), "{right} → {wrong} was taken");
        }
    }
}
