//! What seating makes of the catalog's events: the same, in whatever order they come, however often.

use std::sync::atomic::{AtomicU64, Ordering};

use catalog_contract::{CatalogEvent, Section, Venue};
use kernel::{Name, Uuid, Word};
use proptest::{prelude::*, test_runner::TestRunner};
use seating::subscriptions;
use seating_contract::{SeatState, SeatingError, SeatingService, ShowId};
use strangler::Cx;
use strangler_store::{Db, DbOptions, Envelope};

use crate::support::{Office, cancelled_event, on_sqlite, seat, show_event, venue_event};

on_both!(a_subscription_hears);

mod tests {
    pub use super::a_subscription_hears;
}

/// What happens: to which of the two venues or shows, and how.
#[derive(Clone, Debug)]
enum Fact {
    Venue(u128, u32),
    Show(u128, u128, i64),
    Cancelled(u128),
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        3 => (0..2_u128, 1..4_u32).prop_map(|(venue, rows)| Fact::Venue(venue, rows)),
        4 => (0..2_u128, 0..2_u128, 1..5_i64).prop_map(|(show, venue, price)| Fact::Show(show, venue, price * 100)),
        1 => (0..2_u128).prop_map(Fact::Cancelled),
    ]
}

/// The facts of a history as events, in the order they happened: each subject counts its own versions, and nothing
/// happens to a show after it was cancelled.
fn events(history: &[Fact], base: u128) -> Vec<Envelope> {
    let (mut venues, mut shows, mut over) = ([0; 2], [0; 2], [false; 2]);
    let venue_id = |venue: u128| Uuid::from_u128(base + venue);
    let show_id = |show: u128| Uuid::from_u128(base + 10 + show);
    let mut events = Vec::new();
    for fact in history {
        match *fact {
            Fact::Venue(venue, rows) => {
                venues[venue as usize] += 1;
                let sections = [("Stalls", rows, 2), ("Balcony", 1, rows)];
                events.push(venue_event(venue_id(venue), venues[venue as usize], &sections));
            }
            Fact::Show(show, venue, price) if !over[show as usize] => {
                shows[show as usize] += 1;
                let prices = [("Stalls", price), ("Balcony", price + 1)];
                events.push(show_event(
                    show_id(show),
                    shows[show as usize],
                    venue_id(venue),
                    &prices,
                ));
            }
            Fact::Cancelled(show) if !over[show as usize] && shows[show as usize] > 0 => {
                shows[show as usize] += 1;
                over[show as usize] = true;
                events.push(cancelled_event(show_id(show), shows[show as usize]));
            }
            Fact::Show(..) | Fact::Cancelled(_) => {}
        }
    }
    events
}

/// What callers see of both shows.
async fn seen(office: &Office, base: u128) -> Vec<Result<String, u16>> {
    let mut seen = Vec::new();
    for show in [10, 11] {
        let map = office
            .seating
            .seats(&office.cx, ShowId(Uuid::from_u128(base + show)))
            .await;
        let seats = map.map(|map| {
            map.seats
                .iter()
                .map(|s| format!("{}:{} ", s.id, s.price.amount()))
                .collect()
        });
        seen.push(seats.map_err(|e: SeatingError| strangler::ContractError::to_problem(&e).status));
    }
    seen
}

/// Delivers every history twice: as it happened, and shuffled, with repeats and the first of each event late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_order_comes_to_the_same() {
    static BASE: Bases = Bases::new();
    on_sqlite(async |office: &Office| {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            let case = prop::collection::vec(fact(), 1..14).prop_flat_map(|history| {
                let picks = prop::collection::vec(any::<prop::sample::Index>(), history.len() * 3);
                (Just(history), picks)
            });
            let config = ProptestConfig {
                cases: 96,
                failure_persistence: None,
                ..ProptestConfig::default()
            };
            let outcome = TestRunner::new(config).run(&case, |(history, picks)| {
                runtime.block_on(async {
                    let (straight, shuffled) = (BASE.next(), BASE.next());
                    for event in events(&history, straight) {
                        office.hear(&event).await;
                    }
                    let mut waiting = events(&history, shuffled);
                    let again = waiting.clone();
                    for pick in picks {
                        // Every event comes at least once; in between, some come again.
                        if !again.is_empty() {
                            office.hear(pick.get(&again)).await;
                        }
                        if !waiting.is_empty() {
                            let next = waiting.swap_remove(pick.index(waiting.len()));
                            office.hear(&next).await;
                        }
                    }
                    prop_assert!(waiting.is_empty());
                    prop_assert_eq!(seen(office, straight).await, seen(office, shuffled).await);
                    Ok(())
                })
            });
            outcome.unwrap();
        });
    })
    .await;
}

/// Gives every history ids of its own.
struct Bases(AtomicU64);

impl Bases {
    const fn new() -> Self {
        Self(AtomicU64::new(1))
    }

    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) * 1000
    }
}

/// The way of an event in the running system: the catalog's outbox, its relay, its log, the subscription.
pub async fn a_subscription_hears(office: &Office) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("catalog.db").display());
    let catalog = Db::open(&url, "catalog", DbOptions::default()).await.unwrap();
    catalog.migrate(migrations::of("catalog").unwrap()).await.unwrap();
    let venue = Venue {
        id: catalog_contract::VenueId(Uuid::from_u128(7)),
        version: 1,
        name: Name::try_from("House").unwrap(),
        city: Name::try_from("Wien").unwrap(),
        time_zone: Word::try_from("Europe/Vienna").unwrap(),
        sections: vec![Section::new(Word::try_from("Stalls").unwrap(), 2, 2).unwrap()],
    };
    let show = show_event(Uuid::from_u128(8), 1, Uuid::from_u128(7), &[("Stalls", 100)]).data;
    let show = CatalogEvent::ShowAnnounced(serde_json::from_value(show).unwrap());
    let mut uow = catalog.begin(&Cx::system("test")).await.unwrap();
    uow.emit(Uuid::from_u128(8), 1, &show);
    uow.emit(Uuid::from_u128(7), 1, &CatalogEvent::VenueRegistered(venue));
    uow.commit().await.unwrap();
    while catalog.relay().pass().await.unwrap() > 0 {}
    let subscription = subscriptions::catalog(office.db.clone(), catalog.log());
    while subscription.step().await.unwrap() > 0 {}
    let show = ShowId(Uuid::from_u128(8));
    let seats = office.seats(show, SeatState::Free).await;
    assert_eq!(
        seats,
        ["Stalls-A-1", "Stalls-A-2", "Stalls-B-1", "Stalls-B-2"].map(|s| seat(s).to_string())
    );
}
