use serde_json::json;

use super::*;
use crate::tape::{CommandAsked, UnitGiven};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn row(kind: &str, n: u128, title: &str) -> RowLeft {
    RowLeft {
        kind: kind.to_owned(),
        id: id(n),
        version: 1,
        state: json!({"id": id(n), "title": title, "price": 100}),
    }
}

fn event(kind: &str, n: u128) -> EventLeft {
    EventLeft {
        event_type: kind.to_owned(),
        subject: id(n),
        version: 1,
        data: json!({"show": id(n)}),
    }
}

fn call(port: &str, n: u32) -> Made {
    Made {
        port: port.to_owned(),
        request: json!({ "n": n }),
    }
}

const NOW: &str = "2026-05-01T19:30:00Z";

fn recording() -> Recording {
    let asked = CommandAsked {
        operation: "catalog.announce".to_owned(),
        method: "PUT".to_owned(),
        target: "/".to_owned(),
        headers: Default::default(),
        body: Value::Null,
    };
    let unit = UnitGiven {
        now: NOW.parse().expect("a time"),
        rows: Vec::new(),
        queries: Vec::new(),
    };
    Recording {
        when: When::Command(asked),
        given: Given {
            units: vec![unit],
            ids: vec![id(1), id(2)],
            ..Given::default()
        },
        then: Then {
            rows: vec![row("show", 1, "Lear"), row("show", 2, "Hamlet"), row("act", 1, "Ada")],
            writes: vec![Written {
                name: "index".to_owned(),
                value: json!({"at": "2026-05-01T19:40:00Z", "ids": [id(1), id(2)]}),
            }],
            events: vec![event("a", 1), event("b", 1), event("a", 2)],
            calls: vec![call("bank.hold", 1), call("bank.take", 1)],
        },
        answer: json!({"status": 201, "body": {"id": id(1), "seats": [1, 2], "at": "2026-05-01T19:30:05Z"}}),
    }
}

fn faithful() -> Replayed {
    let Recording { answer, then, .. } = recording();
    Replayed {
        answer,
        then,
        now: None,
        ids: None,
        missing: None,
    }
}

/// The places that differ, after this was done to a faithful answer.
fn after(fault: impl FnOnce(&mut Replayed)) -> Vec<(String, &'static str)> {
    let mut replayed = faithful();
    fault(&mut replayed);
    let found = compared(&recording(), replayed, differences);
    found.into_iter().map(|one| (one.path, one.kind.name())).collect()
}

fn one(path: &str, kind: &'static str) -> Vec<(String, &'static str)> {
    vec![(path.to_owned(), kind)]
}

#[test]
fn every_fault_is_one_difference() {
    assert_eq!(after(|_| {}), []);
    let effect = |path: &str| one(path, "effect");
    assert_eq!(after(|r| drop(r.then.events.remove(1))), effect("/then/events/b"));
    assert_eq!(after(|r| drop(r.then.events.remove(0))), effect("/then/events/a"));
    assert_eq!(
        after(|r| r.then.events.insert(0, event("a", 1))),
        effect("/then/events/a"),
        "told twice"
    );
    assert_eq!(
        after(|r| r.then.events.swap(0, 1)),
        effect("/then/events/a"),
        "in another order"
    );
    assert_eq!(
        after(|r| r.then.events[2].data = json!({"show": 7})),
        effect("/then/events/a/data/show")
    );
    assert_eq!(
        after(|r| r.then.rows.insert(0, row("show", 9, "Extra"))),
        effect("/then/rows/show")
    );
    assert_eq!(after(|r| drop(r.then.rows.remove(2))), effect("/then/rows/act"));
    assert_eq!(
        after(|r| r.then.rows[1].state["price"] = json!(101)),
        effect("/then/rows/show/state/price")
    );
    assert_eq!(after(|r| r.then.rows[1].version = 2), effect("/then/rows/show/version"));
    assert_eq!(
        after(|r| r.then.rows.rotate_left(2)),
        [],
        "rows of two kinds have no order"
    );
    assert_eq!(
        after(|r| r.then.calls.push(call("bank.take", 1))),
        effect("/then/calls/bank.take"),
        "taken twice"
    );
    assert_eq!(
        after(|r| r.then.calls[0].request = json!({"n": 2})),
        effect("/then/calls/bank.hold/request/n")
    );
    assert_eq!(
        after(|r| r.then.writes[0].value["more"] = json!(1)),
        effect("/then/writes/index/value/more")
    );
    assert_eq!(
        after(|r| r.answer["body"]["seats"] = json!([2, 1])),
        one("/seats", "order")
    );
    assert_eq!(after(|r| r.answer["body"]["extra"] = json!(1)), one("/extra", "extra"));
    assert_eq!(after(|r| r.answer["status"] = json!(200)), one("", "status"));
    let refused = after(|r| {
        r.answer = json!({"status": 422, "body": {}});
        r.then = Then::default();
    });
    assert_eq!(refused, one("", "status"), "what follows from a refusal is told by it");
    let stopped = after(|r| {
        r.answer = Value::Null;
        r.then = Then {
            calls: vec![call("bank.hold", 1), call("bank.take", 1), call("bank.ask", 1)],
            ..Then::default()
        };
    });
    assert_eq!(stopped, effect("/then/calls/bank.ask"));
}

/// The same with ids and a clock of its own.
fn own(ids: &[(u128, u128)]) -> Replayed {
    let mut text = serde_json::to_string(&faithful()).expect("JSON");
    for (ours, theirs) in ids {
        text = text.replace(&id(*ours).to_string(), &id(*theirs).to_string());
    }
    let mut replayed: Replayed = serde_json::from_str(&text).expect("JSON");
    replayed.ids = Some(ids.iter().map(|(_, theirs)| id(*theirs)).collect());
    replayed
}

#[test]
fn own_ids_and_times_are_no_difference() {
    assert_eq!(compared(&recording(), own(&[(1, 71), (2, 72)]), differences), []);
    // The same ids as ours, for other things: they are exchanged, each for the other's.
    let swapped = own(&[(1, 71), (2, 72)]);
    let mut crossed = swapped.clone();
    crossed.ids = Some(vec![id(72), id(71)]);
    assert!(
        !compared(&recording(), crossed, differences).is_empty(),
        "they do not pair off"
    );
    let mut later = own(&[(1, 71), (2, 72)]);
    later.now = Some("2026-05-02T07:00:00Z".parse().expect("a time"));
    later.then.writes[0].value["at"] = json!("2026-05-02T07:10:00Z");
    later.answer["body"]["at"] = json!("2026-05-02T07:00:05Z");
    assert_eq!(compared(&recording(), later.clone(), differences), []);
    later.then.writes[0].value["at"] = json!("2026-05-02T07:10:01Z");
    let found = compared(&recording(), later, differences);
    assert_eq!(found[0].path, "/then/writes/index/value/at");
}

#[test]
fn steps_and_handlers_are_compared_too() {
    let mut recording = recording();
    recording.when = When::Event(crate::tape::EventHeard {
        subscription: "a".to_owned(),
        event: Value::Null,
    });
    let mut replayed = faithful();
    (recording.answer, replayed.answer) = (Value::Null, Value::Null);
    assert_eq!(compared(&recording, replayed.clone(), differences), []);
    (recording.answer, replayed.answer) = (json!({"failed": "so"}), json!({"failed": "or so"}));
    assert_eq!(
        compared(&recording, replayed.clone(), differences),
        [],
        "each has its own words"
    );
    replayed.answer = Value::Null;
    assert_eq!(compared(&recording, replayed.clone(), differences)[0].path, "/answer");
    (recording.answer, replayed.answer) = (json!({"done": {"total": 1}}), json!({"done": {"total": 2}}));
    assert_eq!(
        compared(&recording, replayed, differences)[0].path,
        "/answer/done/total"
    );
}

#[test]
fn long_lists_are_bounded() {
    let mut recording = recording();
    recording.then.events = (0..20_000).map(|n| event("a", n)).collect();
    let mut replayed = faithful();
    replayed.then.events = (1..20_001).map(|n| event("a", n)).collect();
    assert!(!compared(&recording, replayed, differences).is_empty());
}
