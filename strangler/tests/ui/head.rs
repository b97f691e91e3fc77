use strangler::contract;

#[contract(name = "Catalog", version = 0)]
pub trait BadNameAndVersion {
    #[query(get = "/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<Shows, CatalogError>;
}

#[contract()]
pub trait NoNameAndNoVersion {
    #[query(get = "/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<Shows, CatalogError>;
}

#[contract(name = catalog, version = "1", verison = 2, name = "catalog")]
pub trait BadKeys {
    #[query(get = "/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<Shows, CatalogError>;
}

#[contract(name = catalog, version = 1)]
pub trait NameWithoutQuotes {
    #[query(get = "/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<Shows, CatalogError>;
}

#[contract(name = "way", version = 1)]
pub unsafe trait Way<T>: Clone
where
    T: Clone,
{
    type Show;
    const SHOWS: usize;
}

#[contract(name = "catalog", version = 1)]
pub trait Empty {}

#[contract(name = "catalog", version = 1, events = "CatalogEvent")]
pub trait EventsInQuotes {
    #[query(get = "/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<Shows, CatalogError>;
}

#[contract(name = "catalog", version = 1)]
pub struct Catalog;

#[contract("catalog")]
pub trait Unreadable {
    #[query(get = "/shows", auth = public)]
    async fn shows(&self, cx: &Cx) -> Result<Shows, CatalogError>;
}

fn main() {}
