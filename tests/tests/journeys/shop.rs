//! The shop, as a browser without script uses it: pages, forms, redirects and cookies; from the monolith, from a process of its
//! own, and while somebody whom it asks is down.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use system_tests::{Answer, System, eventually, holds_soon, office, system::signal};
use uuid::Uuid;

use crate::letters::Schema;

const SOON: Duration = Duration::from_secs(30);

/// Somebody with a browser: keeps its cookies, and goes where it is sent.
struct Visitor<'a> {
    system: &'a System,
    cookies: Vec<(String, String)>,
}

impl<'a> Visitor<'a> {
    fn new(system: &'a System) -> Self {
        let cookies = Vec::new();
        Self { system, cookies }
    }

    async fn ask(&mut self, method: Method, path: &str, form: Option<&str>) -> Answer {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let origin = self.system.public();
        let mut headers = vec![("accept", "text/html"), ("cookie", cookies.as_str())];
        if form.is_some() {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
            headers.push(("origin", &origin));
            headers.push(("sec-fetch-site", "same-origin"));
        }
        let body = form.unwrap_or_default().to_owned();
        let answer = self.system.send(method, path, &headers, body).await.expect("an answer");
        for set in answer.headers.get_all("set-cookie") {
            let set = set.to_str().expect("text");
            assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
            let (name, value) = set
                .split(';')
                .next()
                .and_then(|pair| pair.split_once('='))
                .expect("a pair");
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    async fn post(&mut self, path: &str, form: &str) -> Answer {
        self.ask(Method::POST, path, Some(form)).await
    }
}

fn html(answer: &Answer) -> String {
    assert!(answer.header("content-type").starts_with("text/html"), "{answer:?}");
    let policy = answer.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// The value of the hidden field that names the order.
fn order_in(page: &str) -> String {
    let rest = page.split("name=\"order\" value=\"").nth(1).expect("the field");
    rest.split('"').next().expect("its value").to_owned()
}

/// A show whose seats are there.
async fn on_sale(system: &System) -> Uuid {
    let (show, _) = system.announce().await;
    let path = format!("/api/v1/seating/shows/{show}/seats");
    holds_soon("seating has heard of it", SOON, || async {
        system.get(&path).await.status == 200
    })
    .await;
    show
}

/// Buys two seats, and answers the order's page.
async fn buy(visitor: &mut Visitor<'_>, show: Uuid, seats: [&str; 2]) -> String {
    let page = html(&visitor.get(&format!("/shows/{show}")).await);
    let order = order_in(&page);
    let form = format!("order={order}&seat={}&seat={}", seats[0], seats[1]);
    let held = visitor.post(&format!("/shows/{show}/hold"), &form).await;
    let checkout = format!("/shows/{show}/checkout/{order}");
    assert_eq!((held.status, held.header("location")), (303, checkout.as_str()));
    let page = html(&visitor.get(&checkout).await);
    assert!(page.contains("Total <strong>90.00 EUR</strong>"), "{page}");
    let form = format!("show={show}&email=ada%40example.org&card=tok_ok");
    // Sent twice, it is bought once.
    for _ in 0..2 {
        let placed = visitor.post(&format!("/orders/{order}"), &form).await;
        assert_eq!(
            (placed.status, placed.header("location")),
            (303, format!("/orders/{order}").as_str())
        );
    }
    let path = format!("/orders/{order}");
    let (system, cookies) = (visitor.system, visitor.cookies.clone());
    eventually("the order is confirmed", SOON, || async {
        let mut again = Visitor {
            system,
            cookies: cookies.clone(),
        };
        let page = html(&again.get(&path).await);
        page.contains("Your tickets are yours").then_some(())
    })
    .await;
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_seats_are_bought_without_script() {
    let system = System::start().await;
    let season = Visitor::new(&system).get("/?q=blue+HOUR").await;
    let page = html(&season);
    assert!(
        page.contains("Blue Hour Trio") && !page.contains("The Paper Lanterns"),
        "{page}"
    );
    let show = on_sale(&system).await;
    let mut ada = Visitor::new(&system);
    let order = buy(&mut ada, show, ["Stalls-A-1", "Stalls-A-2"]).await;
    let tickets = html(&ada.get(&format!("{order}/tickets")).await);
    assert_eq!(tickets.matches("<svg").count(), 2, "{tickets}");

    // Somebody else wants one of them: what is left of their choice is still chosen.
    let mut bob = Visitor::new(&system);
    let form = format!("order={}&seat=Stalls-A-2&seat=Stalls-A-3", office::id());
    let refused = bob.post(&format!("/shows/{show}/hold"), &form).await;
    let page = html(&refused);
    assert_eq!(refused.status, 409);
    assert!(
        page.contains("Stalls, row A, seat 2") && page.contains("value=\"Stalls-A-3\" checked"),
        "{page}"
    );

    // Given back, and somebody else's.
    assert_eq!(ada.post(&format!("{order}/cancel"), "").await.status, 303);
    holds_soon("it is cancelled", SOON, || async {
        html(&Visitor::new(&system).get(&order).await).contains("Your order is cancelled")
    })
    .await;
    buy(&mut bob, show, ["Stalls-A-2", "Stalls-A-3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_another_site_is_refused_and_faults_are_told_in_words() {
    let system = System::start().await;
    let show = on_sale(&system).await;
    let path = format!("/shows/{show}/hold");
    let form = "seat=Stalls-A-1";
    for foreign in [
        ("origin", "http://elsewhere.example"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "null"),
    ] {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "text/html"),
            foreign,
        ];
        let answer = system
            .send(Method::POST, &path, &headers, form)
            .await
            .expect("an answer");
        assert_eq!(answer.status, 403, "{foreign:?}");
        assert!(html(&answer).contains("another site"), "{foreign:?}");
    }
    let seats = system.get(&format!("/api/v1/seating/shows/{show}/seats")).await.json();
    assert_eq!(seats["seats"][0]["state"], "free");
    // Who reads pages is told on a page; who reads problems is told in one.
    let wrong = Visitor::new(&system).get("/shows/nonsense").await;
    assert!(
        wrong.status == 404 && html(&wrong).contains("There is no such page"),
        "{wrong:?}"
    );
    let wrong = system.get("/shows/nonsense").await;
    assert!(wrong.status == 400 && wrong.is_problem(), "{wrong:?}");
    let wrong = Visitor::new(&system).get(&format!("/orders/{}", office::id())).await;
    assert!(
        wrong.status == 404 && html(&wrong).contains("There is no such order"),
        "{wrong:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_storefront_lives_elsewhere_and_is_the_same() {
    let system = System::start().await;
    let show = on_sale(&system).await;
    let here = Visitor::new(&system).get("/").await;
    assert_eq!(here.served("storefront"), "local");
    system.run(&["extract", "storefront"]).await;
    system.stage("storefront", "remote").await;
    let there = Visitor::new(&system).get("/").await;
    assert_eq!(there.served("storefront"), "remote");
    assert_eq!(html(&here), html(&there));
    // Its files come from there as well.
    let page = html(&there);
    for start in ["href=\"/assets/", "src=\"/assets/"] {
        let file = page
            .split(start)
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .expect("a file");
        let file = system.get(&format!("/assets/{file}")).await;
        assert_eq!((file.status, file.served("storefront")), (200, "remote"));
        assert!(file.header("cache-control").contains("immutable"));
    }
    let mut ada = Visitor::new(&system);
    buy(&mut ada, show, ["Stalls-B-1", "Stalls-B-2"]).await;
    // Everything it asks lives elsewhere, too.
    for module in ["catalog", "seating", "ordering"] {
        system.run(&["extract", module]).await;
        system.stage(module, "remote").await;
    }
    buy(&mut ada, show, ["Stalls-B-3", "Stalls-B-4"]).await;
    system.run(&["merge-back", "storefront", "--why", "over"]).await;
    assert_eq!(Visitor::new(&system).get("/").await.served("storefront"), "local");
    let map = html(&ada.get(&format!("/shows/{show}")).await);
    assert_eq!(map.matches("<i> sold</i>").count(), 4, "{map}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_season_is_there_while_seating_is_not() {
    let system = System::start().await;
    let show = on_sale(&system).await;
    system.run(&["extract", "seating"]).await;
    system
        .run(&["stage", "seating", "remote", "--fallback", "none", "--why", "test"])
        .await;
    for pid in system.healthy_pids("seating").await {
        signal("KILL", u32::try_from(pid).expect("a pid"));
    }
    let mut ada = Visitor::new(&system);
    let path = format!("/shows/{show}");
    let page = eventually("the page says so", SOON, || async {
        let page = html(&Visitor::new(&system).get(&path).await);
        page.contains("Seats cannot be chosen at the moment").then_some(page)
    })
    .await;
    assert!(page.contains("Test Act") && page.contains("The Test House"), "{page}");
    assert_eq!(ada.get("/").await.status, 200);
    let held = ada.post(&format!("{path}/hold"), "seat=Stalls-A-1").await;
    assert!(
        held.status == 503 && html(&held).contains("Nothing is held and nothing is owed"),
        "{held:?}"
    );
    let map = system.on_map("storefront").await;
    assert_eq!(map["stage"], json!("local"), "nothing else is touched by it");
}

/// So many shows more, written past the program.
const SHOWS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_season_of_ten_thousand_shows_is_walked_from_end_to_end() {
    let system = System::start().await;
    let sample = system.shows(100).await.len();
    Schema::of(&system, None, "catalog")
        .await
        .run(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {SHOWS}), \
             last AS (SELECT * FROM shows ORDER BY starts_at DESC LIMIT 1) \
             INSERT INTO shows (id, version, act, venue, starts_at, prices, cancelled) \
             SELECT randomblob(16), 1, act, venue, starts_at + i / 3, prices, FALSE FROM n, last"
        ))
        .await;
    let mut ada = Visitor::new(&system);
    let (mut seen, mut path) = (Vec::new(), "/".to_owned());
    loop {
        let page = html(&ada.get(&path).await);
        let shows = page.split("<h2><a href=\"/shows/").skip(1);
        seen.extend(shows.map(|rest| rest[..36].to_owned()));
        let later = page.split_once("\" rel=\"next\"");
        let Some((before, _)) = later else { break };
        let href = before.rsplit("href=\"").next().expect("an address");
        path = href.replace("&#38;", "&").replace("&amp;", "&");
    }
    let all = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((all, seen.len()), (sample + SHOWS, sample + SHOWS), "each once");
    let began = Instant::now();
    let none = html(&ada.get("/?q=nobody+plays+this&city=nowhere&from=2026-01-01").await);
    assert!(none.contains("No show fits."), "{none}");
    println!("looking for what is not there took {:?}", began.elapsed());
}
