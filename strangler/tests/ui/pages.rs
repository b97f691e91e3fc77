use strangler::contract;

#[contract(name = "catalog", version = 1, pages = "yes")]
pub trait PagesInQuotes {
    #[query(get = "/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<WebPage, CatalogError>;
}

#[contract(name = "catalog", version = 1)]
pub trait PagesWithoutSayingSo {
    #[query(get = "/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<WebPage, CatalogError>;

    #[command(post = "/shows", auth = public)]
    async fn announce(&self, cx: &Cx, #[cookie("basket")] basket: Option<u32>, #[form] form: Form)
    -> Result<Done, CatalogError>;
}

#[contract(name = "shop", version = 1, pages = true)]
pub trait NotOnlyPages {
    #[query(get = "/api/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<WebPage, CatalogError>;

    #[query(get = "/shows/{id}", auth = public)]
    async fn show(&self, cx: &Cx, id: u32) -> Result<Show, CatalogError>;

    #[query(get = "/acts", auth = public, etag = version, next = cursor)]
    async fn acts(&self, cx: &Cx, #[form] form: Form) -> Result<WebPage, CatalogError>;

    #[command(post = "/acts", auth = public)]
    async fn announce(
        &self,
        cx: &Cx,
        #[cookie("Basket")] basket: Option<u32>,
        #[cookie("one")] one: u32,
        #[cookie("two")] two: Option<u32>,
        #[cookie("two")] again: Option<u32>,
        #[form] form: Form,
        #[body] body: Form,
    ) -> Result<WebPage, CatalogError>;
}

fn main() {}
