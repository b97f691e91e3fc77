//! An order in words: how far it has come, and what to do when it was refused.

use ordering_contract::{Order, OrderStatus, StepState};
use strangler::Problem;

use super::seat_in_words;

/// A purchase's steps in their order, in words.
const PURCHASE: [(&str, &str); 5] = [
    ("hold", "Your seats are held"),
    ("authorise", "Your card is asked for the money"),
    ("commit", "Your seats are kept for good"),
    ("capture", "The money is taken"),
    ("assign", "Your tickets are made"),
];
/// Those of a cancellation.
const BACK: [(&str, &str); 2] = [
    ("unassign", "Your seats are given back"),
    ("refund", "Your money is given back"),
];

/// How an order stands, in a few words and in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Headline {
    pub(crate) title: &'static str,
    pub(crate) sentence: &'static str,
}

/// How an order stands.
pub(crate) fn headline(order: &Order, show_cancelled: bool) -> Headline {
    let goes_back = order.steps.iter().any(|s| {
        matches!(s.state, StepState::Undoing | StepState::Undone) || BACK.iter().any(|(name, _)| *name == s.step)
    });
    let (title, sentence) = match order.status {
        OrderStatus::Placed if goes_back => (
            "Your order is being taken back",
            "What was done so far is undone. This page follows it.",
        ),
        OrderStatus::Placed => (
            "Your order is on its way",
            "This takes a few seconds. This page follows it; you may also come back later.",
        ),
        OrderStatus::Confirmed if goes_back => (
            "Your order is being cancelled",
            "Your seats and your money are given back. This page follows it.",
        ),
        OrderStatus::Confirmed if show_cancelled => (
            "Your show was cancelled",
            "Your tickets are not good any more. Cancel the order to have your money given back.",
        ),
        OrderStatus::Confirmed => (
            "Your tickets are yours",
            "They were also sent to your mail address. Print them, or show them on your phone.",
        ),
        OrderStatus::Refused => (
            "Your order could not be done",
            "Nothing is held for you and nothing is owed.",
        ),
        OrderStatus::Cancelled => (
            "Your order is cancelled",
            "Your seats are free again, and nothing is owed.",
        ),
        OrderStatus::Stuck => (
            "Somebody is looking at your order",
            "It cannot go on by itself. You need not do anything: it is brought to its end by hand.",
        ),
    };
    Headline { title, sentence }
}

/// Whether anything is still to come.
pub(crate) fn is_moving(order: &Order) -> bool {
    let back = |name: &str| BACK.iter().any(|(n, _)| *n == name);
    match order.status {
        OrderStatus::Placed | OrderStatus::Stuck => true,
        OrderStatus::Confirmed => order.steps.iter().any(|s| back(&s.step)),
        OrderStatus::Refused | OrderStatus::Cancelled => false,
    }
}

/// A step of an order, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepLine {
    pub(crate) what: String,
    /// How it stands, in words.
    pub(crate) state: &'static str,
    /// The same, for the style sheet.
    pub(crate) class: &'static str,
}

/// Every step there was, and those that are still to come.
pub(crate) fn step_lines(order: &Order) -> Vec<StepLine> {
    let ended = matches!(order.status, OrderStatus::Refused | OrderStatus::Cancelled);
    let mut lines = Vec::new();
    for (name, what) in PURCHASE.iter().chain(&BACK) {
        let (state, class) = match order.steps.iter().find(|s| s.step == *name).map(|s| s.state) {
            Some(StepState::Started) => ("under way", "now"),
            Some(StepState::Done) => ("done", "done"),
            Some(StepState::Refused) => ("refused", "refused"),
            Some(StepState::Undoing) => ("being undone", "now"),
            Some(StepState::Undone) => ("undone", "undone"),
            None if ended || BACK.iter().any(|(n, _)| n == name) => continue,
            None => ("to come", "later"),
        };
        let what = (*what).to_owned();
        lines.push(StepLine { what, state, class });
    }
    lines
}

/// Why an order was refused, and what to do, in words.
pub(crate) fn refusal(reason: &Problem) -> (String, &'static str) {
    const CHOOSE: &str = "Choose other seats.";
    const AGAIN: &str = "You can try again: those of your seats that are still free are chosen for you.";
    let kind = reason.kind.strip_prefix("urn:problem-type:").unwrap_or(&reason.kind);
    match kind {
        "seating:seats-taken" => {
            let seats = reason.extra.get("seats").and_then(|seats| seats.as_array());
            let seats = seats.into_iter().flatten().filter_map(|seat| seat.as_str());
            let seats: Vec<_> = seats
                .map(|seat| {
                    seat.to_owned()
                        .try_into()
                        .map_or_else(|_| seat.to_owned(), |id| seat_in_words(&id))
                })
                .collect();
            let which = if seats.is_empty() {
                "your seats".to_owned()
            } else {
                seats.join("; ")
            };
            (format!("Somebody else was faster: {which}."), CHOOSE)
        }
        "seating:hold-over" => ("The time for which your seats were held ran out.".to_owned(), AGAIN),
        "seating:show-cancelled" => ("The show was cancelled.".to_owned(), "Choose another show."),
        "payments:declined" => (
            "Your card was declined.".to_owned(),
            "Try again with another card: those of your seats that are still free are chosen for you.",
        ),
        "ordering:too-late" => ("The order took too long.".to_owned(), AGAIN),
        "ordering:unanswered" => (
            "Somebody we need for your order did not answer.".to_owned(),
            "Try again later.",
        ),
        _ => (format!("{}.", reason.title.trim_end_matches('.')), AGAIN),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(status: &str, steps: serde_json::Value) -> Order {
        let id = kernel::Uuid::from_u128(7);
        serde_json::from_value(json!({
            "id": id, "version": 1, "show": id, "seats": ["Stalls-A-1"], "status": status, "reason": null, "total": null,
            "tickets": [], "steps": steps,
        }))
        .unwrap()
    }

    fn step(step: &str, state: &str) -> serde_json::Value {
        json!({"step": step, "state": state, "at": "2027-01-01T12:00:00Z"})
    }

    #[test]
    fn an_order_on_its_way_shows_what_is_to_come() {
        let order = order("placed", json!([step("hold", "done"), step("authorise", "started")]));
        let lines = step_lines(&order);
        let classes: Vec<_> = lines.iter().map(|l| l.class).collect();
        assert_eq!(classes, ["done", "now", "later", "later", "later"]);
        assert!(is_moving(&order) && headline(&order, false).title == "Your order is on its way");
    }

    #[test]
    fn an_order_that_ended_shows_what_there_was() {
        let refused = order("refused", json!([step("hold", "undone"), step("authorise", "refused")]));
        assert_eq!(step_lines(&refused).len(), 2);
        assert!(!is_moving(&refused));
        let going_back = order("placed", json!([step("hold", "undoing")]));
        assert_eq!(headline(&going_back, false).title, "Your order is being taken back");
        let cancelling = order(
            "confirmed",
            json!([step("assign", "done"), step("unassign", "started")]),
        );
        assert!(is_moving(&cancelling) && headline(&cancelling, false).title == "Your order is being cancelled");
    }

    #[test]
    fn a_refusal_names_the_seats() {
        let problem = |value| serde_json::from_value::<Problem>(value).unwrap();
        let taken = problem(
            json!({"type": "urn:problem-type:seating:seats-taken", "title": "Seats are taken",
            "status": 409, "seats": ["Stalls-A-1"]}),
        );
        assert_eq!(refusal(&taken).0, "Somebody else was faster: Stalls, row A, seat 1.");
        let other = problem(json!({"type": "urn:problem-type:x:y", "title": "Something else.", "status": 500}));
        assert_eq!(refusal(&other).0, "Something else.");
    }
}
