//! The checkout, and placing the order.

use http::StatusCode;
use ordering_contract::{Email, OrderDraft, OrderId, OrderingError, PaymentToken, ShowId};
use seating_contract::{Hold, HoldStatus};
use storefront_contract::{Purchase, StorefrontError};
use strangler::{Cx, Failure, WebPage};

use super::{
    StorefrontModule,
    ask::{Gone, Known, doing},
    show::{no_longer, no_such_show},
};
use crate::{
    assets::Frame,
    domain::{LocalTime, money},
    pages::{self, CARDS, CheckoutPage, Field, MessagePage, down, status},
};

impl StorefrontModule {
    pub(super) async fn checkout_page(&self, cx: &Cx, show: ShowId, id: OrderId) -> Result<WebPage, StorefrontError> {
        let hold = match self.held(cx, id).await {
            Known::There(hold) if hold.show != show => return no_such_show(),
            Known::There(hold) => hold,
            Known::Nowhere | Known::Over => return self.not_held(cx, id, Some(show)).await,
            Known::Down => return cannot_buy(format!("/shows/{show}/checkout/{id}")),
        };
        let form = Form {
            status: StatusCode::OK,
            email: Field::default(),
            card: Field {
                value: CARDS[0].token.to_owned(),
                mistake: None,
            },
            alert: None,
        };
        self.form(cx, id, hold, form).await
    }

    async fn form(&self, cx: &Cx, id: OrderId, hold: Hold, form: Form) -> Result<WebPage, StorefrontError> {
        let Some(end) = hold.expires_at.filter(|_| hold.status == HoldStatus::Held) else {
            // It is being bought, or was.
            return Ok(WebPage::see_other(format!("/orders/{id}")));
        };
        let show = match self.facts(cx, hold.show).await {
            Known::Over => return self.not_sold(cx, id, Gone::Cancelled).await,
            Known::There(show) if show.when.has_come(cx.now(&*self.clock)) => {
                return self.not_sold(cx, id, Gone::Begun).await;
            }
            known => known.there(),
        };
        let page = CheckoutPage {
            frame: Frame::new(),
            id,
            show_id: hold.show,
            seats: hold.seats,
            total: money(hold.total),
            until: LocalTime::new(end, show.as_ref().map(|show| show.when.zone())),
            minutes: (end.utc() - cx.now(&*self.clock)).num_minutes().max(0) + 1,
            show,
            email: form.email,
            card: form.card,
            alert: form.alert,
        };
        pages::show(form.status, &page)
    }

    /// Nothing is sold for the show any more; an order that was placed before is another matter.
    async fn not_sold(&self, cx: &Cx, id: OrderId, gone: Gone) -> Result<WebPage, StorefrontError> {
        match self.placed(cx, id).await {
            Known::There(_) => Ok(WebPage::see_other(format!("/orders/{id}"))),
            Known::Nowhere => no_longer(gone, true),
            Known::Over | Known::Down => no_longer(gone, false),
        }
    }

    /// There is no hold of this order's: it was placed and has ended, or the time ran out.
    async fn not_held(&self, cx: &Cx, id: OrderId, show: Option<ShowId>) -> Result<WebPage, StorefrontError> {
        match self.placed(cx, id).await {
            Known::There(_) => return Ok(WebPage::see_other(format!("/orders/{id}"))),
            Known::Down => return cannot_buy(format!("/orders/{id}")),
            Known::Nowhere | Known::Over => {}
        }
        if let Some(show) = show
            && let Some(gone) = self.gone(cx, show).await
        {
            return no_longer(gone, true);
        }
        let go = match show {
            Some(show) => (format!("/shows/{show}"), "Choose seats again"),
            None => ("/".to_owned(), "See what is on"),
        };
        let page = MessagePage {
            frame: Frame::new(),
            title: "Your seats are not held any more",
            sentence: "Seats are held for ten minutes. Nothing was bought and nothing is owed.".to_owned(),
            go,
        };
        pages::show(status(&StorefrontError::Over), &page)
    }

    pub(super) async fn place(&self, cx: &Cx, id: OrderId, purchase: Purchase) -> Result<WebPage, StorefrontError> {
        let hold = match self.held(cx, id).await {
            Known::There(hold) => hold,
            Known::Nowhere | Known::Over => return self.not_held(cx, id, purchase.show.parse().ok()).await,
            Known::Down => {
                let show = purchase.show.parse::<ShowId>();
                let checkout = show.map(|show| format!("/shows/{show}/checkout/{id}"));
                return cannot_buy(checkout.unwrap_or_else(|_| format!("/orders/{id}")));
            }
        };
        if let Some(gone) = self.gone(cx, hold.show).await {
            return self.not_sold(cx, id, gone).await;
        }
        let typed = purchase.email.trim().to_owned();
        let email = Email::try_from(typed.clone());
        let card = CARDS.iter().find(|card| card.token == purchase.card);
        let token = card.and_then(|card| PaymentToken::try_from(card.token.to_owned()).ok());
        let mut form = Form {
            status: status(&StorefrontError::Mistake),
            email: Field {
                mistake: email.is_err().then(|| match typed.is_empty() {
                    true => "Write your mail address: your tickets are sent there.".to_owned(),
                    false => "This is not a mail address. Write one such as ada@example.org.".to_owned(),
                }),
                value: typed,
            },
            card: Field {
                mistake: token.is_none().then(|| "Choose one of the test cards.".to_owned()),
                value: purchase.card,
            },
            alert: None,
        };
        let (Ok(email), Some(token)) = (email, token) else {
            return self.form(cx, id, hold, form).await;
        };
        let draft = OrderDraft::new(hold.show, hold.seats.clone(), email, token);
        let Ok(draft) = draft else {
            return self.not_held(cx, id, Some(hold.show)).await;
        };
        match self.shop.ordering.place(&doing(cx), id, draft).await {
            // Of another mail address or card, it is the one that was placed first.
            Ok(_) | Err(Failure::Module(OrderingError::OtherOrder { .. })) => {
                let page = WebPage::see_other(format!("/orders/{id}"));
                Ok(page.with_cookie("basket", "", Some(0)))
            }
            Err(failure) => {
                tracing::debug!(%failure, "an order cannot be placed");
                form.status = status(&down());
                form.alert = Some(
                    "Your order could not be placed at the moment. Send it again in a moment: it is never placed twice, and \
                     your seats are held meanwhile."
                        .to_owned(),
                );
                self.form(cx, id, hold, form).await
            }
        }
    }
}

/// The form as it is shown.
struct Form {
    status: StatusCode,
    email: Field,
    card: Field,
    alert: Option<String>,
}

/// Nobody can say at the moment what is held.
fn cannot_buy(again: String) -> Result<WebPage, StorefrontError> {
    let page = MessagePage {
        frame: Frame::new(),
        title: "Nothing can be bought at the moment",
        sentence:
            "We cannot look up your seats. If you just sent your order, send it again in a moment by loading this page \
                   anew: it is never placed twice."
                .to_owned(),
        go: (again, "Try again"),
    };
    pages::show(status(&down()), &page)
}
