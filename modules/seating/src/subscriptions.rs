//! What seating hears of the catalog: the layouts of venues, and which show is where at which prices. It keeps the
//! version of each fact, and a fact that is older than what is there changes nothing; so events of different subjects may
//! come in any order, late and more than once, and the state is the same.

use std::sync::Arc;

use catalog_contract::{Section as HouseSection, SectionPrice, Show, Venue};
use strangler::BoxFuture;
use strangler_store::{Db, Envelope, EventLog, Filter, Handler, HandlerError, Subscription, Uow};

use crate::{
    domain::{Price, Section},
    store::{HearShow, HearVenue},
};

/// What the subscription to the catalog is called.
pub const CATALOG: &str = "seating-from-catalog";

const VENUES: [&str; 2] = ["catalog.venue.registered", "catalog.venue.changed"];
const SHOWS: [&str; 2] = ["catalog.show.announced", "catalog.show.changed"];
const CANCELLED: &str = "catalog.show.cancelled";

/// The subscription of seating's schema `db` to the catalog's `log`.
pub fn catalog(db: Db, log: Arc<dyn EventLog>) -> Subscription {
    Subscription::new(CATALOG, db, log, filter(), Arc::new(FromCatalog))
}

/// The events of the catalog that [`FromCatalog`] is about.
pub fn filter() -> Filter {
    Filter::types(VENUES.into_iter().chain(SHOWS).chain([CANCELLED]))
}

/// What seating does about the catalog's events.
#[derive(Clone, Copy, Debug, Default)]
pub struct FromCatalog;

impl FromCatalog {
    fn hear(uow: &mut Uow, event: &Envelope) -> Result<(), HandlerError> {
        let kind = event.event_type.as_str();
        if VENUES.contains(&kind) {
            let venue: Venue = serde_json::from_value(event.data.clone())?;
            uow.put(HearVenue {
                id: venue.id.0,
                version: venue.version,
                sections: venue.sections.iter().map(section).collect(),
            });
        } else if SHOWS.contains(&kind) {
            let show: Show = serde_json::from_value(event.data.clone())?;
            uow.put(HearShow {
                id: show.id.0,
                version: show.version,
                venue: Some(show.venue.0),
                prices: show.prices.into_iter().map(price).collect(),
                cancelled: false,
            });
        } else if kind == CANCELLED {
            uow.put(HearShow {
                id: event.subject,
                version: event.aggregateversion,
                venue: None,
                prices: Vec::new(),
                cancelled: true,
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

fn section(section: &HouseSection) -> Section {
    Section {
        name: section.name().clone(),
        rows: section.rows(),
        seats_per_row: section.seats_per_row(),
    }
}

fn price(SectionPrice { section, price }: SectionPrice) -> Price {
    Price { section, price }
}
