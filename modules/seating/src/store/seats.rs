//! The seats that are somebody's: one row each, keyed by show and seat, locked in that order by everybody.

use kernel::{Time, Uuid};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use seating_contract::{HoldId, SeatId, ShowId};
use serde::Serialize;
use strangler_store::{Query, Write};

use super::{
    entities::{holds, taken},
    micros,
};
use crate::domain::Taken;

fn read(rows: Vec<taken::Model>) -> Result<Vec<Taken>, DbErr> {
    let corrupt = |e: String| DbErr::Custom(e);
    rows.into_iter()
        .map(|row| {
            let expires_at = row.expires_at.map(micros).transpose();
            Ok(Taken {
                seat: SeatId::try_from(row.seat).map_err(corrupt)?,
                hold: HoldId(row.hold),
                sold: row.sold,
                expires_at: expires_at.map_err(|e| corrupt(e.to_string()))?,
            })
        })
        .collect()
}

fn names(seats: &[SeatId]) -> impl Iterator<Item = &str> {
    seats.iter().map(SeatId::as_str)
}

/// All rows of a show.
#[derive(Serialize)]
pub(crate) struct TakenIn(pub(crate) ShowId);

impl Query for TakenIn {
    const NAME: &'static str = "taken-in-show";
    type Answer = Vec<Taken>;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Vec<Taken>, DbErr> {
        let rows = taken::Entity::find().filter(taken::Column::Show.eq(self.0.0));
        read(rows.all(connection).await?)
    }
}

/// The rows of these seats, locked.
#[derive(Serialize)]
pub(crate) struct TakenSeats {
    pub(crate) show: ShowId,
    pub(crate) seats: Vec<SeatId>,
}

impl Query for TakenSeats {
    const NAME: &'static str = "taken-seats";
    type Answer = Vec<Taken>;
    /// The hold, which is loaded first, says what is done; this only refuses, or is committed upon.
    const ANSWERS: bool = false;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Vec<Taken>, DbErr> {
        let rows = taken::Entity::find()
            .filter(taken::Column::Show.eq(self.show.0))
            .filter(taken::Column::Seat.is_in(names(&self.seats)))
            .order_by_asc(taken::Column::Seat)
            .lock_exclusive();
        read(rows.all(connection).await?)
    }
}

/// The rows of these holds, locked.
#[derive(Serialize)]
pub(crate) struct TakenBy(pub(crate) Vec<HoldId>);

impl Query for TakenBy {
    const NAME: &'static str = "taken-by-holds";
    type Answer = Vec<Taken>;
    /// The hold, which is loaded first, says what is done; this only refuses, or is committed upon.
    const ANSWERS: bool = false;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Vec<Taken>, DbErr> {
        let rows = taken::Entity::find()
            .filter(taken::Column::Hold.is_in(self.0.iter().map(|hold| hold.0)))
            .order_by_asc(taken::Column::Show)
            .order_by_asc(taken::Column::Seat)
            .lock_exclusive();
        read(rows.all(connection).await?)
    }
}

/// The holds whose time is up, in the order of their ids: the order in which they are locked.
#[derive(Serialize)]
pub(crate) struct Expired {
    pub(crate) now: Time,
    pub(crate) limit: u64,
}

impl Query for Expired {
    const NAME: &'static str = "expired-holds";
    type Answer = Vec<HoldId>;
    /// The hold, which is loaded first, says what is done; this only refuses, or is committed upon.
    const ANSWERS: bool = false;

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<Vec<HoldId>, DbErr> {
        let rows = holds::Entity::find()
            .select_only()
            .column(holds::Column::Id)
            .filter(holds::Column::ExpiresAt.lte(self.now.micros()))
            .order_by_asc(holds::Column::ExpiresAt)
            .limit(self.limit);
        let mut ids = rows.into_tuple::<Uuid>().all(connection).await?;
        ids.sort_unstable();
        Ok(ids.into_iter().map(HoldId).collect())
    }
}

/// A hold takes its seats. `stale` are rows of expired holds that make room, as they were locked.
#[derive(Serialize)]
pub(crate) struct Claim {
    pub(crate) show: ShowId,
    pub(crate) hold: HoldId,
    pub(crate) seats: Vec<SeatId>,
    pub(crate) expires_at: Time,
    pub(crate) stale: Vec<SeatId>,
}

impl Write for Claim {
    const NAME: &'static str = "claim-seats";

    async fn run<C: ConnectionTrait>(mut self, connection: &C) -> Result<(), DbErr> {
        if !self.stale.is_empty() {
            let stale = taken::Entity::delete_many()
                .filter(taken::Column::Show.eq(self.show.0))
                .filter(taken::Column::Seat.is_in(names(&self.stale)));
            stale.exec(connection).await?;
        }
        self.seats.sort_unstable();
        let rows = self.seats.iter().map(|seat| taken::ActiveModel {
            show: Set(self.show.0),
            seat: Set(seat.to_string()),
            hold: Set(self.hold.0),
            sold: Set(false),
            expires_at: Set(Some(self.expires_at.micros())),
        });
        // Whoever was first has the key; the other's unit of work ends in a conflict and decides anew.
        taken::Entity::insert_many(rows)
            .exec_without_returning(connection)
            .await
            .map(drop)
    }
}

/// The seats of a hold lose their expiry, and are sold or not.
#[derive(Serialize)]
pub(crate) struct Keep {
    pub(crate) hold: HoldId,
    pub(crate) sold: bool,
}

impl Write for Keep {
    const NAME: &'static str = "keep-seats";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let kept = taken::ActiveModel {
            sold: Set(self.sold),
            expires_at: Set(None),
            ..Default::default()
        };
        let update = taken::Entity::update_many()
            .set(kept)
            .filter(taken::Column::Hold.eq(self.hold.0));
        update.exec(connection).await.map(drop)
    }
}

/// These holds have no seats any more.
#[derive(Serialize)]
pub(crate) struct Forget(pub(crate) Vec<HoldId>);

impl Write for Forget {
    const NAME: &'static str = "forget-seats";

    async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
        let delete = taken::Entity::delete_many().filter(taken::Column::Hold.is_in(self.0.iter().map(|hold| hold.0)));
        delete.exec(connection).await.map(drop)
    }
}
