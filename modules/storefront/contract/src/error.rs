//! What a page says when it cannot do what it was asked. The storefront shows each of them as a page of its own, under the
//! status that stands here.

use strangler::problems;

/// The storefront's errors.
#[problems("storefront")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorefrontError {
    /// Nothing is here: no such show, order or file.
    #[problem(
        404,
        "There is no such page",
        detail = "the address is wrong, or what was there is gone"
    )]
    NoSuchPage,
    /// Somebody was faster, or it is too late for this.
    #[problem(
        409,
        "It cannot be done any more",
        detail = "somebody was faster, or it is too late for this"
    )]
    TooLate,
    /// It was here and does not come back: a show that was cancelled, seats that are not held any more.
    #[problem(410, "It is over", detail = "what was here does not come back")]
    Over,
    /// Something that was typed or chosen cannot be.
    #[problem(422, "Something is missing or wrong", detail = "what was typed or chosen cannot be")]
    Mistake,
    /// What the page is made of cannot be reached at the moment.
    #[problem(503, "This page is not there at the moment", detail = "{cause}")]
    Unavailable {
        /// What happened and what to do next.
        cause: String,
    },
}
