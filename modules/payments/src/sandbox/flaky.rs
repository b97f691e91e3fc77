//! How `tok_flaky` fails: the same every time, and never for ever.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// It does not.
    Well,
    /// Before it took effect.
    Before,
    /// After it took effect.
    After,
}

/// After so many tries of one operation it works.
const TRIES: u32 = 3;

/// Counts the tries since the sandbox was started.
#[derive(Debug, Default)]
pub(super) struct Tries(HashMap<(String, &'static str), u32>);

impl Tries {
    /// How the next try of this operation goes.
    pub(super) fn next(&mut self, token: &str, key: &str, operation: &'static str) -> Mood {
        if token != "tok_flaky" {
            return Mood::Well;
        }
        let tries = self.0.entry((key.to_owned(), operation)).or_default();
        *tries += 1;
        mood(key, operation, *tries)
    }
}

fn mood(key: &str, operation: &str, tries: u32) -> Mood {
    if tries > TRIES {
        return Mood::Well;
    }
    match Sha256::digest(format!("{key}/{operation}/{tries}"))[0] % 4 {
        0 => Mood::Before,
        1 => Mood::After,
        _ => Mood::Well,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaky_fails_both_ways_and_works_in_the_end() {
        let moods: Vec<Mood> = (0..100).map(|key| mood(&key.to_string(), "capture", 1)).collect();
        for wanted in [Mood::Well, Mood::Before, Mood::After] {
            assert!(moods.iter().filter(|m| **m == wanted).count() > 10, "{wanted:?}");
        }
        let mut tries = Tries::default();
        for key in (0..100).map(|key| key.to_string()) {
            assert_eq!(tries.next("tok_ok", &key, "capture"), Mood::Well);
            for _ in 0..TRIES {
                tries.next("tok_flaky", &key, "capture");
            }
            assert_eq!(tries.next("tok_flaky", &key, "capture"), Mood::Well);
        }
    }
}
