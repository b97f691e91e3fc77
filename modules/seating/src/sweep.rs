//! Tidies up after holds that have expired. Their seats are free already; this removes what is left of them.

use kernel::Time;
use strangler::Cx;
use strangler_store::{Db, StoreError};

use crate::{
    domain::HoldState,
    store::{Expired, Forget, TakenBy, time},
};

/// How many holds one unit of work ends.
const BATCH: u64 = 50;

/// Ends the holds whose time is up and answers how many those were. Any number of these may run at once.
///
/// # Errors
/// The database's; what was ended before stays so.
pub async fn sweep(db: &Db) -> Result<usize, StoreError> {
    let cx = Cx::system("seating:sweep");
    let mut swept = 0;
    loop {
        let mut uow = db.begin(&cx).await?;
        let now: Time = time(uow.now())?;
        let expired = uow.find(Expired { now, limit: BATCH }).await?;
        let last = (expired.len() as u64) < BATCH;
        // All holds are locked before any seat is: somebody who takes over a seat waits for one of these at most.
        let mut over = Vec::new();
        for id in expired {
            // Between the question and the lock it may have been committed, or ended by another.
            let hold = uow.load::<HoldState>(id.0).await?;
            over.extend(hold.and_then(|hold| hold.expire(now)));
        }
        if !over.is_empty() {
            let ids: Vec<_> = over.iter().map(|hold| hold.id).collect();
            uow.find(TakenBy(ids.clone())).await?;
            over.iter().for_each(|hold| uow.save(hold));
            uow.put(Forget(ids));
            uow.commit().await?;
            swept += over.len();
        }
        if last {
            return Ok(swept);
        }
    }
}
