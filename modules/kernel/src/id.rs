//! Identifiers: UUIDs of any version, made by the client, of a type per aggregate so that they cannot be mixed up.

/// Declares an identifier type: `kernel::id! { /// An act's id. pub struct ActId; }`.
///
/// Its text form is the hyphenated UUID (RFC 9562, 4), and no other is read from a text: one thing has one address.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $visibility:vis struct $name:ident;) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            $crate::__rt::serde::Serialize, $crate::__rt::serde::Deserialize, $crate::__rt::utoipa::ToSchema,
        )]
        #[serde(crate = "kernel::__rt::serde", transparent)]
        #[schema(value_type = $crate::Uuid)]
        $visibility struct $name(pub $crate::Uuid);

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text.parse() {
                    // Without hyphens, in braces or as a URN it has another length.
                    Ok(uuid) if text.len() == 36 => Ok(Self(uuid)),
                    _ => Err("not a UUID, such as 0190163d-8694-739b-aea5-966c26f8ad91".to_owned()),
                }
            }
        }
    };
}
