//! What the sandbox knows of each payment, and what may follow what.

use std::{collections::HashMap, num::NonZeroU32};

use kernel::Uuid;
use serde::{Deserialize, Serialize};

use crate::domain::IntentState as State;

/// The tokens there are.
pub(super) const TOKENS: [&str; 4] = ["tok_ok", "tok_declined", "tok_slow", "tok_flaky"];

/// A payment, and a line of the ledger's file: the last line of a key counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) state: State,
    /// What is known once it has arrived; a payment that was voided before has none.
    #[serde(flatten)]
    pub(super) terms: Option<Terms>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    pub(super) id: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) token: String,
}

/// What is asked for.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Wanted {
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) token: String,
}

/// What can be done to a payment that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Capture,
    Void,
    Refund,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is new.
    New(Entry),
    /// It is as was asked for.
    Same(Entry),
    /// It stands otherwise.
    Otherwise(Entry),
    /// The key is that of another payment.
    OtherBody,
    /// There is none.
    Unknown,
}

/// What a payment is known by. Ours are ids, and an id takes less room than its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Id(Uuid),
    Text(Box<str>),
}

impl Key {
    fn of(text: &str) -> Self {
        match text.parse::<Uuid>() {
            // Another way to write an id is another key.
            Ok(id) if id.to_string() == text => Self::Id(id),
            _ => Self::Text(text.into()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Id(id) => id.to_string(),
            Self::Text(text) => text.to_string(),
        }
    }
}

/// A payment as it is kept in memory: there are as many as there were orders, so each is small.
#[derive(Clone, Copy, Debug)]
struct Kept {
    state: State,
    terms: Option<KeptTerms>,
}

#[derive(Clone, Copy, Debug)]
struct KeptTerms {
    number: NonZeroU32,
    amount: i64,
    currency: [u8; 3],
    /// Its place among the tokens.
    token: u8,
}

impl KeptTerms {
    /// An error, when no sandbox has written such terms.
    fn read(terms: &Terms) -> Result<Self, &'static str> {
        let number = terms.id.strip_prefix("pi_").and_then(|n| n.parse().ok());
        let token = TOKENS.iter().position(|token| *token == terms.token);
        Ok(Self {
            number: number.ok_or("its id is none that a sandbox gives")?,
            amount: terms.amount,
            currency: terms
                .currency
                .as_bytes()
                .try_into()
                .map_err(|_| "its currency is none")?,
            token: token
                .and_then(|t| u8::try_from(t).ok())
                .ok_or("there is no such token")?,
        })
    }

    fn write(&self) -> Terms {
        Terms {
            id: payment_id(self.number),
            amount: self.amount,
            currency: String::from_utf8_lossy(&self.currency).into_owned(),
            token: TOKENS
                .get(usize::from(self.token))
                .copied()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

fn payment_id(number: NonZeroU32) -> String {
    format!("pi_{number:06}")
}

/// Every payment.
#[derive(Debug)]
pub(super) struct Book {
    entries: HashMap<Key, Kept>,
    /// The number of the next payment that arrives: they are counted.
    next: NonZeroU32,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            next: NonZeroU32::MIN,
        }
    }
}

impl Book {
    /// Reads a line of the ledger.
    ///
    /// # Errors
    /// When no sandbox has written it.
    pub(super) fn replay(&mut self, entry: &Entry) -> Result<(), &'static str> {
        let terms = entry.terms.as_ref().map(KeptTerms::read).transpose()?;
        if let Some(number) = terms.map(|terms| terms.number).filter(|number| *number >= self.next) {
            self.next = number.checked_add(1).ok_or("no ledger has so many payments")?;
        }
        let kept = Kept {
            state: entry.state,
            terms,
        };
        self.entries.insert(Key::of(&entry.key), kept);
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        let (key, kept) = self.entries.get_key_value(&Key::of(key))?;
        Some(entry(key, kept))
    }

    /// Those that have arrived, in that order.
    pub(super) fn all(&self) -> impl Iterator<Item = Entry> {
        let number = |kept: &Kept| kept.terms.map(|terms| terms.number);
        let arrived = self.entries.iter().filter(|(_, kept)| kept.terms.is_some());
        let mut arrived: Vec<_> = arrived.collect();
        arrived.sort_unstable_by_key(|(_, kept)| number(kept));
        arrived.into_iter().map(|(key, kept)| entry(key, kept))
    }

    /// Reserves the money, or not. What is to be written to the ledger is `New`.
    pub(super) fn authorise(&self, key: &str, wanted: &Wanted) -> Outcome {
        match self.get(key) {
            None => {
                let declined = wanted.token == "tok_declined";
                Outcome::New(Entry {
                    key: key.to_owned(),
                    state: if declined { State::Declined } else { State::Authorized },
                    terms: Some(Terms {
                        id: payment_id(self.next),
                        amount: wanted.amount,
                        currency: wanted.currency.clone(),
                        token: wanted.token.clone(),
                    }),
                })
            }
            Some(entry) => match &entry.terms {
                None => Outcome::Otherwise(entry),
                Some(t) if (t.amount, &t.currency, &t.token) != (wanted.amount, &wanted.currency, &wanted.token) => {
                    Outcome::OtherBody
                }
                Some(_) => Outcome::Same(entry),
            },
        }
    }

    /// Takes the money, lets it go or gives it back. What is to be written to the ledger is `New`.
    pub(super) fn change(&self, key: &str, verb: Verb) -> Outcome {
        let (from, to) = match verb {
            Verb::Capture => (State::Authorized, State::Captured),
            Verb::Void => (State::Authorized, State::Voided),
            Verb::Refund => (State::Captured, State::Refunded),
        };
        match self.get(key) {
            None if verb == Verb::Void => Outcome::New(Entry {
                key: key.to_owned(),
                state: State::Voided,
                terms: None,
            }),
            None => Outcome::Unknown,
            Some(entry) if entry.state == from => Outcome::New(Entry { state: to, ..entry }),
            Some(entry) if entry.state == to => Outcome::Same(entry),
            Some(entry) => Outcome::Otherwise(entry),
        }
    }
}

fn entry(key: &Key, kept: &Kept) -> Entry {
    Entry {
        key: key.text(),
        state: kept.state,
        terms: kept.terms.map(|terms| terms.write()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_small_and_comes_back_as_it_was() {
        assert!(size_of::<(Key, Kept)>() <= 48, "{}", size_of::<(Key, Kept)>());
        let mut book = Book::default();
        let ids = [
            "0190163d-8694-739b-aea5-966c26f8ad91",
            "0190163D-8694-739B-AEA5-966C26F8AD91",
            "no id",
        ];
        for (n, key) in ids.iter().enumerate() {
            let wanted = Wanted {
                amount: i64::MAX - 1,
                currency: "EUR".to_owned(),
                token: TOKENS[n].to_owned(),
            };
            let Outcome::New(new) = book.authorise(key, &wanted) else {
                panic!("{key} is new");
            };
            assert_eq!(
                new.terms.as_ref().map(|t| t.id.clone()),
                Some(format!("pi_{:06}", n + 1))
            );
            book.replay(&new).expect("it is a sandbox's");
            assert_eq!(book.get(key).as_ref(), Some(&new));
            assert_eq!(book.authorise(key, &wanted), Outcome::Same(new));
        }
        let Outcome::New(void) = book.change("never arrived", Verb::Void) else {
            panic!("it is new");
        };
        book.replay(&void).expect("it is a sandbox's");
        let keys: Vec<_> = book.all().map(|entry| entry.key).collect();
        assert_eq!(keys, ids);
    }
}
