//! The catalog's desk: load, decide, save, emit.

use catalog_contract::{
    Act, ActDraft, ActId, Cancelled, CatalogError, CatalogEvent, CatalogService, Show, ShowDraft, ShowFilter, ShowId,
    Venue, VenueDraft, VenueId,
};
use kernel::Page;
use strangler::{Cx, Done, Event, IfMatch, Put};
use strangler_store::{Aggregate, Db, StoreError, Uow};

use crate::{
    domain::{ActState, Decision, ShowState, VenueState},
    store::ShowsInWindow,
};

/// The catalog over its own schema.
#[derive(Clone)]
pub struct CatalogModule {
    db: Db,
}

impl CatalogModule {
    /// The catalog whose data `db` is.
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

/// What the database said is for the log; the caller learns what it means for them.
fn unavailable(error: StoreError) -> CatalogError {
    tracing::error!(%error, "the catalog's store");
    CatalogError::Unavailable {
        cause: error.outward().to_owned(),
    }
}

/// Leaves what a PUT came to in the unit of work and answers it.
async fn settle<S: Aggregate, T>(
    mut uow: Uow,
    decision: Decision<S>,
    value: impl Fn(S) -> T,
    created: impl Fn(S) -> CatalogEvent,
    changed: impl Fn(S) -> CatalogEvent,
) -> Result<Put<T>, CatalogError> {
    let (state, event, put): (S, CatalogEvent, fn(T) -> Put<T>) = match decision {
        Decision::Keep(state) => return Ok(Put::Kept(value(state))),
        Decision::Create(state) => (state.clone(), created(state), Put::Created),
        Decision::Change(state) => (state.clone(), changed(state), Put::Kept),
    };
    leave(&mut uow, &state, &event);
    uow.commit().await.map_err(unavailable)?;
    Ok(put(value(state)))
}

fn leave<S: Aggregate>(uow: &mut Uow, state: &S, event: &impl Event) {
    uow.save(state);
    uow.emit(state.id(), state.version(), event);
}

impl CatalogService for CatalogModule {
    async fn act(&self, cx: &Cx, id: ActId) -> Result<Act, CatalogError> {
        let found = self.db.view(cx).load::<ActState>(id.0).await.map_err(unavailable)?;
        found.map(|s| s.0).ok_or(CatalogError::NoSuchAct { id })
    }

    async fn announce_act(
        &self,
        cx: &Cx,
        id: ActId,
        expected: Option<IfMatch>,
        draft: ActDraft,
    ) -> Result<Put<Act>, CatalogError> {
        let mut uow = self.db.begin(cx).await.map_err(unavailable)?;
        let there = uow.load::<ActState>(id.0).await.map_err(unavailable)?;
        let decision = ActState::put(there.as_ref(), expected.as_ref(), id, &draft)?;
        let (announced, changed) = (
            |s: ActState| CatalogEvent::ActAnnounced(s.0),
            |s: ActState| CatalogEvent::ActChanged(s.0),
        );
        settle(uow, decision, |s| s.0, announced, changed).await
    }

    async fn venue(&self, cx: &Cx, id: VenueId) -> Result<Venue, CatalogError> {
        let found = self.db.view(cx).load::<VenueState>(id.0).await.map_err(unavailable)?;
        found.map(|s| s.0).ok_or(CatalogError::NoSuchVenue { id })
    }

    async fn register_venue(
        &self,
        cx: &Cx,
        id: VenueId,
        expected: Option<IfMatch>,
        draft: VenueDraft,
    ) -> Result<Put<Venue>, CatalogError> {
        let mut uow = self.db.begin(cx).await.map_err(unavailable)?;
        let there = uow.load::<VenueState>(id.0).await.map_err(unavailable)?;
        let decision = VenueState::put(there.as_ref(), expected.as_ref(), id, &draft)?;
        let registered = |s: VenueState| CatalogEvent::VenueRegistered(s.0);
        settle(uow, decision, |s| s.0, registered, |s| CatalogEvent::VenueChanged(s.0)).await
    }

    async fn shows(&self, cx: &Cx, filter: ShowFilter) -> Result<Page<Show>, CatalogError> {
        self.db.view(cx).find(ShowsInWindow(filter)).await.map_err(unavailable)
    }

    async fn show(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError> {
        match self.db.view(cx).load::<ShowState>(id.0).await.map_err(unavailable)? {
            None => Err(CatalogError::NoSuchShow { id }),
            Some(state) if state.cancelled => Err(CatalogError::ShowCancelled { id }),
            Some(state) => Ok(state.show),
        }
    }

    async fn announce(
        &self,
        cx: &Cx,
        id: ShowId,
        expected: Option<IfMatch>,
        draft: ShowDraft,
    ) -> Result<Put<Show>, CatalogError> {
        let mut uow = self.db.begin(cx).await.map_err(unavailable)?;
        let there = uow.load::<ShowState>(id.0).await.map_err(unavailable)?;
        let decision = ShowState::put(there.as_ref(), expected.as_ref(), id, &draft)?;
        // What is there already was possible when it was announced; its venue may have been rebuilt since.
        if !matches!(decision, Decision::Keep(_)) {
            let (act, venue) = (draft.act(), draft.venue());
            let performer = uow.peek::<ActState>(act.0).await.map_err(unavailable)?;
            performer.ok_or(CatalogError::UnknownAct { act })?;
            let house = uow.peek::<VenueState>(venue.0).await.map_err(unavailable)?;
            ShowState::fits(&draft, &house.ok_or(CatalogError::UnknownVenue { venue })?)?;
        }
        let announced = |s: ShowState| CatalogEvent::ShowAnnounced(s.show);
        settle(
            uow,
            decision,
            |s| s.show,
            announced,
            |s| CatalogEvent::ShowChanged(s.show),
        )
        .await
    }

    async fn cancel(&self, cx: &Cx, id: ShowId, expected: Option<IfMatch>) -> Result<Done, CatalogError> {
        let mut uow = self.db.begin(cx).await.map_err(unavailable)?;
        let there = uow.load::<ShowState>(id.0).await.map_err(unavailable)?;
        let there = there.ok_or(CatalogError::NoSuchShow { id })?;
        if let Some(cancelled) = there.cancel(expected.as_ref())? {
            let event = CatalogEvent::ShowCancelled(Cancelled {
                id,
                version: cancelled.show.version,
            });
            leave(&mut uow, &cancelled, &event);
            uow.commit().await.map_err(unavailable)?;
        }
        Ok(Done)
    }
}
