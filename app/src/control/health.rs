//! Whether what goes on beside the requests is well: dead letters, stuck sagas, schemas that do not answer. A system that
//! is not well in this sense still answers requests, so this is no part of `/readyz`.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};
use strangler_store::Backlog;

use super::Control;

/// How long one schema may take to say what waits in it. Nobody waits longer for a schema that is busy.
const PATIENCE: Duration = Duration::from_millis(500);

/// One word for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// Nothing needs a person.
    #[default]
    Ok,
    /// Something does; the reasons say what.
    Degraded,
}

impl HealthStatus {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
        }
    }
}

/// How one schema is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// In one word.
    pub health: HealthStatus,
    /// Why it is degraded, each a sentence that says where to look.
    pub reasons: Vec<String>,
    /// What waits in it; `null` when it did not say in time.
    pub backlog: Option<Backlog>,
}

impl Health {
    fn of(schema: &str, answer: Result<Backlog, String>) -> Self {
        let (reasons, backlog) = match answer {
            Ok(backlog) => (backlog.complaints(schema), Some(backlog)),
            Err(why) => (vec![why], None),
        };
        let health = match reasons.is_empty() {
            true => HealthStatus::Ok,
            false => HealthStatus::Degraded,
        };
        Self {
            health,
            reasons,
            backlog,
        }
    }
}

impl Control {
    /// How every schema is, by its name. Never fails and never waits longer than half a second: a schema that does not
    /// answer is degraded.
    pub async fn health(&self) -> HashMap<String, Health> {
        let asked = self.schemas().map(|db| async move {
            let answer = match tokio::time::timeout(PATIENCE, db.backlog()).await {
                Ok(answer) => answer.map_err(|e| e.to_string()),
                Err(_) => Err(format!(
                    "the schema {} did not say within {} ms what waits in it",
                    db.schema(),
                    PATIENCE.as_millis()
                )),
            };
            (db.schema(), answer)
        });
        let mut answers = futures_util::future::join_all(asked).await;
        let heads: HashMap<String, i64> = answers
            .iter()
            .filter_map(|(schema, answer)| Some(((*schema).to_owned(), answer.as_ref().ok()?.log.head)))
            .collect();
        for backlog in answers.iter_mut().filter_map(|(_, answer)| answer.as_mut().ok()) {
            for subscription in &mut backlog.subscriptions {
                let head = heads.get(&subscription.source);
                // The log was read a moment before or after the cursor: it is never behind.
                subscription.lag = head.map(|head| u64::try_from(head - subscription.position).unwrap_or_default());
            }
        }
        answers
            .into_iter()
            .map(|(schema, answer)| (schema.to_owned(), Health::of(schema, answer)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use strangler_store::{LetterBacklog, SagaBacklog};

    use super::*;

    #[test]
    fn a_dead_letter_a_stuck_saga_and_silence_degrade() {
        let well = Health::of("catalog", Ok(Backlog::default()));
        assert_eq!((well.health, well.reasons.len()), (HealthStatus::Ok, 0));
        let letters = Backlog {
            dead_letters: LetterBacklog {
                parked: 2,
                ..Default::default()
            },
            ..Default::default()
        };
        let stuck = Backlog {
            sagas: SagaBacklog {
                stuck: 1,
                overdue: 1,
                ..Default::default()
            },
            ..Default::default()
        };
        for (answer, sentences) in [
            (Ok(letters), &["2 dead letters of catalog"][..]),
            (Ok(stuck), &["1 stuck saga of catalog", "1 overdue saga of catalog"]),
            (Err("it is busy".to_owned()), &["it is busy"]),
        ] {
            let health = Health::of("catalog", answer);
            assert_eq!(health.health, HealthStatus::Degraded);
            assert_eq!(health.reasons.len(), sentences.len(), "{:?}", health.reasons);
            for (reason, said) in health.reasons.iter().zip(sentences) {
                assert!(reason.starts_with(said), "{reason}");
            }
        }
    }
}
