//! Commands from outside, recorded on their way so that they can be done again on the other side.

use http::header::CONTENT_TYPE;

use super::Call;
use crate::{
    body::Outgoing,
    tape::{Subject, Wants},
    wire::{ANSWER, Answered, Ask},
};

impl Call<'_> {
    /// A command that is carried out here, recorded so that the other side can do it again.
    pub(super) async fn record(&self, wants: &dyn Wants, body: Outgoing) -> Answered {
        let Some(taping) = wants.begin(Subject::Command(self.index)) else {
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
