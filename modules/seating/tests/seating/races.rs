//! Many at once: no seat is ever two people's.

on_both!(two_hundred_for_few_seats, takers_and_leavers);

mod tests {
    use std::collections::BTreeMap;

    use chrono::TimeDelta;
    use futures_util::future::join_all;
    use rand::seq::IndexedRandom;
    use seating_contract::{HoldDraft, SeatState, SeatingError, SeatingService};
    use strangler::Cx;

    use crate::support::{Office, id, seat};

    /// Whether no two of these have a seat in common.
    fn doubled(lists: &[Vec<String>]) -> BTreeMap<&String, usize> {
        let mut count = BTreeMap::new();
        for name in lists.iter().flatten() {
            *count.entry(name).or_insert(0) += 1;
        }
        count.retain(|_, n| *n > 1);
        count
    }

    pub async fn two_hundred_for_few_seats(office: &Office) {
        let show = office.show(4, 10).await;
        let all = office.seats(show, SeatState::Free).await;
        let buyers = (0..200).map(|n| {
            let (seating, all) = (office.seating.clone(), all.clone());
            tokio::spawn(async move {
                let cx = Cx::system("buyer");
                let names: Vec<String> = all.choose_multiple(&mut rand::rng(), 3).cloned().collect();
                let draft = HoldDraft::new(show, names.iter().map(|s| seat(s)).collect()).unwrap();
                match seating.hold(&cx, id(n), draft).await {
                    Ok(_) => {}
                    Err(SeatingError::SeatsTaken { seats }) => {
                        assert!(!seats.is_empty() && seats.iter().all(|s| names.contains(&s.to_string())));
                        return None;
                    }
                    Err(other) => panic!("{other:?}"),
                }
                seating.commit(&cx, id(n)).await.unwrap();
                seating.assign(&cx, id(n)).await.unwrap();
                Some(names)
            })
        });
        let ends = join_all(buyers).await;
        let won: Vec<Vec<String>> = ends.into_iter().filter_map(Result::unwrap).collect();
        assert!(won.len() >= 4, "{} won", won.len());
        assert_eq!(doubled(&won), BTreeMap::new());
        let mut sold: Vec<String> = won.concat();
        sold.sort();
        let mut shown = office.seats(show, SeatState::Sold).await;
        shown.sort();
        assert_eq!(sold, shown);
        assert_eq!(office.seats(show, SeatState::Held).await.len(), 0);
    }

    /// Holds that expire, are released, swept and taken over at the same time, in any order of seats.
    pub async fn takers_and_leavers(office: &Office) {
        let show = office.show(1, 8).await;
        let all = office.seats(show, SeatState::Free).await;
        let tasks = (0..24).map(|task: u128| {
            let (seating, all, db, clock) = (
                office.seating.clone(),
                all.clone(),
                office.db.clone(),
                office.clock.clone(),
            );
            tokio::spawn(async move {
                let (cx, mut kept) = (Cx::system("buyer"), Vec::new());
                for turn in 0..12 {
                    let hold = id(task * 1000 + turn);
                    let names: Vec<String> = all.choose_multiple(&mut rand::rng(), 3).cloned().collect();
                    let draft = HoldDraft::new(show, names.iter().map(|s| seat(s)).collect()).unwrap();
                    match seating.hold(&cx, hold, draft).await {
                        Err(SeatingError::SeatsTaken { .. } | SeatingError::HoldOver { .. }) => continue,
                        other => other.map(drop).unwrap(),
                    }
                    match (task + turn) % 4 {
                        0 => clock.advance(TimeDelta::minutes(11)),
                        1 => drop(seating.release(&cx, hold).await.unwrap()),
                        2 => drop(seating::sweep(&db).await.unwrap()),
                        _ if kept.is_empty() => match seating.assign(&cx, hold).await {
                            Ok(_) => kept = names,
                            Err(SeatingError::HoldOver { .. }) => {}
                            Err(other) => panic!("{other:?}"),
                        },
                        _ => {}
                    }
                }
                kept
            })
        });
        let kept: Vec<Vec<String>> = join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(doubled(&kept), BTreeMap::new());
        office.clock.advance(TimeDelta::minutes(11));
        seating::sweep(&office.db).await.unwrap();
        assert_eq!(office.seats(show, SeatState::Held).await.len(), 0);
        let mut sold = kept.concat();
        sold.sort();
        let mut shown = office.seats(show, SeatState::Sold).await;
        shown.sort();
        assert_eq!(sold, shown);
    }
}
