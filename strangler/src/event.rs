//! What an event has to say of itself before it may be put into an outbox.

use serde::Serialize;

/// A fact in the past tense, part of a module's contract. Its JSON form is the `data` of a CloudEvents envelope.
pub trait Event: Serialize + Send + Sync {
    /// `module.aggregate.happened`, such as `catalog.show.announced`.
    fn event_type(&self) -> &'static str;

    /// The version of the shape of `data`; starts at 1.
    fn data_version(&self) -> u32 {
        1
    }
}
