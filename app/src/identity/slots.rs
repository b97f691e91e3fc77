//! A cache of fixed size without locks: a direct-mapped table in which a newcomer takes the place of whoever has the
//! same slot. Reading allocates nothing.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use arc_swap::{ArcSwapOption, Guard};

/// How many entries there is room for; a power of two.
const SLOTS: usize = 1024;

pub(super) struct Slots<T> {
    slots: Box<[ArcSwapOption<T>]>,
    hasher: RandomState,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| ArcSwapOption::empty()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The hash of a key, seeded at random in each process, so that nobody outside can aim at a slot.
    pub(super) fn hash(&self, key: impl Hash) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Whatever is in the slot of this hash; the caller checks that it is what was looked for.
    pub(super) fn get(&self, hash: u64) -> Guard<Option<Arc<T>>> {
        self.slot(hash).load()
    }

    /// Puts an entry into the slot of this hash.
    pub(super) fn put(&self, hash: u64, entry: T) {
        self.slot(hash).store(Some(Arc::new(entry)));
    }

    fn slot(&self, hash: u64) -> &ArcSwapOption<T> {
        // The remainder is below SLOTS, which fits a usize.
        &self.slots[(hash % SLOTS as u64) as usize]
    }
}
