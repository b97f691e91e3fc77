//! Orders: bought, refused for every reason there is, cancelled, and what becomes of the seats and the money.

use serde_json::{Value, json};

use super::{
    catalog::{act, section, show, venue},
    line::{Line, ask, put},
};
use crate::values::id;

/// An order of seats in the stalls of a show.
fn order(show: u64, seats: &[&str], token: &str) -> Value {
    let seats: Vec<_> = seats.iter().map(|seat| format!("Stalls-{seat}")).collect();
    json!({"show": id(show), "seats": seats, "email": "ada@example.org", "payment_token": token})
}

fn confirmed(order: u64) -> Line {
    ask("ordering.order", order)
        .gets(200)
        .until(|order| order.json()["status"] == "confirmed")
}

fn refused(order: u64) -> Line {
    ask("ordering.order", order)
        .gets(200)
        .until(|order| order.json()["status"] == "refused")
}

fn cancelled(order: u64) -> Line {
    ask("ordering.order", order)
        .gets(200)
        .until(|order| order.json()["status"] == "cancelled")
}

pub(super) fn story() -> Vec<Line> {
    vec![
        put("catalog.announce_act", 400, act("Blue Hour Trio")).gets(201),
        put("catalog.register_venue", 400, venue(&[section("Stalls")])).gets(201),
        put("catalog.announce", 400, show(400, 400, 5, "Stalls", 4500)).gets(201),
        ask("seating.seats", 400).gets(200).until(|seats| seats.status == 200),
        ask("ordering.order", 400).gets(404),
        ask("ordering.cancel", 400).gets(404),
        // Bought.
        put("ordering.place", 400, order(400, &["A-1", "A-2"], "tok_ok")).gets(202),
        confirmed(400),
        put("ordering.place", 400, order(400, &["A-1", "A-2"], "tok_ok")).gets(202),
        put("ordering.place", 400, order(400, &["A-1", "A-3"], "tok_ok")).gets(422),
        put("ordering.place", 400, order(400, &["A-1", "A-2"], "tok_other")).gets(422),
        ask("seating.held", 400).gets(200),
        ask("payments.payment", 400).gets(200),
        // Refused: the seat is somebody's, the money is not given, there is no such show, no such seat.
        put("ordering.place", 401, order(400, &["A-2", "A-3"], "tok_ok")).gets(202),
        refused(401),
        ask("ordering.cancel", 401).gets(409),
        put("ordering.place", 402, order(400, &["B-1"], "tok_declined")).gets(202),
        refused(402),
        ask("payments.payment", 402).gets(200),
        put("ordering.place", 403, order(499, &["A-1"], "tok_ok")).gets(202),
        refused(403),
        put("ordering.place", 404, order(400, &["Z-1"], "tok_ok")).gets(202),
        refused(404),
        put("ordering.place", 405, order(400, &[], "tok_ok")).gets(422),
        put("ordering.place", 405, order(400, &["C-1", "C-1"], "tok_ok")).gets(422),
        ask("ordering.order", 405).gets(404),
        // Through a provider that fails now and then.
        put("ordering.place", 406, order(400, &["C-1", "C-2"], "tok_flaky")).gets(202),
        confirmed(406),
        ask("seating.seats", 400).gets(200),
        // Cancelled: the money is given back, and the seats are anybody's.
        ask("ordering.cancel", 400).gets(202),
        cancelled(400),
        ask("ordering.cancel", 400).gets(202),
        put("ordering.place", 400, order(400, &["A-1", "A-2"], "tok_ok")).gets(202),
        ask("payments.payment", 400).gets(200),
        ask("seating.held", 400).gets(410),
        put("ordering.place", 407, order(400, &["A-1"], "tok_ok")).gets(202),
        confirmed(407),
        // Somebody else holds the seat, and lets it go.
        put("seating.hold", 408, json!({"show": id(400), "seats": ["Stalls-D-1"]})).gets(201),
        put("ordering.place", 409, order(400, &["D-1"], "tok_ok")).gets(202),
        refused(409),
        ask("seating.release", 408).gets(204),
        put("ordering.place", 410, order(400, &["D-1"], "tok_ok")).gets(202),
        confirmed(410),
        // The show is cancelled: nobody buys it any more, and who did can be given the money back.
        ask("catalog.cancel", 400).gets(204),
        ask("seating.seats", 400).gets(410).until(|seats| seats.status == 410),
        put("ordering.place", 411, order(400, &["E-1"], "tok_ok")).gets(202),
        refused(411),
        ask("ordering.cancel", 407).gets(202),
        cancelled(407),
        ask("payments.payment", 407).gets(200),
    ]
}
