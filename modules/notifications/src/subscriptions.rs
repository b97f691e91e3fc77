//! What notifications hear. Of the catalog: what acts and venues are called, and which show is which; the version of each
//! fact is kept, and an older one changes nothing. Of ordering: what became of orders; each event that a buyer is told of
//! becomes a mail with the event's id, written with the subscription's cursor, so that an event delivered again finds it
//! there.

use std::sync::Arc;

use catalog_contract::{Act, Show, Venue};
use kernel::Uuid;
use notifications_contract::{MailId, OrderId};
use ordering_contract::{Email, OrderCancelled, OrderConfirmed, OrderRefused, OrderingEvent};
use serde::de::DeserializeOwned;
use strangler::BoxFuture;
use strangler_store::{Db, Envelope, EventLog, Filter, Handler, HandlerError, Subscription, Uow};

use crate::{
    domain::{Address, House, Letter, MailState, Seat},
    store::{HearAct, HearShow, HearVenue, time},
};

/// What the subscription to the catalog is called.
pub const CATALOG: &str = "notifications-from-catalog";
/// What the subscription to ordering is called.
pub const ORDERING: &str = "notifications-from-ordering";

const ACTS: [&str; 2] = ["catalog.act.announced", "catalog.act.changed"];
const VENUES: [&str; 2] = ["catalog.venue.registered", "catalog.venue.changed"];
// That a show was cancelled is no news here: mails about its orders still name it.
const SHOWS: [&str; 2] = ["catalog.show.announced", "catalog.show.changed"];

/// The subscription of notifications' schema `db` to the catalog's `log`.
pub fn catalog(db: Db, log: Arc<dyn EventLog>) -> Subscription {
    let filter = Filter::types([ACTS, VENUES, SHOWS].into_iter().flatten());
    Subscription::new(CATALOG, db, log, filter, Arc::new(FromCatalog))
}

/// The subscription of notifications' schema `db` to ordering's `log`.
pub fn ordering(db: Db, log: Arc<dyn EventLog>) -> Subscription {
    // That an order was placed is no news for who placed it.
    let told = [
        OrderingEvent::CONFIRMED,
        OrderingEvent::REFUSED,
        OrderingEvent::CANCELLED,
    ];
    Subscription::new(ORDERING, db, log, Filter::types(told), Arc::new(FromOrdering))
}

/// What notifications do about the catalog's events.
#[derive(Clone, Copy, Debug, Default)]
pub struct FromCatalog;

impl FromCatalog {
    fn hear(uow: &mut Uow, event: &Envelope) -> Result<(), HandlerError> {
        let kind = event.event_type.as_str();
        if ACTS.contains(&kind) {
            let act: Act = serde_json::from_value(event.data.clone())?;
            uow.put(HearAct {
                id: act.id.0,
                version: act.version,
                name: act.name.into(),
            });
        } else if VENUES.contains(&kind) {
            let venue: Venue = serde_json::from_value(event.data.clone())?;
            uow.put(HearVenue {
                id: venue.id.0,
                version: venue.version,
                house: House {
                    name: venue.name.into(),
                    city: venue.city.into(),
                    time_zone: venue.time_zone.into(),
                },
            });
        } else if SHOWS.contains(&kind) {
            let show: Show = serde_json::from_value(event.data.clone())?;
            uow.put(HearShow {
                id: show.id.0,
                version: show.version,
                act: show.act.0,
                venue: show.venue.0,
                starts_at: show.starts_at,
            });
        }
        Ok(())
    }
}

impl Handler for FromCatalog {
    fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(std::future::ready(Self::hear(uow, event)))
    }
}

/// What notifications do about ordering's events.
#[derive(Clone, Copy, Debug, Default)]
pub struct FromOrdering;

impl FromOrdering {
    async fn hear(uow: &mut Uow, event: &Envelope) -> Result<(), HandlerError> {
        let Some((order, email, letter)) = letter(event)? else {
            return Ok(());
        };
        if uow.load::<MailState>(event.id).await?.is_some() {
            return Ok(());
        }
        let (to, at) = (Address(email.expose().to_owned()), time(uow.now())?);
        let order = (OrderId(order), event.aggregateversion);
        uow.save(&MailState::queue(MailId(event.id), order, to, letter, at));
        Ok(())
    }
}

impl Handler for FromOrdering {
    fn handle<'a>(&'a self, uow: &'a mut Uow, event: &'a Envelope) -> BoxFuture<'a, Result<(), HandlerError>> {
        Box::pin(Self::hear(uow, event))
    }
}

/// The order, its buyer, and what they are told; `None` when they are not told of such an event.
fn letter(event: &Envelope) -> Result<Option<(Uuid, Email, Letter)>, HandlerError> {
    let names = |seats: Vec<ordering_contract::SeatId>| seats.into_iter().map(String::from).collect();
    Ok(match event.event_type.as_str() {
        OrderingEvent::CONFIRMED => {
            let order: OrderConfirmed = read(event)?;
            let seats = order.tickets.into_iter().map(|ticket| Seat {
                seat: ticket.seat.into(),
                ticket: ticket.id.0,
            });
            let letter = Letter::Confirmed {
                show: order.show.0,
                seats: seats.collect(),
                total: order.total,
            };
            Some((order.order.0, order.email, letter))
        }
        OrderingEvent::REFUSED => {
            let order: OrderRefused = read(event)?;
            let letter = Letter::Refused {
                show: order.show.0,
                seats: names(order.seats),
                reason: order.reason.title.into_owned(),
            };
            Some((order.order.0, order.email, letter))
        }
        OrderingEvent::CANCELLED => {
            let order: OrderCancelled = read(event)?;
            let letter = Letter::Cancelled {
                show: order.show.0,
                seats: names(order.seats),
                refunded: order.refunded,
            };
            Some((order.order.0, order.email, letter))
        }
        _ => None,
    })
}

/// The event's data. Why it cannot be read is not repeated as serde says it: that may hold somebody's address.
fn read<T: DeserializeOwned>(event: &Envelope) -> Result<T, HandlerError> {
    serde_json::from_value(event.data.clone())
        .map_err(|_| HandlerError::Undecodable(format!("its data is not that of {}", event.event_type)))
}
