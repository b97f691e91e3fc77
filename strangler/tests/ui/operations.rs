use strangler::contract;

// Every mistake of a trait is reported at once.
#[contract(name = "catalog", version = 1)]
pub trait Catalog {
    #[query(get = "/a")]
    async fn without_auth(&self, cx: &Cx) -> Result<Show, CatalogError>;

    async fn without_kind(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/b", auth = public)]
    #[command(put = "/b", auth = public)]
    async fn both_kinds(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[command(get = "/c", auth = public)]
    async fn command_by_get(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(post = "/d", auth = public)]
    async fn query_by_post(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/e", auth = public, cache = 5)]
    async fn unknown_key(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[command(put = "/f", post = "/f", auth = public)]
    async fn two_methods(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(auth = public)]
    async fn no_path(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[command]
    async fn nothing(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/g", auth = everybody)]
    async fn unknown_auth(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/h", auth = scope("read write"))]
    async fn two_scopes(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/i", auth = public, etag = "version")]
    async fn quoted_field(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/l", auth = public, uncaptured = "prints")]
    async fn captured_query(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[command(put = "/m", auth = public, uncaptured = true)]
    async fn wordless_effect(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = i, auth = public)]
    async fn path_without_quotes(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[cfg(unix)]
    #[query(get = "/j", auth = public)]
    async fn sometimes(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/k", auth = public)]
    async fn new(&self, cx: &Cx) -> Result<Show, CatalogError>;
}

fn main() {}
