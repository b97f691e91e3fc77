//! What the sandbox knows of each payment, and what may follow what.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::domain::IntentState as State;

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

/// Every payment.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<String, Entry>,
    /// The keys of those that have arrived, in that order: the number of a payment is its place here.
    arrived: Vec<String>,
}

impl Book {
    /// Reads a line of the ledger.
    pub(super) fn replay(&mut self, entry: Entry) {
        let had = self.entries.get(&entry.key).is_some_and(|e| e.terms.is_some());
        if entry.terms.is_some() && !had {
            self.arrived.push(entry.key.clone());
        }
        self.entries.insert(entry.key.clone(), entry);
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Those that have arrived, in that order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.arrived.iter().filter_map(|key| self.entries.get(key))
    }

    /// Reserves the money, or not. What is to be written to the ledger is `New`.
    pub(super) fn authorise(&self, key: &str, wanted: &Wanted) -> Outcome {
        match self.entries.get(key) {
            None => {
                let declined = wanted.token == "tok_declined";
                Outcome::New(Entry {
                    key: key.to_owned(),
                    state: if declined { State::Declined } else { State::Authorized },
                    terms: Some(Terms {
                        id: format!("pi_{:06}", self.arrived.len() + 1),
                        amount: wanted.amount,
                        currency: wanted.currency.clone(),
                        token: wanted.token.clone(),
                    }),
                })
            }
            Some(entry) => match &entry.terms {
                None => Outcome::Otherwise(entry.clone()),
                Some(t) if (t.amount, &t.currency, &t.token) != (wanted.amount, &wanted.currency, &wanted.token) => {
                    Outcome::OtherBody
                }
                Some(_) => Outcome::Same(entry.clone()),
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
        match self.entries.get(key) {
            None if verb == Verb::Void => Outcome::New(Entry {
                key: key.to_owned(),
                state: State::Voided,
                terms: None,
            }),
            None => Outcome::Unknown,
            Some(entry) if entry.state == from => Outcome::New(Entry {
                state: to,
                ..entry.clone()
            }),
            Some(entry) if entry.state == to => Outcome::Same(entry.clone()),
            Some(entry) => Outcome::Otherwise(entry.clone()),
        }
    }
}
