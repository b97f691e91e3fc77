//! What a contract says of its fields: which may differ, and which are nobody's business.

use std::{
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    sync::LazyLock,
};

use serde_json::Value;

/// How deep marks are looked for in types within types: one that contains itself ends there.
pub const DEPTH: u8 = 12;

/// What is said of a place in an answer and of the places below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marks {
    ignored: bool,
    unordered: bool,
    private: bool,
    tolerance: Option<f64>,
    fields: BTreeMap<String, Marks>,
    /// Of every element of a list, every value of a map.
    each: Option<Box<Marks>>,
}

impl Marks {
    /// No marks at all.
    pub const NONE: &'static Self = &Self {
        ignored: false,
        unordered: false,
        private: false,
        tolerance: None,
        fields: BTreeMap::new(),
        each: None,
    };

    /// Whatever is there may differ, or be missing.
    pub fn ignore(mut self) -> Self {
        self.ignored = true;
        self
    }

    /// The elements of this list may come in any order.
    pub fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }

    /// Numbers here may differ by as much as this: an absolute difference, in the field's own unit.
    pub fn tolerance(mut self, by: f64) -> Self {
        self.tolerance = Some(by);
        self
    }

    /// What is here is a secret or about a person: it is compared, and never stored or shown.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// With these marks on the field `name`.
    pub fn field(mut self, name: &str, marks: Self) -> Self {
        if marks != *Self::NONE {
            self.fields.insert(name.to_owned(), marks);
        }
        self
    }

    /// With these marks on every element, or every value of a map.
    pub fn each(mut self, marks: Self) -> Self {
        self.each = (marks != *Self::NONE).then(|| Box::new(marks));
        self
    }

    /// With these marks beside its own: those of a struct that is written into this one.
    pub fn flattened(mut self, marks: Self) -> Self {
        self.fields.extend(marks.fields);
        self.each = self.each.or(marks.each);
        self
    }

    /// With the place of this JSON pointer ignored; `*` stands for any element.
    pub fn ignoring(mut self, pointer: &str) -> Self {
        let mut at = &mut self;
        for segment in pointer.split('/').skip(1) {
            at = match segment {
                "*" => at.each.get_or_insert_default(),
                name => at.fields.entry(name.replace("~1", "/").replace("~0", "~")).or_default(),
            };
        }
        at.ignored = true;
        self
    }

    /// The marks of an answer with this status and body: `own`, those of the operation's answer, when it succeeded. A problem has
    /// none, but for one of the way there (`urn:problem-type:way:…`): what was wrong with a request's form is told in words, and
    /// every side has its own.
    pub fn of_answer<'a>(own: &'a Self, status: u64, body: &Value) -> &'a Self {
        static IN_WORDS: LazyLock<Marks> =
            LazyLock::new(|| Marks::default().field("detail", Marks::default().ignore()));
        let of_the_way = || {
            body["type"]
                .as_str()
                .is_some_and(|kind| kind.starts_with("urn:problem-type:way:"))
        };
        match status {
            ..400 => own,
            _ if of_the_way() => &IN_WORDS,
            _ => Self::NONE,
        }
    }

    pub(super) fn is_ignored(&self) -> bool {
        self.ignored
    }

    pub(super) fn is_unordered(&self) -> bool {
        self.unordered
    }

    pub(super) fn tolerated(&self) -> Option<f64> {
        self.tolerance
    }

    /// What is said of this field.
    pub(super) fn of(&self, field: &str) -> &Self {
        self.fields.get(field).or(self.each.as_deref()).unwrap_or(Self::NONE)
    }

    /// What is said of every element.
    pub(super) fn of_each(&self) -> &Self {
        self.each.as_deref().unwrap_or(Self::NONE)
    }

    /// Adds the names of all private fields.
    pub fn private_fields(&self, names: &mut BTreeSet<String>) {
        for (name, marks) in &self.fields {
            if marks.private || marks.each.as_ref().is_some_and(|each| each.private) {
                names.insert(name.clone());
            }
            marks.private_fields(names);
        }
        if let Some(each) = &self.each {
            each.private_fields(names);
        }
    }
}

/// A type with marks: written by `#[derive(Compared)]`, from `#[compare(…)]` on its fields.
///
/// | mark | what it says |
/// | --- | --- |
/// | `ignore` | the field may differ, or be missing |
/// | `unordered` | the elements of the list may come in any order |
/// | `tolerance = 0.01` | numbers may differ by as much, in the field's own unit |
/// | `private` | a secret, or about a person: compared, and never stored or shown |
///
/// A type that contains such a type has to derive it, too, or the marks below it are not found.
pub trait Compared {
    /// The marks of this type and, `depth` levels deep, of those in it.
    fn marks(depth: u8) -> Marks;
}

impl<T: Compared> Compared for Vec<T> {
    fn marks(depth: u8) -> Marks {
        Marks::default().each(T::marks(depth))
    }
}

impl<T: Compared> Compared for Option<T> {
    fn marks(depth: u8) -> Marks {
        T::marks(depth)
    }
}

impl<T: Compared> Compared for Box<T> {
    fn marks(depth: u8) -> Marks {
        T::marks(depth)
    }
}

impl<T: Compared> Compared for BTreeMap<String, T> {
    fn marks(depth: u8) -> Marks {
        Marks::default().each(T::marks(depth))
    }
}

/// Finds the marks of a type that may or may not have any: `(&Probe::<T>::NEW).marks(depth)`, with both traits in scope. Of
/// two methods the compiler takes the one that needs one reference less, if its bounds hold (dtolnay's autoref-based
/// specialisation).
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// Of this type.
    pub const NEW: Self = Self(PhantomData);
}

/// The method for types that have marks.
pub trait Marked {
    /// Those of the type.
    fn marks(&self, depth: u8) -> Marks;
}

impl<T: Compared> Marked for Probe<T> {
    fn marks(&self, depth: u8) -> Marks {
        match depth {
            0 => Marks::default(),
            depth => T::marks(depth - 1),
        }
    }
}

/// The method for all others.
pub trait Unmarked {
    /// None.
    fn marks(&self, _: u8) -> Marks {
        Marks::default()
    }
}

impl<T> Unmarked for &Probe<T> {}
