//! Why a saga turned round or is stuck, as the buyer is told. What the toolkit notes is
//! `{"step", "refused": problem}`, `{"step", "gave_up"}`, `{"deadline"}` or `{"cancelled"}`; of a stuck one
//! `{"stuck": {"step", …}, "undoing": the reason it turned round}`.

use serde::Deserialize;
use serde_json::Value;
use strangler::Problem;

/// Whether it turned round because it was told to.
pub(crate) fn was_cancelled(reason: &Value) -> bool {
    turned(reason).get("cancelled").is_some()
}

/// Why an order was refused.
pub(crate) fn refusal(reason: &Value) -> Problem {
    let reason = turned(reason);
    if let Some(problem) = reason.get("refused").and_then(|p| Problem::deserialize(p).ok()) {
        return problem;
    }
    if reason.get("deadline").is_some() {
        return problem(
            504,
            "too-late",
            "The order took too long",
            "it could not be done in time; nothing is held and nothing is owed, so place it again under an id of its own"
                .to_owned(),
        );
    }
    let step = reason.get("step").and_then(Value::as_str).unwrap_or("one");
    problem(
        503,
        "unanswered",
        "A step of the order was not answered",
        format!("the step {step} was not answered; nothing is held and nothing is owed, so place it again later"),
    )
}

/// Why an order is stuck.
pub(crate) fn stuck(reason: &Value) -> Problem {
    let stuck = &reason["stuck"];
    let step = stuck.get("step").and_then(Value::as_str).unwrap_or("one");
    let mut told = problem(
        500,
        "stuck",
        "Somebody has to look at the order",
        format!("the step {step} can neither go on nor back; it is resumed or given up by hand"),
    );
    // What the other module said. What went wrong otherwise is for the operator, who looks at the saga.
    if let Some(cause) = stuck.get("refused").filter(|c| Problem::deserialize(*c).is_ok()) {
        told.extra.insert("cause".to_owned(), cause.clone());
    }
    told
}

/// Why it turned round, even if it was stuck since.
fn turned(reason: &Value) -> &Value {
    reason.get("undoing").unwrap_or(reason)
}

fn problem(status: u16, kind: &str, title: &'static str, detail: String) -> Problem {
    Problem {
        kind: format!("urn:problem-type:ordering:{kind}").into(),
        title: title.into(),
        status,
        detail: Some(detail),
        extra: Default::default(),
    }
}
