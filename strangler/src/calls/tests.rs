use std::sync::Arc;

use super::*;
use crate::SystemClock;

const ORDERING: &str = "http://127.0.0.1:9001";

/// A call as one place saw it: what, its span and the one above it, the place, the side, its beginning and its length.
fn seen(
    operation: &'static str,
    (span, parent): (u64, u64),
    (part, side): (CallPart, CallSide),
    (start_us, took_us): (i64, i64),
) -> CallRecord {
    let module = operation.split('.').next().unwrap();
    CallRecord {
        trace: 7,
        span,
        parent,
        operation: operation.into(),
        module: module.into(),
        caller: if parent == 1000 { OUTSIDE } else { "ordering" }.into(),
        subject: None,
        part,
        side,
        start_us,
        took_us,
        status: 200,
        fault: None,
    }
}

fn monolith(calls: Vec<CallRecord>) -> ProcessCalls {
    let process = RanIn { pid: 1, url: None };
    ProcessCalls { process, calls }
}

fn service(calls: Vec<CallRecord>) -> ProcessCalls {
    let process = RanIn {
        pid: 2,
        url: Some(ORDERING.to_owned()),
    };
    ProcessCalls { process, calls }
}

use CallPart::{Ask, Request, Run as Ran};
use CallSide::{Fallback, Local, Remote, Shadow};

#[test]
fn the_parts_of_two_processes_are_one_tree() {
    // The service's clock is an hour ahead.
    let ahead = 3_600_000_000;
    let here = monolith(vec![
        seen("ordering.place", (1, 1000), (Request, Remote), (0, 10_000)),
        seen("seating.seats", (5, 4), (Request, Local), (4_000, 2_000)),
        seen("seating.seats", (6, 5), (Ran, Local), (4_100, 1_500)),
    ]);
    let there = service(vec![
        seen("ordering.place", (2, 1), (Request, Remote), (ahead, 8_000)),
        seen("ordering.place", (3, 2), (Ran, Remote), (ahead + 100, 7_000)),
        seen("seating.seats", (4, 3), (Ask, Remote), (ahead + 2_500, 3_000)),
    ]);
    let found = trees(vec![here.clone(), there.clone(), there]);
    let [tree] = &found[..] else {
        panic!("one trace: {found:?}")
    };
    assert_eq!((tree.trace.len(), tree.took_ms), (32, 10.0));
    let all = tree.flat();
    let said: Vec<_> = all
        .iter()
        .map(|(depth, call)| {
            let pid = call.process.as_ref().map(|p| p.pid);
            (
                *depth,
                &*call.operation,
                call.side,
                pid,
                call.took_ms,
                call.own_ms,
                call.way_ms,
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            (0, "ordering.place", Remote, Some(2), 10.0, 4.0, 3.0),
            (1, "seating.seats", Local, Some(1), 3.0, 1.5, 1.5),
        ]
    );
    let inner = all[1].1;
    assert!(inner.starts_ms >= 1.0 && inner.ends_ms() <= 9.0, "{inner:?}");
    assert_eq!(inner.caller, "ordering");
}

#[test]
fn a_failed_attempt_stands_below_the_answer_in_its_place() {
    let mut failed = seen("catalog.show", (2, 1), (Request, Remote), (100, 500));
    failed.status = 500;
    let here = monolith(vec![
        seen("catalog.show", (1, 1000), (Request, Fallback), (0, 2_000)),
        seen("catalog.show", (3, 1), (Ran, Fallback), (1_000, 800)),
        seen("catalog.show", (4, 1), (Ask, Shadow), (3_000, 800)),
    ]);
    let found = trees(vec![here, service(vec![failed])]);
    let call = &found[0].calls[0];
    assert_eq!((call.side, call.process.as_ref().map(|p| p.pid)), (Fallback, Some(1)));
    let below: Vec<_> = call.calls.iter().map(|c| (c.side, c.status)).collect();
    assert_eq!(below, [(Remote, 500), (Shadow, 200)]);
    assert_eq!(found[0].took_ms, 3.8, "what is compared goes on after the answer");
}

#[test]
fn what_is_missing_is_not_invented() {
    let mut refused = seen("catalog.show", (1, 1000), (Request, Remote), (0, 900));
    (refused.status, refused.fault) = (502, Some("unreachable".into()));
    let orphan = seen("seating.hold", (9, 8), (Ran, Local), (5_000, 100));
    let found = trees(vec![monolith(vec![refused, orphan])]);
    let [call, later] = &found[0].calls[..] else {
        panic!("{found:?}")
    };
    assert_eq!((call.process.as_ref(), call.own_ms, call.way_ms), (None, 0.0, 0.9));
    assert_eq!(call.fault.as_deref(), Some("unreachable"));
    assert!(call.request && !later.request && later.starts_ms == 5.0);
}

#[test]
fn a_circle_ends() {
    let one = seen("a.b", (1, 2), (Ask, Remote), (0, 1));
    let two = seen("a.c", (2, 1), (Ask, Remote), (0, 1));
    assert_eq!(trees(vec![monolith(vec![one, two])])[0].calls, []);
}

#[test]
fn a_record_travels() {
    let mut record = seen("catalog.show", (u64::MAX, 3), (Request, Local), (-5, 900));
    record.trace = u128::MAX - 1;
    record.fault = Some("shed".into());
    let json = serde_json::to_string(&record).unwrap();
    assert!(json.contains("\"span\":\"ffffffffffffffff\""), "{json}");
    assert_eq!(serde_json::from_str::<CallRecord>(&json).unwrap(), record);
}

#[test]
fn only_modules_are_believed_to_call() {
    let recorder = Arc::new(Recorder::of_service(&["catalog"], 10, &SystemClock));
    assert_eq!(
        ["catalog", OUTSIDE, "<b>"].map(|name| recorder.caller(name)),
        [Some("catalog"), Some(OUTSIDE), None]
    );
    assert!(recorder.arrows().is_empty() && recorder.all().is_empty());
}
