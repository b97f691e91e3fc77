//! The shop: looked at, bought from, in vain and not, and given back.

use serde_json::Value;

use super::{
    catalog::{act, section, show, venue},
    line::{Line, ask, found, list, put},
};
use crate::values::id;

/// What a browser sends when seats in the stalls are chosen for an order.
fn choice(order: u64, seats: &[&str]) -> Value {
    let seats: Vec<_> = seats.iter().map(|seat| format!("&seat=Stalls-{seat}")).collect();
    Value::String(format!("order={}{}", id(order), seats.concat()))
}

fn purchase(email: &str, card: &str) -> Value {
    Value::String(format!("show={}&email={email}&card={card}", id(600)))
}

/// The order, once it stands like this.
fn standing(order: u64, until: fn(&system_tests::Answer) -> bool) -> Line {
    ask("ordering.order", order).gets(200).until(until)
}

pub(super) fn story() -> Vec<Line> {
    let confirmed = |order| standing(order, |order| order.json()["status"] == "confirmed");
    vec![
        put("catalog.announce_act", 600, act("Blue Hour Trio")).gets(201),
        put("catalog.register_venue", 600, venue(&[section("Stalls")])).gets(201),
        put("catalog.announce", 600, show(600, 600, 5, "Stalls", 4500)).gets(201),
        ask("seating.seats", 600).gets(200).until(|seats| seats.status == 200),
        list("storefront.season", "").gets(200),
        list(
            "storefront.season",
            "?q=blue+hour&city=wien&from=2031-05-01&to=2031-05-01",
        )
        .gets(200),
        list("storefront.season", "?from=soon").gets(422),
        ask("storefront.show", 600).gets(200),
        ask("storefront.show", 699).gets(404),
        // Nothing chosen, too much chosen, seats that are not there.
        put("storefront.choose", 600, choice(600, &[])).gets(422),
        put("storefront.choose", 600, choice(600, &["Z-99"])).gets(422),
        put("storefront.choose", 699, choice(600, &["A-1"])).gets(404),
        // Held, once and again; by somebody else not.
        put("storefront.choose", 600, choice(600, &["A-1", "A-2"])).gets(303),
        put("storefront.choose", 600, choice(600, &["A-1", "A-2"])).gets(303),
        put("storefront.choose", 600, choice(601, &["A-2", "A-3"])).gets(409),
        ask("storefront.checkout", 600).and(600).gets(200),
        ask("storefront.checkout", 600).and(699).gets(410),
        put("storefront.buy", 600, purchase("ada", "tok_ok")).gets(422),
        put("storefront.buy", 600, purchase("ada%40example.org", "tok_none")).gets(422),
        put("storefront.buy", 699, purchase("ada%40example.org", "tok_ok")).gets(410),
        // Bought, once.
        put("storefront.buy", 600, purchase("ada%40example.org", "tok_ok")).gets(303),
        confirmed(600),
        put("storefront.buy", 600, purchase("ada%40example.org", "tok_ok")).gets(303),
        ask("storefront.checkout", 600).and(600).gets(303),
        ask("storefront.order", 600).gets(200),
        ask("storefront.tickets", 600).gets(200),
        ask("storefront.order", 699).gets(404),
        ask("storefront.tickets", 699).gets(404),
        ask("storefront.cancel", 699).gets(404),
        // Declined.
        put("storefront.choose", 600, choice(602, &["B-1"])).gets(303),
        put("storefront.buy", 602, purchase("ada%40example.org", "tok_declined")).gets(303),
        standing(602, |order| order.json()["status"] == "refused"),
        ask("storefront.order", 602).gets(200),
        ask("storefront.tickets", 602).gets(303),
        ask("storefront.cancel", 602).gets(409),
        // Given back.
        ask("storefront.cancel", 600).gets(303),
        standing(600, |order| order.json()["status"] == "cancelled"),
        ask("storefront.order", 600).gets(200),
        ask("storefront.tickets", 600).gets(303),
        ask("storefront.asset", 600).gets(404),
        list("storefront.season", "").gets(200).finds("href=\"/assets/"),
        found("storefront.asset", "").gets(200),
        ask("catalog.cancel", 600).gets(204),
        ask("seating.seats", 600).gets(410).until(|seats| seats.status == 410),
        ask("storefront.show", 600).gets(410),
    ]
}
