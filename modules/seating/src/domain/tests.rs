use kernel::{Money, Time, Uuid, Word};
use seating_contract::{HoldDraft, HoldId, HoldStatus, SeatId, SeatState, SeatingError, ShowId};
use serde_json::json;

use super::{
    HoldState, Plan, Price, Section, Taken,
    plan::{read_row, row_label},
};

fn word(text: &str) -> Word {
    Word::try_from(text).unwrap()
}

fn seat(text: &str) -> SeatId {
    SeatId::try_from(text.to_owned()).unwrap()
}

fn at(second: i64) -> Time {
    Time::from_micros(second * 1_000_000).unwrap()
}

fn plan() -> Plan {
    let section = |name, rows, seats_per_row| Section {
        name: word(name),
        rows,
        seats_per_row,
    };
    let price = |name, amount| {
        let price: Money = serde_json::from_value(json!({"amount": amount, "currency": "EUR"})).unwrap();
        Price {
            section: word(name),
            price,
        }
    };
    let sections = vec![
        section("Stalls", 2, 3),
        section("Royal-Box", 28, 1),
        section("Roof", 1, 1),
    ];
    Plan::new(sections, &[price("Stalls", 4500), price("Royal-Box", 9000)])
}

const ID: HoldId = HoldId(Uuid::from_u128(1));
const SHOW: ShowId = ShowId(Uuid::from_u128(2));

fn draft(seats: &[&str]) -> HoldDraft {
    HoldDraft::new(SHOW, seats.iter().map(|s| seat(s)).collect()).unwrap()
}

fn taken(name: &str, sold: bool, expires_at: Option<Time>) -> Taken {
    Taken {
        seat: seat(name),
        hold: HoldId(Uuid::from_u128(9)),
        sold,
        expires_at,
    }
}

fn hold() -> HoldState {
    HoldState::take(
        ID,
        &draft(&["Stalls-A-1", "Royal-Box-AB-1"]),
        &plan(),
        &[],
        (at(0), at(60)),
    )
    .unwrap()
}

#[test]
fn rows_are_named_like_columns_of_a_sheet() {
    let names: Vec<_> = [0, 25, 26, 27, 51, 52, 499, 701, 702].map(row_label).into();
    assert_eq!(names, ["A", "Z", "AA", "AB", "AZ", "BA", "SF", "ZZ", "AAA"]);
    for index in 0..2000 {
        assert_eq!(read_row(&row_label(index)), Some(index));
    }
    for bad in ["", "a", "Ä", "A1", "AAAAAAAAAAAAAAAA"] {
        assert_eq!(read_row(bad), None, "{bad}");
    }
}

#[test]
fn a_plan_knows_its_seats_and_no_others() {
    let seats = plan().seats(&[], at(0));
    assert_eq!(seats.len(), 6 + 28);
    assert_eq!(
        (seats[0].id.as_str(), seats[33].id.as_str()),
        ("Stalls-A-1", "Royal-Box-AB-1")
    );
    for seat in &seats {
        assert_eq!(plan().price(&seat.id), Some(seat.price));
    }
    let bad = [
        "Stalls-C-1",
        "Stalls-A-4",
        "Stalls-A-0",
        "Stalls-A-01",
        "Stalls-A-+1",
        "Stalls-a-1",
        "stalls-A-1",
        "Roof-A-1",
        "Royal-A-1",
        "Stalls",
        "A-1",
        "Stalls-A-99999999999",
        "Stalls--1",
        "Stalls-A-",
    ];
    for bad in bad {
        assert_eq!(plan().price(&seat(bad)), None, "{bad}");
    }
}

#[test]
fn an_expired_seat_is_free_at_once() {
    let rows = [
        taken("Stalls-A-1", false, Some(at(10))),
        taken("Stalls-A-2", false, None),
        taken("Stalls-A-3", true, None),
    ];
    let states = |now| {
        plan().seats(&rows, now)[..4]
            .iter()
            .map(|s| s.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        states(at(9)),
        [SeatState::Held, SeatState::Held, SeatState::Sold, SeatState::Free]
    );
    assert_eq!(states(at(10))[0], SeatState::Free);
}

#[test]
fn a_hold_takes_all_seats_or_none() {
    let hold = hold();
    let look = hold.look(at(0)).unwrap();
    assert_eq!(
        (look.status, look.total.amount(), look.expires_at),
        (HoldStatus::Held, 13_500, Some(at(60)))
    );
    let take = |seats: &[&str], taken: &[Taken]| HoldState::take(ID, &draft(seats), &plan(), taken, (at(10), at(60)));
    assert_eq!(
        take(&["Stalls-A-1", "Roof-A-1", "x"], &[]),
        Err(SeatingError::UnknownSeats {
            seats: vec![seat("Roof-A-1"), seat("x")]
        })
    );
    let rows = [
        taken("Stalls-A-1", false, Some(at(10))),
        taken("Stalls-A-2", true, None),
    ];
    assert_eq!(
        take(&["Stalls-A-1", "Stalls-A-2", "Stalls-A-3"], &rows),
        Err(SeatingError::SeatsTaken {
            seats: vec![seat("Stalls-A-2")]
        })
    );
    assert!(take(&["Stalls-A-1", "Stalls-A-3"], &rows[..1]).is_ok());
}

#[test]
fn the_same_hold_again_is_kept_and_another_refused() {
    let hold = hold();
    assert!(hold.repeat(&draft(&["Royal-Box-AB-1", "Stalls-A-1"]), at(59)).is_ok());
    let other = SeatingError::OtherHold { id: ID };
    assert_eq!(hold.repeat(&draft(&["Stalls-A-1"]), at(0)), Err(other));
    let over = Err(SeatingError::HoldOver { id: ID });
    assert_eq!(hold.repeat(&draft(&["Stalls-A-1", "Royal-Box-AB-1"]), at(60)), over);
    assert_eq!(HoldState::never(ID).repeat(&draft(&["Stalls-A-1"]), at(0)), over);
}

#[test]
fn a_hold_is_committed_in_time_and_sold_once() {
    let (hold, over) = (hold(), Err(SeatingError::HoldOver { id: ID }));
    assert_eq!(hold.commit(2, at(60)), over);
    assert_eq!(
        hold.commit(1, at(59)),
        over,
        "somebody with a faster clock has one of its seats"
    );
    assert_eq!(hold.assign(2, at(60)), over);
    let committed = hold.commit(2, at(59)).unwrap().unwrap();
    assert_eq!(committed.commit(2, at(99)), Ok(None));
    assert_eq!(committed.expire(at(99)), None);
    let sold = committed.assign(2, at(99)).unwrap().unwrap();
    assert_eq!((sold.version, sold.look(at(99)).unwrap().status), (3, HoldStatus::Sold));
    assert_eq!((sold.assign(2, at(99)), sold.commit(2, at(99))), (Ok(None), Ok(None)));
}

#[test]
fn what_is_over_stays_over() {
    let hold = hold();
    let released = hold.release().unwrap().unwrap();
    assert_eq!((released.release(), released.unassign()), (Ok(None), None));
    let over = SeatingError::HoldOver { id: ID };
    assert_eq!(released.commit(2, at(0)), Err(over.clone()));
    assert_eq!(released.assign(2, at(0)), Err(over));
    assert_eq!((hold.expire(at(59)), hold.expire(at(60))), (None, Some(released)));
    let sold = hold.assign(2, at(0)).unwrap().unwrap();
    assert_eq!(sold.release(), Err(SeatingError::SeatsSold { id: ID }));
    assert!(sold.unassign().is_some());
}
