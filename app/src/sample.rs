//! The sample season: forty shows, all in the future, in venues of different shapes. Ids are fixed, so that loading it
//! twice loads it once; it goes in through the catalog's contract, like anything else.

use catalog_contract::{ActDraft, ActId, Catalog, CatalogError, SectionPrice, ShowDraft, ShowId, VenueDraft, VenueId};
use chrono::{DateTime, Days, Utc};
use kernel::{Money, Time, Uuid};
use serde_json::json;
use strangler::{Cx, Failure};

const ACTS: [(&str, &str); 12] = [
    ("The Paper Lanterns", "indie"),
    ("Ólöf & the Tide", "folk"),
    ("Cuarteto Albahaca", "tango"),
    ("Nadia Haddad نادية حداد", "oud"),
    ("Blue Hour Trio", "jazz"),
    ("Kammerchor Lindenhof", "choral"),
    ("Señor Cometa", "electronic"),
    ("The Understudies", "comedy"),
    ("Orkiestra Mgła", "symphonic"),
    ("Ayumi Tanaka 田中歩", "piano"),
    ("Brass on Wheels", "brass"),
    ("Second Breakfast", "theatre"),
];

/// A venue's name, city, time zone, and its sections: name, rows, seats per row, price in cents.
type VenueRow = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, u32, u32, i64)],
);

const VENUES: [VenueRow; 5] = [
    (
        "Stadthalle am Fluss",
        "Vienna",
        "Europe/Vienna",
        &[
            ("Stalls", 24, 30, 6500),
            ("Circle", 10, 28, 4500),
            ("Balcony", 8, 26, 2900),
            ("Boxes", 2, 12, 9800),
        ],
    ),
    (
        "The Cellar",
        "Prague",
        "Europe/Prague",
        &[("Tables", 6, 8, 2400), ("Bar", 1, 14, 1600)],
    ),
    (
        "Teatro del Sol",
        "Valencia",
        "Europe/Madrid",
        &[("Platea", 18, 22, 5200), ("Anfiteatro", 9, 20, 3100)],
    ),
    (
        "Glasshouse",
        "Reykjavík",
        "Atlantic/Reykjavik",
        &[("Floor", 12, 16, 3900)],
    ),
    (
        "Open Air on the Hill",
        "Lisbon",
        "Europe/Lisbon",
        &[
            ("Front", 10, 40, 7200),
            ("Middle", 20, 50, 4800),
            ("Lawn", 30, 60, 2500),
        ],
    ),
];

const SHOWS: usize = 40;

fn id(kind: u128, n: usize) -> Uuid {
    // Version 8 (RFC 9562): an id of our own making.
    Uuid::from_u128(0x0bee_0000_0000_8000_8000_0000_0000_0000 | kind << 32 | n as u128)
}

/// Puts the sample season into the catalog, counted from `now` on. Answers how many shows there are of it.
///
/// # Errors
/// What the catalog said, when it is not a show that was cancelled meanwhile.
pub async fn load(catalog: &dyn Catalog, cx: &Cx, now: DateTime<Utc>) -> Result<usize, String> {
    let word = |e: Failure<CatalogError>| format!("loading the sample season: {e}");
    let read = |e: serde_json::Error| format!("the sample season itself: {e}");
    for (n, (name, genre)) in ACTS.iter().enumerate() {
        let draft: ActDraft = serde_json::from_value(json!({"name": name, "genre": genre})).map_err(read)?;
        catalog
            .announce_act(cx, ActId(id(1, n)), None, draft)
            .await
            .map_err(word)?;
    }
    for (n, (name, city, time_zone, sections)) in VENUES.iter().enumerate() {
        let sections: Vec<_> = sections
            .iter()
            .map(|(name, rows, seats, _)| json!({"name": name, "rows": rows, "seats_per_row": seats}))
            .collect();
        let body = json!({"name": name, "city": city, "time_zone": time_zone, "sections": sections});
        let draft: VenueDraft = serde_json::from_value(body).map_err(read)?;
        catalog
            .register_venue(cx, VenueId(id(2, n)), None, draft)
            .await
            .map_err(word)?;
    }
    for n in 0..SHOWS {
        let draft = show(n, now)?;
        match catalog.announce(cx, ShowId(id(3, n)), None, draft).await {
            Ok(_) | Err(Failure::Module(CatalogError::ShowCancelled { .. })) => {}
            Err(e) => return Err(word(e)),
        }
    }
    Ok(SHOWS)
}

/// One show: about three a fortnight, from a week from now on, at half past seven or eight.
fn show(n: usize, now: DateTime<Utc>) -> Result<ShowDraft, String> {
    let (act, venue) = (n * 7 % ACTS.len(), n * 3 % VENUES.len());
    let hour = if n.is_multiple_of(2) { (19, 30) } else { (20, 0) };
    let day = now.date_naive() + Days::new(7 + n as u64 * 14 / 3);
    let starts = day
        .and_hms_opt(hour.0, hour.1, 0)
        .ok_or("the sample season's hours")?
        .and_utc();
    let prices = VENUES[venue].3.iter().map(|(section, _, _, cents)| {
        let section = (*section).try_into()?;
        let price = Money::new(cents + (n as i64 % 4) * 300, "EUR".to_owned().try_into()?)?;
        Ok(SectionPrice { section, price })
    });
    let prices = prices.collect::<Result<_, String>>()?;
    ShowDraft::new(
        ActId(id(1, act)),
        VenueId(id(2, venue)),
        Time::try_from(starts)?,
        prices,
    )
}
