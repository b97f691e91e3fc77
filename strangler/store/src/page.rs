//! Pages of lists that are ordered by a time and, of what has the same time, by a key.

use chrono::{DateTime, Utc};

/// Where a page begins: after this, in the list's own order.
#[derive(Clone, Debug, PartialEq)]
pub struct After<K> {
    /// The time of the last row of the page before.
    pub at: DateTime<Utc>,
    /// Which rows of that very time are left.
    pub same: Same<K>,
}

/// Which rows of one time are left.
#[derive(Clone, Debug, PartialEq)]
pub enum Same<K> {
    /// None: all of them came before.
    None,
    /// All of them.
    All,
    /// Those beyond this key.
    Beyond(K),
}
