use strangler::contract;

#[contract(name = "catalog", version = 1)]
pub trait Catalog {
    #[query(get = "/a", auth = public)]
    async fn query_that_does(&self, cx: &Cx) -> Result<Done, CatalogError>;

    #[query(get = "/b", auth = public)]
    async fn query_that_puts(&self, cx: &Cx) -> Result<strangler::Put<Show>, CatalogError>;

    #[command(delete = "/c", auth = public, etag = version)]
    async fn tag_of_nothing(&self, cx: &Cx) -> Result<Done, CatalogError>;

    #[command(put = "/d", auth = public, next = next)]
    async fn page_of_a_command(&self, cx: &Cx) -> Result<Page<Show>, CatalogError>;

    #[command(put = "/e", auth = public)]
    async fn put_of_what(&self, cx: &Cx) -> Result<Put, CatalogError>;

    #[command(put = "/f", auth = public)]
    async fn unit(&self, cx: &Cx) -> Result<(), CatalogError>;
}

fn main() {}
