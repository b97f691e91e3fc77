//! What an event has to say of itself before it may be put into an outbox, and before it can be documented.

use serde::Serialize;
use utoipa::openapi::{RefOr, Schema};

use crate::openapi::Schemas;

/// A fact in the past tense, part of a module's contract. Its JSON form is the `data` of a CloudEvents envelope. A contract's
/// is written by [`events!`](crate::events), so that no event goes undocumented.
pub trait Event: Serialize + Send + Sync {
    /// Every event of this type, in the enum's order: what listeners may rely on.
    const EVENTS: &'static [EventInfo] = &[];

    /// `module.aggregate.happened`, such as `catalog.show.announced`.
    fn event_type(&self) -> &'static str;

    /// The version of the shape of `data`; starts at 1.
    fn data_version(&self) -> u32 {
        1
    }
}

/// What is known of one event without an example of it.
#[derive(Clone, Copy, Debug)]
pub struct EventInfo {
    /// `module.aggregate.happened`.
    pub event_type: &'static str,
    /// The version of the shape of `data`; starts at 1.
    pub version: u32,
    /// What has happened, in a sentence.
    pub doc: &'static str,
    /// Adds the schema of `data`, and says how to refer to it.
    pub data: fn(&mut Schemas) -> RefOr<Schema>,
}

/// Makes an enum the events of a contract: one line for each variant, with what it carries, its type and, from the second
/// version of its shape on, that version. The enum is written beside it, untagged, with one unnamed field per variant; the
/// contract names it: `#[contract(name = "hall", version = 1, events = HallEvent)]`.
///
/// ```
/// #[derive(serde::Serialize, utoipa::ToSchema)]
/// struct Seat {
///     number: u32,
/// }
///
/// #[derive(serde::Serialize)]
/// #[serde(untagged)]
/// enum HallEvent {
///     SeatAdded(Seat),
///     SeatRemoved(Seat),
/// }
///
/// strangler::events! {
///     HallEvent {
///         /// A seat was added.
///         SeatAdded(Seat) = "hall.seat.added",
///         /// A seat was removed.
///         SeatRemoved(Seat) = "hall.seat.removed" version 2,
///     }
/// }
///
/// use strangler::Event;
/// assert_eq!((HallEvent::EVENTS[1].version, HallEvent::EVENTS[1].doc), (2, "A seat was removed."));
/// let added = HallEvent::SeatAdded(Seat { number: 1 });
/// assert_eq!((added.event_type(), added.data_version()), ("hall.seat.added", 1));
/// ```
#[macro_export]
macro_rules! events {
    ($event:ident {
        $($(#[doc = $doc:literal])+ $variant:ident($data:ty) = $name:literal $(version $version:literal)?),+ $(,)?
    }) => {
        impl $crate::Event for $event {
            const EVENTS: &'static [$crate::EventInfo] = &[$($crate::EventInfo {
                event_type: $name,
                version: $crate::__rt::version(&[$($version)?]),
                doc: ::core::concat!($($doc),+).trim_ascii(),
                data: |schemas| schemas.of::<$data>(),
            }),+];

            fn event_type(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name),+
                }
            }

            fn data_version(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => $crate::__rt::version(&[$($version)?])),+
                }
            }
        }
    };
}
