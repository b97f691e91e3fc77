use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{Cx, ManualClock, Principal, shadow::replay};

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_780_000_000_123_456).expect("a time")
}

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn record(tape: &Arc<Tape>) -> &Record {
    tape.as_record().expect("it records")
}

fn on(tape: &Arc<Tape>) -> Cx {
    Cx::new(Principal::ANYBODY).with_tape(tape.clone())
}

#[test]
fn what_commits_is_what_was_done() {
    let tape = Tape::recording(1 << 20);
    let record = record(&tape);
    let first = record.begin(noon());
    record.row(Some(first), "show", id(1), None::<&Value>);
    record.save(first, "show", id(1), 1, &json!({"title": "Lear"}));
    record.id(Some(first), id(9));
    // Somebody else was faster: it is decided anew.
    record.conflict(first);
    let second = record.begin(noon() + TimeDelta::seconds(1));
    record.row(Some(second), "show", id(1), Some(&json!({"title": "Hamlet"})));
    record.row(Some(second), "show", id(1), Some(&json!({"title": "Hamlet"})));
    record.query(Some(second), "taken", record.question(&json!({"seat": 1})), &json!([2]));
    record.id(Some(second), id(8));
    record.save(second, "show", id(1), 2, &json!({"title": "Lear"}));
    record.put(second, "index", &json!({"word": "lear"}));
    record.emit(second, "catalog.show.changed", id(1), 2, &json!({"title": "Lear"}));
    record.committed(second);
    // And one that only looked.
    let third = record.begin(noon());
    record.save(third, "show", id(2), 1, &json!({}));
    let (given, then) = record.take().expect("all of it");
    assert_eq!(given.units.len(), 2);
    assert_eq!(given.units[0].rows.len(), 1, "the same row twice is told once");
    assert_eq!(given.ids, [id(8)], "what was drawn for nothing is not told");
    assert_eq!((then.rows.len(), then.writes.len(), then.events.len()), (1, 1, 1));
    assert_eq!(then.rows[0].version, 2);
}

#[test]
fn what_cannot_be_compared_says_so() {
    let tape = Tape::recording(200);
    let unit = record(&tape).begin(noon());
    record(&tape).save(unit, "show", id(1), 1, &json!("x".repeat(200)));
    record(&tape).committed(unit);
    assert_eq!(record(&tape).take().expect_err("no room"), Spoilt::TooLarge);

    let tape = Tape::recording(1 << 20);
    let unit = record(&tape).begin(noon());
    record(&tape).conflict(unit);
    // Nobody decided anew: what the caller was told is that two were at it at once.
    assert_eq!(record(&tape).take().expect_err("it failed"), Spoilt::StoreFailed);

    let tape = Tape::recording(1 << 20);
    record(&tape).spoil(Spoilt::StoreFailed);
    assert_eq!(record(&tape).take().expect_err("it failed"), Spoilt::StoreFailed);
}

#[test]
fn the_form_is_the_protocols() {
    let text = json!({
        "when": {"command": {"operation": "catalog.announce", "method": "PUT", "target": "/api/v1/catalog/shows/1",
            "headers": {"if-match": "\"3\""}, "body": {"title": "Lear"}}},
        "given": {
            "units": [{"now": "2026-05-01T19:30:00.123456Z", "rows": [{"kind": "show", "id": id(1), "state": null}],
                "queries": [{"name": "in-window", "question": {}, "answer": []}]}],
            "views": {"now": null, "rows": [], "queries": []},
            "calls": [{"port": "seating.hold", "request": {}, "answer": {}}],
            "ids": [id(7)]},
    });
    let ask: ShadowAsk = serde_json::from_value(text.clone()).expect("an ask");
    assert_eq!(serde_json::to_value(&ask).expect("JSON"), text);
    for when in [
        json!({"step": {"saga": "purchase", "step": "hold", "deed": "do", "id": id(1), "key": "k", "state": {}}}),
        json!({"event": {"subscription": "seating.catalog", "event": {}}}),
    ] {
        let read: When = serde_json::from_value(when.clone()).expect("a when");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), when);
    }
    let least: Replayed = serde_json::from_value(json!({"answer": null})).expect("the least that can be said");
    assert_eq!(least.missing, None);
}

fn given_calls(answers: &[(u32, Value)]) -> Given {
    let called = |(n, answer): &(u32, Value)| Called {
        port: "bank.pay".to_owned(),
        request: json!({ "n": n }),
        answer: answer.clone(),
    };
    Given {
        calls: answers.iter().map(called).collect(),
        ..Given::default()
    }
}

async fn pay(cx: &Cx, n: u32) -> Result<u32, String> {
    cx.call("bank.pay", &json!({ "n": n }), async {
        panic!("nobody is called by what is only done again")
    })
    .await
}

#[tokio::test]
async fn calls_are_recorded_and_answered_from_that() {
    let tape = Tape::recording(1 << 20);
    let cx = on(&tape);
    let refused: Result<u32, String> = Err("no".to_owned());
    let told = cx.call("bank.pay", &json!({"n": 1}), async { refused.clone() }).await;
    assert_eq!(told, refused, "errors are answers");
    let (given, then) = record(&tape).take().expect("all of it");
    assert_eq!(then.calls.len(), 1);
    let replayed = replay(
        given,
        |tape| async move { json!(pay(&on(&tape), 1).await) },
        |_| Value::Null,
    )
    .await;
    assert_eq!(replayed.answer, json!({"Err": "no"}));
    assert_eq!(replayed.then, then);
}

#[tokio::test]
async fn of_several_calls_each_gets_its_own() {
    let given = given_calls(&[(1, json!({"Ok": 10})), (2, json!({"Ok": 20}))]);
    let run = |tape: Arc<Tape>| async move {
        let cx = on(&tape);
        let second = pay(&cx, 2).await;
        let first = pay(&cx, 1).await;
        // There is none left: the last one's answer goes for it, and the list of calls tells.
        let more = pay(&cx, 3).await;
        json!([second, first, more])
    };
    let replayed = replay(given, run, |_| Value::Null).await;
    assert_eq!(replayed.answer, json!([{"Ok": 20}, {"Ok": 10}, {"Ok": 20}]));
    assert_eq!(replayed.then.calls.len(), 3);
    assert_eq!(replayed.missing, None);
}

#[tokio::test]
async fn it_ends_where_nobody_answers() {
    let run = |tape: Arc<Tape>| async move {
        drop(tokio::time::timeout(Duration::from_secs(3600), pay(&on(&tape), 1)).await);
        json!("it went on")
    };
    let replayed = replay(Given::default(), run, |_| Value::Null).await;
    assert_eq!((replayed.answer, replayed.missing), (Value::Null, None));
    assert_eq!(replayed.then.calls.len(), 1, "whom it called is told");
    // A call that was given up before it was answered is another matter: nobody knows what it would have answered.
    let replayed = replay(given_calls(&[(1, Value::Null)]), run, |_| Value::Null).await;
    assert_eq!(replayed.missing.as_deref(), Some("call bank.pay"));
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let named = |missing: &str| Some(missing.to_owned());
    let row = |tape: Arc<Tape>| async move {
        let replay = tape.as_replay().expect("a replay");
        let found: Option<Value> = replay.row(None, "show", id(1)).await;
        json!(found)
    };
    let replayed = replay(Given::default(), row, |_| Value::Null).await;
    assert_eq!(replayed.missing, named(&format!("row show {}", id(1))));
    let query = |tape: Arc<Tape>| async move {
        let replay = tape.as_replay().expect("a replay");
        replay.query::<Value>(None, "taken-seats", &json!({})).await
    };
    let replayed = replay(Given::default(), query, |_| Value::Null).await;
    assert_eq!(replayed.missing, named("query taken-seats"));
    let unit = |tape: Arc<Tape>| async move {
        tape.as_replay().expect("a replay").begin().await;
        Value::Null
    };
    assert_eq!(
        replay(Given::default(), unit, |_| Value::Null).await.missing,
        named("unit")
    );
    let panics = |_| async { panic!("on purpose") };
    assert_eq!(
        replay(Given::default(), panics, |said| json!(said)).await.answer,
        "on purpose"
    );
}

#[tokio::test]
async fn ids_and_times_are_the_recorded_ones() {
    let clock = ManualClock::new(noon());
    let tape = Tape::recording(1 << 20);
    let cx = on(&tape);
    let (now, drawn) = (cx.now(&clock), cx.draw_id(|| id(5)));
    let (given, _) = record(&tape).take().expect("all of it");
    assert_eq!((given.views.now, given.ids.as_slice()), (Some(now), &[drawn][..]));
    clock.advance(TimeDelta::hours(1));
    let run = |tape: Arc<Tape>| {
        let clock = clock.clone();
        async move {
            let cx = on(&tape);
            json!([cx.now(&clock), cx.draw_id(|| id(6)), cx.draw_id(|| id(7))])
        }
    };
    let replayed = replay(given, run, |_| Value::Null).await;
    assert_eq!(replayed.answer, json!([now, id(5), id(7)]));
    assert_eq!(replayed.ids, Some(vec![id(5), id(7)]), "it drew one more than is given");
}

#[tokio::test]
async fn a_round_without_an_end_is_ended() {
    let run = |tape: Arc<Tape>| async move {
        let replay = tape.as_replay().expect("a replay");
        let (unit, _) = replay.begin().await;
        loop {
            replay.put(unit, "again", &json!(1));
            tokio::task::yield_now().await;
        }
    };
    let unit = UnitGiven {
        now: noon(),
        rows: Vec::new(),
        queries: Vec::new(),
    };
    let given = Given {
        units: vec![unit],
        ..Given::default()
    };
    assert_eq!(
        replay(given, run, |_| Value::Null).await.missing.as_deref(),
        Some("end")
    );
}
