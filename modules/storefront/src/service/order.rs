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
        let facts = self.facts(cx, order.show).await;
        let show_cancelled = matches!(facts, Known::Over);
        let show = facts.there();
        let begun = show
            .as_ref()
            .is_some_and(|show| show.when.has_come(cx.now(&*self.clock)));
        let gone = show_cancelled || begun;
        let page = OrderPage {
            frame: Frame::new(),
            show,
            show_cancelled,
            headline: headline(&order, show_cancelled),
            steps: step_lines(&order),
            refusal: order
                .reason
                .as_ref()
                .filter(|_| order.status == OrderStatus::Refused)
                .map(refusal)
                .map(|(why, advice)| (why, if gone { "Choose another show." } else { advice })),
            again: match gone {
                true => ("/".to_owned(), "See what is on"),
                false => (again(&order), "Back to the seats"),
            },
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
        let show = match self.facts(cx, order.show).await {
            Known::Over => return not_good(id),
            known => known.there(),
        };
        let tickets = order.tickets.into_iter().map(|ticket| TicketView {
            code: Barcode::new(ticket.id.0.as_u128()),
            ticket,
        });
        let page = TicketsPage {
            frame: Frame::new(),
            order: id,
            show,
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

/// The tickets of a show that was cancelled: nobody is to print them, or to stand at a closed door.
fn not_good(id: OrderId) -> Result<WebPage, StorefrontError> {
    let page = MessagePage {
        frame: Frame::new(),
        title: "This show was cancelled",
        sentence:
            "It does not take place, and these tickets are not good any more. Your order can be cancelled to have your \
                   money given back."
                .to_owned(),
        go: (format!("/orders/{id}"), "Go to the order"),
    };
    pages::show(status(&StorefrontError::Over), &page)
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
