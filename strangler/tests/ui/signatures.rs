use strangler::contract;

#[contract(name = "catalog", version = 1)]
pub trait Catalog {
    #[query(get = "/a", auth = public)]
    fn not_async(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/b", auth = public)]
    async fn without_self(cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/c", auth = public)]
    async fn exclusive(&mut self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/d", auth = public)]
    async fn without_context(&self) -> Result<Show, CatalogError>;

    #[query(get = "/e", auth = public)]
    async fn generic<T: Clone>(&self, cx: &Cx) -> Result<T, CatalogError>
    where
        T: Send;

    #[query(get = "/f", auth = public)]
    async fn with_a_body(&self, cx: &Cx) -> Result<Show, CatalogError> {
        Err(CatalogError::NoSuchShow)
    }

    #[query(get = "/g/{id}", auth = public)]
    async fn borrowed(&self, cx: &Cx, id: &str) -> Result<Show, CatalogError>;

    #[query(get = "/h/{ids}", auth = public)]
    async fn borrowed_inside(&self, cx: &Cx, ids: Option<&[ShowId]>) -> Result<Vec<&Show>, CatalogError>;

    #[query(get = "/i/{id}", auth = public)]
    async fn nameless_type(&self, cx: &Cx, id: impl Into<ShowId>) -> Result<Box<dyn Show>, CatalogError>;

    #[query(get = "/j/{id}", auth = public)]
    async fn with_a_lifetime(&self, cx: &Cx, id: Name<'_>) -> Result<Self::Show, CatalogError>;

    #[query(get = "/k", auth = public)]
    async fn pattern(&self, cx: &Cx, (a, b): (u8, u8)) -> Result<Show, CatalogError>;

    #[query(get = "/l", auth = public)]
    async fn cannot_fail(&self, cx: &Cx) -> Show;

    #[query(get = "/m", auth = public)]
    async fn one_error_for_all(&self, cx: &Cx) -> Result<Show>;

    #[query(get = "/n", auth = public)]
    async fn without_answer(&self, cx: &Cx);
}

fn main() {}
