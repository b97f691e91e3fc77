//! The storefront's desk: asks the others, and shows what they say. Each operation is one page, and each page one file.

mod ask;
mod order;
mod purchase;
mod season;
mod show;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use catalog_contract::Catalog;
use kernel::Uuid;
use ordering_contract::Ordering;
use seating_contract::Seating;
use storefront_contract::{OrderId, Purchase, SeasonFilter, SeatChoice, ShowId, StorefrontError, StorefrontService};
use strangler::{Clock, Cx, WebPage};

use crate::assets;

/// Whom the storefront asks.
#[derive(Clone)]
pub struct Shop {
    /// What is on.
    pub catalog: Arc<dyn Catalog>,
    /// Which seats there are, and who has them.
    pub seating: Arc<dyn Seating>,
    /// Who buys them.
    pub ordering: Arc<dyn Ordering>,
}

/// The storefront. It keeps nothing: any process of it is as good as any other.
#[derive(Clone)]
pub struct StorefrontModule {
    shop: Shop,
    clock: Arc<dyn Clock>,
    new_id: fn() -> Uuid,
}

impl StorefrontModule {
    /// A storefront of this shop. `new_id` draws the ids of orders and sessions: whoever knows one may see its order, so they
    /// must be hard to guess.
    pub fn new(shop: Shop, clock: Arc<dyn Clock>, new_id: fn() -> Uuid) -> Self {
        Self { shop, clock, new_id }
    }

    fn new_order(&self, cx: &Cx) -> OrderId {
        OrderId(cx.draw_id(self.new_id))
    }

    /// The page, with a session for who has none yet: a canary keeps a visitor on one side by it.
    fn greet(&self, cx: &Cx, page: Result<WebPage, StorefrontError>) -> Result<WebPage, StorefrontError> {
        page.map(|page| match cx.session() {
            Some(_) => page,
            None => page.with_cookie("session", &cx.draw_id(self.new_id).simple().to_string(), None),
        })
    }
}

impl StorefrontService for StorefrontModule {
    async fn season(&self, cx: &Cx, filter: SeasonFilter) -> Result<WebPage, StorefrontError> {
        self.greet(cx, self.season_page(cx, filter).await)
    }

    async fn show(
        &self,
        cx: &Cx,
        id: ShowId,
        chosen: SeatChoice,
        basket: Option<OrderId>,
    ) -> Result<WebPage, StorefrontError> {
        self.greet(cx, self.show_page(cx, id, chosen, basket).await)
    }

    async fn choose(
        &self,
        cx: &Cx,
        id: ShowId,
        basket: Option<OrderId>,
        choice: SeatChoice,
    ) -> Result<WebPage, StorefrontError> {
        self.hold_seats(cx, id, basket, choice).await
    }

    async fn checkout(&self, cx: &Cx, id: ShowId, order: OrderId) -> Result<WebPage, StorefrontError> {
        self.checkout_page(cx, id, order).await
    }

    async fn buy(&self, cx: &Cx, id: OrderId, purchase: Purchase) -> Result<WebPage, StorefrontError> {
        self.place(cx, id, purchase).await
    }

    async fn order(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError> {
        self.order_page(cx, id).await
    }

    async fn cancel(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError> {
        self.take_back(cx, id).await
    }

    async fn tickets(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError> {
        self.tickets_page(cx, id).await
    }

    async fn asset(&self, _: &Cx, file: String) -> Result<WebPage, StorefrontError> {
        assets::find(&file).ok_or(StorefrontError::NoSuchPage)
    }
}
