//! Deciding about dead letters: audited first, and done to its end.

use std::{collections::BTreeMap, sync::Arc};

use strangler::{
    Cx, Principal,
    routes::{Refusal, check_reason},
};
use strangler_store::{LetterFilter, LetterId, LetterState};

use super::{
    super::{ChosenLetters, Control, text::searchable, to_its_end},
    Decided, LetterLine, scope, stored,
};

/// The most letters that are decided about at once.
const AT_ONCE: u64 = 10_000;

/// What can be decided.
#[derive(Clone, Copy)]
enum Decision {
    Retry,
    Discard,
    Restore,
}

impl Decision {
    fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Discard => "discarded",
            Self::Restore => "restored",
        }
    }

    /// What is decided about.
    fn of(self) -> LetterState {
        match self {
            Self::Retry | Self::Discard => LetterState::Parked,
            Self::Restore => LetterState::Discarded,
        }
    }
}

impl Control {
    /// Has letters handled again, each with all its attempts; what waits behind it follows. Audited first, and done to its
    /// end even when whoever asked goes away.
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn retry_letters(self: &Arc<Self>, asked: &ChosenLetters, by: &Principal) -> Result<Decided, Refusal> {
        self.decide(asked, by, Decision::Retry).await
    }

    /// Gives letters up; what waits behind each follows without it. They are kept for a while, and can be
    /// [restored](Self::restore_letters). Otherwise as [`retry_letters`](Self::retry_letters).
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn discard_letters(self: &Arc<Self>, asked: &ChosenLetters, by: &Principal) -> Result<Decided, Refusal> {
        self.decide(asked, by, Decision::Discard).await
    }

    /// Has discarded letters wait for a decision again. What of their subjects was handled meanwhile stays handled; what was
    /// not waits behind them. Otherwise as [`retry_letters`](Self::retry_letters).
    ///
    /// # Errors
    /// As [`Refusal`] says.
    pub async fn restore_letters(self: &Arc<Self>, asked: &ChosenLetters, by: &Principal) -> Result<Decided, Refusal> {
        self.decide(asked, by, Decision::Restore).await
    }

    async fn decide(
        self: &Arc<Self>,
        asked: &ChosenLetters,
        by: &Principal,
        decision: Decision,
    ) -> Result<Decided, Refusal> {
        check_reason(asked.why.as_deref())?;
        let (control, asked, by) = (self.clone(), asked.clone(), by.clone());
        to_its_end(async move {
            // What is found to be decided is still so when it is written down and done.
            let _deciding = control.deciding.lock().await;
            let (chosen, more) = control.choose(&asked, decision).await?;
            let cx = Cx::system(by.subject.as_deref().unwrap_or("unknown"));
            let from = decision.of().as_str();
            let mut done = 0;
            for (module, ids) in chosen {
                for (subscription, ids) in by_subscription(ids) {
                    let (target, from) = match &ids[..] {
                        [one] => (
                            format!("dead-letter {module}/{subscription}/{}", one.position),
                            from.to_owned(),
                        ),
                        many => (
                            format!("dead-letters {module}/{subscription}"),
                            format!("{} {from}", many.len()),
                        ),
                    };
                    control
                        .audit(&by, target, (from, decision.done()), asked.why.clone())
                        .await?;
                    let letters = control.schema(&module).map_err(Refusal::Wrong)?.dead_letters();
                    let resolved = match decision {
                        Decision::Retry => letters.retry(&cx, &ids).await,
                        Decision::Discard => letters.discard(&cx, &ids).await,
                        Decision::Restore => letters.restore(&cx, &ids).await,
                    };
                    done += resolved.map_err(stored)?;
                }
            }
            Ok(Decided { done, more })
        })
        .await
    }

    /// The letters that are meant, by schema, and whether there are more.
    async fn choose(
        &self,
        asked: &ChosenLetters,
        decision: Decision,
    ) -> Result<(BTreeMap<String, Vec<LetterId>>, bool), Refusal> {
        if !asked.is_one_choice() {
            let why = "say which dead letters: their ids, or those of a module or subscription, or all of them; the latter \
                       two may be narrowed by subject, event, since and until";
            return Err(Refusal::Wrong(why.to_owned()));
        }
        let state = decision.of();
        let mut chosen = BTreeMap::<String, Vec<LetterId>>::new();
        if !asked.ids.is_empty() {
            for text in &asked.ids {
                let (module, id) = self.named(text, state).await?;
                let ids = chosen.entry(module).or_default();
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            return Ok((chosen, false));
        }
        searchable("event", asked.event.as_deref()).map_err(Refusal::Wrong)?;
        let (schemas, subscription) = scope(self, asked.of.as_deref()).map_err(Refusal::Wrong)?;
        let filter = LetterFilter {
            state,
            subscription: subscription.map(str::to_owned),
            subject: asked.subject,
            event_type: asked.event.clone(),
            since: asked.since,
            until: asked.until,
        };
        let mut left = AT_ONCE;
        let mut more = false;
        for db in schemas {
            let mut ids = db.dead_letters().ids(&filter, left + 1).await.map_err(stored)?;
            more |= ids.len() as u64 > left;
            ids.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= ids.len() as u64;
            if !ids.is_empty() {
                chosen.insert(db.schema().to_owned(), ids);
            }
        }
        if chosen.is_empty() {
            let of = asked.of.as_ref().map_or_else(String::new, |of| format!(" of {of}"));
            let such = match state {
                LetterState::Parked => "dead letters",
                _ => "discarded dead letters",
            };
            return Err(Refusal::Refused(format!(
                "there are no {such}{of} that this applies to; `banyan status` shows what waits where"
            )));
        }
        Ok((chosen, more))
    }

    /// A letter by its name, if it is in this state.
    async fn named(&self, text: &str, state: LetterState) -> Result<(String, LetterId), Refusal> {
        let Some(letter) = self.dead_letter(text).await? else {
            return Err(Refusal::Wrong(format!(
                "there is no dead letter {text}; `banyan dead-letters list` shows those there are"
            )));
        };
        if letter.line.state != state.as_str() {
            let by = letter.resolved_by.as_deref().unwrap_or("somebody");
            let is = match letter.line.state.as_str() {
                "parked" => "is parked, and only a discarded one is restored".to_owned(),
                decided => format!("was {decided} by {by} already"),
            };
            return Err(Refusal::Refused(format!(
                "{text} {is}; `banyan dead-letters show {text}` says when"
            )));
        }
        let LetterLine {
            module,
            subscription,
            position,
            ..
        } = letter.line;
        Ok((module, LetterId { subscription, position }))
    }
}

fn by_subscription(ids: Vec<LetterId>) -> BTreeMap<String, Vec<LetterId>> {
    let mut all = BTreeMap::<String, Vec<LetterId>>::new();
    for id in ids {
        all.entry(id.subscription.clone()).or_default().push(id);
    }
    all
}
