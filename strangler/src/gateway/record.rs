//! Commands from outside, recorded on their way so that they can be done again on the other side.

use http::header::CONTENT_TYPE;

use super::Call;
use crate::{
    body::Outgoing,
    switch::Switch,
    wire::{ANSWER, Answered, Ask},
};

impl Call<'_> {
    /// A command that the monolith answers, recorded so that the service can do it again.
    pub(super) async fn record(&self, switch: &Switch, body: Outgoing) -> Answered {
        let Some(taping) = switch.record(self.index) else {
            return self.local(self.cx, body).await;
        };
        let body = match self.collect(self.cx, body).await {
            Ok(body) => body,
            Err(fault) => {
                // It never began.
                taping.forget();
                return fault.into();
            }
        };
        let answer = self.local(&taping.cx(self.cx), Outgoing::Full(body.clone())).await;
        let (index, seen, target) = (self.index, answer.clone(), self.target());
        let headers = self.parts.headers.iter();
        let named =
            headers.filter(|(name, _)| **name == CONTENT_TYPE || self.operation().headers.contains(&name.as_str()));
        let headers = named.map(|(name, value)| (name.clone(), value.clone())).collect();
        taping.answered(self.cx, self.contract(), move || {
            let ask = Ask {
                index,
                target,
                headers,
                body,
                most: ANSWER,
            };
            (Ok(ask), seen)
        });
        answer
    }
}
