//! The season.

use catalog_contract::ShowFilter;
use http::StatusCode;
use kernel::Limit;
use storefront_contract::{SeasonFilter, StorefrontError};
use strangler::{Cx, WebPage};

use super::{StorefrontModule, ask::asking};
use crate::{
    assets::Frame,
    domain::{Asked, Filter},
    pages::{self, Facts, SeasonPage, down, status},
};

/// How many shows a page has.
const SHOWS: u64 = 24;
/// How many of the catalog's pages are looked at for one of ours: those at its edges may all be on another day where they are.
const LOOKS: usize = 4;

impl StorefrontModule {
    pub(super) async fn season_page(&self, cx: &Cx, filter: SeasonFilter) -> Result<WebPage, StorefrontError> {
        let (filter, asked) = Filter::read(filter, cx.now(&*self.clock));
        let found = match filter.mistakes.is_empty() {
            true => self.find(cx, asked).await,
            false => Some((Vec::new(), None)),
        };
        let code = match &found {
            _ if !filter.mistakes.is_empty() => status(&StorefrontError::Mistake),
            None => status(&down()),
            Some(_) => StatusCode::OK,
        };
        let is_down = found.is_none();
        let (shows, next) = found.unwrap_or_default();
        let page = SeasonPage {
            frame: Frame::new(),
            later: next.map(|cursor| address(&filter, Some(&cursor))),
            first: (!filter.cursor.is_empty()).then(|| address(&filter, None)),
            shows,
            down: is_down,
            filter,
        };
        pages::show(code, &page)
    }

    /// The shows of one page, and where the next begins; `None` when the catalog cannot be asked.
    async fn find(&self, cx: &Cx, asked: Asked) -> Option<(Vec<Facts>, Option<String>)> {
        let mut cursor = asked.cursor;
        let mut looks = 0;
        loop {
            let filter = ShowFilter {
                from: asked.window.0,
                to: asked.window.1,
                act: None,
                search: asked.search.clone(),
                city: asked.city.clone(),
                limit: Limit::try_from(SHOWS).ok(),
                cursor,
            };
            let page = self.shop.catalog.shows(&asking(cx), filter).await.ok()?;
            let mut facts = self.facts_of(cx, page.items).await;
            facts.retain(|show| asked.has(show.when.date()));
            looks += 1;
            cursor = page.next.clone().and_then(|next| next.try_into().ok());
            if !facts.is_empty() || cursor.is_none() || looks == LOOKS {
                return Some((facts, page.next));
            }
        }
    }
}

/// The season with this filter, from this place on.
fn address(filter: &Filter, cursor: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(filter.pairs(cursor));
    match query.finish() {
        query if query.is_empty() => "/".to_owned(),
        query => format!("/?{query}"),
    }
}
