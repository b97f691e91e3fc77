//! Buyers at work, and the books that have to balance afterwards: every acknowledged order has ended, what is sold is what
//! was confirmed, and money was taken for that and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ::http::Method;
use rand::{Rng, RngCore, SeedableRng, seq::IndexedRandom};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{Answer, Client, Random, System, eventually, holds_soon, office};

/// How long an acknowledged order may take to end.
const END: Duration = Duration::from_secs(120);
/// How long a buyer tries to have an order acknowledged.
const PERSIST: Duration = Duration::from_secs(90);

/// A show and its seats, in order.
#[derive(Clone, Debug)]
pub struct Hall {
    /// The show.
    pub show: Uuid,
    /// Its seats' ids.
    pub seats: Vec<String>,
}

/// An order as its buyer knows it.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The order.
    pub id: Uuid,
    /// The show.
    pub show: Uuid,
    /// What was asked for.
    pub seats: Vec<String>,
    /// What it was paid with.
    pub token: &'static str,
}

impl Placed {
    /// A new order, not placed yet.
    pub fn new(hall: &Hall, seats: &[String], token: &'static str) -> Self {
        Self {
            id: office::id(),
            show: hall.show,
            seats: seats.to_vec(),
            token,
        }
    }

    /// Its path.
    pub fn path(&self) -> String {
        order_path(self.id)
    }

    /// Its body.
    pub fn body(&self) -> Value {
        json!({"show": self.show, "seats": self.seats, "email": "ada@example.org", "payment_token": self.token})
    }
}

/// The path of an order.
pub fn order_path(id: Uuid) -> String {
    format!("/api/v1/ordering/orders/{id}")
}

impl System {
    /// Announces a show in a hall of its own with so many seats, and waits until they can be bought.
    pub async fn hall(&self, rows: u32, seats: u32) -> Hall {
        let (act, venue, show) = (office::id(), office::id(), office::id());
        let catalog = "/api/v1/catalog";
        let answers = [
            self.put(&format!("{catalog}/acts/{act}"), &office::act("Test Act"))
                .await,
            self.put(&format!("{catalog}/venues/{venue}"), &office::venue(rows, seats))
                .await,
            self.put(&office::show_path(show), &office::show(act, venue)).await,
        ];
        assert!(answers.iter().all(|a| a.status == 201), "{answers:?}");
        let seats = eventually("seats appear", Duration::from_secs(30), || async move {
            let seats = self.seats(show).await;
            (!seats.is_empty()).then(|| seats.into_keys().collect::<Vec<_>>())
        })
        .await;
        Hall { show, seats }
    }

    /// The state of each seat of a show.
    pub async fn seats(&self, show: Uuid) -> BTreeMap<String, String> {
        let answer = self.get(&format!("/api/v1/seating/shows/{show}/seats")).await.json();
        let seats = answer["seats"].as_array().cloned().unwrap_or_default();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        seats.iter().map(|s| (text(&s["id"]), text(&s["state"]))).collect()
    }

    /// Places an order, as anybody.
    pub async fn place(&self, order: &Placed) -> Answer {
        place(self.client(), &self.public(), order).await.expect("an answer")
    }

    /// An order as it stands.
    pub async fn order(&self, id: Uuid) -> Value {
        self.get(&order_path(id)).await.json()
    }

    /// An order that has ended.
    pub async fn settled(&self, id: Uuid) -> Value {
        eventually("the order ends", END, || async move {
            let answer = self.send(Method::GET, &order_path(id), &[], "").await.ok()?;
            let order = answer.json();
            let status = order["status"].as_str().unwrap_or_default();
            ["confirmed", "refused", "cancelled", "stuck"]
                .contains(&status)
                .then_some(order)
        })
        .await
    }

    /// The sandbox's ledger.
    pub async fn ledger(&self) -> Vec<Value> {
        let address = std::fs::read_to_string(self.data().join("sandbox/address")).expect("a sandbox");
        let url = format!("http://{}/ledger", address.trim());
        let answer = self
            .client()
            .send(Method::GET, &url, &[], "")
            .await
            .expect("the ledger");
        answer.json()["entries"].as_array().cloned().unwrap_or_default()
    }

    /// Whether everything ended as it has to. Answers how many orders were confirmed. The ledger must be of these orders
    /// alone, and the halls' seats too.
    ///
    /// # Panics
    /// When it did not, with what is wrong.
    pub async fn books_balance(&self, orders: &[Placed]) -> usize {
        let mut confirmed: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
        let (mut money, mut count) = (BTreeMap::new(), 0);
        for placed in orders {
            let order = self.settled(placed.id).await;
            let status = order["status"].as_str().unwrap_or_default();
            assert!(
                ["confirmed", "refused"].contains(&status),
                "{placed:?} ended as {order}"
            );
            let sold = confirmed.entry(placed.show).or_default();
            if status == "refused" {
                assert!(order["reason"]["status"].is_u64(), "refused, and says why: {order}");
                continue;
            }
            count += 1;
            let tickets = order["tickets"].as_array().cloned().unwrap_or_default();
            let seats: Vec<_> = tickets.iter().filter_map(|t| t["seat"].as_str()).collect();
            assert_eq!(seats, placed.seats, "a ticket for each seat: {order}");
            for seat in &placed.seats {
                assert!(sold.insert(seat.clone()), "{seat} was sold twice");
            }
            money.insert(
                placed.id.to_string(),
                order["total"]["amount"].as_i64().expect("a total"),
            );
        }
        for (show, sold) in &confirmed {
            holds_soon("what is sold is what was confirmed", END, || async move {
                let seats = self.seats(*show).await;
                let of = |state| seats.iter().filter(move |(_, s)| *s == state).map(|(id, _)| id.clone());
                of("held").next().is_none() && of("sold").collect::<BTreeSet<_>>() == *sold
            })
            .await;
        }
        holds_soon("nothing stays authorised", END, || async {
            !self.ledger().await.iter().any(|e| e["state"] == "authorized")
        })
        .await;
        let ledger = self.ledger().await;
        let ids: BTreeSet<_> = ledger.iter().map(|e| e["id"].to_string()).collect();
        assert_eq!(ids.len(), ledger.len(), "no payment twice");
        let taken = ledger.iter().filter(|e| e["state"] == "captured");
        let mut taken: Vec<_> = taken.filter_map(|e| e["amount"].as_i64()).collect();
        let mut owed: Vec<_> = money.into_values().collect();
        taken.sort_unstable();
        owed.sort_unstable();
        assert_eq!(taken, owed, "money was taken for what was confirmed, and once");
        count
    }
}

/// Places an order, as anybody.
pub async fn place(client: &Client, public: &str, order: &Placed) -> Result<Answer, String> {
    let headers = [("content-type", "application/json")];
    let url = format!("{public}{}", order.path());
    client.send(Method::PUT, &url, &headers, order.body().to_string()).await
}

/// The tokens that buyers pay with.
#[derive(Clone, Copy, Debug)]
pub enum Purse {
    /// Cards that are good.
    Good,
    /// Cards that are declined, too, and a provider that fails some calls.
    Mixed,
}

impl Purse {
    fn draw(self, random: &mut Random) -> &'static str {
        let tokens: &[_] = match self {
            Self::Good => &["tok_ok"],
            Self::Mixed => &["tok_ok", "tok_ok", "tok_ok", "tok_declined", "tok_flaky"],
        };
        tokens.choose(random).copied().unwrap_or("tok_ok")
    }
}

#[derive(Default)]
struct Books {
    unsold: Mutex<VecDeque<(Hall, Vec<String>)>>,
    placed: Mutex<Vec<Placed>>,
    wrong: Mutex<Vec<String>>,
    stop: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// Buyers who place one order after the other until they are told to stop, or nothing is left to buy. Each repeats an order
/// until it is acknowledged, whatever happens meanwhile.
pub struct Buyers {
    books: Arc<Books>,
    tasks: JoinSet<()>,
}

impl Buyers {
    /// Lets so many buyers go at these halls; each seat is asked for once, two seats at a time at most.
    pub fn start(system: &System, halls: &[Hall], buyers: usize, purse: Purse, random: &mut Random) -> Self {
        let books = Arc::<Books>::default();
        for hall in halls {
            let mut seats = &hall.seats[..];
            while !seats.is_empty() {
                let (some, rest) = seats.split_at(random.random_range(1..=2.min(seats.len())));
                lock(&books.unsold).push_back((hall.clone(), some.to_vec()));
                seats = rest;
            }
        }
        let mut tasks = JoinSet::new();
        for _ in 0..buyers {
            let (books, public) = (books.clone(), system.public());
            let random = Random::seed_from_u64(random.next_u64());
            tasks.spawn(buy(books, public, purse, random));
        }
        Self { books, tasks }
    }

    /// How many orders were acknowledged so far.
    pub fn placed(&self) -> usize {
        lock(&self.books.placed).len()
    }

    /// Waits until so many more orders were acknowledged, or all were.
    pub async fn go_on(&self, more: usize) {
        let until = self.placed() + more;
        holds_soon("buyers go on", PERSIST, || async move {
            self.placed() >= until || lock(&self.books.unsold).is_empty()
        })
        .await;
    }

    /// Stops the buyers, after the order each is at. Answers every order that was acknowledged.
    ///
    /// # Panics
    /// When a buyer was told what must not be told.
    pub async fn end(mut self) -> Vec<Placed> {
        self.books.stop.store(true, Relaxed);
        while let Some(buyer) = self.tasks.join_next().await {
            buyer.expect("a buyer ends in order");
        }
        let wrong = lock(&self.books.wrong);
        let some = wrong.len().min(5);
        assert!(
            wrong.is_empty(),
            "{} answers were wrong: {:#?}",
            wrong.len(),
            &wrong[..some]
        );
        lock(&self.books.placed).clone()
    }
}

async fn buy(books: Arc<Books>, public: String, purse: Purse, mut random: Random) {
    let client = Client::default();
    while !books.stop.load(Relaxed) {
        let Some((hall, seats)) = lock(&books.unsold).pop_front() else {
            return;
        };
        let order = Placed::new(&hall, &seats, purse.draw(&mut random));
        let until = tokio::time::Instant::now() + PERSIST;
        loop {
            match place(&client, &public, &order).await {
                Ok(answer) if answer.status == 202 => {
                    lock(&books.placed).push(order);
                    break;
                }
                Ok(answer) if answer.status < 500 => {
                    lock(&books.wrong).push(format!("{order:?}: {answer:?}"));
                    return;
                }
                // Nobody was there, or could not say: the same again.
                answer if tokio::time::Instant::now() > until => {
                    lock(&books.wrong).push(format!("{order:?} was never acknowledged: {answer:?}"));
                    return;
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..40))).await;
    }
}
