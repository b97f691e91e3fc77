//! Acts, venues and shows: announced, changed, cancelled, too early, too late and in vain.

use serde_json::{Value, json};

use super::line::{Line, ask, list, put};
use crate::values::id;

pub(super) fn act(name: &str) -> Value {
    json!({"name": name, "genre": "jazz"})
}

pub(super) fn section(name: &str) -> Value {
    json!({"name": name, "rows": 10, "seats_per_row": 20})
}

pub(super) fn venue(sections: &[Value]) -> Value {
    json!({"name": "Stadthalle", "city": "Wien", "time_zone": "Europe/Vienna", "sections": sections})
}

pub(super) fn show(act: u64, venue: u64, month: u32, section: &str, amount: i64) -> Value {
    let price = json!({"section": section, "price": {"amount": amount, "currency": "EUR"}});
    let starts_at = format!("2031-{month:02}-01T19:30:00Z");
    json!({"act": id(act), "venue": id(venue), "starts_at": starts_at, "prices": [price]})
}

pub(super) fn story() -> Vec<Line> {
    let mut story = vec![
        ask("catalog.act", 100),
        put("catalog.announce_act", 100, act("too early")).expecting("*"),
        put("catalog.announce_act", 100, act("Blue Hour Trio")),
        put("catalog.announce_act", 100, act("Blue Hour Trio")),
        ask("catalog.act", 100),
        put("catalog.announce_act", 100, act("Blue Hour Quartet")).expecting("\"1\""),
        put("catalog.announce_act", 100, act("a lost update")).expecting("\"1\""),
        ask("catalog.act", 100),
        ask("catalog.venue", 100),
        put(
            "catalog.register_venue",
            100,
            venue(&[section("Stalls"), section("Circle")]),
        ),
        put(
            "catalog.register_venue",
            100,
            venue(&[section("Stalls"), section("Stalls")]),
        ),
        put(
            "catalog.register_venue",
            100,
            venue(&[section("Stalls"), section("Circle"), section("Boxes")]),
        ),
        ask("catalog.venue", 100),
        put("catalog.announce", 100, show(999, 100, 5, "Stalls", 4500)),
        put("catalog.announce", 100, show(100, 999, 5, "Stalls", 4500)),
        put("catalog.announce", 100, show(100, 100, 5, "Lawn", 4500)),
        put("catalog.announce", 100, show(100, 100, 5, "Stalls", 4500)),
        put("catalog.announce", 100, show(100, 100, 5, "Stalls", 4500)),
        put("catalog.announce", 100, show(100, 100, 6, "Circle", 4600)).expecting("\"1\""),
        ask("catalog.show", 100),
        ask("catalog.cancel", 100).expecting("\"1\""),
        ask("catalog.cancel", 100).expecting("\"2\""),
        ask("catalog.cancel", 100),
        ask("catalog.cancel", 998),
        ask("catalog.show", 100),
        put("catalog.announce", 100, show(100, 100, 7, "Stalls", 4500)),
    ];
    story.extend((0..7).map(|n| {
        put(
            "catalog.announce",
            110 + u64::from(n),
            show(100, 100, 1 + n / 2, "Boxes", n.into()),
        )
    }));
    let lists = [
        "",
        "?limit=3",
        "?limit=1&from=2031-02-01T00:00:00Z",
        "?to=2031-02-02T00:00:00Z",
        "?from=2031-03-01T19:30:00Z&limit=2",
        "?act=01900000-0000-7000-8000-000000000064",
        "?act=01900000-0000-7000-8000-0000000003e7",
        "?from=2032-01-01T00:00:00Z",
        "?search=hour&limit=2",
        "?search=BLUE%20HOUR&city=wIEN",
        "?search=%25&limit=1",
        "?search=_",
        "?city=Graz",
        "?city=",
    ];
    story.extend(lists.map(|query| list("catalog.shows", query)));
    story
}
