use strangler::contract;

#[contract(name = "catalog", version = 1)]
pub trait Catalog {
    #[query(get = "shows", auth = public)]
    async fn relative(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/a/{id", auth = public)]
    async fn open_brace(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError>;

    #[query(get = "/b/show-{id}", auth = public)]
    async fn part_of_a_segment(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError>;

    #[query(get = "/c/{}", auth = public)]
    async fn nameless(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/d/{*rest}", auth = public)]
    async fn wildcard(&self, cx: &Cx, rest: String) -> Result<Show, CatalogError>;

    #[query(get = "/e/", auth = public)]
    async fn slash_at_the_end(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/f g", auth = public)]
    async fn blank(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/h/{id}/{id}", auth = public)]
    async fn twice(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError>;

    #[query(get = "/shows/{id}", auth = public)]
    async fn show(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError>;

    #[query(get = "/shows/{name}", auth = public)]
    async fn show_by_name(&self, cx: &Cx, name: String) -> Result<Show, CatalogError>;

    #[command(delete = "/shows/{show}", auth = public)]
    async fn cancel(&self, cx: &Cx, show: ShowId) -> Result<Done, CatalogError>;
}

fn main() {}
