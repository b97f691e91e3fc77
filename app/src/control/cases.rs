//! Cases: units of work as given, when, then, done again by either side of a module.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strangler::{
    Cx, Marks, Principal, Transport,
    compare::{Difference, differences_but},
    effects,
    parallel::redact::HIDDEN,
    routes::Refusal,
    tape::{Recording, Replayed, ShadowAsk, When},
};

use super::Control;

/// How long a side may take.
const BUDGET: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const ANSWER: usize = 16 << 20;

/// Who does it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaseSide {
    /// The module in the monolith.
    #[default]
    Local,
    /// Its service.
    Remote,
}

/// What came of a case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseRun {
    /// In what the side differs from the case; nothing when it holds.
    pub differences: Vec<Difference>,
    /// What the side asked for and the case does not have; then nothing is known.
    pub missing: Option<String>,
}

impl Control {
    /// Has a side do a case again. Nothing is written, locked or called because of it.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn run_case(
        &self,
        module: &str,
        case: Recording,
        side: CaseSide,
        by: &Principal,
    ) -> Result<CaseRun, Refusal> {
        let running = self.module(module).map_err(Refusal::Wrong)?;
        let cx = Cx::new(by.clone()).within(BUDGET).shadow();
        let ask = ShadowAsk {
            when: case.when.clone(),
            given: case.given.clone(),
        };
        let replayed = match side {
            CaseSide::Local => {
                let again = tokio::time::timeout(BUDGET, running.again.replay(&cx, ask)).await;
                again
                    .map_err(|_| Refusal::Failed(format!("{module} did not finish it within {} s", BUDGET.as_secs())))?
                    .map_err(Refusal::Wrong)?
            }
            CaseSide::Remote => {
                let body = serde_json::to_vec(&ask).map_err(|e| Refusal::Wrong(e.to_string()))?;
                let asked = running.pool.shadow(&cx, running.contract, body.into(), ANSWER).await;
                let answer = asked.map_err(|fault| Refusal::Refused(format!("the service of {module}: {fault}")))?;
                if !answer.status.is_success() {
                    return Err(Refusal::Refused(format!(
                        "the service of {module} does not do it again: it answered {}: {}",
                        answer.status,
                        String::from_utf8_lossy(&answer.body)
                            .chars()
                            .take(500)
                            .collect::<String>()
                    )));
                }
                serde_json::from_slice::<Replayed>(&answer.body)
                    .map_err(|e| Refusal::Failed(format!("the service's answer cannot be read: {e}")))?
            }
        };
        if let Some(missing) = replayed.missing {
            return Ok(CaseRun {
                differences: Vec::new(),
                missing: Some(missing),
            });
        }
        let index = match &case.when {
            When::Command(asked) | When::Query(asked) => running.contract.operation(&asked.operation),
            When::Step(_) | When::Event(_) => None,
        };
        let own = index.map_or_else(Marks::default, |index| {
            (running.contract.operations[index].answer_marks)()
        });
        let status = case.answer["status"].as_u64().unwrap_or(200);
        let marks = Marks::of_answer(&own, status, &case.answer["body"]);
        let mut found = effects::compared(&case, replayed, |local, remote| differences_but(local, remote, marks));
        // What was hidden in the case cannot be had again, nor what was made of it.
        let hidden = |value: &Value| value.as_str().is_some_and(|text| text.starts_with(HIDDEN));
        found.retain(|one| !hidden(&one.local) && !hidden(&one.remote));
        Ok(CaseRun {
            differences: found,
            missing: None,
        })
    }
}
