//! The catalog's aggregates and the rules by which they change.

use catalog_contract::{Act, ActDraft, ActId, CatalogError, Show, ShowDraft, ShowId, Venue, VenueDraft, VenueId};
use serde::{Deserialize, Serialize};
use strangler::IfMatch;

/// An act as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ActState(pub(crate) Act);

/// A venue as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VenueState(pub(crate) Venue);

/// A show as it is kept. A cancelled one stays, as the tombstone of its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShowState {
    pub(crate) show: Show,
    pub(crate) cancelled: bool,
}

/// What a PUT comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision<T> {
    /// It was not there.
    Create(T),
    /// It is there and differs.
    Change(T),
    /// It is there, just so.
    Keep(T),
}

/// Whether a change is what the caller expects to change. `version` is `None` when nothing is there.
fn expect(expected: Option<&IfMatch>, version: Option<i64>) -> Result<(), CatalogError> {
    if expected.is_none_or(|e| e.allows(version)) {
        Ok(())
    } else {
        Err(CatalogError::OtherVersion)
    }
}

/// Compares `next`, made for this version, with what is there.
fn decide<T: PartialEq + Clone>(
    current: Option<(i64, &T)>,
    expected: Option<&IfMatch>,
    next: impl Fn(i64) -> T,
) -> Result<Decision<T>, CatalogError> {
    expect(expected, current.map(|(version, _)| version))?;
    Ok(match current {
        None => Decision::Create(next(1)),
        Some((version, there)) if *there == next(version) => Decision::Keep(there.clone()),
        Some((version, _)) => Decision::Change(next(version + 1)),
    })
}

impl ActState {
    pub(crate) fn put(
        current: Option<&Self>,
        expected: Option<&IfMatch>,
        id: ActId,
        draft: &ActDraft,
    ) -> Result<Decision<Self>, CatalogError> {
        decide(current.map(|c| (c.0.version, c)), expected, |version| {
            let ActDraft { name, genre } = draft.clone();
            Self(Act {
                id,
                version,
                name,
                genre,
            })
        })
    }
}

impl VenueState {
    pub(crate) fn put(
        current: Option<&Self>,
        expected: Option<&IfMatch>,
        id: VenueId,
        draft: &VenueDraft,
    ) -> Result<Decision<Self>, CatalogError> {
        decide(current.map(|c| (c.0.version, c)), expected, |version| {
            Self(Venue {
                id,
                version,
                name: draft.name().clone(),
                city: draft.city().clone(),
                time_zone: draft.time_zone().clone(),
                sections: draft.sections().to_vec(),
            })
        })
    }
}

impl ShowState {
    pub(crate) fn put(
        current: Option<&Self>,
        expected: Option<&IfMatch>,
        id: ShowId,
        draft: &ShowDraft,
    ) -> Result<Decision<Self>, CatalogError> {
        if current.is_some_and(|c| c.cancelled) {
            return Err(CatalogError::ShowCancelled { id });
        }
        decide(current.map(|c| (c.show.version, c)), expected, |version| Self {
            show: Show {
                id,
                version,
                act: draft.act(),
                venue: draft.venue(),
                starts_at: draft.starts_at(),
                prices: draft.prices().to_vec(),
            },
            cancelled: false,
        })
    }

    /// Whether every price is for a section that the venue has.
    pub(crate) fn fits(draft: &ShowDraft, venue: &VenueState) -> Result<(), CatalogError> {
        let has = |section| venue.0.sections.iter().any(|s| s.name() == section);
        match draft.prices().iter().find(|p| !has(&p.section)) {
            None => Ok(()),
            Some(price) => Err(CatalogError::UnknownSection {
                section: price.section.to_string(),
            }),
        }
    }

    /// The show after it was cancelled; `None` when it is already.
    pub(crate) fn cancel(&self, expected: Option<&IfMatch>) -> Result<Option<Self>, CatalogError> {
        if self.cancelled {
            return Ok(None);
        }
        expect(expected, Some(self.show.version))?;
        let mut show = self.show.clone();
        show.version += 1;
        Ok(Some(Self { show, cancelled: true }))
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Money, Uuid};
    use serde_json::json;

    use super::*;

    fn draft(section: &str, amount: i64) -> ShowDraft {
        let price: Money = serde_json::from_value(json!({"amount": amount, "currency": "EUR"})).expect("money");
        let body = json!({
            "act": Uuid::from_u128(1), "venue": Uuid::from_u128(2), "starts_at": "2027-05-01T19:30:00Z",
            "prices": [{"section": section, "price": price}],
        });
        serde_json::from_value(body).expect("draft")
    }

    fn put(
        current: Option<&ShowState>,
        expected: Option<&str>,
        draft: &ShowDraft,
    ) -> Result<Decision<ShowState>, CatalogError> {
        let expected = expected.map(|e| e.parse().expect("never fails"));
        ShowState::put(current, expected.as_ref(), ShowId(Uuid::from_u128(3)), draft)
    }

    #[test]
    fn the_same_put_twice_is_one_version() {
        let Ok(Decision::Create(first)) = put(None, None, &draft("Stalls", 1)) else {
            panic!("created")
        };
        assert_eq!(
            put(Some(&first), None, &draft("Stalls", 1)),
            Ok(Decision::Keep(first.clone()))
        );
        let Ok(Decision::Change(second)) = put(Some(&first), Some("\"1\""), &draft("Stalls", 2)) else {
            panic!("changed")
        };
        assert_eq!((first.show.version, second.show.version), (1, 2));
        assert_eq!(
            put(Some(&second), Some("\"1\""), &draft("Stalls", 3)),
            Err(CatalogError::OtherVersion)
        );
        assert_eq!(
            put(None, Some("*"), &draft("Stalls", 3)),
            Err(CatalogError::OtherVersion)
        );
    }

    #[test]
    fn a_cancelled_show_stays_cancelled() {
        let Ok(Decision::Create(show)) = put(None, None, &draft("Stalls", 1)) else {
            panic!("created")
        };
        assert_eq!(
            show.cancel(Some(&IfMatch::Versions(vec![9]))),
            Err(CatalogError::OtherVersion)
        );
        let gone = show.cancel(None).expect("allowed").expect("a change");
        assert_eq!((gone.show.version, gone.cancelled), (2, true));
        assert_eq!(gone.cancel(None), Ok(None));
        assert!(matches!(
            put(Some(&gone), None, &draft("Stalls", 1)),
            Err(CatalogError::ShowCancelled { .. })
        ));
    }
}
