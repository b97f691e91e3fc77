//! Catalog, seating and ordering that say what they are told to.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use catalog_contract::*;
use kernel::{Money, Page, Time, Uuid, Word};
use ordering_contract::{Order, OrderDraft, OrderStatus, OrderingError, OrderingService, Ticket, TicketId};
use seating_contract::{
    Hold, HoldDraft, HoldId, HoldStatus, Seat, SeatId, SeatMap, SeatState, SeatingError, SeatingService,
};
use storefront_contract::OrderId;
use strangler::{Accepted, Cx, Done, IfMatch, Put};

pub(super) const SHOW: u128 = 7;

/// What the others are told to say.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) no_catalog: AtomicBool,
    pub(super) no_seating: AtomicBool,
    pub(super) no_ordering: AtomicBool,
    /// Ordering hears what it is asked, and never answers.
    pub(super) ordering_hangs: AtomicBool,
    pub(super) cancelled: AtomicBool,
    /// The show began yesterday.
    pub(super) begun: AtomicBool,
    pub(super) holds: Mutex<Vec<(HoldId, Vec<SeatId>, HoldStatus)>>,
    pub(super) released: Mutex<Vec<HoldId>>,
    pub(super) orders: Mutex<Vec<Order>>,
}

pub(super) struct Cards(pub(super) Arc<Stage>);

pub(super) fn time(text: &str) -> Time {
    text.parse().expect("a time")
}

fn money(amount: i64) -> Money {
    Money::new(amount, "EUR".to_owned().try_into().expect("EUR")).expect("money")
}

fn show(id: ShowId) -> Show {
    Show {
        id,
        version: 1,
        act: ActId(Uuid::from_u128(1)),
        venue: VenueId(Uuid::from_u128(2)),
        starts_at: time("2027-05-01T19:30:00Z"),
        prices: vec![SectionPrice {
            section: Word::try_from("Stalls").expect("a word"),
            price: money(4500),
        }],
    }
}

impl Cards {
    fn catalog(&self) -> Result<(), CatalogError> {
        let cause = "asleep".to_owned();
        match self.0.no_catalog.load(SeqCst) {
            true => Err(CatalogError::Unavailable { cause }),
            false => Ok(()),
        }
    }

    fn seating(&self) -> Result<(), SeatingError> {
        let cause = "asleep".to_owned();
        match self.0.no_seating.load(SeqCst) {
            true => Err(SeatingError::Unavailable { cause }),
            false => Ok(()),
        }
    }

    fn ordering(&self) -> Result<(), OrderingError> {
        let cause = "asleep".to_owned();
        match self.0.no_ordering.load(SeqCst) {
            true => Err(OrderingError::Unavailable { cause }),
            false => Ok(()),
        }
    }

    fn hold_of(&self, (id, seats, status): &(HoldId, Vec<SeatId>, HoldStatus)) -> Hold {
        Hold {
            id: *id,
            show: seating_contract::ShowId(Uuid::from_u128(SHOW)),
            seats: seats.clone(),
            status: *status,
            total: money(4500 * seats.len() as i64),
            expires_at: (*status == HoldStatus::Held).then(|| time("2027-01-01T12:10:00Z")),
        }
    }
}

impl CatalogService for Cards {
    async fn act(&self, _: &Cx, id: ActId) -> Result<Act, CatalogError> {
        self.catalog()?;
        let name = "<script>alert(1)</script> فرقة".try_into().expect("a name");
        let genre = "jazz".try_into().expect("a word");
        Ok(Act {
            id,
            version: 1,
            name,
            genre,
        })
    }

    async fn announce_act(&self, _: &Cx, id: ActId, _: Option<IfMatch>, _: ActDraft) -> Result<Put<Act>, CatalogError> {
        Err(CatalogError::NoSuchAct { id })
    }

    async fn venue(&self, _: &Cx, id: VenueId) -> Result<Venue, CatalogError> {
        self.catalog()?;
        Ok(Venue {
            id,
            version: 1,
            name: "The House".try_into().expect("a name"),
            city: "Vienna".try_into().expect("a name"),
            time_zone: "Europe/Vienna".try_into().expect("a word"),
            sections: Vec::new(),
        })
    }

    async fn register_venue(
        &self,
        _: &Cx,
        id: VenueId,
        _: Option<IfMatch>,
        _: VenueDraft,
    ) -> Result<Put<Venue>, CatalogError> {
        Err(CatalogError::NoSuchVenue { id })
    }

    async fn show(&self, _: &Cx, id: ShowId) -> Result<Show, CatalogError> {
        self.catalog()?;
        match self.0.cancelled.load(SeqCst) {
            true => Err(CatalogError::ShowCancelled { id }),
            false if id.0.as_u128() != SHOW => Err(CatalogError::NoSuchShow { id }),
            false if self.0.begun.load(SeqCst) => Ok(Show {
                starts_at: time("2026-12-31T19:30:00Z"),
                ..show(id)
            }),
            false => Ok(show(id)),
        }
    }

    async fn shows(&self, _: &Cx, filter: ShowFilter) -> Result<Page<Show>, CatalogError> {
        self.catalog()?;
        let none = filter.city.is_some_and(|city| city.as_str() != "Vienna");
        let items = if none {
            Vec::new()
        } else {
            vec![show(ShowId(Uuid::from_u128(SHOW)))]
        };
        Ok(Page { items, next: None })
    }

    async fn announce(&self, _: &Cx, id: ShowId, _: Option<IfMatch>, _: ShowDraft) -> Result<Put<Show>, CatalogError> {
        Err(CatalogError::NoSuchShow { id })
    }

    async fn cancel(&self, _: &Cx, id: ShowId, _: Option<IfMatch>) -> Result<Done, CatalogError> {
        Err(CatalogError::NoSuchShow { id })
    }
}

impl SeatingService for Cards {
    async fn seats(&self, _: &Cx, id: seating_contract::ShowId) -> Result<SeatMap, SeatingError> {
        self.seating()?;
        let holds = self.0.holds.lock().expect("holds");
        let seats = (1..=4).map(|number| {
            let section = Word::try_from("Stalls").expect("a word");
            let id = SeatId::new(&section, "A", number);
            let held = holds.iter().any(|(_, seats, _)| seats.contains(&id));
            Seat {
                id,
                section,
                row: "A".to_owned(),
                number,
                state: if held { SeatState::Held } else { SeatState::Free },
                price: money(4500),
            }
        });
        let seats = seats.collect();
        Ok(SeatMap { show: id, seats })
    }

    async fn held(&self, _: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        self.seating()?;
        if self.0.released.lock().expect("released").contains(&id) {
            return Err(SeatingError::HoldOver { id });
        }
        let holds = self.0.holds.lock().expect("holds");
        let hold = holds.iter().find(|(i, ..)| *i == id);
        hold.map(|hold| self.hold_of(hold))
            .ok_or(SeatingError::NoSuchHold { id })
    }

    async fn hold(&self, cx: &Cx, id: HoldId, draft: HoldDraft) -> Result<Put<Hold>, SeatingError> {
        self.seating()?;
        if let Ok(there) = self.held(cx, id).await {
            return match there.seats == draft.seats() {
                true => Ok(Put::Kept(there)),
                false => Err(SeatingError::OtherHold { id }),
            };
        }
        if self.0.released.lock().expect("released").contains(&id) {
            return Err(SeatingError::HoldOver { id });
        }
        let mut holds = self.0.holds.lock().expect("holds");
        let taken = draft
            .seats()
            .iter()
            .filter(|s| holds.iter().any(|(_, seats, _)| seats.contains(s)));
        let taken: Vec<_> = taken.cloned().collect();
        if !taken.is_empty() {
            return Err(SeatingError::SeatsTaken { seats: taken });
        }
        let hold = (id, draft.seats().to_vec(), HoldStatus::Held);
        let look = self.hold_of(&hold);
        holds.push(hold);
        Ok(Put::Created(look))
    }

    async fn release(&self, _: &Cx, id: HoldId) -> Result<Done, SeatingError> {
        self.0.released.lock().expect("released").push(id);
        self.0.holds.lock().expect("holds").retain(|(i, ..)| *i != id);
        Ok(Done)
    }

    async fn commit(&self, _: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        Err(SeatingError::NoSuchHold { id })
    }

    async fn assign(&self, _: &Cx, id: HoldId) -> Result<Hold, SeatingError> {
        Err(SeatingError::NoSuchHold { id })
    }

    async fn unassign(&self, _: &Cx, _: HoldId) -> Result<Done, SeatingError> {
        Ok(Done)
    }
}

impl OrderingService for Cards {
    async fn place(&self, _: &Cx, id: OrderId, draft: OrderDraft) -> Result<Accepted<Order>, OrderingError> {
        self.ordering()?;
        if self.0.ordering_hangs.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        let order = Order {
            id,
            version: 1,
            show: draft.show(),
            seats: draft.seats().to_vec(),
            status: OrderStatus::Confirmed,
            reason: None,
            total: Some(money(9000)),
            tickets: vec![Ticket {
                id: TicketId(Uuid::from_u128(0xabc)),
                seat: draft.seats()[0].clone(),
            }],
            steps: Vec::new(),
        };
        self.0.orders.lock().expect("orders").push(order.clone());
        let location = format!("/orders/{id}");
        Ok(Accepted { location, value: order })
    }

    async fn order(&self, _: &Cx, id: OrderId) -> Result<Order, OrderingError> {
        self.ordering()?;
        let orders = self.0.orders.lock().expect("orders");
        orders
            .iter()
            .find(|o| o.id == id)
            .cloned()
            .ok_or(OrderingError::NoSuchOrder { id })
    }

    async fn cancel(&self, cx: &Cx, id: OrderId) -> Result<Accepted<Order>, OrderingError> {
        let order = self.order(cx, id).await?;
        Err(OrderingError::NotCancellable {
            id,
            standing: order.status,
        })
    }
}
