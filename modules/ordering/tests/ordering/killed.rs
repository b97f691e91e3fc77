//! Whoever works on orders is killed, at every point and at any: another one goes on from there.

on_both!(killed_at_every_point, killed_at_any_time);

mod tests {
    use std::{future::pending, time::Duration};

    use ordering_contract::OrderStatus;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use crate::{
        faults::Fault,
        support::{Office, draft},
    };

    /// Before and after each call has its effect, with the answer lost.
    pub async fn killed_at_every_point(office: &Office) {
        let forward = ["hold", "authorise", "commit", "capture", "assign"];
        let back = ["held", "void", "unassign"];
        let mut orders = Vec::new();
        for fault in [Fault::LostBefore, Fault::LostAfter] {
            for operation in forward.into_iter().chain(back) {
                let (id, refused) = (office.id(), back.contains(&operation));
                if refused {
                    office.faults.plan(id.0, "capture", [Fault::Refused]);
                }
                office.faults.plan(id.0, operation, [fault]);
                office.place_with(id, draft(id, "tok_ok")).await;
                let status = if refused {
                    OrderStatus::Refused
                } else {
                    OrderStatus::Confirmed
                };
                orders.push((id, operation, status));
            }
        }
        // Nobody's patience ends before all of them wait for an answer; then the worker is gone.
        let patient = office.sagas(&office.db).with_step_timeout(Duration::from_secs(5));
        let all_wait = async {
            for (id, operation, _) in &orders {
                office.until_called(*id, operation).await;
            }
        };
        tokio::select! {
            () = patient.run(pending()) => {}
            () = all_wait => {}
        }
        for (id, _, _) in &orders {
            assert_eq!(office.order(*id).await.status, OrderStatus::Placed);
        }
        let follow = async {
            for (id, _, status) in &orders {
                office.assert_settled(&office.reaches(*id, *status).await);
            }
        };
        office.working(follow).await;
    }

    /// Workers that live some milliseconds each, while some orders are cancelled and some cannot be paid.
    pub async fn killed_at_any_time(office: &Office) {
        let seed = 20_261_121;
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut orders = Vec::new();
        for n in 0..24 {
            let id = office.id();
            let token = if n % 6 == 0 { "tok_declined" } else { "tok_ok" };
            if n % 5 == 0 {
                office.faults.plan(id.0, "capture", [Fault::Refused]);
            }
            office.place_with(id, draft(id, token)).await;
            orders.push(id);
        }
        let short = office.sagas(&office.db).with_step_timeout(Duration::from_millis(60));
        let (mut open, mut lives) = (orders.clone(), 0);
        while !open.is_empty() {
            let life = Duration::from_millis(random.random_range(1..150));
            let _ = tokio::time::timeout(life, short.run(pending())).await;
            if lives % 3 == 0 {
                let id = orders[random.random_range(0..orders.len() / 2)];
                // Refused once it is settled, which is an answer too.
                let _ = office.ordering.cancel(&office.cx, id).await;
            }
            lives += 1;
            assert!(lives < 2000, "the orders do not come to an end; seed {seed}");
            let mut still = Vec::new();
            for id in open {
                let order = office.order(id).await;
                let asked = order.status == OrderStatus::Confirmed && orders[..orders.len() / 2].contains(&id);
                match order.status {
                    OrderStatus::Stuck => panic!("{order:?}; seed {seed}"),
                    // It may yet be cancelled.
                    OrderStatus::Placed => still.push(id),
                    _ if asked && lives < 150 => still.push(id),
                    _ => {}
                }
            }
            open = still;
        }
        println!("{lives} workers");
        let settle = async {
            for id in &orders {
                let unless_asked = async || office.order(*id).await;
                let settled = |o: &ordering_contract::Order| {
                    let being_cancelled = o.steps.iter().any(|s| s.step == "unassign");
                    o.status != OrderStatus::Placed && !(o.status == OrderStatus::Confirmed && being_cancelled)
                };
                let order = crate::support::eventually("the end", unless_asked, settled).await;
                office.assert_settled(&order);
            }
        };
        office.working(settle).await;
    }
}
