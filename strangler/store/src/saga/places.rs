//! How many sagas may be at a step at a time: whoever a slow step keeps waiting must not keep those waiting who have not come
//! to it yet.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use super::definition::Shape;

/// The places at one step.
pub(super) struct Places {
    pub(super) kind: String,
    pub(super) step: String,
    free: AtomicUsize,
    /// Somebody found none.
    wanted: AtomicBool,
    freed: Arc<Notify>,
}

/// A place at a step, until it is dropped.
pub(super) struct Place(Arc<Places>);

impl Places {
    /// Whether there is a free one. If not, it is told when there is.
    pub(super) fn any(&self) -> bool {
        self.free.load(SeqCst) > 0 || {
            // Looked at again: what was freed before this was written was not told.
            self.wanted.store(true, SeqCst);
            self.free.load(SeqCst) > 0
        }
    }

    /// A free one. If there is none, it is told when there is.
    pub(super) fn take(self: &Arc<Self>) -> Option<Place> {
        let less = |free: usize| free.checked_sub(1);
        while self.any() {
            if self.free.fetch_update(SeqCst, SeqCst, less).is_ok() {
                return Some(Place(self.clone()));
            }
        }
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.free.fetch_add(1, SeqCst);
        if self.0.wanted.swap(false, SeqCst) {
            self.0.freed.notify_one();
        }
    }
}

/// The places at all the steps that have a bound, for one worker.
pub(super) struct Bounds {
    /// By kind, then by the step's index.
    steps: BTreeMap<String, Vec<Option<Arc<Places>>>>,
    /// A place that was wanted is free.
    pub(super) freed: Arc<Notify>,
}

impl Bounds {
    pub(super) fn new(shapes: &BTreeMap<String, Arc<Shape>>) -> Self {
        let freed = Arc::new(Notify::new());
        let of = |shape: &Shape| {
            let bounded = shape.steps.iter().map(|step| {
                step.most.map(|most| {
                    Arc::new(Places {
                        kind: shape.name.clone(),
                        step: step.name.clone(),
                        free: AtomicUsize::new(most),
                        wanted: AtomicBool::default(),
                        freed: freed.clone(),
                    })
                })
            });
            bounded.collect()
        };
        Self {
            steps: shapes.iter().map(|(kind, shape)| (kind.clone(), of(shape))).collect(),
            freed,
        }
    }

    /// Those of this step; `None` when it has no bound.
    pub(super) fn at(&self, kind: &str, index: usize) -> Option<&Arc<Places>> {
        self.steps.get(kind)?.get(index)?.as_ref()
    }

    /// Those at which there is none left; it is told when there is.
    pub(super) fn full(&self) -> impl Iterator<Item = &Arc<Places>> {
        self.steps.values().flatten().flatten().filter(|places| !places.any())
    }

    /// A place at this step for who has `place` already, perhaps of another step. `Ok(None)` when none is needed.
    ///
    /// # Errors
    /// The step whose places are all taken.
    pub(super) fn place(&self, kind: &str, index: usize, place: Option<Place>) -> Result<Option<Place>, Arc<Places>> {
        let Some(places) = self.at(kind, index) else {
            return Ok(None);
        };
        match place
            .filter(|place| Arc::ptr_eq(&place.0, places))
            .or_else(|| places.take())
        {
            Some(place) => Ok(Some(place)),
            None => Err(places.clone()),
        }
    }
}
