//! What the others are asked, and what is made of it when they do not answer.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use catalog_contract::{ActId, CatalogError, Show, VenueId};
use futures_util::future::{join, join_all};
use kernel::Money;
use ordering_contract::{Order, OrderId, OrderingError};
use seating_contract::{Hold, HoldId, Seat, SeatingError, ShowId};
use strangler::{Cx, Failure, Principal, Scopes};

use super::StorefrontModule;
use crate::{
    domain::LocalTime,
    pages::{Facts, Place},
};

/// How long a page waits for one of the others: what they cannot say by then is left out.
const PATIENCE: Duration = Duration::from_secs(3);
/// The same for what is only asked to be sure, before something is done.
const A_MOMENT: Duration = Duration::from_secs(1);
/// What a question leaves of the visitor's time, so that the page can still be made without its answer.
const FOR_THE_PAGE: Duration = Duration::from_millis(250);
/// What something that is done leaves of it: the page that says that it could not be done asks a few questions more.
const TO_SAY_SO: Duration = Duration::from_secs(1);
/// The scope that cancelling an order asks for.
const CANCEL: &str = ordering_contract::CANCEL;

/// As whom seats are held and orders are cancelled: visitors have no accounts, and may do these two things here.
static STOREFRONT: LazyLock<Principal> = LazyLock::new(|| {
    let scopes = [seating_contract::HOLD, CANCEL];
    Principal::known("storefront", Scopes::Some(scopes.map(Into::into).into()))
});

/// What somebody else knows of a thing.
pub(super) enum Known<T> {
    There(T),
    /// There is no such thing.
    Nowhere,
    /// There was.
    Over,
    /// They cannot be asked.
    Down,
}

impl<T> Known<T> {
    pub(super) fn there(self) -> Option<T> {
        match self {
            Self::There(value) => Some(value),
            _ => None,
        }
    }
}

/// Why nothing is sold for a show any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It was cancelled.
    Cancelled,
    /// It has begun, and may be over.
    Begun,
}

/// A question's context: as anybody, whoever the visitor may be, and only for so long.
pub(super) fn asking(cx: &Cx) -> Cx {
    sparing(cx.clone(), FOR_THE_PAGE).within(PATIENCE)
}

/// The visitor's own rights, and some of their time left for the page that says that it could not be done.
pub(super) fn doing(cx: &Cx) -> Cx {
    sparing(cx.clone(), TO_SAY_SO)
}

/// The same context with so much of its time left over; with half of it, where there is less.
fn sparing(cx: Cx, spare: Duration) -> Cx {
    match cx.time_left() {
        Some(left) => cx.within(left.saturating_sub(spare).max(left / 2)),
        None => cx,
    }
}

/// The storefront's own rights, within the visitor's time and with some of it left to say that it could not be done.
pub(super) fn acting(cx: &Cx) -> Cx {
    let own = Cx::new(STOREFRONT.clone())
        .of_module(storefront_contract::STOREFRONT.name)
        .on_behalf_of(cx)
        .with_trace(cx.trace().child());
    match cx.time_left() {
        Some(left) => sparing(own.with_budget(left), TO_SAY_SO),
        None => own,
    }
}

impl StorefrontModule {
    /// What is known of a show.
    pub(super) async fn facts(&self, cx: &Cx, id: ShowId) -> Known<Facts> {
        let show = match self.announced(&asking(cx), id).await {
            Known::There(show) => show,
            Known::Nowhere => return Known::Nowhere,
            Known::Over => return Known::Over,
            Known::Down => return Known::Down,
        };
        let mut facts = self.facts_of(cx, vec![show]).await;
        facts.pop().map_or(Known::Down, Known::There)
    }

    async fn announced(&self, cx: &Cx, id: ShowId) -> Known<Show> {
        match self.shop.catalog.show(cx, catalog_contract::ShowId(id.0)).await {
            Ok(show) => Known::There(show),
            Err(Failure::Module(CatalogError::NoSuchShow { .. })) => Known::Nowhere,
            Err(Failure::Module(CatalogError::ShowCancelled { .. })) => Known::Over,
            Err(_) => Known::Down,
        }
    }

    /// Why nothing is sold for this show any more, if the catalog says so at once: without it, seating and ordering decide.
    pub(super) async fn gone(&self, cx: &Cx, id: ShowId) -> Option<Gone> {
        match self.announced(&asking(cx).within(A_MOMENT), id).await {
            Known::Over => Some(Gone::Cancelled),
            Known::There(show) => (show.starts_at.utc() <= cx.now(&*self.clock)).then_some(Gone::Begun),
            Known::Nowhere | Known::Down => None,
        }
    }

    /// What is known of these shows; each act and venue is asked for once.
    pub(super) async fn facts_of(&self, cx: &Cx, shows: Vec<Show>) -> Vec<Facts> {
        let (mut acts, mut venues): (Vec<ActId>, Vec<VenueId>) = shows.iter().map(|s| (s.act, s.venue)).unzip();
        for_each_once(&mut acts);
        for_each_once(&mut venues);
        let cx = asking(cx);
        let catalog = &self.shop.catalog;
        let acts = join_all(acts.into_iter().map(|id| {
            let cx = &cx;
            async move { (id, catalog.act(cx, id).await.ok()) }
        }));
        let venues = join_all(venues.into_iter().map(|id| {
            let cx = &cx;
            async move { (id, catalog.venue(cx, id).await.ok()) }
        }));
        let (acts, venues) = join(acts, venues).await;
        let acts: HashMap<_, _> = acts.into_iter().collect();
        let venues: HashMap<_, _> = venues.into_iter().collect();
        let facts = |show: Show| {
            let act = acts.get(&show.act).and_then(Option::as_ref);
            let venue = venues.get(&show.venue).and_then(Option::as_ref);
            let cheapest: Option<Money> = show.prices.iter().map(|p| p.price).min_by_key(|p| p.amount());
            Facts {
                id: ShowId(show.id.0),
                act: act.map(|act| act.name.as_str().to_owned()),
                venue: venue.map(|venue| Place {
                    name: venue.name.as_str().to_owned(),
                    city: venue.city.as_str().to_owned(),
                }),
                when: LocalTime::new(show.starts_at, venue.map(|venue| venue.time_zone.as_str())),
                from: cheapest,
            }
        };
        shows.into_iter().map(facts).collect()
    }

    /// The seats of a show and how they stand.
    pub(super) async fn seats(&self, cx: &Cx, id: ShowId) -> Known<Vec<Seat>> {
        match self.shop.seating.seats(&asking(cx), id).await {
            Ok(map) => Known::There(map.seats),
            Err(Failure::Module(SeatingError::NoSuchShow { .. })) => Known::Nowhere,
            Err(Failure::Module(SeatingError::ShowCancelled { .. })) => Known::Over,
            Err(_) => Known::Down,
        }
    }

    /// What an order to come holds.
    pub(super) async fn held(&self, cx: &Cx, id: OrderId) -> Known<Hold> {
        match self.shop.seating.held(&acting(cx).within(PATIENCE), HoldId(id.0)).await {
            Ok(hold) => Known::There(hold),
            Err(Failure::Module(SeatingError::NoSuchHold { .. })) => Known::Nowhere,
            Err(Failure::Module(SeatingError::HoldOver { .. })) => Known::Over,
            Err(_) => Known::Down,
        }
    }

    /// An order that was placed.
    pub(super) async fn placed(&self, cx: &Cx, id: OrderId) -> Known<Order> {
        match self.shop.ordering.order(&asking(cx), id).await {
            Ok(order) => Known::There(order),
            Err(Failure::Module(OrderingError::NoSuchOrder { .. })) => Known::Nowhere,
            Err(_) => Known::Down,
        }
    }
}

fn for_each_once<T: Ord>(ids: &mut Vec<T>) {
    ids.sort_unstable();
    ids.dedup();
}
