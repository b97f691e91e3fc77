//! Seats: held, taken by others, committed, sold, given back, and gone with their show.

use serde_json::{Value, json};

use super::{
    catalog::{act, section, show, venue},
    line::{Line, ask, put},
};
use crate::values::id;

/// A hold of seats in the stalls of a show: `A-1` is the first.
fn hold(show: u64, seats: &[&str]) -> Value {
    let seats: Vec<_> = seats.iter().map(|seat| format!("Stalls-{seat}")).collect();
    json!({"show": id(show), "seats": seats})
}

pub(super) fn story() -> Vec<Line> {
    vec![
        // Seats appear once seating has heard of the show, and all that the catalog said before.
        ask("seating.seats", 200).gets(404),
        put("seating.hold", 200, hold(200, &["A-1"])).gets(422),
        put("catalog.announce_act", 200, act("Blue Hour Trio")).gets(201),
        put(
            "catalog.register_venue",
            200,
            venue(&[section("Stalls"), section("Circle")]),
        )
        .gets(201),
        put("catalog.announce", 200, show(200, 200, 5, "Stalls", 4500)).gets(201),
        ask("seating.seats", 200).gets(200).until(|seats| seats.status == 200),
        // Held by one, wanted by others.
        ask("seating.held", 200).gets(404),
        put("seating.hold", 200, hold(200, &["A-1", "A-2"])).gets(201),
        put("seating.hold", 200, hold(200, &["A-1", "A-2"])).gets(200),
        put("seating.hold", 200, hold(200, &["A-2", "A-1"])).gets(200),
        put("seating.hold", 200, hold(200, &["A-1", "A-3"])).gets(422),
        put("seating.hold", 200, hold(299, &["A-1", "A-2"])).gets(422),
        put("seating.hold", 201, hold(200, &["A-3", "A-2", "A-1"])).gets(409),
        put("seating.hold", 201, hold(299, &["A-1"])).gets(422),
        put("seating.hold", 201, hold(200, &["A-3", "K-1", "A-21", "A-0", "A-01"])).gets(422),
        put("seating.hold", 201, hold(200, &["A-3", "A-3"])).gets(422),
        put("seating.hold", 201, hold(200, &[])).gets(422),
        ask("seating.held", 201).gets(404),
        ask("seating.held", 200).gets(200),
        ask("seating.seats", 200).gets(200),
        // A price that changes later does not change what was held.
        put("catalog.announce", 200, show(200, 200, 5, "Stalls", 4600)).gets(200),
        ask("seating.seats", 200)
            .gets(200)
            .until(|seats| seats.json()["seats"][0]["price"]["amount"] == 4600),
        put("seating.hold", 201, hold(200, &["B-1"])).gets(201),
        // Committed and sold, each as often as one likes.
        ask("seating.commit", 299).gets(404),
        ask("seating.commit", 200).gets(200),
        ask("seating.commit", 200).gets(200),
        ask("seating.release", 200).gets(409),
        put("seating.hold", 200, hold(200, &["A-1", "A-2"])).gets(200),
        ask("seating.assign", 299).gets(404),
        ask("seating.assign", 200).gets(200),
        ask("seating.assign", 200).gets(200),
        ask("seating.commit", 200).gets(200),
        ask("seating.held", 200).gets(200),
        ask("seating.release", 200).gets(409),
        ask("seating.seats", 200).gets(200),
        put("seating.hold", 202, hold(200, &["A-1"])).gets(409),
        // Sold without having been committed.
        ask("seating.assign", 201).gets(200),
        // Given back, and free for others; the id of what is over is never used again.
        ask("seating.unassign", 200).gets(204),
        ask("seating.unassign", 200).gets(204),
        ask("seating.release", 200).gets(204),
        ask("seating.held", 200).gets(410),
        ask("seating.commit", 200).gets(410),
        ask("seating.assign", 200).gets(410),
        put("seating.hold", 200, hold(200, &["A-1", "A-2"])).gets(410),
        put("seating.hold", 200, hold(200, &["A-1", "A-3"])).gets(422),
        put("seating.hold", 203, hold(200, &["A-1"])).gets(201),
        ask("seating.release", 203).gets(204),
        ask("seating.release", 203).gets(204),
        // Undone before it was done.
        ask("seating.release", 204).gets(204),
        put("seating.hold", 204, hold(200, &["A-1"])).gets(410),
        ask("seating.unassign", 205).gets(204),
        put("seating.hold", 205, hold(200, &["A-1"])).gets(410),
        // The show is cancelled: nobody pays for it any more, and all can be given back.
        put("seating.hold", 206, hold(200, &["C-1"])).gets(201),
        put("seating.hold", 207, hold(200, &["C-2"])).gets(201),
        ask("seating.commit", 207).gets(200),
        ask("catalog.cancel", 200).gets(204),
        ask("seating.seats", 200).gets(410).until(|seats| seats.status == 410),
        put("seating.hold", 208, hold(200, &["A-1"])).gets(410),
        ask("seating.commit", 206).gets(410),
        ask("seating.assign", 207).gets(200),
        ask("seating.held", 206).gets(200),
        ask("seating.release", 206).gets(204),
        ask("seating.unassign", 207).gets(204),
    ]
}
