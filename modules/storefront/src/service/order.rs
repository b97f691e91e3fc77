//! An order, taking it back, and its tickets.

use http::StatusCode;
use ordering_contract::{Order, OrderId, OrderStatus, OrderingError};
use storefront_contract::StorefrontError;
use strangler::{Cx, Failure, WebPage};

use super::{
    StorefrontModule,
    ask::{Known, acting},
};
use crate::{
    assets::Frame,
    domain::{Barcode, headline, is_moving, money, refusal, step_lines},
    pages::{self, MessagePage, OrderPage, TicketView, TicketsPage, down, status},
};

impl StorefrontModule {
    pub(super) async fn order_page(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError> {
        match self.placed(cx, id).await {
            Known::There(order) => self.show_order(cx, order, StatusCode::OK, None).await,
            Known::Nowhere | Known::Over => no_such_order(),
            Known::Down => cannot_look(id),
        }
    }

    async fn show_order(
        &self,
        cx: &Cx,
        order: Order,
        status: StatusCode,
        alert: Option<String>,
    ) -> Result<WebPage, StorefrontError> {
        let moving = is_moving(&order);
        let goes_on = matches!(order.status, OrderStatus::Placed | OrderStatus::Confirmed);
        let page = OrderPage {
            frame: Frame::new(),
            show: self.facts(cx, order.show).await.there(),
            headline: headline(&order),
            steps: step_lines(&order),
            refusal: order
                .reason
                .as_ref()
                .filter(|_| order.status == OrderStatus::Refused)
                .map(refusal),
            again: again(&order),
            moving,
            cancellable: goes_on && !(moving && order.status == OrderStatus::Confirmed),
            total: order.total.map(money),
            alert,
            order,
        };
        pages::show(status, &page)
    }

    pub(super) async fn take_back(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError> {
        let (code, alert) = match self.shop.ordering.cancel(&acting(cx), id).await {
            Ok(_) => return Ok(WebPage::see_other(format!("/orders/{id}"))),
            Err(Failure::Module(OrderingError::NoSuchOrder { .. })) => return no_such_order(),
            Err(Failure::Module(OrderingError::NotCancellable { .. })) => (
                status(&StorefrontError::TooLate),
                "This order cannot be cancelled any more.",
            ),
            Err(failure) => {
                tracing::debug!(%failure, "an order cannot be cancelled");
                let sentence = "Your order could not be cancelled at the moment. Try again shortly.";
                (status(&down()), sentence)
            }
        };
        match self.placed(cx, id).await {
            Known::There(order) => self.show_order(cx, order, code, Some(alert.to_owned())).await,
            Known::Nowhere | Known::Over => no_such_order(),
            Known::Down => cannot_look(id),
        }
    }

    pub(super) async fn tickets_page(&self, cx: &Cx, id: OrderId) -> Result<WebPage, StorefrontError> {
        let order = match self.placed(cx, id).await {
            Known::There(order) if !order.tickets.is_empty() => order,
            // There are none yet, or none any more: the order says why.
            Known::There(_) => return Ok(WebPage::see_other(format!("/orders/{id}"))),
            Known::Nowhere | Known::Over => return no_such_order(),
            Known::Down => return cannot_look(id),
        };
        let tickets = order.tickets.into_iter().map(|ticket| TicketView {
            code: Barcode::new(ticket.id.0.as_u128()),
            ticket,
        });
        let page = TicketsPage {
            frame: Frame::new(),
            order: id,
            show: self.facts(cx, order.show).await.there(),
            tickets: tickets.collect(),
        };
        pages::show(StatusCode::OK, &page)
    }
}

/// The order's show, with its seats chosen.
fn again(order: &Order) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(order.seats.iter().map(|seat| ("seat", seat.as_str())));
    format!("/shows/{}?{}", order.show, query.finish())
}

fn no_such_order() -> Result<WebPage, StorefrontError> {
    let page = MessagePage {
        frame: Frame::new(),
        title: "There is no such order",
        sentence: "The address is wrong, or this order was never placed.".to_owned(),
        go: ("/".to_owned(), "See what is on"),
    };
    pages::show(status(&StorefrontError::NoSuchPage), &page)
}

fn cannot_look(id: OrderId) -> Result<WebPage, StorefrontError> {
    let page = MessagePage {
        frame: Frame::new(),
        title: "Orders cannot be looked up at the moment",
        sentence: "What you ordered is safe, and goes on as soon as it can.".to_owned(),
        go: (format!("/orders/{id}"), "Try again"),
    };
    pages::show(status(&down()), &page)
}
