//! Orders with the real seating, the real payments and the provider's stand-in, and every failure between them: SQLite
//! always, PostgreSQL when `BANYAN_TEST_POSTGRES` names a server.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

// The failures that ordering's own tests inject into seating and payments in memory.
#[path = "../../../modules/ordering/tests/ordering/faults.rs"]
mod faults;
mod house;

use faults::{EVERY, Fault};
use futures_util::{StreamExt, stream};
use house::House;
use ordering_contract::{OrderId, OrderStatus};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_fails_no_money_and_no_seat_is_lost_sqlite() {
    House::on_sqlite(whatever_fails).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_fails_no_money_and_no_seat_is_lost_postgres() {
    House::on_postgres("purchases", whatever_fails).await;
}

/// One order: what fails of it, with what it is paid, whether it is cancelled while that operation is on its way, and how
/// it may end.
struct Case {
    planned: Vec<(&'static str, Vec<Fault>)>,
    token: &'static str,
    cancel_at: Option<&'static str>,
    ends: &'static [OrderStatus],
}

fn cases() -> Vec<Case> {
    use OrderStatus::{Cancelled, Confirmed, Refused};
    let mut cases = Vec::new();
    let mut case = |planned, token, cancel_at, ends| {
        cases.push(Case {
            planned,
            token,
            cancel_at,
            ends,
        });
    };
    for fault in EVERY {
        for step in ["hold", "authorise", "commit", "capture", "assign"] {
            case(vec![(step, vec![fault, fault])], "tok_ok", None, &[Confirmed]);
            case(vec![(step, vec![fault])], "tok_ok", Some(step), &[Cancelled]);
        }
        for undo in ["held", "unassign", "void"] {
            let planned = vec![("capture", vec![Fault::Refused]), (undo, vec![fault, fault])];
            case(planned, "tok_ok", None, &[Refused]);
        }
        for back in ["unassign", "refund"] {
            case(vec![(back, vec![fault, fault])], "tok_ok", Some("assign"), &[Cancelled]);
        }
    }
    for _ in 0..4 {
        case(Vec::new(), "tok_flaky", None, &[Confirmed]);
        case(Vec::new(), "tok_flaky", Some("capture"), &[Cancelled]);
        case(Vec::new(), "tok_declined", None, &[Refused]);
        case(Vec::new(), "tok_slow", Some("authorise"), &[Cancelled]);
    }
    cases
}

async fn whatever_fails(house: &House) {
    let cases = cases();
    let follow = cases.iter().zip(1_u128..).map(|(case, n)| async move {
        let id = OrderId(kernel::Uuid::from_u128(n));
        for (operation, faults) in &case.planned {
            house.faults.plan(id.0, operation, faults.clone());
        }
        house.place(id, case.token).await;
        if let Some(operation) = case.cancel_at {
            house.until_called(id, operation).await;
            house.cancel(id).await;
        }
        house.ends(id, case.ends).await;
        id
    });
    let all: Vec<OrderId> = house.working(stream::iter(follow).buffer_unordered(12).collect()).await;
    // What was still on its way arrives after everything was decided.
    house.faults.release().await;
    for id in &all {
        house.assert_settled(*id).await;
    }
    house.assert_nothing_else_moved(&all).await;
}
