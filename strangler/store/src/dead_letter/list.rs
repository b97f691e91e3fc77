//! Lists of dead letters: which are meant, in pages, and what waits behind each.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, Condition, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::{
    DeadLetter, DeadLetters, LetterId, Resolved,
    entity::{dead_letters, set_aside},
};
use crate::{After, Envelope, MOST_COUNTED, Same, StoreError, view::Reader};

/// What has become of a dead letter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LetterState {
    /// Nothing yet: it waits for a decision.
    #[default]
    Parked,
    /// It was handled again, or is about to be.
    Retried,
    /// It was given up; it can be restored as long as it is kept.
    Discarded,
}

impl LetterState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Parked, Self::Retried, Self::Discarded];

    /// Its name: `parked`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Retried => "retried",
            Self::Discarded => "discarded",
        }
    }
}

/// Which dead letters of a schema are meant: those to which all of this applies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LetterFilter {
    /// What has become of them.
    pub state: LetterState,
    /// Of this subscription; `queue:` and the name of a queue for a queue's.
    pub subscription: Option<String>,
    /// Of this subject.
    pub subject: Option<Uuid>,
    /// Of this type of event.
    pub event_type: Option<String>,
    /// Parked at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Parked at this time or earlier. As a letter that is parked again has a later time, this also says which letters were
    /// there at one moment and have stayed.
    pub until: Option<DateTime<Utc>>,
}

/// What waits behind a dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct Behind {
    /// Its position in its log.
    pub position: i64,
    /// What happened.
    pub event_type: Option<String>,
    /// Since when it has waited.
    pub aside_at: DateTime<Utc>,
}

impl DeadLetters {
    /// Those that are meant, the one that was parked first first, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn page(
        &self,
        filter: &LetterFilter,
        after: Option<&After<LetterId>>,
        limit: u64,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = ordered(filter)
            .filter(Condition::all().add_option(after.map(beyond)))
            .limit(limit)
            .all(&Reader { db: &self.db })
            .await
            .map_err(|e| self.failed(&e))?;
        self.letters(rows).await
    }

    /// How many are meant, counted up to `most`.
    ///
    /// # Errors
    /// The database's.
    pub async fn count(&self, filter: &LetterFilter, most: u64) -> Result<u64, StoreError> {
        let ids = meant(filter)
            .select_only()
            .column(dead_letters::Column::Position)
            .limit(most);
        let count = ids.count(&Reader { db: &self.db }).await;
        count.map_err(|e| self.failed(&e))
    }

    /// The names of those that are meant, the one that was parked first first: without what is in them.
    ///
    /// # Errors
    /// The database's.
    pub async fn ids(&self, filter: &LetterFilter, limit: u64) -> Result<Vec<LetterId>, StoreError> {
        let rows = ordered(filter)
            .select_only()
            .columns([dead_letters::Column::Subscription, dead_letters::Column::Position])
            .limit(limit)
            .into_tuple::<(String, i64)>()
            .all(&Reader { db: &self.db })
            .await
            .map_err(|e| self.failed(&e))?;
        let id = |(subscription, position)| LetterId { subscription, position };
        Ok(rows.into_iter().map(id).collect())
    }

    /// What waits behind this one, in order, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn behind(&self, letter: &DeadLetter, limit: u64) -> Result<Vec<Behind>, StoreError> {
        let rows = set_aside::Entity::find()
            .filter(set_aside::Column::Subscription.eq(&letter.id.subscription))
            .filter(set_aside::Column::Subject.eq(letter.subject))
            .filter(set_aside::Column::Position.gt(letter.id.position))
            .order_by_asc(set_aside::Column::Position)
            .limit(limit)
            .all(&Reader { db: &self.db })
            .await
            .map_err(|e| self.failed(&e))?;
        let behind = |row: set_aside::Model| Behind {
            position: row.position,
            event_type: row.event["type"].as_str().map(str::to_owned),
            aside_at: row.aside_at,
        };
        Ok(rows.into_iter().map(behind).collect())
    }

    /// These rows as letters, with how much waits behind each: one more statement for all of them.
    pub(super) async fn letters(&self, rows: Vec<dead_letters::Model>) -> Result<Vec<DeadLetter>, StoreError> {
        let waiting = self.waiting(&rows).await.map_err(|e| self.failed(&e))?;
        let behind = |row: &dead_letters::Model| {
            let all = waiting.get(&(row.subscription.clone(), row.subject));
            all.map_or(0, |all| {
                all.iter().filter(|&&position| position > row.position).count() as u64
            })
        };
        let letter = |row: dead_letters::Model| DeadLetter {
            waiting: behind(&row),
            id: LetterId {
                subscription: row.subscription,
                position: row.position,
            },
            subject: row.subject,
            event: serde_json::from_value::<Envelope>(row.event).ok(),
            error: row.error,
            tried: row.tried,
            parked_at: row.parked_at,
            resolved: row.resolved_at.map(|at| Resolved {
                how: row.resolution.unwrap_or_default(),
                by: row.resolved_by,
                at,
            }),
        };
        Ok(rows.into_iter().map(letter).collect())
    }

    /// The positions that are set aside of the subjects of these rows; at most [`MOST_COUNTED`].
    async fn waiting(&self, rows: &[dead_letters::Model]) -> Result<HashMap<(String, Uuid), Vec<i64>>, DbErr> {
        let mut found = HashMap::<_, Vec<i64>>::new();
        if rows.is_empty() {
            return Ok(found);
        }
        use set_aside::Column as C;
        let aside = set_aside::Entity::find()
            .select_only()
            .columns([C::Subscription, C::Subject, C::Position])
            .filter(C::Subscription.is_in(rows.iter().map(|row| row.subscription.as_str())))
            .filter(C::Subject.is_in(rows.iter().map(|row| row.subject)))
            .limit(MOST_COUNTED)
            .into_tuple::<(String, Uuid, i64)>()
            .all(&Reader { db: &self.db })
            .await?;
        for (subscription, subject, position) in aside {
            found.entry((subscription, subject)).or_default().push(position);
        }
        Ok(found)
    }
}

fn meant(filter: &LetterFilter) -> Select<dead_letters::Entity> {
    use dead_letters::Column as C;
    let state = match filter.state {
        LetterState::Parked => C::ResolvedAt.is_null(),
        decided => C::Resolution.eq(decided.as_str()),
    };
    let all = Condition::all()
        .add(state)
        .add_option(filter.subscription.as_ref().map(|name| C::Subscription.eq(name)))
        .add_option(filter.subject.map(|subject| C::Subject.eq(subject)))
        .add_option(filter.event_type.as_deref().map(of_type))
        .add_option(filter.since.map(|at| C::ParkedAt.gte(at)))
        .add_option(filter.until.map(|at| C::ParkedAt.lte(at)));
    dead_letters::Entity::find().filter(all)
}

fn ordered(filter: &LetterFilter) -> Select<dead_letters::Entity> {
    meant(filter)
        .order_by_asc(dead_letters::Column::ParkedAt)
        .order_by_asc(dead_letters::Column::Subscription)
        .order_by_asc(dead_letters::Column::Position)
}

/// Both databases read a field of JSON in this way.
fn of_type(event_type: &str) -> sea_orm::sea_query::SimpleExpr {
    use sea_orm::sea_query::{Expr, ExprTrait};
    Expr::cust(r#""dead_letters"."event"->>'type'"#).eq(event_type)
}

fn beyond(after: &After<LetterId>) -> Condition {
    use dead_letters::Column as C;
    let later = Condition::any().add(C::ParkedAt.gt(after.at));
    match &after.same {
        Same::None => later,
        Same::All => later.add(C::ParkedAt.eq(after.at)),
        Same::Beyond(LetterId { subscription, position }) => later.add(
            Condition::all().add(C::ParkedAt.eq(after.at)).add(
                Condition::any().add(C::Subscription.gt(subscription)).add(
                    Condition::all()
                        .add(C::Subscription.eq(subscription))
                        .add(C::Position.gt(*position)),
                ),
            ),
        ),
    }
}
