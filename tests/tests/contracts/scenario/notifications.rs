//! Mails: written because of what became of orders, looked at, and sent again only when that can do no harm.

use serde_json::json;
use system_tests::Answer;

use super::{
    catalog::{act, section, show, venue},
    line::{Line, ask, found, list, put},
};
use crate::values::id;

/// Whether a list has so many mails, all of them sent.
fn all_sent(answer: &Answer, number: usize) -> bool {
    let mails = answer.json()["items"].as_array().cloned().unwrap_or_default();
    mails.len() == number && mails.iter().all(|mail| mail["state"] == "sent")
}

pub(super) fn story() -> Vec<Line> {
    let order = json!({
        "show": id(500), "seats": ["Stalls-A-1"], "email": "ada@example.org", "payment_token": "tok_ok",
    });
    let about = "?order=01900000-0000-7000-8000-0000000001f4";
    vec![
        list("notifications.mails", about)
            .gets(200)
            .until(|mails| all_sent(mails, 0)),
        put("catalog.announce_act", 500, act("Blue Hour Trio")).gets(201),
        put("catalog.register_venue", 500, venue(&[section("Stalls")])).gets(201),
        put("catalog.announce", 500, show(500, 500, 5, "Stalls", 4500)).gets(201),
        ask("seating.seats", 500).gets(200).until(|seats| seats.status == 200),
        // Mails are about this order and those before it, which were heard of before.
        put("ordering.place", 500, order.clone()).gets(202),
        list("notifications.mails", about)
            .gets(200)
            .until(|mails| all_sent(mails, 1)),
        ask("ordering.cancel", 500).gets(202),
        list("notifications.mails", about)
            .gets(200)
            .until(|mails| all_sent(mails, 2))
            .finds("/items/0/id"),
        list("notifications.mails", "?state=queued")
            .gets(200)
            .until(|mails| all_sent(mails, 0)),
        list("notifications.mails", "?state=sending")
            .gets(200)
            .until(|mails| all_sent(mails, 0)),
        list("notifications.mails", "?state=sent&limit=3").gets(200),
        list("notifications.mails", "?state=lost").gets(400),
        // It was sent: its only attempt was made, and there is none to come.
        found("notifications.mail", "").gets(200),
        found("notifications.send_again", "").and(1).gets(200),
        found("notifications.send_again", "").and(2).gets(409),
        found("notifications.send_again", "").and(3).gets(409),
        found("notifications.send_again", "").and(0).gets(409),
        found("notifications.mail", "").gets(200),
        ask("notifications.mail", 500).gets(404),
        ask("notifications.send_again", 500).and(1).gets(404),
    ]
}
