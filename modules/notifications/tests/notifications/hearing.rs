//! What notifications make of events: the same, in whatever order they come, however often.

use std::sync::Arc;

use notifications::{post::post_of, subscriptions};
use notifications_contract::{MailFilter, MailStatus, NotificationsService};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use strangler::{Clock, Cx, SystemClock};
use strangler_store::{Db, DbOptions, Envelope};

use crate::posts::{Slow, Waits};
use crate::support::{Office, act, cancelled, confirmed, refused, show, venue};

on_both!(
    any_order_comes_to_the_same,
    a_subscription_hears,
    a_mail_waits_until_all_is_heard,
);

mod tests {
    pub use super::{a_mail_waits_until_all_is_heard, a_subscription_hears, any_order_comes_to_the_same};
}

/// A season and its orders, each event once, in the order of its subject. `base` keeps histories apart.
fn history(random: &mut StdRng, base: u128) -> Vec<Envelope> {
    let mut events = Vec::new();
    for version in 1..=random.random_range(1..4) {
        events.push(act(base + 5, version, &format!("act {version}")));
        events.push(venue(base + 7, version, &format!("venue {version}")));
    }
    for version in 1..=random.random_range(1..4) {
        events.push(show(base + 8, version, base + 5, base + 7));
    }
    for order in 0..4_u128 {
        let (of, event) = (base + 100 + order, base + 200 + 10 * order);
        let mut orders = match random.random_range(0..3) {
            0 => vec![refused(event, of, 2)],
            1 => vec![confirmed(event, of, 2)],
            _ => vec![confirmed(event, of, 2), cancelled(event + 1, of, 3)],
        };
        for event in &mut orders {
            event.data["show"] = serde_json::json!(kernel::Uuid::from_u128(base + 8));
        }
        events.append(&mut orders);
    }
    events
}

/// The mails about the orders of a history, without what tells one history from another.
async fn seen(office: &Office, base: u128) -> Vec<(u128, String, String)> {
    let filter = MailFilter {
        limit: Some(100.try_into().unwrap()),
        ..MailFilter::default()
    };
    let mails = office.notifications.mails(&office.cx, filter).await.unwrap().items;
    let ours = mails
        .into_iter()
        .filter(|m| (base..base + 1000).contains(&m.id.0.as_u128()));
    let mut seen: Vec<_> = ours
        .map(|m| (m.id.0.as_u128() - base, m.subject, m.state.to_string()))
        .collect();
    seen.sort_unstable();
    seen
}

pub async fn any_order_comes_to_the_same(office: &Office) {
    const SEED: u64 = 0x6e6f_7465;
    println!("seed {SEED:#x}");
    // Few histories at once, so that all their mails are on one page.
    for round in 0..8_u128 {
        let (straight, shuffled) = (round * 10_000 + 1000, round * 10_000 + 5000);
        let seed = SEED + round as u64;
        for event in history(&mut StdRng::seed_from_u64(seed), straight) {
            office.hear(&event).await;
        }
        let mut random = StdRng::seed_from_u64(seed);
        let events = history(&mut random, shuffled);
        let mut deliveries: Vec<_> = events
            .iter()
            .chain(&events)
            .chain(&events[..events.len() / 2])
            .collect();
        deliveries.shuffle(&mut random);
        for event in deliveries {
            office.hear(event).await;
        }
        let seen_straight = seen(office, straight).await;
        assert!(
            seen_straight.len() >= 4 && seen_straight[0].1.contains("act "),
            "{seen_straight:?}"
        );
        assert_eq!(seen_straight, seen(office, shuffled).await, "round {round}");
    }
}

/// The schema of somebody who tells something: any has an outbox and a log.
pub async fn told_by(folder: &tempfile::TempDir, name: &str, clock: Arc<dyn Clock>) -> Db {
    let url = format!("sqlite:{}", folder.path().join(format!("{name}.db")).display());
    let options = DbOptions {
        clock,
        ..DbOptions::default()
    };
    let db = Db::open(&url, name, options).await.unwrap();
    db.migrate(strangler_store::migrations()).await.unwrap();
    db
}

/// A mail about a show that is not known waits for what the catalog has told, and no longer.
pub async fn a_mail_waits_until_all_is_heard(office: &Office) {
    use catalog_contract::{Act, CatalogEvent, Show, Venue};

    let folder = tempfile::tempdir().unwrap();
    let catalog = told_by(&folder, "catalog", Arc::new(SystemClock)).await;
    let tells = async |event: CatalogEvent, of: u128| {
        let mut uow = catalog.begin(&Cx::system("test")).await.unwrap();
        uow.emit(kernel::Uuid::from_u128(of), 1, &event);
        uow.commit().await.unwrap();
        while catalog.relay().pass().await.unwrap() > 0 {}
    };
    let the_act: Act = serde_json::from_value(act(5, 1, "Ólöf").data).unwrap();
    let the_venue: Venue = serde_json::from_value(venue(7, 1, "House").data).unwrap();
    let the_show: Show = serde_json::from_value(show(8, 1, 5, 7).data).unwrap();
    tells(CatalogEvent::ActAnnounced(the_act), 5).await;
    tells(CatalogEvent::VenueRegistered(the_venue), 7).await;
    tells(CatalogEvent::ShowAnnounced(the_show), 8).await;

    let subscription = || subscriptions::catalog(office.db.clone(), catalog.log());
    let post = Arc::new(Slow::new(Waits::HandedOver, 9, false));
    let sender = office.sender(post.clone()).with_catalog(subscription());
    let mut unheard_of = confirmed(2, 51, 2);
    unheard_of.data["show"] = serde_json::json!(kernel::Uuid::from_u128(9));
    office.hear(&confirmed(1, 50, 2)).await;
    office.hear(&unheard_of).await;
    assert_eq!(sender.step().await.unwrap(), 2);
    assert_eq!(post.delivered().len(), 0, "there is more to be heard");
    let hearing = subscription();
    while hearing.step().await.unwrap() > 0 {}
    office.later(1);
    assert_eq!(sender.step().await.unwrap(), 2);
    let mails = office.notifications.mails(&office.cx, MailFilter::default());
    let mails = mails.await.unwrap().items;
    let seen: Vec<_> = mails.iter().map(|m| (m.subject.as_str(), m.state)).collect();
    assert_eq!(
        seen,
        [
            ("Your tickets: Ólöf", MailStatus::Sent),
            ("Your tickets", MailStatus::Sent)
        ]
    );
}

/// The way of an event in the running system: outbox, relay, log, subscription, mail.
pub async fn a_subscription_hears(office: &Office) {
    use ordering_contract::{OrderRefused, OrderingEvent};

    let folder = tempfile::tempdir().unwrap();
    let ordering = told_by(&folder, "ordering", Arc::new(SystemClock)).await;
    let order: OrderRefused = serde_json::from_value(refused(1, 50, 2).data).unwrap();
    let of = order.order.0;
    let mut uow = ordering.begin(&Cx::system("test")).await.unwrap();
    uow.emit(of, 2, &OrderingEvent::Refused(order));
    uow.commit().await.unwrap();
    while ordering.relay().pass().await.unwrap() > 0 {}
    office.know_show().await;
    let subscription = subscriptions::ordering(office.db.clone(), ordering.log());
    while subscription.step().await.unwrap() > 0 {}
    // Its cursor is lost, and it hears everything once more.
    let lost = forget_cursors(office).await;
    assert_eq!(lost, 1);
    while subscription.step().await.unwrap() > 0 {}
    let mails = folder.path().join("mail");
    let post = post_of(&format!("file:{}", mails.display()), "Box Office <tickets@example.org>").unwrap();
    let sender = office.sender(Arc::clone(&post));
    while sender.step().await.unwrap() > 0 {}
    let files: Vec<_> = std::fs::read_dir(&mails).unwrap().collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
    assert!(text.contains("The reason: Seats are taken."), "{text}");
}

/// Deletes the cursors, as somebody does who wants to read a log again. Answers how many there were.
pub async fn forget_cursors(office: &Office) -> u64 {
    use sea_orm::{ConnectionTrait, DbErr};

    #[derive(serde::Serialize)]
    struct Forget {
        #[serde(skip)]
        counted: tokio::sync::mpsc::Sender<u64>,
    }

    impl strangler_store::Write for Forget {
        const NAME: &'static str = "forget-cursors";

        async fn run<C: ConnectionTrait>(self, connection: &C) -> Result<(), DbErr> {
            let done = connection.execute_unprepared("DELETE FROM subscriptions").await?;
            self.counted
                .send(done.rows_affected())
                .await
                .map_err(|e| DbErr::Custom(e.to_string()))
        }
    }

    let (counted, mut count) = tokio::sync::mpsc::channel(1);
    let mut uow = office.db.begin(&office.cx).await.unwrap();
    uow.put(Forget { counted });
    uow.commit().await.unwrap();
    count.recv().await.unwrap()
}
