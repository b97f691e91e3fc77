//! The storefront's front door: the pages on which people buy tickets. It must never know how a page is made.

mod error;
mod form;

pub use error::StorefrontError;
pub use form::{Purchase, SeasonFilter, SeatChoice};
pub use ordering_contract::{OrderId, ShowId};
use strangler::{Cx, WebPage, contract};

/// The pages of the box office: the season, a show with its seats, the checkout, an order and its tickets.
///
/// Whoever has an order's address may see it, and give it back: there are no accounts, and the address is as hard to guess as
/// a key.
#[contract(name = "storefront", version = 1, pages = true)]
pub trait Storefront {
    /// The season: what is on, by date, city and act.
    #[query(get = "/", auth = public)]
    async fn season(&self, cx: &Cx, #[query] filter: SeasonFilter) -> Result<WebPage, StorefrontError>;

    /// A show and its seats. Those named are chosen already, if they are free; those that the basket's order holds are shown
    /// as the visitor's own.
    #[query(get = "/shows/{id}", auth = public)]
    async fn show(
        &self,
        cx: &Cx,
        id: ShowId,
        #[query] chosen: SeatChoice,
        #[cookie("basket")] basket: Option<OrderId>,
    ) -> Result<WebPage, StorefrontError>;

    /// Holds the seats for an order to come and goes on to its checkout; or says which of them are gone.
    #[command(post = "/shows/{id}/hold", auth = public)]
    async fn choose(
        &self,
        cx: &Cx,
        id: ShowId,
        #[cookie("basket")] basket: Option<OrderId>,
        #[form] choice: SeatChoice,
    ) -> Result<WebPage, StorefrontError>;

    /// What is about to be bought, what it costs, and until when it is held.
    #[query(get = "/shows/{id}/checkout/{order}", auth = public)]
    async fn checkout(&self, cx: &Cx, id: ShowId, order: OrderId) -> Result<WebPage, StorefrontError>;

    /// Places the order and goes on to it; or says what was mistyped. Sent twice, it is placed once.
    #[command(post = "/orders/{id}", auth = public)]
    async fn buy(&self, cx: &Cx, id: OrderId, #[form] purchase: Purchase) -> Result<WebPage, StorefrontError>;

    /// How far the order has come; live, where scripts run.
    #[query(get = "/orders/{id}", auth = public)]
    async fn order(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError>;

    /// Has the order cancelled and goes back to it.
    #[command(post = "/orders/{id}/cancel", auth = public)]
    async fn cancel(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError>;

    /// The order's tickets, to print.
    #[query(get = "/orders/{id}/tickets", auth = public)]
    async fn tickets(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError>;

    /// A file that the pages need.
    #[query(get = "/assets/{file}", auth = public)]
    async fn asset(&self, cx: &Cx, file: String) -> Result<WebPage, StorefrontError>;
}
