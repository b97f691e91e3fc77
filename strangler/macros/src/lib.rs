//! The strangler toolkit's attribute macros: [`macro@contract`] on a module's trait, [`macro@problems`] on its errors.
//!
//! A macro here reads its input into a model, collects every mistake on the way, and writes code only when there is
//! none. What it writes is ordinary code against `::strangler`: it must never depend on how the toolkit works inside,
//! nor read anything but the tokens it is given.

mod compared;
mod contract;
mod mistakes;
mod names;
mod problems;

use proc_macro::TokenStream;

/// Reads a module's contract and writes its wirings.
///
/// On `trait Catalog` it writes the object-safe trait `Catalog`, `CatalogService`, `CatalogServer`, `CatalogClient`,
/// `CatalogSwitch` and the description `CATALOG`:
///
/// ```text
/// /// What the rest of the system may know about the catalog.
/// #[contract(name = "catalog", version = 1)]
/// pub trait Catalog {
///     /// The show with this id.
///     #[query(get = "/shows/{id}", auth = public, etag = version)]
///     async fn show(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError>;
///     /// Announces the show; the same show put twice is announced once.
///     #[command(put = "/shows/{id}", auth = scope("catalog:write"))]
///     async fn announce(
///         &self,
///         cx: &Cx,
///         id: ShowId,
///         #[header("if-match")] expected: Option<IfMatch>,
///         #[body] draft: ShowDraft,
///     ) -> Result<Put<Show>, CatalogError>;
/// }
/// ```
///
/// * `events = CatalogEvent` names what the module tells others: a type with `strangler::events!`.
/// * `pages = true` makes a contract of pages: its paths have no prefix, its answers are `WebPage`s, and its arguments may
///   also be `#[cookie("…")]` (an `Option`) and `#[form]`.
/// * `#[query(…)]` changes nothing and may be run twice; `#[command(…)]` changes state and is idempotent by its id.
/// * One of `get`, `post`, `put`, `patch`, `delete` gives method and path; a query is a `get`, a command never is.
/// * `auth` is `public`, `signed_in` or `scope("…")`, and has no default.
/// * `etag = field` names the answer's field that is its entity tag; `next = field` the one with the next page's cursor.
/// * An argument is `#[query]`, `#[header("…")]` (an `Option`), `#[body]`, or else the parameter of that name in the path.
/// * The answer is `Put<T>` (201 or 200), `Done` (204), `Accepted<T>` (202), or any other value (200).
#[proc_macro_attribute]
pub fn contract(arguments: TokenStream, item: TokenStream) -> TokenStream {
    contract::expand(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Makes an enum the error of a contract: `ContractError`, `Display` and `Error`.
///
/// ```text
/// #[problems("catalog")]
/// #[derive(Clone, Debug, PartialEq)]
/// pub enum CatalogError {
///     /// There is no such show.
///     #[problem(404, "No such show", detail = "no show has the id {id}")]
///     NoSuchShow { id: ShowId },
/// }
/// ```
///
/// Every variant has a status, a title and, if it likes, a detail with the variant's fields in it; without one, the doc
/// comment is the detail. Its type is `urn:problem-type:catalog:no-such-show`. The fields travel beside them, so that
/// the variant comes back as it was.
#[proc_macro_attribute]
pub fn problems(arguments: TokenStream, item: TokenStream) -> TokenStream {
    problems::expand(arguments.into(), item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Says of a struct's fields how a parallel run compares them and what it may keep: `strangler::Compared`.
///
/// ```text
/// #[derive(Serialize, Deserialize, ToSchema, Compared)]
/// pub struct Receipt {
///     #[compare(ignore)]
///     pub printed_at: Time,
///     #[compare(unordered)]
///     pub lines: Vec<Line>,
///     #[compare(tolerance = 0.01)]
///     pub total: f64,
///     #[compare(private)]
///     pub email: Email,
/// }
/// ```
///
/// Fields have the names that serde gives them (`rename`, `rename_all`, `flatten`, `transparent`, `skip`).
#[proc_macro_derive(Compared, attributes(compare))]
pub fn compared(item: TokenStream) -> TokenStream {
    compared::expand(item.into())
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
