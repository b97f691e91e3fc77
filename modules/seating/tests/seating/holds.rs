//! What becomes of holds: taken, committed, sold, released, expired; each step twice, and each undo before its do.

on_both!(
    a_hold_is_taken_once,
    a_hold_runs_out,
    commit_then_sell,
    released_twice_and_before_it_was_taken,
    unknown_seats_and_shows,
    a_cancelled_show_sells_no_more,
    the_price_is_that_of_the_hold,
    five_thousand_seats,
);

mod tests {
    use std::time::{Duration, Instant};

    use chrono::TimeDelta;
    use kernel::Uuid;
    use seating_contract::{HoldStatus, SeatState, SeatingError, SeatingService, ShowId};
    use strangler::{Done, Put};

    use crate::support::{Office, cancelled_event, draft, id, seat, show_event};

    fn minutes(n: i64) -> TimeDelta {
        TimeDelta::minutes(n)
    }

    pub async fn a_hold_is_taken_once(office: &Office) {
        let (seating, cx, show) = (&office.seating, &office.cx, office.show(2, 3).await);
        let wanted = draft(show, &["Stalls-A-2", "Stalls-A-1"]);
        let Put::Created(hold) = seating.hold(cx, id(1), wanted.clone()).await.unwrap() else {
            panic!("created")
        };
        assert_eq!((hold.status, hold.total.amount()), (HoldStatus::Held, 9000));
        assert_eq!(
            seating.hold(cx, id(1), wanted.clone()).await,
            Ok(Put::Kept(hold.clone()))
        );
        assert_eq!(seating.held(cx, id(1)).await, Ok(hold));
        let other = seating.hold(cx, id(1), draft(show, &["Stalls-B-1"])).await;
        assert_eq!(other, Err(SeatingError::OtherHold { id: id(1) }));
        let taken = seating
            .hold(cx, id(2), draft(show, &["Stalls-B-1", "Stalls-A-2"]))
            .await;
        let seats = vec![seat("Stalls-A-2")];
        assert_eq!(taken, Err(SeatingError::SeatsTaken { seats }));
        assert_eq!(office.seats(show, SeatState::Held).await, ["Stalls-A-1", "Stalls-A-2"]);
        assert_eq!(
            seating.held(cx, id(2)).await,
            Err(SeatingError::NoSuchHold { id: id(2) })
        );
    }

    pub async fn a_hold_runs_out(office: &Office) {
        let (seating, cx, show) = (&office.seating, &office.cx, office.show(2, 3).await);
        let wanted = draft(show, &["Stalls-A-1", "Stalls-A-2"]);
        seating.hold(cx, id(1), wanted.clone()).await.unwrap();
        office.clock.advance(minutes(9));
        assert_eq!(office.seats(show, SeatState::Held).await.len(), 2);
        assert_eq!(seating::sweep(&office.db).await.unwrap(), 0);
        office.clock.advance(minutes(1));
        assert_eq!(
            office.seats(show, SeatState::Held).await.len(),
            0,
            "free at once, before any sweep"
        );
        let over = SeatingError::HoldOver { id: id(1) };
        assert_eq!(seating.commit(cx, id(1)).await, Err(over.clone()));
        assert_eq!(seating.assign(cx, id(1)).await, Err(over.clone()));
        assert_eq!(seating.hold(cx, id(1), wanted).await, Err(over.clone()));
        // Somebody else takes over one of the seats; the sweep must not take it from them.
        seating.hold(cx, id(2), draft(show, &["Stalls-A-2"])).await.unwrap();
        assert_eq!(seating::sweep(&office.db).await.unwrap(), 1);
        assert_eq!(seating::sweep(&office.db).await.unwrap(), 0);
        assert_eq!(office.seats(show, SeatState::Held).await, ["Stalls-A-2"]);
        assert_eq!(seating.release(cx, id(1)).await, Ok(Done));
        assert_eq!(office.seats(show, SeatState::Held).await, ["Stalls-A-2"]);
        // A clock that is behind does not bring back what another has taken over.
        office.clock.advance(minutes(-5));
        assert_eq!(seating.commit(cx, id(1)).await, Err(over));
    }

    pub async fn commit_then_sell(office: &Office) {
        let (seating, cx, show) = (&office.seating, &office.cx, office.show(2, 3).await);
        assert_eq!(
            seating.commit(cx, id(1)).await,
            Err(SeatingError::NoSuchHold { id: id(1) })
        );
        seating.hold(cx, id(1), draft(show, &["Stalls-A-1"])).await.unwrap();
        let committed = seating.commit(cx, id(1)).await.unwrap();
        assert_eq!((committed.status, committed.expires_at), (HoldStatus::Committed, None));
        assert_eq!(seating.commit(cx, id(1)).await, Ok(committed));
        assert_eq!(
            seating.release(cx, id(1)).await,
            Err(SeatingError::HoldCommitted { id: id(1) })
        );
        office.clock.advance(minutes(60));
        assert_eq!(seating::sweep(&office.db).await.unwrap(), 0);
        assert_eq!(office.seats(show, SeatState::Held).await, ["Stalls-A-1"]);
        let sold = seating.assign(cx, id(1)).await.unwrap();
        assert_eq!(
            (sold.status, seating.assign(cx, id(1)).await),
            (HoldStatus::Sold, Ok(sold))
        );
        assert_eq!(office.seats(show, SeatState::Sold).await, ["Stalls-A-1"]);
        assert_eq!(
            seating.release(cx, id(1)).await,
            Err(SeatingError::SeatsSold { id: id(1) })
        );
        for _ in 0..2 {
            assert_eq!(seating.unassign(cx, id(1)).await, Ok(Done));
            assert_eq!(office.seats(show, SeatState::Free).await.len(), 6);
        }
        assert_eq!(
            seating.assign(cx, id(1)).await,
            Err(SeatingError::HoldOver { id: id(1) })
        );
    }

    pub async fn released_twice_and_before_it_was_taken(office: &Office) {
        let (seating, cx, show) = (&office.seating, &office.cx, office.show(2, 3).await);
        let wanted = draft(show, &["Stalls-A-1"]);
        seating.hold(cx, id(1), wanted.clone()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(seating.release(cx, id(1)).await, Ok(Done));
            assert_eq!(office.seats(show, SeatState::Free).await.len(), 6);
        }
        for (n, late) in [(2, false), (3, true)] {
            for _ in 0..2 {
                let undone = if late {
                    seating.unassign(cx, id(n)).await
                } else {
                    seating.release(cx, id(n)).await
                };
                assert_eq!(undone, Ok(Done));
            }
        }
        for n in [1, 2, 3] {
            let over = SeatingError::HoldOver { id: id(n) };
            assert_eq!(seating.hold(cx, id(n), wanted.clone()).await, Err(over.clone()));
            assert_eq!(seating.commit(cx, id(n)).await, Err(over.clone()));
            assert_eq!(seating.assign(cx, id(n)).await, Err(over.clone()));
            assert_eq!(seating.held(cx, id(n)).await, Err(over));
        }
        assert!(seating.hold(cx, id(4), wanted).await.is_ok());
    }

    pub async fn unknown_seats_and_shows(office: &Office) {
        let (seating, cx, show) = (&office.seating, &office.cx, office.show(2, 3).await);
        let unknown = seating
            .hold(cx, id(1), draft(show, &["Stalls-A-1", "Stalls-C-1", "x"]))
            .await;
        let seats = vec![seat("Stalls-C-1"), seat("x")];
        assert_eq!(unknown, Err(SeatingError::UnknownSeats { seats }));
        let nowhere = ShowId(Uuid::from_u128(99));
        let unknown = seating.hold(cx, id(1), draft(nowhere, &["Stalls-A-1"])).await;
        assert_eq!(unknown, Err(SeatingError::UnknownShow { show: nowhere }));
        assert_eq!(
            seating.seats(cx, nowhere).await,
            Err(SeatingError::NoSuchShow { id: nowhere })
        );
    }

    pub async fn a_cancelled_show_sells_no_more(office: &Office) {
        let (seating, cx, show) = (&office.seating, &office.cx, office.show(2, 3).await);
        seating.hold(cx, id(1), draft(show, &["Stalls-A-1"])).await.unwrap();
        office.hear(&cancelled_event(show.0, 2)).await;
        let gone = SeatingError::ShowCancelled { id: show };
        assert_eq!(seating.seats(cx, show).await, Err(gone.clone()));
        assert_eq!(
            seating.hold(cx, id(2), draft(show, &["Stalls-A-2"])).await,
            Err(gone.clone())
        );
        assert_eq!(seating.commit(cx, id(1)).await, Err(gone));
        assert_eq!(seating.release(cx, id(1)).await, Ok(Done));
    }

    pub async fn the_price_is_that_of_the_hold(office: &Office) {
        let (seating, cx, show) = (&office.seating, &office.cx, office.show(2, 3).await);
        let hold = seating.hold(cx, id(1), draft(show, &["Stalls-A-1"])).await.unwrap();
        office
            .hear(&show_event(show.0, 2, Uuid::from_u128(7), &[("Stalls", 9900)]))
            .await;
        assert_eq!(seating.commit(cx, id(1)).await.unwrap().total, hold.value().total);
        let map = seating.seats(cx, show).await.unwrap();
        assert!(map.seats.iter().all(|s| s.price.amount() == 9900));
    }

    pub async fn five_thousand_seats(office: &Office) {
        let (seating, cx, show) = (&office.seating, &office.cx, office.show(50, 100).await);
        let rows: Vec<String> = office.seats(show, SeatState::Free).await;
        for (n, seats) in rows.chunks(20).take(100).enumerate() {
            let names: Vec<&str> = seats.iter().map(String::as_str).collect();
            seating.hold(cx, id(n as u128), draft(show, &names)).await.unwrap();
        }
        let mut fastest = Duration::MAX;
        for _ in 0..10 {
            let began = Instant::now();
            assert_eq!(seating.seats(cx, show).await.unwrap().seats.len(), 5000);
            fastest = fastest.min(began.elapsed());
        }
        println!("5,000 seats, 2,000 of them taken: {fastest:?}");
        assert!(fastest < Duration::from_millis(500), "{fastest:?}");
    }
}
