//! A small contract with everything a contract can say, and a service that keeps its state in memory.

use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use serde::{Deserialize, Serialize};
use strangler::{Accepted, Cx, Done, IfMatch, Put, contract, problems};
use utoipa::ToSchema;

/// Which show; zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct ShowId(pub u32);

impl fmt::Display for ShowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for ShowId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) | Err(_) => Err(format!("`{text}` is no show's id")),
            Ok(id) => Ok(Self(id)),
        }
    }
}

/// A show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Show {
    /// Which.
    pub id: ShowId,
    /// What it is called.
    pub title: String,
    /// Counts its changes.
    pub version: i64,
}

/// What a show is to become.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShowDraft {
    /// What it is to be called.
    pub title: String,
}

/// Which shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShowFilter {
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// From here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Some of many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// These.
    pub items: Vec<T>,
    /// Where it goes on.
    pub next: Option<String>,
}

/// What can go wrong.
#[problems("catalog")]
#[derive(Clone, Debug, PartialEq)]
pub enum CatalogError {
    /// There is no such show.
    #[problem(404, "No such show", detail = "no show has the id {id}")]
    NoSuchShow {
        /// Which.
        id: ShowId,
    },
    /// Somebody else changed it.
    #[problem(412, "Changed meanwhile", detail = "the show is at version {current}, in {{braces}}")]
    Stale {
        /// Its version.
        current: i64,
        /// What may be the case.
        hint: Option<String>,
        /// Not a name to collide with.
        extra: u8,
    },
    /// The catalog takes no more shows;
    /// come back tomorrow.
    #[problem(409, "Full")]
    HouseFull,
}

/// What the rest of the system may know about the catalog.
///
/// More of it.
#[contract(name = "catalog", version = 2)]
pub trait Catalog {
    /// The show with this id.
    #[query(get = "/shows/{id}", auth = public, etag = version)]
    async fn show(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError>;
    /// Shows, one after the other.
    #[query(get = "/shows", auth = public, next = next)]
    async fn shows(&self, cx: &Cx, #[query] filter: ShowFilter) -> Result<Page<Show>, CatalogError>;
    /// Announces the show; the same show put twice is announced once.
    #[command(put = "/shows/{id}", auth = scope("catalog:write"), etag = version)]
    async fn announce(
        &self,
        cx: &Cx,
        id: ShowId,
        #[header("if-match")] expected: Option<IfMatch>,
        #[body] draft: ShowDraft,
    ) -> Result<Put<Show>, CatalogError>;
    /// Cancels the show.
    #[command(delete = "/shows/{id}", auth = scope("catalog:write"))]
    async fn cancel(&self, cx: &Cx, id: ShowId) -> Result<Done, CatalogError>;
    /// Moves the show from place to place; the arguments are not in the path's order, and are called what the generated
    /// code might call its own.
    #[command(post = "/places/{answer}/shows/{way}/move", auth = signed_in)]
    async fn relocate(
        &self,
        ctx: &Cx,
        way: ShowId,
        answer: String,
        #[body] cx: ShowDraft,
    ) -> Result<Accepted<Show>, CatalogError>;
    /// Never answers.
    #[query(get = "/never", auth = public)]
    async fn never(&self, cx: &Cx) -> Result<String, CatalogError>;
}

/// The catalog in memory.
#[derive(Default)]
pub struct InMemory {
    shows: Mutex<BTreeMap<ShowId, Show>>,
    /// How many calls got through to it.
    pub calls: AtomicUsize,
}

impl InMemory {
    /// With one show in it.
    pub fn with(id: u32, title: &str) -> Self {
        let it = Self::default();
        let show = Show {
            id: ShowId(id),
            title: title.to_owned(),
            version: 1,
        };
        it.shows.lock().unwrap().insert(show.id, show);
        it
    }
}

impl CatalogService for InMemory {
    async fn show(&self, _: &Cx, id: ShowId) -> Result<Show, CatalogError> {
        self.calls.fetch_add(1, SeqCst);
        self.shows
            .lock()
            .unwrap()
            .get(&id)
            .cloned()
            .ok_or(CatalogError::NoSuchShow { id })
    }

    async fn shows(&self, _: &Cx, filter: ShowFilter) -> Result<Page<Show>, CatalogError> {
        self.calls.fetch_add(1, SeqCst);
        let shows = self.shows.lock().unwrap();
        let from = filter.cursor.and_then(|c| c.parse().ok()).unwrap_or(ShowId(0));
        let mut left = shows.range(from..);
        let items = left
            .by_ref()
            .take(filter.limit.unwrap_or(10))
            .map(|(_, show)| show.clone())
            .collect();
        Ok(Page {
            items,
            next: left.next().map(|(id, _)| id.to_string()),
        })
    }

    async fn announce(
        &self,
        _: &Cx,
        id: ShowId,
        expected: Option<IfMatch>,
        draft: ShowDraft,
    ) -> Result<Put<Show>, CatalogError> {
        self.calls.fetch_add(1, SeqCst);
        let mut shows = self.shows.lock().unwrap();
        if draft.title == "one too many" {
            return Err(CatalogError::HouseFull);
        }
        let current = shows.get(&id).map(|s| s.version);
        if expected.is_some_and(|e| !e.allows(current)) {
            return Err(CatalogError::Stale {
                current: current.unwrap_or(0),
                hint: None,
                extra: 7,
            });
        }
        let show = Show {
            id,
            title: draft.title,
            version: current.unwrap_or(0) + 1,
        };
        shows.insert(id, show.clone());
        Ok(if current.is_some() {
            Put::Kept(show)
        } else {
            Put::Created(show)
        })
    }

    async fn cancel(&self, _: &Cx, id: ShowId) -> Result<Done, CatalogError> {
        self.calls.fetch_add(1, SeqCst);
        self.shows
            .lock()
            .unwrap()
            .remove(&id)
            .map(|_| Done)
            .ok_or(CatalogError::NoSuchShow { id })
    }

    async fn relocate(
        &self,
        _: &Cx,
        way: ShowId,
        answer: String,
        cx: ShowDraft,
    ) -> Result<Accepted<Show>, CatalogError> {
        self.calls.fetch_add(1, SeqCst);
        let value = Show {
            id: way,
            title: format!("{} at {answer}", cx.title),
            version: 1,
        };
        Ok(Accepted {
            location: format!("/moves/{way}"),
            value,
        })
    }

    async fn never(&self, _: &Cx) -> Result<String, CatalogError> {
        self.calls.fetch_add(1, SeqCst);
        std::future::pending().await
    }
}
