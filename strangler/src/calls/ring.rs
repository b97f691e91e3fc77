//! The last so many of something, written by many at once.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The last values that were put into it. Its memory is taken once.
pub(super) struct Ring<T> {
    slots: Box<[Mutex<Option<T>>]>,
    next: AtomicU64,
    missed: AtomicU64,
}

impl<T: Copy> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            slots: (0..capacity).map(|_| Mutex::new(None)).collect(),
            next: AtomicU64::new(0),
            missed: AtomicU64::new(0),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// How many values were left out because their slot was being read.
    pub(super) fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }

    /// Takes the place of the oldest value. Waits for nobody: writers each have a slot of their own, and where a reader is
    /// just copying it, the value is left out and counted.
    pub(super) fn put(&self, value: T) {
        let Some(turn) = self.next.fetch_add(1, Relaxed).checked_rem(self.slots.len() as u64) else {
            return;
        };
        match self.slots[turn as usize].try_lock() {
            Ok(mut slot) => *slot = Some(value),
            Err(_) => _ = self.missed.fetch_add(1, Relaxed),
        }
    }

    /// Those of them that are wanted, in no order.
    pub(super) fn those(&self, which: impl Fn(&T) -> bool) -> Vec<T> {
        let copy = |slot: &Mutex<Option<T>>| *slot.lock().unwrap_or_else(|e| e.into_inner());
        self.slots.iter().filter_map(copy).filter(which).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_values_are_kept_and_no_more() {
        let ring = Ring::new(1000);
        (0..10_500).for_each(|n| ring.put(n));
        let mut kept = ring.those(|_| true);
        kept.sort_unstable();
        assert_eq!(kept, (9_500..10_500).collect::<Vec<_>>());
        assert_eq!((ring.capacity(), ring.missed()), (1000, 0));
        assert_eq!(ring.those(|n| n % 500 == 0).len(), 2);
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_room() {
        let ring = Ring::new(0);
        ring.put(1);
        assert_eq!(ring.those(|_| true), [0; 0]);
    }

    #[test]
    fn many_may_write_and_read_at_once() {
        let ring = Ring::new(64);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let ring = &ring;
                scope.spawn(move || (0..10_000).for_each(|n| ring.put(thread * 10_000 + n)));
            }
            for _ in 0..100 {
                assert!(ring.those(|_| true).len() <= 64);
            }
        });
        assert!(ring.those(|_| true).len() == 64 && ring.missed() < 40_000);
    }
}
