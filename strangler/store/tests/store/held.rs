//! Work of a module's own, under a lease.

on_both!(work_is_done_by_one_side_at_a_time);

mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicU32, Ordering},
        },
        time::Duration,
    };

    use strangler_store::{Lease, Round, Turn};
    use tokio::sync::{oneshot, watch};

    use crate::{
        notes::cx,
        support::{Home, eventually},
    };

    pub async fn work_is_done_by_one_side_at_a_time(home: &Home) {
        let sides = [home.db("notes").await, home.handle("notes").await];
        let turns = [watch::Sender::new(Some(0)), watch::Sender::new(None)];
        let (at_work, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (mut stops, mut workers, mut rounds) = (Vec::new(), Vec::new(), Vec::new());
        for (n, db) in sides.iter().enumerate() {
            let (stop, stopped) = oneshot::channel::<()>();
            let (turn, done) = (Turn::following(turns[n].subscribe()), Arc::new(AtomicU32::new(0)));
            rounds.push(done.clone());
            stops.push(stop);
            let (db, at_work, most) = (db.clone(), at_work.clone(), most.clone());
            workers.push(tokio::spawn(async move {
                let work = |lease: Lease| {
                    let (db, at_work, most, done) = (db.clone(), at_work.clone(), most.clone(), done.clone());
                    async move {
                        let mut uow = db.begin(&cx()).await?;
                        if !lease.guards(&mut uow).await? {
                            return Ok(Round::Lost);
                        }
                        most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        at_work.fetch_sub(1, Ordering::SeqCst);
                        // Whoever takes the lease waits for this transaction, and so finds it counted.
                        done.fetch_add(1, Ordering::SeqCst);
                        uow.commit().await?;
                        Ok(Round::Rest(Duration::from_millis(1)))
                    }
                };
                db.leases()
                    .while_held("work", turn, async { drop(stopped.await) }, work)
                    .await;
            }));
        }
        for route in 1..=4_i64 {
            let (old, new) = (((route - 1) % 2) as usize, (route % 2) as usize);
            let before = rounds[old].load(Ordering::SeqCst);
            eventually(
                "the old side works",
                async || rounds[old].load(Ordering::SeqCst),
                |n| *n > before,
            )
            .await;
            let before = rounds[new].load(Ordering::SeqCst);
            // The new side hears of it first and need not wait for the old one.
            turns[new].send_replace(Some(route));
            eventually(
                "the new side works",
                async || rounds[new].load(Ordering::SeqCst),
                |n| *n > before + 1,
            )
            .await;
            let last = rounds[old].load(Ordering::SeqCst);
            turns[old].send_replace(None);
            assert!(rounds[old].load(Ordering::SeqCst) <= last, "the old side still works");
        }
        stops.into_iter().for_each(|stop| stop.send(()).unwrap());
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 1);
        let leases = sides[0].leases().list().await.unwrap();
        assert_eq!(
            (leases[0].name.as_str(), leases[0].holder.as_str(), leases[0].route),
            ("work", "", 4)
        );
    }
}
