//! What the gateway hands to the parallel run: a call that was answered here, or a copy of what passes through.

use bytes::Bytes;
use http::{
    HeaderMap, Response,
    header::{CONTENT_TYPE, IF_NONE_MATCH},
};
use hyper::body::{Body as _, Incoming};

use super::Call;
use crate::{
    body::Tee,
    parallel::{Offer, Skip},
    wire::{Answered, Ask},
};

impl Call<'_> {
    /// Hands over what was answered.
    pub(super) fn compare(&self, offer: Offer, answer: &Answered, limit: usize) {
        if answer.body.len() > limit {
            return offer.skip(Skip::TooLarge);
        }
        let (ask, seen) = (self.ask(limit), answer.clone());
        offer.fill(self.cx, move || (Ok(ask), seen));
    }

    /// Keeps a copy of a service's answer on its way through; `None`, counted, when it is too large for that.
    pub(super) fn tee(&self, offer: Offer, answer: &Response<Incoming>, limit: usize) -> Option<Tee> {
        let length = answer.body().size_hint().lower();
        if length > limit as u64 {
            offer.skip(Skip::TooLarge);
            return None;
        }
        let mut headers = HeaderMap::new();
        headers.extend(answer.headers().get(CONTENT_TYPE).map(|v| (CONTENT_TYPE, v.clone())));
        Some(Tee {
            offer: Some(offer),
            cx: self.cx.clone(),
            ask: self.ask(limit),
            status: answer.status(),
            headers,
            kept: Vec::with_capacity(length as usize),
        })
    }

    /// What the other side is to be asked.
    fn ask(&self, most: usize) -> Ask {
        let target = self.parts.uri.path_and_query();
        // Conditional requests are compared as they were asked, or 304 would be held against 200.
        let condition = self.parts.headers.get(IF_NONE_MATCH);
        Ask {
            index: self.index,
            target: target.map_or_else(String::new, |t| t.as_str().to_owned()),
            headers: condition.map(|v| (IF_NONE_MATCH, v.clone())).into_iter().collect(),
            body: Bytes::new(),
            most,
        }
    }
}
