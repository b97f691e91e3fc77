use strangler::contract;

#[contract(name = "catalog", version = 1)]
pub trait Catalog {
    #[query(get = "/a/{id}", auth = public)]
    async fn parameter_without_argument(&self, cx: &Cx) -> Result<Show, CatalogError>;

    #[query(get = "/b", auth = public)]
    async fn argument_without_parameter(&self, cx: &Cx, id: ShowId) -> Result<Show, CatalogError>;

    #[query(get = "/c/{id}", auth = public)]
    async fn parameter_elsewhere(&self, cx: &Cx, #[query] id: ShowId) -> Result<Show, CatalogError>;

    #[command(put = "/d", auth = public)]
    async fn two_bodies(&self, cx: &Cx, #[body] a: Draft, #[body] b: Draft) -> Result<Show, CatalogError>;

    #[query(get = "/e", auth = public)]
    async fn two_queries(&self, cx: &Cx, #[query] a: Filter, #[query] b: Filter) -> Result<Show, CatalogError>;

    #[query(get = "/f", auth = public)]
    async fn body_of_a_get(&self, cx: &Cx, #[body] filter: Filter) -> Result<Show, CatalogError>;

    #[command(put = "/g", auth = public)]
    async fn header_not_optional(&self, cx: &Cx, #[header("if-match")] expected: IfMatch) -> Result<Show, CatalogError>;

    #[command(put = "/h", auth = public)]
    async fn header_in_capitals(&self, cx: &Cx, #[header("If-Match")] a: Option<IfMatch>) -> Result<Show, CatalogError>;

    #[command(put = "/i", auth = public)]
    async fn header_without_name(&self, cx: &Cx, #[header] expected: Option<IfMatch>) -> Result<Show, CatalogError>;

    #[command(put = "/j", auth = public)]
    async fn header_of_the_way(&self, cx: &Cx, #[header("authorization")] a: Option<Token>) -> Result<Show, CatalogError>;

    #[command(put = "/k", auth = public)]
    async fn header_twice(
        &self,
        cx: &Cx,
        #[header("if-match")] a: Option<IfMatch>,
        #[header("if-match")] b: Option<IfMatch>,
    ) -> Result<Show, CatalogError>;

    #[command(put = "/l", auth = public)]
    async fn unknown_place(&self, cx: &Cx, #[json] draft: Draft) -> Result<Show, CatalogError>;

    #[command(put = "/m", auth = public)]
    async fn two_places(&self, cx: &Cx, #[body] #[query] draft: Draft) -> Result<Show, CatalogError>;

    #[command(put = "/n", auth = public)]
    async fn too_much_said(&self, cx: &Cx, #[body("draft")] draft: Draft) -> Result<Show, CatalogError>;
}

fn main() {}
