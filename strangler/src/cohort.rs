//! Named cohorts: callers that a canary sends to the service ahead of its share, by who they are, by a header of their
//! request, or by an attribute, which is a member of W3C baggage (<https://www.w3.org/TR/baggage/>).
//!
//! Headers are there at the gateway alone, and in another process the principal is that process. So what some route asks for
//! is noted in the call context at the gateway and travels with the call; as long as no route asks, nothing is.

use std::{
    borrow::Cow,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use http::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION},
};
use serde::{Deserialize, Serialize};

/// How many cohorts a route may have.
pub const COHORTS: usize = 8;
/// The longest text of a cohort, in bytes.
const LONGEST: usize = 160;
/// How many things are noted of a call, and how long each may be.
const NOTES: usize = 16;
const NOTE: usize = 256;
/// The longest that the notes of a call may be on their way to another process.
const TRAVELLING: usize = 4 << 10;
/// Under which name the principal is noted; no header is called so.
const PRINCIPAL: &str = ":principal";

/// Callers that are sent ahead. Written `beta=principal:ada`, `beta=header:x-beta=1`, `beta=attribute:tier=gold`; several
/// of one name are one cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cohort {
    /// What people call it.
    pub name: String,
    /// Who belongs to it.
    pub rule: Rule,
}

/// Who belongs to a cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The principal with this subject.
    Principal(String),
    /// Whose request has this header with this value.
    Header(HeaderName, String),
    /// Whose baggage has this member with this value.
    Attribute(String, String),
}

impl fmt::Display for Cohort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.rule {
            Rule::Principal(subject) => write!(f, "{name}=principal:{subject}"),
            Rule::Header(header, value) => write!(f, "{name}=header:{header}={value}"),
            Rule::Attribute(key, value) => write!(f, "{name}=attribute:{key}={value}"),
        }
    }
}

impl FromStr for Cohort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "the cohort `{}` {what}; write name=principal:ada, name=header:x-beta=1 or name=attribute:tier=gold",
                text.chars().take(LONGEST).collect::<String>()
            )
        };
        if text.len() > LONGEST {
            return Err(wrong(&format!("is longer than {LONGEST} bytes")));
        }
        // A line of the audit trail has several of them, with spaces and commas between.
        if !text.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
            return Err(wrong("has a space, a comma or something that is not ASCII"));
        }
        let (name, rule) = text.split_once('=').ok_or_else(|| wrong("has no name"))?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(wrong("has a name of other than letters, digits, `-`, `_` and `.`"));
        }
        let (kind, what) = rule
            .split_once(':')
            .ok_or_else(|| wrong("does not say who belongs to it"))?;
        let pair = || {
            let pair = what
                .split_once('=')
                .filter(|(key, value)| !key.is_empty() && !value.is_empty());
            pair.ok_or_else(|| wrong("has no value"))
        };
        let rule = match kind {
            "principal" if !what.is_empty() => Rule::Principal(what.to_owned()),
            "header" => {
                let (header, value) = pair()?;
                let header: HeaderName = header.parse().map_err(|_| wrong("names no header"))?;
                // It would stand in the audit trail and on the console.
                if [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(&header) {
                    return Err(wrong("asks for a header that carries secrets"));
                }
                Rule::Header(header, value.to_owned())
            }
            "attribute" => pair().map(|(key, value)| Rule::Attribute(key.to_owned(), value.to_owned()))?,
            _ => return Err(wrong("does not say who belongs to it")),
        };
        Ok(Self {
            name: name.to_owned(),
            rule,
        })
    }
}

impl TryFrom<String> for Cohort {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Cohort> for String {
    fn from(cohort: Cohort) -> Self {
        cohort.to_string()
    }
}

/// Reads cohorts with spaces between them, as they are kept.
///
/// # Errors
/// A sentence about the first that is none, or about too many.
pub fn cohorts(text: &str) -> Result<Arc<[Cohort]>, String> {
    let list: Vec<Cohort> = text
        .split_ascii_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    bounded(list)
}

/// At most as many as a route may have, each once.
pub(crate) fn bounded(list: Vec<Cohort>) -> Result<Arc<[Cohort]>, String> {
    let mut once: Vec<Cohort> = Vec::with_capacity(list.len().min(COHORTS));
    for cohort in list {
        if once.contains(&cohort) {
            continue;
        }
        if once.len() == COHORTS {
            return Err(format!("a route may have {COHORTS} cohorts at most"));
        }
        once.push(cohort);
    }
    Ok(once.into())
}

/// The value of a member of W3C baggage, percent-decoded, its properties apart.
fn member<'a>(baggage: &'a str, key: &str) -> Option<Cow<'a, str>> {
    baggage.split(',').find_map(|member| {
        let (name, value) = member.split(';').next()?.split_once('=')?;
        let value = percent_encoding::percent_decode_str(value.trim());
        (name.trim() == key).then(|| value.decode_utf8_lossy())
    })
}

impl Rule {
    /// Whether a caller belongs to it, by what is known of it.
    pub(crate) fn holds(&self, subject: Option<&str>, baggage: Option<&str>, noted: Option<&Noted>) -> bool {
        match self {
            Self::Principal(who) => match noted.and_then(|noted| noted.all(PRINCIPAL).next()) {
                Some(caller) => caller == who,
                None => subject == Some(who),
            },
            Self::Header(header, value) => {
                noted.is_some_and(|noted| noted.all(header.as_str()).any(|noted| noted == value))
            }
            Self::Attribute(key, value) => baggage.and_then(|all| member(all, key)).is_some_and(|v| v == *value),
        }
    }
}

/// What was noted of a call because some route asks for it: a name and a value each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted(Vec<(Box<str>, Box<str>)>);

impl Noted {
    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(n, _)| **n == *name)
            .map(|(_, value)| &**value)
    }

    fn add(&mut self, name: &str, value: &str) {
        if self.0.len() < NOTES && value.len() <= NOTE && name.len() <= NOTE {
            self.0.push((name.into(), value.into()));
        }
    }

    fn some(self) -> Option<Arc<Self>> {
        (!self.0.is_empty()).then(|| Arc::new(self))
    }

    /// As it travels: like a form.
    pub(crate) fn to_text(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| (&**name, &**value));
        let mut text = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        if text.len() > TRAVELLING {
            text.clear();
        }
        text
    }

    /// As it travelled.
    pub(crate) fn of_text(text: &str) -> Option<Arc<Self>> {
        let mut noted = Self::default();
        if text.len() <= TRAVELLING {
            form_urlencoded::parse(text.as_bytes()).for_each(|(name, value)| noted.add(&name, &value));
        }
        noted.some()
    }
}

/// What the routes in force ask for, so that gateways know what to note.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Looked at first: as a rule nobody asks for anything.
    any: AtomicBool,
    list: ArcSwap<List>,
}

#[derive(Debug, Default)]
struct List {
    headers: Vec<HeaderName>,
    principal: bool,
}

impl Wanted {
    /// From now on, what these cohorts ask for.
    pub fn set<'a>(&self, cohorts: impl Iterator<Item = &'a Cohort>) {
        let mut list = List::default();
        for cohort in cohorts {
            match &cohort.rule {
                Rule::Header(header, _) if !list.headers.contains(header) => list.headers.push(header.clone()),
                Rule::Principal(_) => list.principal = true,
                Rule::Header(..) | Rule::Attribute(..) => {}
            }
        }
        let any = list.principal || !list.headers.is_empty();
        self.list.store(Arc::new(list));
        self.any.store(any, Ordering::Release);
    }

    /// What some route asks for, of a request by `subject`; `None` when none does, which one atomic load tells.
    #[inline]
    pub(crate) fn note(&self, subject: Option<&str>, headers: &HeaderMap) -> Option<Arc<Noted>> {
        match self.any.load(Ordering::Acquire) {
            false => None,
            true => self.look(subject, headers),
        }
    }

    #[cold]
    fn look(&self, subject: Option<&str>, headers: &HeaderMap) -> Option<Arc<Noted>> {
        let list = self.list.load();
        let mut noted = Noted::default();
        if let (true, Some(subject)) = (list.principal, subject) {
            noted.add(PRINCIPAL, subject);
        }
        for header in &list.headers {
            let values = headers.get_all(header).iter().filter_map(|v| v.to_str().ok());
            values.for_each(|value| noted.add(header.as_str(), value.trim()));
        }
        noted.some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cohort(text: &str) -> Cohort {
        text.parse().unwrap()
    }

    #[test]
    fn cohorts_are_read_as_they_are_written() {
        for text in [
            "beta=principal:ada@example.org",
            "b-1=header:x-beta=a=b",
            "gold=attribute:tier=gold",
        ] {
            assert_eq!(cohort(text).to_string(), text);
        }
        assert_eq!(cohort("b=header:X-Beta=1").to_string(), "b=header:x-beta=1");
        let long = format!("b=principal:{}", "x".repeat(LONGEST));
        for bad in [
            "",
            "beta",
            "=principal:ada",
            "beta=ada",
            "beta=principal:",
            "beta=header:x-beta",
            "beta=header:=1",
            "beta=header:x beta=1",
            "b\u{e9}ta=principal:a",
            "beta=attribute:tier=",
            "beta=group:x",
            "beta=header:x-b=1,2",
            "b=header:Authorization=x",
            "b=header:cookie=x",
            &long,
        ] {
            let why = bad.parse::<Cohort>().unwrap_err();
            assert!(why.contains("write name=principal:ada"), "{bad}: {why}");
        }
        let many: Vec<_> = (0..=COHORTS).map(|n| format!("c{n}=principal:x")).collect();
        assert!(cohorts(&many.join(" ")).is_err());
        assert_eq!(cohorts(&many[1..].join(" ")).unwrap().len(), COHORTS);
        assert_eq!(cohorts("a=principal:x a=principal:x").unwrap().len(), 1);
    }

    #[test]
    fn attributes_are_members_of_baggage() {
        let baggage = "a=1, tier = g%6Fld;until=2030, tier=silver,broken,=x";
        assert_eq!(member(baggage, "tier").as_deref(), Some("gold"));
        assert_eq!(member(baggage, "until"), None);
        assert!(cohort("g=attribute:tier=gold").rule.holds(None, Some(baggage), None));
        assert!(!cohort("g=attribute:tier=silver").rule.holds(None, Some(baggage), None));
        assert!(!cohort("g=attribute:tier=gold").rule.holds(None, None, None));
    }

    #[test]
    fn what_is_noted_travels_and_is_bounded() {
        let wanted = Wanted::default();
        let mut headers = HeaderMap::new();
        headers.insert("x-beta", "1 & more".parse().unwrap());
        headers.insert("x-other", "1".parse().unwrap());
        assert_eq!(wanted.note(Some("ada"), &headers), None);

        let (beta, ada) = (cohort("b=header:x-beta=1"), cohort("a=principal:ada"));
        wanted.set([&beta, &ada].into_iter());
        let noted = wanted.note(Some("ada"), &headers).unwrap();
        assert_eq!(Noted::of_text(&noted.to_text()).unwrap(), noted);
        assert_eq!(noted.0.len(), 2, "{noted:?}");
        assert!(!beta.rule.holds(None, None, Some(&noted)), "another value");
        // In another process it is that process's module which asks; who asked at the gateway counts.
        assert!(ada.rule.holds(Some("ordering"), None, Some(&noted)) && ada.rule.holds(Some("ada"), None, None));
        assert!(
            !cohort("o=principal:ordering")
                .rule
                .holds(Some("ordering"), None, Some(&noted))
        );

        headers.insert("x-beta", "1".parse().unwrap());
        (0..100).for_each(|n| _ = headers.append("x-beta", n.to_string().parse().unwrap()));
        headers.append("x-beta", "x".repeat(NOTE + 1).parse().unwrap());
        let noted = wanted.note(None, &headers).unwrap();
        assert!(beta.rule.holds(None, None, Some(&noted)) && noted.0.len() == NOTES);
        wanted.set([].into_iter());
        assert_eq!(wanted.note(Some("ada"), &headers), None);
        assert_eq!(Noted::of_text(&"a=1&".repeat(TRAVELLING)), None);
        assert!(Noted::of_text("").is_none());
    }
}
